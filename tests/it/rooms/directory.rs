use serde_json::{Value, json};

use super::{at, bring, create, say};
use crate::server::{Client, TestServer, encode};

fn alias(name: &str) -> String {
    format!("directory/room/{}", encode(&format!("#{name}:localhost")))
}

fn names(answer: &Value) -> Vec<&str> {
    answer["chunk"].as_array().expect("a list").iter().filter_map(|room| room["name"].as_str()).collect()
}

async fn public(client: &Client, name: &str) -> String {
    create(client, &json!({"name": name, "preset": "public_chat", "visibility": "public"})).await
}

#[tokio::test]
async fn an_alias_leads_to_one_room_until_it_is_taken_back() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (room, other) = (create(&alice, &json!({})).await, create(&bob, &json!({})).await);
    alice.get(&alias("tea")).await.refused(404, "M_NOT_FOUND");
    bob.put(&alias("tea"), &json!({"room_id": room})).await.refused(403, "M_FORBIDDEN");
    alice.put(&alias("tea"), &json!({"room_id": room})).await.ok();
    bob.put(&alias("tea"), &json!({"room_id": other})).await.refused(409, "M_UNKNOWN");
    let elsewhere = format!("directory/room/{}", encode("#tea:elsewhere.org"));
    alice.put(&elsewhere, &json!({"room_id": room})).await.refused(400, "M_INVALID_PARAM");
    bob.get(&elsewhere).await.refused(404, "M_NOT_FOUND");
    server.restart().await;
    server.get(&format!("/_matrix/client/v3/{}", alias("tea"))).await.refused(503, "M_UNKNOWN");
    bob.get("joined_rooms").await.ok();
    let found = bob.get(&alias("tea")).await.ok();
    assert_eq!(found, json!({"room_id": room, "servers": ["localhost"]}));
    assert_eq!(alice.get(&at(&room, "aliases")).await.ok()["aliases"], json!(["#tea:localhost"]));
    bob.get(&at(&room, "aliases")).await.refused(403, "M_FORBIDDEN");
    bob.delete(&alias("tea"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.delete(&alias("tea"), &json!({})).await.ok();
    alice.delete(&alias("tea"), &json!({})).await.refused(404, "M_NOT_FOUND");
    bob.put(&alias("tea"), &json!({"room_id": other})).await.ok();
}

#[tokio::test]
async fn listed_rooms_are_found_by_everybody_with_an_account() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let tea = public(&alice, "Tea house").await;
    public(&alice, "Coffee").await;
    create(&alice, &json!({"name": "Hidden", "preset": "public_chat"})).await;
    let space = json!({"name": "Space", "preset": "public_chat", "visibility": "public", "creation_content": {"type": "m.space"}});
    create(&alice, &space).await;
    bob.post(&at(&tea, "join"), &json!({})).await.ok();
    server.restart().await;
    server.get("/_matrix/client/v3/publicRooms").await.refused(401, "M_MISSING_TOKEN");
    let all = bob.get("publicRooms").await.ok();
    assert_eq!((names(&all).len(), all["total_room_count_estimate"].as_u64()), (3, Some(3)));
    assert_eq!((&all["chunk"][0]["name"], &all["chunk"][0]["num_joined_members"]), (&json!("Tea house"), &json!(2)));
    assert_eq!(all["chunk"][0]["join_rule"], "public");
    let search = async |body: Value| bob.post("publicRooms", &body).await.ok();
    assert_eq!(names(&search(json!({"filter": {"generic_search_term": "TEA"}})).await), ["Tea house"]);
    assert_eq!(names(&search(json!({"filter": {"room_types": ["m.space"]}})).await), ["Space"]);
    assert_eq!(names(&search(json!({"filter": {"room_types": [null]}})).await).len(), 2);
    let first = search(json!({"limit": 2})).await;
    let rest = search(json!({"limit": 2, "since": first["next_batch"]})).await;
    assert!(names(&first).len() == 2 && names(&rest).len() == 1 && rest.get("next_batch").is_none());
    bob.post("publicRooms", &json!({"since": "x"})).await.refused(400, "M_INVALID_PARAM");
    bob.post("publicRooms?server=elsewhere.org", &json!({})).await.refused(502, "M_CONNECTION_FAILED");
}

#[tokio::test]
async fn moderators_list_rooms() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({"preset": "public_chat", "name": "Tea"})).await;
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    let path = format!("directory/list/room/{}", encode(&room));
    assert_eq!(bob.get(&path).await.ok(), json!({"visibility": "private"}));
    bob.put(&path, &json!({"visibility": "public"})).await.refused(403, "M_FORBIDDEN");
    alice.put(&path, &json!({"visibility": "public"})).await.ok();
    assert_eq!(bob.get(&path).await.ok(), json!({"visibility": "public"}));
    assert_eq!(names(&bob.get("publicRooms").await.ok()), ["Tea"]);
    alice.put(&path, &json!({"visibility": "private"})).await.ok();
    assert_eq!(bob.get("publicRooms").await.ok()["chunk"], json!([]));
}

#[tokio::test]
async fn a_summary_is_for_who_may_know_the_room() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let open = create(&alice, &json!({"preset": "public_chat", "name": "Open", "room_alias_name": "open"})).await;
    let closed = create(&alice, &json!({"name": "Closed"})).await;
    let summary = |room: &str| format!("/_matrix/client/v1/room_summary/{}", encode(room));
    let shown = bob.get(&summary("#open:localhost")).await.ok();
    assert_eq!(
        (&shown["room_id"], &shown["name"], &shown["membership"]),
        (&json!(open), &json!("Open"), &json!("leave"))
    );
    let old = format!("/_matrix/client/unstable/im.nheko.summary/summary/{}", encode(&open));
    assert_eq!(bob.get(&old).await.ok(), shown);
    bob.get(&summary(&closed)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get(&summary(&closed)).await.ok()["membership"], "join");
    server.get(&summary(&open)).await.refused(401, "M_MISSING_TOKEN");
    bring(&alice, &bob, &closed).await;
    bob.get(&summary(&closed)).await.ok();
}

#[tokio::test]
async fn a_space_shows_its_rooms() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let space = async |name: &str| -> String {
        create(&alice, &json!({"name": name, "preset": "public_chat", "creation_content": {"type": "m.space"}})).await
    };
    let (root, inner) = (space("root").await, space("inner").await);
    let room = |name: &str| json!({"name": name, "preset": "public_chat"});
    let (tea, deep) = (create(&alice, &room("tea")).await, create(&alice, &room("deep")).await);
    let closed = create(&alice, &json!({"name": "closed"})).await;
    let link = async |parent: &str, child: &str, content: Value| {
        alice.put(&at(parent, &format!("state/m.space.child/{}", encode(child))), &content).await.ok();
    };
    link(&root, &tea, json!({"via": ["localhost"], "order": "b", "suggested": true})).await;
    link(&root, &inner, json!({"via": ["localhost"], "order": "a"})).await;
    link(&root, &closed, json!({"via": ["localhost"]})).await;
    link(&inner, &deep, json!({"via": ["localhost"]})).await;
    link(&inner, &root, json!({"via": ["localhost"]})).await;
    let walk = async |client: &Client, rest: &str| {
        client.get(&format!("/_matrix/client/v1/{}", at(&root, &format!("hierarchy?{rest}")))).await.ok()
    };
    let shown = |answer: &Value| -> Vec<String> {
        let rooms = answer["rooms"].as_array().expect("a list").iter();
        rooms.filter_map(|room| room["name"].as_str().map(ToOwned::to_owned)).collect()
    };
    assert_eq!(shown(&walk(&bob, "").await), ["root", "inner", "deep", "tea"]);
    assert_eq!(shown(&walk(&alice, "").await), ["root", "inner", "deep", "tea", "closed"]);
    assert_eq!(shown(&walk(&bob, "max_depth=1").await), ["root", "inner", "tea"]);
    assert_eq!(shown(&walk(&bob, "suggested_only=true").await), ["root", "tea"]);
    let first = walk(&bob, "limit=3").await;
    assert_eq!(first["rooms"][0]["children_state"].as_array().map(Vec::len), Some(3));
    let next = first["next_batch"].as_str().expect("a token");
    let last = walk(&bob, &format!("limit=3&from={next}")).await;
    assert!(shown(&last) == ["tea"] && last.get("next_batch").is_none());
    let shallow = walk(&bob, "max_depth=1").await;
    let links = shallow["rooms"][1]["children_state"].as_array().map(Vec::len);
    assert_eq!(links, Some(2), "links are shown where the walk ends");
    let page = |rest: &str| format!("/_matrix/client/v1/{}", at(&root, &format!("hierarchy?{rest}")));
    for rest in ["from=x".to_owned(), format!("from={next}&max_depth=1"), format!("from={next}&suggested_only=true")] {
        bob.get(&page(&rest)).await.refused(400, "M_INVALID_PARAM");
    }
    let elsewhere = format!("/_matrix/client/v1/{}", at(&inner, &format!("hierarchy?from={next}")));
    bob.get(&elsewhere).await.refused(400, "M_INVALID_PARAM");
    let one = walk(&bob, "limit=1&max_depth=1").await;
    let then = walk(&bob, &format!("from={}", one["next_batch"].as_str().expect("a token"))).await;
    assert_eq!(shown(&then), ["inner", "tea"], "the next page goes as deep as the first");
    bob.get(&page("limit=0")).await.ok();
    let closed = format!("/_matrix/client/v1/{}", at(&closed, "hierarchy"));
    bob.get(&closed).await.refused(403, "M_FORBIDDEN");
    say(&alice, &tea, "found").await;
}

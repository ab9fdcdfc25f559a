//! Profiles: their fields, where they are shown, who finds whom; and what the server says it can do.

use serde_json::{Value, json};

use crate::{
    rooms::{at, bring, create, room_of},
    server::{Client, TestServer, encode},
};

const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";

fn profile(client: &Client) -> String {
    format!("profile/{}", encode(&client.user_id))
}

async fn set(client: &Client, field: &str, value: Value) {
    client.put(&format!("{}/{field}", profile(client)), &json!({ field: value })).await.ok();
}

#[tokio::test]
async fn a_profile_has_fields_of_any_kind() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for (field, value) in [
        ("org.example.pronouns", json!([{"summary": "they"}])),
        ("org.example.nothing", Value::Null),
        ("us.cloke.msc4175.tz", json!("Europe/Berlin")),
        ("m.tz", json!("America/Argentina/Buenos_Aires")),
        ("avatar_url", json!("a word")),
        ("avatar_url", json!("mxc://elsewhere.example/picture")),
    ] {
        set(&alice, field, value).await;
    }
    let path = profile(&alice);
    for (field, value, code) in [
        ("m.tz", json!("Mars/Phobos Base"), "M_INVALID_PARAM"),
        ("m.tz", json!(7), "M_BAD_JSON"),
        ("displayname", json!({}), "M_BAD_JSON"),
        ("avatar_url", json!("https://elsewhere.example/picture"), "M_INVALID_PARAM"),
        ("avatar_url", json!("//elsewhere.example/picture"), "M_INVALID_PARAM"),
        ("avatar_url", json!("data:,"), "M_INVALID_PARAM"),
        ("avatar_url", json!(format!("mxc://elsewhere.example/{}", "x".repeat(1000))), "M_INVALID_PARAM"),
        ("displayname", json!("x".repeat(257)), "M_INVALID_PARAM"),
        ("Org.Example", json!(1), "M_INVALID_PARAM"),
        ("1x", json!(1), "M_INVALID_PARAM"),
    ] {
        alice.put(&format!("{path}/{field}"), &json!({ field: value })).await.refused(400, code);
    }
    alice.put(&format!("{path}/org.example.x"), &json!({"other": 1})).await.refused(400, "M_MISSING_PARAM");
    alice.send("PUT", &format!("{path}/org.example.x"), b"{").await.refused(400, "M_NOT_JSON");
    server.restart().await;
    bob.get("account/whoami").await.ok();
    let shown = bob.get(&path).await.ok();
    assert_eq!(
        (&shown["org.example.nothing"], &shown["avatar_url"]),
        (&Value::Null, &json!("mxc://elsewhere.example/picture"))
    );
    assert_eq!(shown.as_object().expect("fields").len(), 5);
    let old = format!("/_matrix/client/unstable/uk.tcpip.msc4133/{path}/org.example.pronouns");
    assert_eq!(bob.get(&old).await.ok()["org.example.pronouns"][0]["summary"], "they");
    alice.delete(&old, &json!({})).await.ok();
    alice.delete(&old, &json!({})).await.ok();
    bob.get(&old).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_name_is_shown_in_the_rooms_that_its_owner_wants() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (usual, special) = (create(&alice, &json!({})).await, create(&alice, &json!({})).await);
    let member = |room: &str| at(room, &format!("state/m.room.member/{}", encode(&alice.user_id)));
    let own = json!({"membership": "join", "displayname": "Special"});
    alice.put(&member(&special), &own).await.ok();
    let names = async || {
        let name = async |room: &str| alice.get(&member(room)).await.ok()["displayname"].clone();
        (name(&usual).await, name(&special).await)
    };
    for (reach, value, expected) in [
        ("?computer.gingershaped.msc4466.propagate_to=unchanged", "Al", (json!("Al"), json!("Special"))),
        ("?computer.gingershaped.msc4466.propagate_to=none", "Ally", (json!("Al"), json!("Special"))),
        ("?computer.gingershaped.msc4466.propagate_to=unchanged", "Alice", (json!("Al"), json!("Special"))),
        ("", "A", (json!("A"), json!("A"))),
    ] {
        let path = format!("{}/displayname{reach}", profile(&alice));
        alice.put(&path, &json!({ "displayname": value })).await.ok();
        assert_eq!(names().await, expected, "{reach} {value}");
    }
    let none = "?computer.gingershaped.msc4466.propagate_to=none";
    alice.delete(&format!("{}/displayname{none}", profile(&alice)), &json!({})).await.ok();
    assert_eq!(names().await, (json!("A"), json!("A")));
    // Other fields reach no room.
    let before = alice.get("sync").await.ok()["next_batch"].clone();
    set(&alice, "org.example.x", json!(1)).await;
    let told = alice.get(&format!("sync?since={}", before.as_str().expect("a token"))).await.ok();
    assert!(told["rooms"]["join"].as_object().is_none_or(serde_json::Map::is_empty));
}

/// One request for a list of everything and for profiles.
async fn ask(client: &Client, pos: Option<&Value>, fields: Option<Value>) -> (Value, Value) {
    let pos = pos.map(|pos| format!("&pos={}", encode(pos.as_str().expect("a position")))).unwrap_or_default();
    let mut scope = json!({"enabled": true});
    if let Some(fields) = fields {
        scope["fields"] = fields;
    }
    let list = json!({"ranges": [[0, 99]], "timeline_limit": 1, "required_state": []});
    let body = json!({"lists": {"all": list}, "extensions": {"org.matrix.msc4262.profiles": scope}});
    let told = client.post(&format!("{SLIDING}{pos}"), &body).await.ok();
    (told["pos"].clone(), told["extensions"]["org.matrix.msc4262.profiles"]["users"].clone())
}

#[tokio::test]
async fn sliding_sync_tells_profiles_and_what_changes_of_them() {
    let server = TestServer::open().await;
    let (alice, bob, eve) =
        (server.register("alice").await, server.register("bob").await, server.register("eve").await);
    set(&bob, "displayname", json!("Bob")).await;
    set(&bob, "org.example.x", json!(1)).await;
    set(&eve, "displayname", json!("Eve")).await;
    let room = room_of(&[&alice, &bob]).await;
    let (pos, users) = ask(&alice, None, None).await;
    assert_eq!(users, json!({ &bob.user_id: {"updated": {"displayname": "Bob", "org.example.x": 1}} }));
    let (pos, users) = ask(&alice, Some(&pos), None).await;
    assert_eq!(users, Value::Null);
    set(&bob, "org.example.y", json!(2)).await;
    bob.delete(&format!("{}/org.example.x", profile(&bob)), &json!({})).await.ok();
    set(&alice, "displayname", json!("Al")).await;
    set(&eve, "displayname", json!("Evelyn")).await;
    let (pos, users) = ask(&alice, Some(&pos), None).await;
    let bobs = json!({"updated": {"org.example.y": 2}, "removed": ["org.example.x"]});
    assert_eq!(users, json!({ &alice.user_id: {"updated": {"displayname": "Al"}}, &bob.user_id: bobs }));
    // Only the fields that are asked for; new ones are told of everybody.
    let (pos, users) = ask(&alice, Some(&pos), Some(json!(["org.example.y"]))).await;
    assert_eq!(users, json!({ &bob.user_id: {"updated": {"org.example.y": 2}} }));
    set(&bob, "displayname", json!("Bobby")).await;
    let (pos, users) = ask(&alice, Some(&pos), Some(json!(["org.example.y"]))).await;
    assert_eq!(users, Value::Null);
    bring(&alice, &eve, &room).await;
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    let (_, users) = ask(&alice, Some(&pos), Some(json!(["displayname", "org.example.y"]))).await;
    let (eves, als) = (json!({"updated": {"displayname": "Evelyn"}}), json!({"updated": {"displayname": "Al"}}));
    assert_eq!(users[&eve.user_id], eves);
    assert_eq!(users[&alice.user_id], als);
}

#[tokio::test]
async fn people_are_found_by_name_and_id() {
    let server = TestServer::open().await;
    let (alice, bob, eve) =
        (server.register("alice").await, server.register("bob").await, server.register("eve").await);
    set(&alice, "displayname", json!("Alice Cooper")).await;
    let public = create(&alice, &json!({"visibility": "public", "preset": "public_chat"})).await;
    let private = room_of(&[&bob, &alice]).await;
    let member = at(&private, &format!("state/m.room.member/{}", encode(&alice.user_id)));
    alice.put(&member, &json!({"membership": "join", "displayname": "Freddy"})).await.ok();
    let find = async |by: &Client, term: &str, limit: u64| {
        by.post("user_directory/search", &json!({"search_term": term, "limit": limit})).await.ok()
    };
    for term in ["Alice Cooper", "cooper", "@alice", "@alice:localhost", "lice:local"] {
        let found = find(&eve, term, 10).await;
        let shown = json!({"user_id": alice.user_id, "display_name": "Alice Cooper"});
        assert_eq!(found, json!({"results": [shown], "limited": false}), "{term}");
    }
    // A name for one room is that room's; bob is in no room of eve's.
    for term in ["Freddy", "bob"] {
        assert_eq!(find(&eve, term, 10).await["results"], json!([]), "{term}");
    }
    for name in ["alicia", "malice", "al"] {
        let other = server.register(name).await;
        other.post(&format!("join/{}", encode(&public)), &json!({})).await.ok();
    }
    let found = find(&eve, "al", 10).await;
    let ids: Vec<_> = found["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|user| user["user_id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["@al:localhost", "@alice:localhost", "@alicia:localhost", "@malice:localhost"]);
    let few = find(&eve, "al", 2).await;
    assert_eq!((few["results"].as_array().map(Vec::len), &few["limited"]), (Some(2), &json!(true)));
}

#[tokio::test]
async fn capabilities_are_spelled_out() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let can = alice.get("capabilities").await.ok()["capabilities"].clone();
    for (name, enabled) in [
        ("m.change_password", true),
        ("m.set_displayname", true),
        ("m.set_avatar_url", true),
        ("m.profile_fields", true),
        ("m.3pid_changes", false),
        ("m.get_login_token", true),
    ] {
        assert_eq!(can[name]["enabled"], enabled, "{name}");
    }
    assert!(can["m.room_versions"]["available"].is_object());
}

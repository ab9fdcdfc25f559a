//! Searching: what is found, by whom, in which order, page by page.

use serde_json::{Value, json};

use crate::{
    rooms::{at, bring, create, room_of, say},
    server::{Answer, Client, TestServer, encode},
};

async fn ask(client: &Client, token: Option<&Value>, criteria: &Value) -> Answer {
    let token = token.map(|token| format!("?next_batch={}", encode(token.as_str().expect("a token"))));
    let body = json!({"search_categories": {"room_events": criteria}});
    client.post(&format!("search{}", token.unwrap_or_default()), &body).await
}

async fn search(client: &Client, criteria: &Value) -> Value {
    ask(client, None, criteria).await.ok()["search_categories"]["room_events"].clone()
}

async fn next(client: &Client, before: &Value, criteria: &Value) -> Value {
    ask(client, Some(&before["next_batch"]), criteria).await.ok()["search_categories"]["room_events"].clone()
}

/// The texts of results in their order.
fn texts(results: &Value) -> Vec<&str> {
    let results = results["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for result in results {
        let content = &result["result"]["content"];
        let fields = [&content["body"], &content["name"], &content["topic"]];
        found.extend(fields.into_iter().find_map(|field| field.as_str()));
        assert!(result["rank"].is_number());
    }
    found
}

#[tokio::test]
async fn words_are_found_in_messages_names_and_topics() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({"name": "The hello room", "topic": "Saying hello"})).await;
    let other = create(&alice, &json!({})).await;
    say(&alice, &room, "hello, world").await;
    say(&alice, &other, "Helloween is near").await;
    say(&alice, &other, "othello").await;
    let all = search(&alice, &json!({"search_term": "hello"})).await;
    assert_eq!(all["count"], 4);
    // Whole words fit better than beginnings, short texts better than long ones.
    assert_eq!(texts(&all)[3], "Helloween is near");
    assert_eq!(all["highlights"], json!(["hello", "helloween"]));
    for (keys, expected) in [
        (json!(["content.body"]), vec!["Helloween is near", "hello, world"]),
        (json!(["content.name"]), vec!["The hello room"]),
        (json!(["content.topic"]), vec!["Saying hello"]),
        (json!(["content.other"]), vec![]),
    ] {
        let found = search(&alice, &json!({"search_term": "hello", "keys": keys, "order_by": "recent"})).await;
        assert_eq!((texts(&found).len(), &found["count"]), (expected.len(), &json!(expected.len())), "{keys}");
        assert!(expected.iter().all(|text| texts(&found).contains(text)), "{keys}");
    }
    for (filter, expected) in [
        (json!({"rooms": [other]}), 1),
        (json!({"not_rooms": [other]}), 3),
        (json!({"types": ["m.room.message"]}), 2),
        (json!({"not_senders": [alice.user_id]}), 0),
        (json!({"rooms": ["!unknown:localhost"]}), 0),
    ] {
        let found = search(&alice, &json!({"search_term": "hello", "filter": filter})).await;
        assert_eq!(found["count"], expected, "{filter}");
    }
    for nothing in ["", " ", "\"\"", "hello nobody"] {
        let found = search(&alice, &json!({"search_term": nothing})).await;
        assert_eq!(found, json!({"count": 0, "results": []}), "{nothing}");
    }
    assert_eq!(search(&alice, &json!({"search_term": "\"hello room\""})).await["count"], 1);
    ask(&alice, None, &json!({"keys": []})).await.refused(400, "M_MISSING_PARAM");
    let none = alice.post("search", &json!({"search_categories": {}})).await.ok();
    assert_eq!(none, json!({"search_categories": {}}));
}

#[tokio::test]
async fn pages_follow_each_other_even_over_a_restart() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let rooms = [room_of(&[&alice, &bob]).await, room_of(&[&alice, &bob]).await];
    let mut said = Vec::new();
    for n in 0..25 {
        let text = format!("Message number {n}");
        say(&alice, &rooms[n % 2], &text).await;
        said.push(text);
    }
    for order in ["recent", "rank"] {
        let criteria = json!({"search_term": "message", "order_by": order, "filter": {"limit": 10}});
        let first = search(&alice, &criteria).await;
        if order == "recent" {
            server.restart().await;
        }
        let second = next(&alice, &first, &criteria).await;
        let third = next(&alice, &second, &criteria).await;
        let mut found: Vec<_> = [&first, &second, &third].into_iter().flat_map(texts).collect();
        assert_eq!((found.len(), &third["count"], &third["next_batch"]), (25, &json!(25), &Value::Null), "{order}");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 25, "{order}: nothing twice");
    }
    // In one room the newest come first, and a page that is just full is followed by an empty one.
    let criteria =
        json!({"search_term": "message", "order_by": "recent", "filter": {"limit": 12, "rooms": [rooms[1]]}});
    let full = search(&alice, &criteria).await;
    let odd: Vec<_> = said.iter().skip(1).step_by(2).rev().collect();
    assert_eq!(texts(&full), odd);
    let empty = next(&alice, &full, &criteria).await;
    assert_eq!(empty, json!({"count": 12, "results": []}));
    ask(&bob, Some(&full["next_batch"]), &criteria).await.refused(400, "M_INVALID_PARAM");
    ask(&alice, Some(&json!("nonsense")), &criteria).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn nobody_finds_what_he_may_not_see() {
    let server = TestServer::open().await;
    let (alice, bob, eve) =
        (server.register("alice").await, server.register("bob").await, server.register("eve").await);
    let hidden = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]);
    let room = create(&alice, &json!({"initial_state": hidden})).await;
    say(&alice, &room, "secret before").await;
    bring(&alice, &bob, &room).await;
    say(&alice, &room, "secret between").await;
    let gone = say(&alice, &room, "secret redacted").await;
    let redact = at(&room, &format!("redact/{}/1", encode(&gone)));
    alice.put(&redact, &json!({})).await.ok();
    let criteria = json!({"search_term": "secret", "order_by": "recent"});
    assert_eq!(texts(&search(&bob, &criteria).await), ["secret between"]);
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    say(&alice, &room, "secret after").await;
    assert_eq!(texts(&search(&bob, &criteria).await), ["secret between"]);
    assert_eq!(texts(&search(&alice, &criteria).await), ["secret after", "secret between", "secret before"]);
    let in_room = json!({"search_term": "secret", "filter": {"rooms": [room]}});
    assert_eq!(search(&eve, &in_room).await["count"], 0);
    bob.post(&at(&room, "forget"), &json!({})).await.ok();
    assert_eq!(search(&bob, &criteria).await["count"], 0);

    // An encrypted room is not looked into, and whom the searcher ignores is not found.
    let room = room_of(&[&alice, &eve]).await;
    say(&eve, &room, "nonsense").await;
    assert_eq!(search(&alice, &json!({"search_term": "nonsense"})).await["count"], 1);
    let list = format!("user/{}/account_data/m.ignored_user_list", encode(&alice.user_id));
    alice.put(&list, &json!({"ignored_users": {&eve.user_id: {}}})).await.ok();
    assert_eq!(search(&alice, &json!({"search_term": "nonsense"})).await["count"], 0);
    assert_eq!(search(&eve, &json!({"search_term": "nonsense"})).await["count"], 1);
    let encryption = json!({"algorithm": "m.megolm.v1.aes-sha2"});
    alice.put(&at(&room, "state/m.room.encryption"), &encryption).await.ok();
    assert_eq!(search(&eve, &json!({"search_term": "nonsense"})).await["count"], 0);
}

#[tokio::test]
async fn an_upgraded_room_is_searched_with_its_predecessors() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let old = create(&alice, &json!({"room_version": "10"})).await;
    say(&alice, &old, "words before").await;
    let upgraded = alice.post(&at(&old, "upgrade"), &json!({"new_version": "12"})).await.ok();
    let new = upgraded["replacement_room"].as_str().expect("a room");
    // Within one step of coarse time a room's events are told apart by their number: the new room gets more of them.
    for count in 0..20 {
        say(&alice, new, &format!("filler {count}")).await;
    }
    say(&alice, new, "words after").await;
    let found =
        search(&alice, &json!({"search_term": "words", "order_by": "recent", "filter": {"rooms": [new]}})).await;
    assert_eq!(texts(&found), ["words after", "words before"]);
    let found = search(&alice, &json!({"search_term": "words", "filter": {"rooms": [old]}})).await;
    assert_eq!(texts(&found), ["words before"]);
}

#[tokio::test]
async fn results_come_with_surroundings_groups_and_state() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let profile = format!("profile/{}/displayname", encode(&alice.user_id));
    alice.put(&profile, &json!({"displayname": "Al"})).await.ok();
    for n in 1..=7 {
        say(if n % 2 == 0 { &alice } else { &bob }, &room, &format!("Message number {n}")).await;
    }
    let context = json!({"before_limit": 2, "after_limit": 2, "include_profile": true});
    let criteria = json!({
        "search_term": "Message 4", "order_by": "recent", "filter": {"limit": 1, "rooms": [room]}, "event_context": context,
        "include_state": true, "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}, {"key": "other"}]},
    });
    let found = search(&alice, &criteria).await;
    assert_eq!((texts(&found), &found["count"]), (vec!["Message number 4"], &json!(1)));
    let shown = &found["results"][0]["context"];
    let bodies = |field: &str| -> Vec<String> {
        let events = shown[field].as_array().expect("events").iter();
        events.map(|event| event["content"]["body"].as_str().expect("a body").to_owned()).collect()
    };
    assert_eq!(bodies("events_before"), ["Message number 3", "Message number 2"]);
    assert_eq!(bodies("events_after"), ["Message number 5", "Message number 6"]);
    assert_eq!(shown["profile_info"][&alice.user_id]["displayname"], "Al");
    assert!(shown["profile_info"][&bob.user_id].is_object());
    // Both ends can be read on from.
    for (token, dir, expected) in [("start", "b", "Message number 1"), ("end", "f", "Message number 7")] {
        let token = encode(shown[token].as_str().expect("a token"));
        let page = alice.get(&at(&room, &format!("messages?dir={dir}&from={token}&limit=1"))).await.ok();
        assert_eq!(page["chunk"][0]["content"]["body"], expected);
    }
    let id = &found["results"][0]["result"]["event_id"];
    assert_eq!(found["groups"]["room_id"][&room]["results"], json!([id]));
    assert_eq!(found["groups"]["sender"][&alice.user_id]["results"], json!([id]));
    assert_eq!(found["groups"].as_object().expect("groups").len(), 2);
    let state = found["state"][&room].as_array().expect("state");
    assert!(state.iter().any(|event| event["type"] == "m.room.create"));
    // A group goes on by itself.
    let by_sender = json!({
        "search_term": "message", "order_by": "recent", "filter": {"limit": 2, "rooms": [room]},
        "groupings": {"group_by": [{"key": "sender"}]},
    });
    let page = search(&alice, &by_sender).await;
    assert_eq!(texts(&page), ["Message number 7", "Message number 6"]);
    let group = &page["groups"]["sender"][&bob.user_id];
    assert_eq!(texts(&next(&alice, group, &by_sender).await), ["Message number 5", "Message number 3"]);
    // Without being asked, no surroundings.
    let bare = search(&alice, &json!({"search_term": "Message 4"})).await;
    assert!(bare["results"][0].get("context").is_none());
}

//! What the Matrix project's suite for homeservers asserts of syncing, keys and requests, and no other test here does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rooms::{at, create, put, room_of, say},
    server::{Client, TestServer, encode},
};

async fn sync(client: &Client, since: Option<&Value>, query: &str) -> Value {
    let since =
        since.map_or_else(String::new, |last| format!("&since={}", last["next_batch"].as_str().expect("a token")));
    client.get(&format!("sync?timeout=0{since}{query}")).await.ok()
}

fn filter(filter: &Value) -> String {
    format!("&filter={}", encode(&filter.to_string()))
}

/// The ephemeral event of a kind in what a sync says of a room.
fn ephemeral(answer: &Value, room: &str, kind: &str) -> Value {
    let events = answer["rooms"]["join"][room]["ephemeral"]["events"].as_array().cloned().unwrap_or_default();
    events.into_iter().find(|event| event["type"] == kind).unwrap_or_default()
}

#[tokio::test]
async fn text_that_is_no_json_is_not_json() {
    let server = TestServer::open().await;
    let register = "/_matrix/client/v3/register";
    for body in [&b"{\"test\":\"a\x81\"}"[..], b"{\"a\":", b"{'a': 1}", b"NaN"] {
        server.send("POST", register, &[], body).await.refused(400, "M_NOT_JSON");
    }
}

#[tokio::test]
async fn numbers_that_canonical_json_has_not_are_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    for (count, number) in ["9007199254740992", "-9007199254740992", "1.1", "1e400"].iter().enumerate() {
        let body = format!("{{\"body\": {number}}}");
        for path in [format!("send/org.x/{count}"), "state/org.x".to_owned()] {
            alice.send("PUT", &at(&room, &path), body.as_bytes()).await.refused(400, "M_BAD_JSON");
        }
    }
    for number in ["Infinity", "-Infinity", "NaN"] {
        let body = format!("{{\"body\": {number}}}");
        alice.send("PUT", &at(&room, "send/org.x/n"), body.as_bytes()).await.refused(400, "M_NOT_JSON");
    }
    alice.send("PUT", &at(&room, "send/org.x/last"), br#"{"body": 9007199254740991}"#).await.ok();
}

#[tokio::test]
async fn filters_of_another_shape_are_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let path = format!("user/{}/filter", encode(&alice.user_id));
    let mut wrong = vec![json!({"presence": "x"}), json!({"room": "x"}), json!([])];
    for part in ["timeline", "state", "ephemeral", "account_data"] {
        wrong.push(json!({"room": {part: "x"}}));
    }
    for list in ["rooms", "not_rooms", "senders", "not_senders", "types", "not_types"] {
        wrong.push(json!({"room": {"timeline": {list: "x"}}}));
        wrong.push(json!({"room": {"timeline": {list: [1]}}}));
    }
    wrong.push(json!({"room": {"timeline": {"rooms": ["no_room"]}}}));
    wrong.push(json!({"room": {"timeline": {"senders": ["nobody"]}}}));
    for filter in wrong {
        let answer = alice.post(&path, &filter).await;
        assert_eq!((answer.status, answer.errcode().as_str()), (400, "M_BAD_JSON"), "{filter}");
    }
}

#[tokio::test]
async fn typing_and_receipts_name_no_room_and_reach_members_alone() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = room_of(&[&alice, &bob]).await;
    let event = say(&alice, &room, "one").await;
    let (before, outside) = (sync(&bob, None, "").await, sync(&carol, None, "").await);
    let typing = at(&room, &format!("typing/{}", encode(&alice.user_id)));
    alice.put(&typing, &json!({"typing": true, "timeout": 10_000})).await.ok();
    alice.post(&at(&room, &format!("receipt/m.read/{}", encode(&event))), &json!({})).await.ok();
    let seen = sync(&bob, Some(&before), "").await;
    let typed = ephemeral(&seen, &room, "m.typing");
    assert_eq!(typed, json!({"type": "m.typing", "content": {"user_ids": [alice.user_id]}}));
    let read = ephemeral(&seen, &room, "m.receipt");
    assert!(read["content"][&event]["m.read"][&alice.user_id].is_object() && read.get("room_id").is_none());
    assert_eq!(sync(&carol, Some(&outside), "").await["rooms"], json!({}));
    // Stopping is told at once, not when the time is over.
    alice.put(&typing, &json!({"typing": false})).await.ok();
    let stopped = sync(&bob, Some(&seen), "").await;
    assert_eq!(ephemeral(&stopped, &room, "m.typing")["content"]["user_ids"], json!([]));
    // A time of nothing is the usual time.
    alice.put(&typing, &json!({"typing": true, "timeout": 0})).await.ok();
    server.clock.advance(Duration::from_secs(1));
    assert!(!ephemeral(&sync(&bob, Some(&stopped), "").await, &room, "m.typing").is_null());
}

#[tokio::test]
async fn the_ignored_do_not_invite() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let list = json!({"ignored_users": {&bob.user_id: {}}});
    alice.put(&format!("user/{}/account_data/m.ignored_user_list", encode(&alice.user_id)), &list).await.ok();
    let before = sync(&alice, None, "").await;
    let invite = json!({"preset": "private_chat", "invite": [alice.user_id]});
    let (ignored, seen) = (create(&bob, &invite).await, create(&carol, &invite).await);
    for since in [Some(&before), None] {
        let invited = sync(&alice, since, "").await["rooms"]["invite"].clone();
        assert!(invited.get(&seen).is_some() && invited.get(&ignored).is_none());
    }
}

#[tokio::test]
async fn events_say_how_their_reader_stood_to_the_room() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({"preset": "public_chat"})).await;
    let early = say(&alice, &room, "early").await;
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    let late = say(&alice, &room, "late").await;
    let seen = sync(&bob, None, "").await;
    let events = seen["rooms"]["join"][&room]["timeline"]["events"].as_array().expect("events").clone();
    let membership = |id: &str| {
        let found = events.iter().find(|event| event["event_id"] == id).expect("the event");
        found["unsigned"]["membership"].clone()
    };
    assert_eq!((membership(&early), membership(&late)), (json!("leave"), json!("join")));
    let joined = events.iter().position(|event| event["state_key"] == bob.user_id.as_str()).expect("the join");
    for (place, event) in events.iter().enumerate() {
        let expected = if place < joined { "leave" } else { "join" };
        assert_eq!(event["unsigned"]["membership"], expected, "{event}");
    }
}

#[tokio::test]
async fn a_room_that_was_left_is_shown_up_to_the_leave() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let before = sync(&bob, None, "").await;
    let set = |text: &'static str| (at(&room, "state/org.x/"), json!({"text": text}));
    let (path, content) = set("before");
    alice.put(&path, &content).await.ok();
    say(&alice, &room, "before").await;
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    let (path, content) = set("after");
    alice.put(&path, &content).await.ok();
    say(&alice, &room, "after").await;
    let kinds = |events: &Value| -> Vec<Value> {
        events.as_array().into_iter().flatten().map(|event| event["content"].clone()).collect()
    };
    for since in [None, Some(&before)] {
        for limit in [0, 1, 20] {
            let asked = filter(&json!({"room": {"include_leave": true, "timeline": {"limit": limit}}}));
            let left = sync(&bob, since, &asked).await["rooms"]["leave"][&room].clone();
            let timeline = kinds(&left["timeline"]["events"]);
            let state = kinds(&left["state"]["events"]);
            let all = [state.clone(), timeline.clone()].concat();
            assert!(timeline.len() <= limit, "{left}");
            assert!(all.contains(&json!({"text": "before"})) && !all.contains(&json!({"text": "after"})), "{left}");
            assert!(!all.iter().any(|content| content["body"] == "after"), "{left}");
            let leaves = all.iter().filter(|content| content["membership"] == "leave").count();
            assert_eq!(leaves, 1, "{left}");
        }
    }
}

#[tokio::test]
async fn a_leave_is_seen_where_later_events_are_not() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let rule = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]);
    for joins in [true, false] {
        let body = json!({"preset": "private_chat", "initial_state": rule, "invite": [bob.user_id]});
        let room = create(&alice, &body).await;
        if joins {
            bob.post(&at(&room, "join"), &json!({})).await.ok();
        }
        let before = sync(&bob, None, "").await;
        bob.post(&at(&room, "leave"), &json!({})).await.ok();
        let seen = sync(&bob, Some(&before), "").await;
        let left = &seen["rooms"]["leave"][&room];
        let events = left["timeline"]["events"].as_array().expect("events").clone();
        assert!(events.iter().any(|event| event["content"]["membership"] == "leave"), "{seen}");
        if !joins {
            assert_eq!((events.len(), &left["state"]["events"]), (1, &json!([])), "nothing of the room itself");
        }
    }
}

#[tokio::test]
async fn a_transaction_belongs_to_a_device_and_a_room() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (room, other) = (create(&alice, &json!({})).await, create(&alice, &json!({})).await);
    let first = put(&alice, &room, "m.room.message", "t", &json!({"body": "one"})).await;
    assert_eq!(put(&alice, &room, "m.room.message", "t", &json!({"body": "another"})).await, first);
    assert_ne!(put(&alice, &other, "m.room.message", "t", &json!({"body": "one"})).await, first);
    let login = json!({
        "type": "m.login.password", "device_id": alice.device_id, "password": alice.password,
        "identifier": {"type": "m.id.user", "user": "alice"},
    });
    let again = server.post("/_matrix/client/v3/login", &login).await.ok();
    let again = Client::new(&server, &again, alice.password.clone());
    assert_eq!(put(&again, &room, "m.room.message", "t", &json!({"body": "one"})).await, first);
    let seen = sync(&again, None, "").await;
    let events = seen["rooms"]["join"][&room]["timeline"]["events"].as_array().expect("events").clone();
    let own = events.iter().find(|event| event["event_id"] == first.as_str()).expect("the event");
    assert_eq!(own["unsigned"]["transaction_id"], "t");
}

#[tokio::test]
async fn key_requests_of_another_shape_are_refused() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let query = json!({"device_keys": {&bob.user_id: {"DEVICE": true}}});
    alice.post("keys/query", &query).await.refused(400, "M_BAD_JSON");
    let incomplete = json!({"user_id": alice.user_id, "device_id": alice.device_id});
    for keys in [incomplete.clone(), json!({"user_id": bob.user_id, "device_id": bob.device_id})] {
        alice.post("keys/upload", &json!({"device_keys": keys})).await.refused(400, "M_BAD_JSON");
    }
    let none = alice.post("keys/query", &json!({"device_keys": {&alice.user_id: []}})).await.ok();
    assert_eq!(none["device_keys"], json!({&alice.user_id: {}}));
}

//! What goes along when a room is replaced.

use serde_json::{Value, json};

use super::{at, bring, create, room_of, say};
use crate::server::{Client, TestServer, encode};

async fn upgrade(client: &Client, room: &str, version: &str) -> String {
    let answer = client.post(&at(room, "upgrade"), &json!({"new_version": version})).await.ok();
    answer["replacement_room"].as_str().expect("an id").to_owned()
}

async fn content(client: &Client, room: &str, kind: &str) -> Value {
    client.get(&at(room, &format!("state/{kind}"))).await.ok()
}

/// Mutes a room, tags it, and makes it a direct chat.
async fn settle_in(client: &Client, room: &str) {
    let rule = format!("pushrules/global/room/{}", encode(room));
    client.put(&rule, &json!({"actions": []})).await.ok();
    let mute = json!({"actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": room}]});
    client.put(&format!("pushrules/global/override/{}", encode(room)), &mute).await.ok();
    let own = format!("user/{}", encode(&client.user_id));
    client.put(&format!("{own}/rooms/{}/tags/m.favourite", encode(room)), &json!({"order": 0.5})).await.ok();
    client.put(&format!("{own}/account_data/m.direct"), &json!({"@friend:localhost": [room]})).await.ok();
}

/// Whether all of it is there for this room.
async fn is_settled(client: &Client, room: &str) -> bool {
    let rules = client.get("pushrules/").await.ok();
    let has = |kind: &str| rules["global"][kind].as_array().expect("a list").iter().any(|rule| rule["rule_id"] == room);
    let own = format!("user/{}", encode(&client.user_id));
    let tags = client.get(&format!("{own}/rooms/{}/tags", encode(room))).await.ok();
    let direct = client.get(&format!("{own}/account_data/m.direct")).await.ok();
    let is_direct = direct["@friend:localhost"].as_array().is_some_and(|rooms| rooms.contains(&json!(room)));
    let found = [has("room"), has("override"), tags["tags"].get("m.favourite").is_some(), is_direct];
    assert!(found.iter().all(|is| is == &found[0]), "{found:?}");
    found[0]
}

#[tokio::test]
async fn settings_follow_whoever_moves() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let old = create(&alice, &json!({"preset": "public_chat", "room_version": "10"})).await;
    bob.post(&at(&old, "join"), &json!({})).await.ok();
    settle_in(&alice, &old).await;
    settle_in(&bob, &old).await;
    let before = bob.get("sync?timeout=0").await.ok();
    let new = upgrade(&alice, &old, "11").await;
    assert!(is_settled(&alice, &new).await && is_settled(&alice, &old).await);
    assert!(!is_settled(&bob, &new).await, "he has not moved");
    server.restart().await;
    bob.post(&at(&new, "join"), &json!({})).await.ok();
    assert!(is_settled(&bob, &new).await);
    let since = before["next_batch"].as_str().expect("a token");
    let news = bob.get(&format!("sync?timeout=0&since={since}")).await.ok();
    let told = news["account_data"]["events"].as_array().expect("a list").iter();
    assert!(told.clone().any(|event| event["type"] == "m.push_rules" && event.to_string().contains(&new)));
}

#[tokio::test]
async fn settings_follow_a_room_that_is_replaced_by_hand() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let old = room_of(&[&alice, &bob]).await;
    settle_in(&alice, &old).await;
    settle_in(&bob, &old).await;
    let follows = json!({"preset": "public_chat", "creation_content": {"predecessor": {"room_id": old}}});
    let new = create(&alice, &follows).await;
    bob.post(&at(&new, "join"), &json!({})).await.ok();
    assert!(!is_settled(&alice, &new).await && !is_settled(&bob, &new).await, "anybody can claim a predecessor");
    let tombstone = json!({"body": "moved", "replacement_room": new});
    alice.put(&at(&old, "state/m.room.tombstone"), &tombstone).await.ok();
    assert!(is_settled(&alice, &new).await && is_settled(&bob, &new).await);
}

#[tokio::test]
async fn bans_and_levels_go_along() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let body = json!({"preset": "public_chat", "room_version": "9", "topic": "Green"});
    let old = create(&alice, &body).await;
    carl.post(&at(&old, "join"), &json!({})).await.ok();
    let ban = json!({"user_id": bob.user_id, "reason": "noise"});
    alice.post(&at(&old, "ban"), &ban).await.ok();
    let levels = json!({"users": {&alice.user_id: "100", &carl.user_id: "50"}, "kick": "60", "invite": 10});
    alice.put(&at(&old, "state/m.room.power_levels"), &levels).await.ok();
    let new = upgrade(&alice, &old, "12").await;
    let banned = content(&alice, &new, &format!("m.room.member/{}", encode(&bob.user_id))).await;
    assert_eq!(banned, json!({"membership": "ban", "reason": "noise"}));
    bob.post(&at(&new, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    let moved = content(&alice, &new, "m.room.power_levels").await;
    assert_eq!(
        (&moved["users"], &moved["kick"], &moved["invite"]),
        (&json!({&carl.user_id: 50}), &json!(60), &json!(10))
    );
    assert_eq!(content(&alice, &old, "m.room.power_levels").await["events_default"], 50);
    let topic = json!({"topic": "Green", "m.topic": {"m.text": [{"body": "Green"}]}});
    assert_eq!(content(&alice, &new, "m.room.topic").await, topic);
}

#[tokio::test]
async fn a_space_takes_all_its_rooms_along() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let space = create(&alice, &json!({"room_version": "11", "creation_content": {"type": "m.space"}})).await;
    for count in 0..120 {
        let child = at(&space, &format!("state/m.space.child/{}", encode(&format!("!child{count}:localhost"))));
        alice.put(&child, &json!({"via": ["localhost"]})).await.ok();
    }
    let gone = at(&space, &format!("state/m.space.child/{}", encode("!child7:localhost")));
    alice.put(&gone, &json!({})).await.ok();
    let parent = at(&space, &format!("state/m.space.parent/{}", encode("!top:localhost")));
    alice.put(&parent, &json!({"via": ["localhost"], "canonical": true})).await.ok();
    let new = upgrade(&alice, &space, "12").await;
    let state = alice.get(&at(&new, "state")).await.ok();
    let kinds = |kind: &str| state.as_array().expect("a list").iter().filter(|event| event["type"] == kind).count();
    assert_eq!((kinds("m.space.child"), kinds("m.space.parent")), (119, 1));
    assert_eq!(content(&alice, &new, "m.room.create").await["type"], "m.space");
}

#[tokio::test]
async fn who_may_not_end_a_room_does_not_replace_it() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    bob.post(&at(&room, "upgrade"), &json!({"new_version": "12"})).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "upgrade"), &json!({})).await.refused(400, "M_MISSING_PARAM");
    let unknown = alice.post(&at(&room, "upgrade"), &json!({"new_version": "x"})).await;
    unknown.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    let private = upgrade(&alice, &room, "12").await;
    bob.post(&at(&private, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    bring(&alice, &bob, &private).await;
    say(&bob, &private, "moved").await;
}

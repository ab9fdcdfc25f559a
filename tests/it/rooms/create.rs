use serde_json::{Value, json};

use super::{at, create, event, messages, room_of, say};
use crate::server::{TestServer, encode};

#[tokio::test]
async fn a_room_has_what_was_asked_for() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in ["6", "7", "8", "9", "10", "11", "12"] {
        let body = json!({
            "room_version": version, "name": "Tea", "topic": "Green", "preset": "trusted_private_chat", "is_direct": true,
            "invite": [bob.user_id], "room_alias_name": format!("tea{version}"),
            "creation_content": {"m.federate": false},
            "initial_state": [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}],
            "power_level_content_override": {"events_default": 10},
        });
        let room = create(&alice, &body).await;
        assert_eq!(room.ends_with(":localhost"), version != "12", "{room}");
        let content = async |kind: &str| alice.get(&at(&room, &format!("state/{kind}"))).await.ok();
        assert_eq!(content("m.room.name").await, json!({"name": "Tea"}));
        assert_eq!(content("m.room.topic").await["topic"], "Green");
        assert_eq!(content("m.room.create").await["m.federate"], false);
        assert_eq!(content("m.room.encryption").await["algorithm"], "m.megolm.v1.aes-sha2");
        assert_eq!(content("m.room.power_levels").await["events_default"], 10);
        assert_eq!(content("m.room.canonical_alias").await["alias"], format!("#tea{version}:localhost"));
        let member = alice.get(&at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)))).await.ok();
        assert_eq!((&member["membership"], &member["is_direct"]), (&json!("invite"), &json!(true)));
        bob.post(&format!("join/{}", encode(&format!("#tea{version}:localhost"))), &json!({})).await.ok();
        say(&bob, &room, "hello").await;
    }
}

#[tokio::test]
async fn a_room_that_cannot_be_is_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    create(&alice, &json!({"room_alias_name": "taken"})).await;
    for (body, status, code) in [
        (json!({"room_alias_name": "taken"}), 400, "M_ROOM_IN_USE"),
        (json!({"room_alias_name": "a b"}), 400, "M_INVALID_PARAM"),
        (json!({"room_alias_name": "a:b"}), 400, "M_INVALID_PARAM"),
        (json!({"room_version": "5"}), 400, "M_UNSUPPORTED_ROOM_VERSION"),
        (json!({"room_version": "org.example.made.up"}), 400, "M_UNSUPPORTED_ROOM_VERSION"),
        (json!({"room_version": 12}), 400, "M_BAD_JSON"),
        (json!({"invite": ["@nobody:localhost"]}), 404, "M_NOT_FOUND"),
        (json!({"invite": ["@bob:elsewhere.org"]}), 403, "M_FORBIDDEN"),
        (json!({"invite": [alice.user_id]}), 400, "M_INVALID_ROOM_STATE"),
        (json!({"preset": "nonsense"}), 400, "M_BAD_JSON"),
        (json!({"initial_state": [{"type": "m.room.create", "content": {}}]}), 400, "M_INVALID_ROOM_STATE"),
        (json!({"initial_state": [{"type": "m.room.name"}]}), 400, "M_BAD_JSON"),
        (json!({"power_level_content_override": {"users": 1}}), 400, "M_INVALID_ROOM_STATE"),
        (json!({"power_level_content_override": {"ban": "high"}}), 400, "M_INVALID_ROOM_STATE"),
        (
            json!({"initial_state": [{"type": "m.room.power_levels", "content": {"ban": "high"}}]}),
            400,
            "M_INVALID_ROOM_STATE",
        ),
        (json!({"creation_content": {"number": 1.5}}), 400, "M_BAD_JSON"),
        (json!({"name": "x".repeat(70_000)}), 413, "M_TOO_LARGE"),
    ] {
        alice.post("createRoom", &body).await.refused(status, code);
    }
    let many: Vec<String> = (0..200).map(|count| format!("@user{count}:localhost")).collect();
    alice.post("createRoom", &json!({"invite": many})).await.refused(400, "M_UNKNOWN");
    assert_eq!(alice.get("joined_rooms").await.ok()["joined_rooms"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn only_versions_on_offer_are_made() {
    let server = TestServer::open_with("[rooms]\nversions = [\"11\", \"12\"]\n").await;
    let alice = server.register("alice").await;
    alice.post("createRoom", &json!({"room_version": "10"})).await.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    let room = create(&alice, &json!({"room_version": "11"})).await;
    let upgraded = alice.post(&at(&room, "upgrade"), &json!({"new_version": "10"})).await;
    upgraded.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    let capabilities = alice.get("capabilities").await.ok();
    let available = &capabilities["capabilities"]["m.room_versions"]["available"];
    assert_eq!(available, &json!({"11": "stable", "12": "stable"}));
}

#[tokio::test]
async fn two_rooms_at_once_are_two_rooms() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let body = json!({"name": "twin"});
    let (left, right) = tokio::join!(create(&alice, &body), create(&alice, &body));
    assert_ne!(left, right);
    let joined = alice.get("joined_rooms").await.ok();
    assert_eq!(joined["joined_rooms"].as_array().map(Vec::len), Some(2));
    for room in [left, right] {
        say(&alice, &room, "here").await;
    }
}

#[tokio::test]
async fn one_of_two_gets_the_alias() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let body = json!({"room_alias_name": "one"});
    let (left, right) = tokio::join!(alice.post("createRoom", &body), alice.post("createRoom", &body));
    let mut statuses = [left.status, right.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn an_upgrade_leads_from_the_old_room_to_the_new() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({
        "room_version": "10", "name": "Old", "room_alias_name": "home", "preset": "public_chat", "visibility": "public",
        "initial_state": [{"type": "m.room.retention", "content": {"max_lifetime": 86_400_000}}],
    });
    let old = create(&alice, &body).await;
    bob.post(&at(&old, "join"), &json!({})).await.ok();
    bob.post(&at(&old, "upgrade"), &json!({"new_version": "12"})).await.refused(403, "M_FORBIDDEN");
    let asked = alice.post(&at(&old, "upgrade"), &json!({"new_version": "5"})).await;
    asked.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    let answer = alice.post(&at(&old, "upgrade"), &json!({"new_version": "12"})).await.ok();
    let new = answer["replacement_room"].as_str().expect("an id").to_owned();
    let content = async |room: &str, kind: &str| -> Value { alice.get(&at(room, &format!("state/{kind}"))).await.ok() };
    assert_eq!(content(&old, "m.room.tombstone").await["replacement_room"], new);
    assert_eq!(content(&new, "m.room.create").await["predecessor"]["room_id"], old);
    assert_eq!(content(&new, "m.room.create").await["room_version"], "12");
    assert_eq!(content(&new, "m.room.name").await["name"], "Old");
    assert_eq!(content(&new, "m.room.join_rules").await["join_rule"], "public");

    assert_eq!(content(&new, "m.room.retention").await["max_lifetime"], 86_400_000);
    assert_eq!(content(&new, "m.room.canonical_alias").await["alias"], "#home:localhost");
    assert_eq!(content(&old, "m.room.canonical_alias").await, json!({}));
    let alias = alice.get(&format!("directory/room/{}", encode("#home:localhost"))).await.ok();
    assert_eq!(alias["room_id"], new);
    let listed = alice.post("publicRooms", &json!({})).await.ok();
    assert_eq!((&listed["chunk"][0]["room_id"], listed["chunk"].as_array().map(Vec::len)), (&json!(new), Some(1)));
    let spoken = bob.put(&at(&old, "send/m.room.message/1"), &json!({"body": "x"})).await;
    spoken.refused(403, "M_FORBIDDEN");
    bob.post(&at(&new, "join"), &json!({})).await.ok();
    say(&bob, &new, "moved").await;
}

#[tokio::test]
async fn a_room_and_all_of_it_is_there_after_a_restart() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let id = say(&alice, &room, "kept").await;
    let before = messages(&bob, &room, "dir=b&limit=100").await;
    server.restart().await;
    let mut after = messages(&bob, &room, "dir=b&limit=100").await;
    assert_eq!(event(&bob, &room, &id).await.ok()["content"]["body"], "kept");
    let ids = |page: &Value| -> Vec<String> {
        let events = page["chunk"].as_array().expect("a list").iter();
        events.map(|event| event["event_id"].to_string()).collect()
    };
    assert_eq!(ids(&before), ids(&after));
    assert!(before["chunk"][0]["unsigned"]["age"].is_number());
    assert!(after["chunk"][0]["unsigned"].get("age").is_none(), "a restart forgets when");
    assert!(after["chunk"].as_array_mut().is_some_and(|chunk| chunk.len() > 5));
}

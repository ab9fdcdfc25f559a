//! What a deactivated account leaves behind, and what rooms forget.

use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

/// A room of `by` that `others` have joined, as a segment of a path.
async fn room(by: &Client, others: &[&Client]) -> String {
    let invite: Vec<&str> = others.iter().map(|other| other.user_id.as_str()).collect();
    let made = by.post("createRoom", &json!({"preset": "trusted_private_chat", "invite": invite})).await.ok();
    let room = encode(made["room_id"].as_str().expect("a room"));
    for other in others {
        other.post(&format!("join/{room}"), &json!({})).await.ok();
    }
    room
}

async fn say(by: &Client, room: &str, text: &str) {
    let body = json!({"msgtype": "m.text", "body": text});
    by.put(&format!("rooms/{room}/send/m.room.message/{}", text.len()), &body).await.ok();
}

/// Everything the room shows, as one text.
async fn everything(client: &Client, room: &str) -> String {
    let messages = client.get(&format!("rooms/{room}/messages?dir=b&limit=100")).await.ok();
    let state = client.get(&format!("rooms/{room}/state")).await.ok();
    let members = client.get(&format!("rooms/{room}/members")).await.ok();
    let sync = client.get("sync?full_state=true").await.ok();
    json!([messages, state, members, sync]).to_string()
}

async fn leave_for_good(client: &Client, erase: bool) {
    client.post("account/deactivate", &json!({"auth": client.auth(), "erase": erase})).await.ok();
}

#[tokio::test]
async fn rooms_forget_who_asks_for_it_now_and_when_they_open() {
    let mut server = TestServer::open().await;
    let (alice, bob, carol) =
        (server.register("alice").await, server.register("bob").await, server.register("carol").await);
    let name = json!({"displayname": "Bobby"});
    bob.put("profile/@bob:localhost/displayname", &name).await.ok();
    let (open, closed) = (room(&alice, &[&bob]).await, room(&carol, &[&bob]).await);
    for (room, host) in [(&open, &alice), (&closed, &carol)] {
        say(&bob, room, "secret").await;
        say(host, room, "hello @bob:localhost").await;
        bob.put(&format!("rooms/{room}/state/m.room.topic/"), &json!({"topic": "his topic"})).await.ok();
        assert!(everything(host, room).await.contains("@bob:localhost"));
    }
    // Before he joined for the second time he had left a room, and he is invited to another.
    let left = room(&alice, &[&bob]).await;
    say(&bob, &left, "secret").await;
    bob.post(&format!("rooms/{left}/leave"), &json!({})).await.ok();
    let invited = alice.post("createRoom", &json!({"preset": "private_chat", "invite": [bob.user_id]})).await.ok();
    let invited = encode(invited["room_id"].as_str().expect("a room"));
    server.restart().await;
    // Carol's room does not open for alice, and bob's password is all he has.
    alice.get("sync").await.ok();
    leave_for_good(&bob, true).await;
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");

    for _ in 0..2 {
        for room in [&open, &left, &invited] {
            let shown = everything(&alice, room).await;
            assert!(!shown.contains("bob") && !shown.contains("Bobby") && !shown.contains("secret"), "{shown}");
        }
        let shown = everything(&alice, &open).await;
        assert!(shown.contains("@erased-") && shown.contains("hello @erased-") && shown.contains("his topic"));
        let shown = everything(&carol, &closed).await;
        assert!(!shown.contains("bob") && !shown.contains("Bobby") && !shown.contains("secret"), "{shown}");
        assert!(shown.contains("@erased-") && shown.contains("his topic"));
        server.restart().await;
    }
    say(&alice, &open, "on").await;
    let members = alice.get(&format!("rooms/{open}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(1));
    alice.get("profile/@bob:localhost").await.refused(404, "M_NOT_FOUND");
    let found = alice.post("user_directory/search", &json!({"search_term": "bob"})).await.ok();
    assert_eq!(found["results"], json!([]));
}

#[tokio::test]
async fn who_is_not_to_be_forgotten_only_leaves() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room(&alice, &[&bob]).await;
    say(&bob, &room, "kept").await;
    let since = alice.get("sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    leave_for_good(&bob, false).await;
    let left = alice.get(&format!("sync?since={since}")).await.ok();
    assert!(left.to_string().contains(r#""membership":"leave""#), "{left}");
    assert_eq!(left["device_lists"]["left"], json!([bob.user_id]));
    server.restart().await;
    let shown = everything(&alice, &room).await;
    assert!(shown.contains("kept") && shown.contains("@bob:localhost"));
}

#[tokio::test]
async fn nobody_is_called_like_one_who_was_forgotten() {
    let server = TestServer::open().await;
    let body: Value =
        json!({"username": "erased-0123456789abcdef", "password": "x", "auth": {"type": "m.login.dummy"}});
    server.post("/_matrix/client/v3/register", &body).await.refused(400, "M_INVALID_USERNAME");
}

use serde_json::json;

use super::{at, create, put, room_of, say};
use crate::server::{TestServer, encode};

#[tokio::test]
async fn receipts_and_markers_are_taken_from_members() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let id = say(&alice, &room, "read me").await;
    for (kind, body) in [
        ("m.read", json!({})),
        ("m.read", json!({"thread_id": "main"})),
        ("m.read", json!({"thread_id": id})),
        ("m.read.private", json!({})),
        ("m.fully_read", json!({})),
    ] {
        let path = at(&room, &format!("receipt/{kind}/{}", encode(&id)));
        alice.post(&path, &body).await.ok();
        bob.post(&path, &body).await.refused(403, "M_FORBIDDEN");
    }
    let receipt = |kind: &str| at(&room, &format!("receipt/{kind}/{}", encode(&id)));
    alice.post(&receipt("m.fully_read"), &json!({"thread_id": "main"})).await.refused(400, "M_INVALID_PARAM");
    alice.post(&receipt("m.nonsense"), &json!({})).await.refused(400, "M_INVALID_PARAM");
    alice.post(&at(&room, "receipt/m.read/$unknown"), &json!({})).await.ok();
    let markers = json!({"m.fully_read": id, "m.read": id, "m.read.private": id});
    alice.post(&at(&room, "read_markers"), &markers).await.ok();
    alice.post(&at(&room, "read_markers"), &json!({})).await.ok();
    bob.post(&at(&room, "read_markers"), &markers).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_thread_is_read_up_to_what_relates_to_it() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    let relate = async |kind: &str, rel_type: &str, target: &str| {
        let content = json!({"body": "x", "m.relates_to": {"rel_type": rel_type, "event_id": target, "key": "k"}});
        put(&alice, &room, kind, &encode(&format!("{kind}{rel_type}{target}")), &content).await
    };
    let (root, other) = (say(&alice, &room, "root").await, say(&alice, &room, "other").await);
    let inside = relate("m.room.message", "m.thread", &root).await;
    let liked = relate("m.reaction", "m.annotation", &inside).await;
    let beside = relate("m.room.message", "m.reference", &root).await;
    let liked_beside = relate("m.reaction", "m.annotation", &beside).await;
    let elsewhere = relate("m.reaction", "m.annotation", &other).await;
    for (event, status) in [
        (&root, 200),
        (&inside, 200),
        (&liked, 200),
        (&beside, 200),
        (&liked_beside, 200),
        (&other, 400),
        (&elsewhere, 400),
    ] {
        let path = at(&room, &format!("receipt/m.read/{}", encode(event)));
        assert_eq!(alice.post(&path, &json!({"thread_id": root})).await.status, status, "{event}");
    }
}

#[tokio::test]
async fn everybody_types_for_himself() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = room_of(&[&alice, &bob]).await;
    let typing = |user: &str| at(&room, &format!("typing/{}", encode(user)));
    bob.put(&typing(&bob.user_id), &json!({"typing": true, "timeout": 30_000})).await.ok();
    bob.put(&typing(&bob.user_id), &json!({"typing": false})).await.ok();
    bob.put(&typing(&alice.user_id), &json!({"typing": false})).await.refused(403, "M_FORBIDDEN");
    carl.put(&typing(&carl.user_id), &json!({"typing": false})).await.refused(403, "M_FORBIDDEN");
}

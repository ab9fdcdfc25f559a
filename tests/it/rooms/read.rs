use serde_json::json;

use super::{at, create, room_of, say};
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

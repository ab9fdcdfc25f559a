//! Events whose bodies are not in memory any more are shown, related, redacted and recognised like any other.

use serde_json::{Value, json};

use super::{at, event, messages, put, room_of, said, say};
use crate::server::TestServer;

/// As shown, without what only the process that accepted it knows.
fn timeless(mut shown: Value) -> Value {
    for event in shown["chunk"].as_array_mut().expect("a list") {
        event["unsigned"].as_object_mut().map(|unsigned| unsigned.remove("age"));
        if let Some(latest) = event.pointer_mut("/unsigned/m.relations/m.replace/unsigned") {
            latest.as_object_mut().map(|unsigned| unsigned.remove("age"));
        }
    }
    shown
}

#[tokio::test]
async fn what_is_read_from_the_disk_is_what_was_said() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let first = say(&alice, &room, "number 0").await;
    let second = say(&bob, &room, "number 1").await;
    let secret = say(&bob, &room, "secret").await;
    for count in 2..40 {
        say(&alice, &room, &format!("number {count}")).await;
    }
    let edit = json!({"msgtype": "m.text", "body": "* edited", "m.new_content": {"msgtype": "m.text", "body": "edited"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": first}});
    let edit = put(&alice, &room, "m.room.message", "edit", &edit).await;
    let redact = at(&room, &format!("redact/{}/r1", crate::server::encode(&secret)));
    let redaction = bob.put(&redact, &json!({"reason": "typo"})).await.ok();
    for count in 40..80 {
        say(&alice, &room, &format!("number {count}")).await;
    }

    let before = timeless(messages(&alice, &room, "dir=b&limit=200").await);
    let mut expected: Vec<_> = (0..80).rev().map(|count| format!("number {count}")).collect();
    expected.insert(40, "* edited".to_owned());
    assert_eq!(said(&before["chunk"]), expected);
    server.restart().await;
    let after = timeless(messages(&alice, &room, "dir=b&limit=200").await);
    assert_eq!(after["chunk"], before["chunk"]);

    let shown = event(&alice, &room, &first).await.ok();
    assert_eq!(shown["unsigned"]["m.relations"]["m.replace"]["event_id"], json!(edit));
    let gone = event(&bob, &room, &secret).await.ok();
    assert_eq!(gone["content"], json!({}));
    assert_eq!(gone["unsigned"]["redacted_because"]["event_id"], redaction["event_id"]);
    assert_eq!(gone["unsigned"]["redacted_because"]["content"]["reason"], "typo");
    let own = event(&bob, &room, &second).await.ok();
    assert_eq!(own["unsigned"]["transaction_id"], "number 1", "for the device that sent it");
    assert_eq!(event(&alice, &room, &second).await.ok()["unsigned"].get("transaction_id"), None);

    let again = put(&bob, &room, "m.room.message", "number%201", &json!({"msgtype": "m.text", "body": "again"})).await;
    assert_eq!(again, second, "a retry is recognised however old it is");
    let other = put(&alice, &room, "m.room.message", "number%201", &json!({"msgtype": "m.text", "body": "own"})).await;
    assert_ne!(other, second, "of its own device alone");
}

#[tokio::test]
async fn a_redaction_reaches_what_is_on_the_disk_alone() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = room_of(&[&alice]).await;
    let old = say(&alice, &room, "secret").await;
    for count in 0..30 {
        say(&alice, &room, &format!("number {count}")).await;
    }
    let redact = |id: &str, txn: u32| at(&room, &format!("redact/{}/{txn}", crate::server::encode(id)));
    alice.put(&redact(&old, 1), &json!({})).await.ok();
    assert_eq!(event(&alice, &room, &old).await.ok()["content"], json!({}));
    let recent = say(&alice, &room, "another").await;
    alice.put(&redact(&recent, 2), &json!({})).await.ok();
    let all = messages(&alice, &room, "dir=b&limit=200").await;
    assert_eq!(said(&all["chunk"]).len(), 30, "neither of them");
}

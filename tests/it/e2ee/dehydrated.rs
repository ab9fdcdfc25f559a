//! Dehydrated devices.

use serde_json::{Value, json};

use super::{TestKey, claim, claimed, device_keys};
use crate::server::{Client, TestServer};

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// The client as it would be with another device.
fn as_device(client: &Client, device: &str) -> Client {
    let mut other = client.clone();
    device.clone_into(&mut other.device_id);
    other
}

/// What a client uploads to keep a device.
fn upload(client: &Client, device: &str) -> Value {
    let key = json!({"key": "once", "signatures": {}});
    json!({
        "device_id": device,
        "initial_device_display_name": "Dehydrated device",
        "device_data": {"algorithm": "org.matrix.msc3814.v2", "device_pickle": "sealed", "nonce": "n"},
        "device_keys": device_keys(&as_device(client, device), &TestKey::new(7)),
        "one_time_keys": {"signed_curve25519:AAAA": key},
        "fallback_keys": {"signed_curve25519:BBBB": key},
    })
}

async fn send(from: &Client, to: &Client, device: &str, number: usize) {
    let body = json!({"messages": { &to.user_id: { device: {"n": number} } }});
    from.put(&format!("sendToDevice/m.test/{device}{number}"), &body).await.ok();
}

/// All messages, read as one kind of client does.
async fn read_by_post(client: &Client, device: &str) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), Value::Null);
    loop {
        let body = if token.is_null() { json!({}) } else { json!({ "next_batch": token }) };
        let batch = client.post(&format!("{PATH}/{device}/events"), &body).await.ok();
        let events = batch["events"].as_array().expect("events");
        if events.is_empty() {
            return all;
        }
        all.extend(events.iter().map(|event| event["content"]["n"].clone()));
        token = batch["next_batch"].clone();
    }
}

/// All messages, read as the other kind does.
async fn read_by_get(client: &Client, device: &str) -> Vec<Value> {
    let (mut all, mut query) = (Vec::new(), String::new());
    loop {
        let batch = client.get(&format!("{PATH}/{device}/events{query}")).await.ok();
        all.extend(batch["events"].as_array().expect("events").iter().map(|event| event["content"]["n"].clone()));
        match batch.get("next_batch") {
            Some(token) => query = format!("?from={}", token.as_str().expect("a token")),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_dehydrated_device_takes_messages_while_its_user_is_away() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.get(PATH).await.refused(404, "M_NOT_FOUND");
    alice.delete(PATH, &json!({})).await.refused(404, "M_NOT_FOUND");
    let kept = alice.put(PATH, &upload(&alice, "SLEEPER")).await.ok();
    assert_eq!(kept, json!({"device_id": "SLEEPER"}));
    // The account is cold: what comes is folded into the queue of the device.
    server.restart().await;
    bob.get("account/whoami").await.ok();
    for n in 0..150 {
        send(&bob, &alice, "SLEEPER", n).await;
    }
    let shown = alice.get(PATH).await.ok();
    assert_eq!((&shown["device_id"], &shown["device_data"]["device_pickle"]), (&json!("SLEEPER"), &json!("sealed")));
    let expected: Vec<Value> = (0..150).map(Value::from).collect();
    assert_eq!(read_by_post(&alice, "SLEEPER").await, expected);
    assert_eq!(read_by_get(&alice, "SLEEPER").await, expected, "whoever was cut off starts again");
    alice.get(&format!("{PATH}/{}/events", alice.device_id)).await.refused(403, "M_FORBIDDEN");
    alice.get(&format!("{PATH}/SLEEPER/events?from=x")).await.refused(400, "M_INVALID_PARAM");

    // It has keys like every device.
    let sleeper = as_device(&alice, "SLEEPER");
    let queried = bob.post("keys/query", &json!({"device_keys": {&alice.user_id: []}})).await.ok();
    assert_eq!(queried["device_keys"][&alice.user_id]["SLEEPER"]["device_id"], "SLEEPER");
    for key in ["signed_curve25519:AAAA", "signed_curve25519:BBBB", "signed_curve25519:BBBB"] {
        let answer = bob.post("keys/claim", &claim(&sleeper)).await.ok();
        assert_eq!(claimed(&answer, &sleeper).as_deref(), Some(key));
    }
    let listed = alice.get("devices/SLEEPER").await.ok();
    assert_eq!((&listed["display_name"], &listed["last_seen_ts"]), (&json!("Dehydrated device"), &Value::Null));
}

#[tokio::test]
async fn an_account_has_one_at_a_time() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let devices = async || -> Vec<String> {
        let listed = alice.get("devices").await.ok()["devices"].clone();
        listed.as_array().expect("devices").iter().map(|device| device["device_id"].to_string()).collect()
    };
    let real = json!(alice.device_id).to_string();
    alice.put(PATH, &upload(&alice, "FIRST")).await.ok();
    alice.put(PATH, &upload(&alice, "SECOND")).await.ok();
    assert!(devices().await.iter().all(|id| *id == real || id == "\"SECOND\""));
    // What cannot be kept leaves the one before as it was.
    let mut wrong = upload(&alice, "THIRD");
    wrong["device_keys"]["device_id"] = json!("OTHER");
    alice.put(PATH, &wrong).await.refused(400, "M_BAD_JSON");
    alice.put(PATH, &upload(&alice, &alice.device_id)).await.refused(400, "M_INVALID_PARAM");
    let mut large = upload(&alice, "THIRD");
    large["device_data"]["device_pickle"] = json!("x".repeat(130 * 1024));
    alice.put(PATH, &large).await.refused(413, "M_TOO_LARGE");
    server.restart().await;
    assert_eq!(devices().await.len(), 2);
    assert_eq!(alice.get(PATH).await.ok()["device_id"], "SECOND");
    assert_eq!(alice.delete(PATH, &json!({})).await.ok(), json!({"device_id": "SECOND"}));
    alice.get(PATH).await.refused(404, "M_NOT_FOUND");
    assert_eq!(devices().await, [real]);
    let queried = alice.post("keys/query", &json!({"device_keys": {&alice.user_id: []}})).await.ok();
    assert!(queried["device_keys"][&alice.user_id].get("SECOND").is_none());
}

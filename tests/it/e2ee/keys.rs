//! Device keys, one-time keys, fallback keys.

use std::collections::BTreeSet;

use lethe::sync::parts::unused_fallback_keys;
use serde_json::{Value, json};

use super::{TestKey, account, claim, claimed, device_keys, stamp};
use crate::server::TestServer;

fn one_time(ids: impl IntoIterator<Item = String>) -> String {
    let keys = ids.into_iter().map(|id| format!(r#""signed_curve25519:{id}":{{"key":"key {id}"}}"#));
    format!(r#"{{"one_time_keys":{{{}}}}}"#, keys.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn one_time_keys_go_out_once_and_in_the_order_of_their_upload() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let empty = alice.post("keys/upload", &json!({})).await.ok();
    assert_eq!(empty, json!({"one_time_key_counts": {"signed_curve25519": 0}}));
    let body = one_time(["z", "b", "m"].map(str::to_owned));
    for _ in 0..2 {
        let counts = alice.send("POST", "keys/upload", body.as_bytes()).await.ok();
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3, "the same keys again change nothing");
    }
    let other = json!({"one_time_keys": {"signed_curve25519:b": {"key": "another"}}});
    alice.post("keys/upload", &other).await.refused(400, "M_UNKNOWN");
    let counts = alice.send("POST", "keys/upload", one_time(["a".to_owned()]).as_bytes()).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 4);
    let mut given = Vec::new();
    for _ in 0..2 {
        given.extend(claimed(&bob.post("keys/claim", &claim(&alice)).await.ok(), &alice));
    }
    server.restart().await;
    // The account has come again, so its keys are within reach.
    let counts = alice.send("POST", "keys/upload", body.as_bytes()).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 2, "what was handed out does not come back");
    for _ in 0..3 {
        given.extend(claimed(&bob.post("keys/claim", &claim(&alice)).await.ok(), &alice));
    }
    assert_eq!(given, ["z", "b", "m", "a"].map(|id| format!("signed_curve25519:{id}")));
}

#[tokio::test]
async fn four_who_claim_at_once_get_every_key_once() {
    const KEYS: usize = 600;
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let upload = one_time((0..KEYS).map(|at| format!("{at:04}")));
    alice.send("POST", "keys/upload", upload.as_bytes()).await.ok();
    let mut claimers = Vec::new();
    for name in ["bob", "carol", "dave", "eve"] {
        let (claimer, alice) = (server.register(name).await, alice.clone());
        claimers.push(tokio::spawn(async move {
            let mut given = Vec::new();
            while let Some(id) = claimed(&claimer.post("keys/claim", &claim(&alice)).await.ok(), &alice) {
                given.push(id);
            }
            given
        }));
    }
    let mut given = Vec::new();
    for claimer in claimers {
        let own = claimer.await.expect("no panic");
        assert!(own.is_sorted(), "each sees the order of the upload");
        given.extend(own);
    }
    let different: BTreeSet<_> = given.iter().collect();
    assert_eq!((given.len(), different.len()), (KEYS, KEYS));
}

#[tokio::test]
async fn who_is_cold_gives_the_fallback_key() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let fallback = |id: &str| json!({ format!("signed_curve25519:{id}"): {"key": "f", "fallback": true} });
    let mut body: Value = serde_json::from_str(&one_time(["one".to_owned()])).expect("JSON");
    body["org.matrix.msc2732.fallback_keys"] = fallback("f1");
    alice.post("keys/upload", &body).await.ok();
    let unused = |server: &TestServer| {
        let house = server.server().services().engine.house.view().expect("awake");
        let user = alice.user_id.as_str().try_into().expect("a user id");
        unused_fallback_keys(&house, user, alice.device_id.as_str().into())
    };
    assert_eq!(unused(&server), ["signed_curve25519"]);
    server.restart().await;
    for _ in 0..2 {
        let answer = bob.post("keys/claim", &claim(&alice)).await.ok();
        assert!(account(&server, &alice).is_none(), "nobody has come for it");
        let key = &answer["one_time_keys"][&alice.user_id][&alice.device_id]["signed_curve25519:f1"];
        assert_eq!(*key, json!({"key": "f", "fallback": true}));
    }
    server.restart().await;
    bob.get("account/whoami").await.ok();
    assert!(unused(&server).is_empty());
    let counts = alice.post("keys/upload", &json!({"fallback_keys": fallback("f1")})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 1);
    assert!(unused(&server).is_empty(), "the same key again is as used as before");
    let first = bob.post("keys/claim", &claim(&alice)).await.ok();
    assert_eq!(claimed(&first, &alice).as_deref(), Some("signed_curve25519:one"));
    alice.post("keys/upload", &json!({"fallback_keys": fallback("f2")})).await.ok();
    assert_eq!(unused(&server), ["signed_curve25519"]);
    let second = bob.post("keys/claim", &claim(&alice)).await.ok();
    assert_eq!(claimed(&second, &alice).as_deref(), Some("signed_curve25519:f2"));
}

#[tokio::test]
async fn device_keys_are_shown_and_counted_as_changed_once() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let keys = device_keys(&alice, &TestKey::new(1));
    let before = stamp(&server, "alice");
    for _ in 0..2 {
        alice.post("keys/upload", &json!({"device_keys": keys})).await.ok();
        assert_eq!(stamp(&server, "alice"), before + 1);
    }
    bob.post("keys/upload", &json!({"device_keys": keys})).await.refused(400, "M_BAD_JSON");
    let query = json!({"device_keys": {&alice.user_id: [], "@nobody:localhost": [], "@al:elsewhere": []}});
    let seen = bob.post("keys/query", &query).await.ok();
    assert_eq!(seen["device_keys"][&alice.user_id][&alice.device_id], keys);
    assert_eq!(seen["device_keys"]["@nobody:localhost"], json!({}));
    assert!(seen["failures"]["elsewhere"].is_object() && seen["device_keys"].get("@al:elsewhere").is_none());
    let other = json!({"device_keys": {&alice.user_id: ["OTHER"]}});
    assert_eq!(bob.post("keys/query", &other).await.ok()["device_keys"][&alice.user_id], json!({}));
    let changed = device_keys(&alice, &TestKey::new(2));
    alice.post("keys/upload", &json!({"device_keys": changed})).await.ok();
    assert_eq!(stamp(&server, "alice"), before + 2);
    alice.post("logout", &json!({})).await.ok();
    assert_eq!(stamp(&server, "alice"), before + 3);
    assert_eq!(bob.post("keys/query", &query).await.ok()["device_keys"][&alice.user_id], json!({}));
}

#[tokio::test]
async fn the_name_of_a_device_is_its_owners() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let login = json!({
        "type": "m.login.password", "initial_device_display_name": "a canary",
        "identifier": {"type": "m.id.user", "user": "alice"}, "password": alice.password,
    });
    let answer = server.post("/_matrix/client/v3/login", &login).await.ok();
    let phone = crate::server::Client::new(&server, &answer, alice.password.clone());
    phone.post("keys/upload", &json!({"device_keys": device_keys(&phone, &TestKey::new(1))})).await.ok();
    let query = json!({"device_keys": {&alice.user_id: []}});
    let own = alice.post("keys/query", &query).await.ok();
    let unsigned = &own["device_keys"][&alice.user_id][&phone.device_id]["unsigned"];
    assert_eq!(*unsigned, json!({"device_display_name": "a canary"}));
    let theirs = bob.post("keys/query", &query).await.ok();
    assert!(theirs["device_keys"][&alice.user_id][&phone.device_id]["keys"].is_object());
    assert!(!theirs.to_string().contains("a canary"));
}

#[tokio::test]
async fn changes_name_those_in_shared_rooms() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    for (client, seed) in [(&alice, 1), (&bob, 2), (&carol, 3)] {
        client.post("keys/upload", &json!({"device_keys": device_keys(client, &TestKey::new(seed))})).await.ok();
    }
    let room = alice.post("createRoom", &json!({"invite": [bob.user_id]})).await.ok();
    let room = crate::server::encode(room["room_id"].as_str().expect("an id"));
    bob.post(&format!("rooms/{room}/join"), &json!({})).await.ok();
    let changes = bob.get("keys/changes?from=a&to=b").await.ok();
    assert_eq!(changes["changed"], json!([alice.user_id, bob.user_id]));
}

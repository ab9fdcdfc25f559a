//! Cross-signing keys and signatures.

use serde_json::{Value, json};

use super::{TestKey, device_keys, stamp};
use crate::server::{Client, TestServer};

const UPLOAD: &str = "keys/device_signing/upload";

/// Master, self-signing and user-signing key, the latter two signed by the first.
struct Identity {
    master: TestKey,
    own: TestKey,
    others: TestKey,
}

impl Identity {
    fn new(seed: u8) -> Self {
        Self { master: TestKey::new(seed), own: TestKey::new(seed + 1), others: TestKey::new(seed + 2) }
    }

    fn upload(&self, user: &str) -> Value {
        json!({
            "master_key": self.master.object(user, "master"),
            "self_signing_key": self.master.sign(user, &self.own.object(user, "self_signing")),
            "user_signing_key": self.master.sign(user, &self.others.object(user, "user_signing")),
        })
    }
}

async fn query(asker: &Client, of: &Client) -> Value {
    asker.post("keys/query", &json!({"device_keys": {&of.user_id: []}})).await.ok()
}

#[tokio::test]
async fn the_first_keys_are_free_and_others_cost_the_password() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    assert_eq!(alice.post(UPLOAD, &json!({})).await.ok(), json!({}));
    let (first, second) = (Identity::new(10).upload(&alice.user_id), Identity::new(20).upload(&alice.user_id));
    alice.post(UPLOAD, &first).await.ok();
    let stamped = stamp(&server, "alice");
    server.restart().await;
    alice.post(UPLOAD, &first).await.ok();
    assert_eq!(stamp(&server, "alice"), stamped, "the same keys again are no change");
    for (path, body) in [(UPLOAD, &second), ("/_matrix/client/unstable/keys/device_signing/upload", &json!({}))] {
        let answer = alice.post(path, body).await;
        assert_eq!((answer.status, answer.errcode().as_str()), (401, ""));
        assert_eq!(answer.json()["flows"], json!([{"stages": ["m.login.password"]}]));
    }
    assert_eq!(query(&bob, &alice).await["master_keys"][&alice.user_id], first["master_key"]);
    let mut with_password = second.clone();
    with_password["auth"] = alice.auth();
    with_password["auth"]["password"] = json!("wrong");
    assert_eq!(alice.post(UPLOAD, &with_password).await.status, 401);
    with_password["auth"] = alice.auth();
    alice.post(UPLOAD, &with_password).await.ok();
    assert_eq!(stamp(&server, "alice"), stamped + 1);
    let seen = query(&bob, &alice).await;
    assert_eq!(seen["master_keys"][&alice.user_id], second["master_key"]);
    assert_eq!(seen["self_signing_keys"][&alice.user_id], second["self_signing_key"]);
    assert_eq!(seen["user_signing_keys"], json!({}), "whom one may sign is nobody else's concern");
    assert_eq!(query(&alice, &alice).await["user_signing_keys"][&alice.user_id], second["user_signing_key"]);
}

#[tokio::test]
async fn keys_that_are_not_what_they_say_are_refused() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let good = Identity::new(10).upload(&alice.user_id);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let user = &alice.user_id;
    let stranger = TestKey::new(99);
    let cases = [
        (with("master_key", TestKey::new(10).object(&bob.user_id, "master")), "M_BAD_JSON"),
        (with("master_key", TestKey::new(10).object(user, "self_signing")), "M_BAD_JSON"),
        (with("self_signing_key", TestKey::new(11).object(user, "self_signing")), "M_INVALID_SIGNATURE"),
        (
            with("self_signing_key", stranger.sign(user, &TestKey::new(11).object(user, "self_signing"))),
            "M_INVALID_SIGNATURE",
        ),
        (json!({"self_signing_key": good["self_signing_key"]}), "M_MISSING_PARAM"),
    ];
    for (body, code) in cases {
        alice.post(UPLOAD, &body).await.refused(400, code);
    }
    assert_eq!(query(&alice, &alice).await["master_keys"], json!({}));
}

#[tokio::test]
async fn signatures_on_ones_own_keys_are_for_all_and_others_for_oneself() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (ours, theirs) = (Identity::new(10), Identity::new(20));
    let device = TestKey::new(1);
    let keys = device_keys(&alice, &device);
    alice.post("keys/upload", &json!({"device_keys": keys})).await.ok();
    alice.post(UPLOAD, &ours.upload(&alice.user_id)).await.ok();
    bob.post(UPLOAD, &theirs.upload(&bob.user_id)).await.ok();
    let (of_alice, of_bob) = (stamp(&server, "alice"), stamp(&server, "bob"));

    let signed_device = ours.own.sign(&alice.user_id, &keys);
    let master = ours.master.object(&alice.user_id, "master");
    let signed_master = device.sign_as(&alice.user_id, &alice.device_id, &master);
    let bobs_master = theirs.master.object(&bob.user_id, "master");
    let signed_bob = ours.others.sign(&alice.user_id, &bobs_master);
    let (own_id, bobs_id) = (&ours.master.public, &theirs.master.public);
    let body = json!({
        &alice.user_id: { &alice.device_id: signed_device, own_id: signed_master, "UNKNOWN": keys },
        &bob.user_id: { bobs_id: signed_bob, "other": bobs_master },
    });
    let failures = alice.post("keys/signatures/upload", &body).await.ok()["failures"].clone();
    assert_eq!(failures[&alice.user_id]["UNKNOWN"]["errcode"], "M_NOT_FOUND");
    assert_eq!(failures[&bob.user_id]["other"]["errcode"], "M_NOT_FOUND");
    assert_eq!(
        failures
            .as_object()
            .expect("a map")
            .values()
            .map(|of| of.as_object().map_or(0, serde_json::Map::len))
            .sum::<usize>(),
        2
    );
    assert!(stamp(&server, "alice") > of_alice);
    assert_eq!(stamp(&server, "bob"), of_bob, "whom alice trusts stirs nobody");

    server.restart().await;
    // The same device keys again lose no signature.
    alice.post("keys/upload", &json!({"device_keys": keys})).await.ok();
    for asker in [&alice, &bob] {
        let seen = query(asker, &alice).await;
        let signatures = |at: &Value, id: &str| at["signatures"][&alice.user_id][format!("ed25519:{id}")].is_string();
        assert!(signatures(&seen["device_keys"][&alice.user_id][&alice.device_id], &ours.own.public));
        assert!(signatures(&seen["device_keys"][&alice.user_id][&alice.device_id], &alice.device_id));
        assert!(signatures(&seen["master_keys"][&alice.user_id], &alice.device_id));
    }
    let mine = query(&alice, &bob).await;
    assert!(mine["master_keys"][&bob.user_id]["signatures"][&alice.user_id].is_object());
    assert_eq!(query(&bob, &bob).await["master_keys"][&bob.user_id], bobs_master);
}

#[tokio::test]
async fn false_signatures_are_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (ours, device) = (Identity::new(10), TestKey::new(1));
    let keys = device_keys(&alice, &device);
    alice.post("keys/upload", &json!({"device_keys": keys})).await.ok();
    alice.post(UPLOAD, &ours.upload(&alice.user_id)).await.ok();
    let stranger = TestKey::new(99).sign_as(&alice.user_id, &ours.own.public, &keys);
    let mut changed = keys.clone();
    changed["algorithms"] = json!([]);
    let changed = ours.own.sign(&alice.user_id, &changed);
    for object in [stranger, changed, keys.clone()] {
        let body = json!({ &alice.user_id: { &alice.device_id: object } });
        let answer = alice.post("keys/signatures/upload", &body).await.ok();
        assert_eq!(answer["failures"][&alice.user_id][&alice.device_id]["errcode"], "M_INVALID_SIGNATURE");
    }
    assert_eq!(
        query(&alice, &alice).await["device_keys"][&alice.user_id][&alice.device_id]["signatures"],
        keys["signatures"]
    );
}

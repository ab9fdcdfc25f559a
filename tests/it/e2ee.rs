//! End-to-end encryption over HTTP: keys, signatures, messages between devices, backups.

mod backup;
mod dehydrated;
mod keys;
mod signing;
mod to_device;

use std::sync::Arc;

use lethe::accounts::Account;
use ruma::{
    OwnedUserId,
    canonical_json::{CanonicalJsonObject, CanonicalJsonValue},
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use crate::server::{Client, TestServer};

/// The account behind a client, when it is open.
fn account(server: &TestServer, client: &Client) -> Option<Arc<Account>> {
    let user: OwnedUserId = client.user_id.as_str().try_into().expect("a user id");
    server.server().services().engine.accounts.open(&user)
}

/// The stamp of an account's device list.
fn stamp(server: &TestServer, name: &str) -> u64 {
    server.server().services().engine.house.view().expect("awake").stamps.get(name).copied().unwrap_or(0)
}

/// An Ed25519 key of which tests know the secret half.
struct TestKey {
    seed: [u8; 32],
    /// The public half, in unpadded base64.
    public: String,
}

impl TestKey {
    fn new(seed: u8) -> Self {
        let public = pair([seed; 32], "x").public_key();
        Self { seed: [seed; 32], public: Base64::<Standard, _>::new(public).encode() }
    }

    /// `object` with a signature of `user` under `ed25519:name`.
    fn sign_as(&self, user: &str, name: &str, object: &Value) -> Value {
        let CanonicalJsonValue::Object(mut object) = object.clone().try_into().expect("canonical") else {
            panic!("an object")
        };
        sign_json(user, &pair(self.seed, name), &mut object).expect("signed");
        json!(CanonicalJsonObject::from(object))
    }

    /// `object` with a signature of `user` under this key's own name.
    fn sign(&self, user: &str, object: &Value) -> Value {
        self.sign_as(user, &self.public, object)
    }

    /// A cross-signing key.
    fn object(&self, user: &str, usage: &str) -> Value {
        let id = format!("ed25519:{}", self.public);
        json!({ "user_id": user, "usage": [usage], "keys": { id: self.public } })
    }
}

fn pair(seed: [u8; 32], name: &str) -> Ed25519KeyPair {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    Ed25519KeyPair::from_der(&[&head[..], &seed].concat(), name.to_owned()).expect("a key")
}

/// Device keys of a client, signed by themselves.
fn device_keys(client: &Client, key: &TestKey) -> Value {
    let (curve, ed) = (format!("curve25519:{}", client.device_id), format!("ed25519:{}", client.device_id));
    let keys = json!({
        "user_id": client.user_id,
        "device_id": client.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { curve: "curve", ed: key.public },
    });
    key.sign_as(&client.user_id, &client.device_id, &keys)
}

/// A body that claims one key of a device.
fn claim(of: &Client) -> Value {
    json!({ "one_time_keys": { &of.user_id: { &of.device_id: "signed_curve25519" } } })
}

/// The id of the key that a claim gave.
fn claimed(answer: &Value, of: &Client) -> Option<String> {
    let keys = answer["one_time_keys"][&of.user_id][&of.device_id].as_object()?;
    keys.keys().next().cloned()
}

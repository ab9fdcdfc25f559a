//! The server's signing key: a record of the server's own.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    ServerName,
    canonical_json::CanonicalJsonObject,
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use super::{Error, record::load_or_make};
use crate::{clock::Timestamp, journal::Journals};

/// The record's name.
pub const NAME: &[u8] = b"signing-key";

/// Reads the key, making one on the first start.
pub(super) async fn load(journals: &Journals) -> Result<Ed25519KeyPair, Error> {
    let der = load_or_make(journals, NAME, || Ed25519KeyPair::generate().to_vec()).await?;
    Ed25519KeyPair::from_der(&der, version(&journals.slots.server_key())).map_err(|_| Error::Records)
}

/// The public key as it is published, signed by itself (spec: server-server API, publishing keys). There are no old ones:
/// a server keeps its key.
pub(super) fn published(key: &Ed25519KeyPair, server: &ServerName, until: Timestamp) -> Option<Value> {
    let id = format!("ed25519:{}", key.version());
    let public = STANDARD_NO_PAD.encode(key.public_key());
    let keys = json!({
        "server_name": server,
        "valid_until_ts": until.0,
        "verify_keys": {id: {"key": public}},
        "old_verify_keys": {},
    });
    let mut object: CanonicalJsonObject = serde_json::from_value(keys).ok()?;
    sign_json(server.as_str(), key, &mut object).ok()?;
    serde_json::to_value(object).ok()
}

/// A key's version is a name that differs between keys and says nothing else.
fn version(server: &crate::secret::Key) -> String {
    let hash = blake3::keyed_hash(server.expose(), b"signing-key version");
    hash.to_hex().chars().take(6).collect()
}

//! The server's signing key: a record of the server's own.

use ruma::signatures::Ed25519KeyPair;

use super::{Error, record::load_or_make};
use crate::journal::Journals;

const NAME: &[u8] = b"signing-key";

/// Reads the key, making one on the first start.
pub(super) async fn load(journals: &Journals) -> Result<Ed25519KeyPair, Error> {
    let der = load_or_make(journals, NAME, || Ed25519KeyPair::generate().to_vec()).await?;
    Ed25519KeyPair::from_der(&der, version(&journals.slots.server_key())).map_err(|_| Error::Records)
}

/// A key's version is a name that differs between keys and says nothing else.
fn version(server: &crate::secret::Key) -> String {
    let hash = blake3::keyed_hash(server.expose(), b"signing-key version");
    hash.to_hex().chars().take(6).collect()
}

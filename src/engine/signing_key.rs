//! The server's signing key: a record of the server's own, sealed under the server key.

use ruma::signatures::Ed25519KeyPair;

use super::Error;
use crate::{
    journal::Journals,
    seal::{
        derive::{Usage, address, derive},
        row::{Context, RowKind, open_one, seal_one},
    },
    store::{Batch, Instance, Partition},
};

const NAME: &[u8] = b"signing-key";
const CONTEXT: Context = Context { partition: Partition::FOREVER, kind: RowKind::Record };

/// Reads the key, making one on the first start.
pub(super) async fn load(journals: &Journals) -> Result<Ed25519KeyPair, Error> {
    let server = journals.slots.server_key();
    let key = derive(Usage::RecordCipher, &server, &[]);
    let address = address(&server, Usage::RecordAddress, NAME);
    if let Some(row) = journals.store.get(Instance::Records, Partition::FOREVER, &address)? {
        let plain = open_one(&key, CONTEXT, &address, row).map_err(|_| Error::Records)?;
        return pair(&plain, version(&journals.slots.server_key()));
    }
    let der = Ed25519KeyPair::generate();
    let row = seal_one(&key, CONTEXT, &address, &der, journals.random.as_ref()).map_err(|_| Error::Records)?;
    let mut batch = Batch::default();
    batch.put(Instance::Records, Partition::FOREVER, address, row);
    journals.store.commit(batch).await?;
    pair(&der, version(&server))
}

fn pair(der: &[u8], version: String) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_der(der, version).map_err(|_| Error::Records)
}

/// A key's version is a name that differs between keys and says nothing else.
fn version(server: &crate::secret::Key) -> String {
    let hash = blake3::keyed_hash(server.expose(), b"signing-key version");
    hash.to_hex().chars().take(6).collect()
}

//! Records of the server's own: sealed under the server key, at an address derived from their name.

use super::Error;
use crate::{
    journal::Journals,
    seal::{
        derive::{Usage, address, derive},
        row::{Context, RowKind, open_one, seal_one},
    },
    store::{Batch, Instance, Partition},
};

const CONTEXT: Context = Context { partition: Partition::FOREVER, kind: RowKind::Record };

/// The record `name`; on the first start what `make` makes.
pub(super) async fn load_or_make(
    journals: &Journals,
    name: &[u8],
    make: impl FnOnce() -> Vec<u8> + Send,
) -> Result<Vec<u8>, Error> {
    let server = journals.slots.server_key();
    let key = derive(Usage::RecordCipher, &server, &[]);
    let address = address(&server, Usage::RecordAddress, name);
    if let Some(row) = journals.store.get(Instance::Records, Partition::FOREVER, &address)? {
        return open_one(&key, CONTEXT, &address, row).map_err(|_| Error::Records);
    }
    let plain = make();
    let row = seal_one(&key, CONTEXT, &address, &plain, journals.random.as_ref()).map_err(|_| Error::Records)?;
    let mut batch = Batch::default();
    batch.put(Instance::Records, Partition::FOREVER, address, row);
    journals.store.commit(batch).await?;
    Ok(plain)
}

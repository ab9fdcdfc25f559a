//! The keep: a checkpoint, then entries. A new generation is a fresh checkpoint under a new slot value.

use super::{Error, Journals, reader::Reader};
use crate::{
    seal::{
        derive::keep_key,
        row::{Context, EntryHash, Primer, RowKey, RowKind, seal_entry},
    },
    secret::Key,
    store::{Address, Batch, Instance, Partition},
};

/// How much of a checkpoint primes the compression of the entries behind it.
const PRIMER_BYTES: usize = 2048;

/// One generation of a keep journal.
pub(super) struct Keep {
    key: RowKey,
    primer: Primer,
    next: u64,
    last: EntryHash,
}

/// A keep, and the plain entries that were read on the way to its end, the checkpoint first.
pub(super) type Loaded = (Keep, Vec<Vec<u8>>);

impl Keep {
    /// Starts a generation: `checkpoint` becomes its first entry.
    pub(super) fn start(
        journals: &Journals,
        slot: &Key,
        owner: &Key,
        checkpoint: &[u8],
        batch: &mut Batch,
    ) -> Result<Self, Error> {
        let key = RowKey::new(&keep_key(slot, owner));
        let mut keep = Self { key, primer: Primer::default(), next: 0, last: EntryHash::NONE };
        keep.seal(journals, RowKind::Checkpoint, checkpoint, batch)?;
        keep.primer = primer(checkpoint);
        Ok(keep)
    }

    /// Reads the generation that `slot` and `owner` open; `None` when there is no row under that key.
    pub(super) fn load(journals: &Journals, slot: &Key, owner: &Key) -> Result<Option<Loaded>, Error> {
        let key = RowKey::new(&keep_key(slot, owner));
        let mut reader = Reader::new(&journals.store, Partition::FOREVER, &key, 0, EntryHash::NONE);
        let Some(checkpoint) = reader.entry(context(RowKind::Checkpoint), &Primer::default())? else {
            return Ok(None);
        };
        let primer = primer(&checkpoint.plain);
        let mut entries = vec![checkpoint.plain];
        while let Some(opened) = reader.entry(context(RowKind::Entry), &primer)? {
            entries.push(opened.plain);
        }
        let (next, last) = (reader.position(), reader.last());
        Ok(Some((Self { key, primer, next, last }, entries)))
    }

    /// Puts one entry into `batch`.
    pub(super) fn append(&mut self, journals: &Journals, plain: &[u8], batch: &mut Batch) -> Result<(), Error> {
        self.seal(journals, RowKind::Entry, plain, batch)
    }

    /// The addresses of every row of this generation: dead once its slot has another value.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.next).map(|index| self.key.address(index))
    }

    fn seal(&mut self, journals: &Journals, kind: RowKind, plain: &[u8], batch: &mut Batch) -> Result<(), Error> {
        let sealed =
            seal_entry(&self.key, self.next, context(kind), &self.last, plain, &self.primer, journals.random.as_ref())?;
        for (address, value) in sealed.rows {
            batch.put_if_absent(Instance::Soup, Partition::FOREVER, address, value);
        }
        self.next = sealed.next;
        self.last = sealed.hash;
        Ok(())
    }
}

fn context(kind: RowKind) -> Context {
    Context { partition: Partition::FOREVER, kind }
}

fn primer(checkpoint: &[u8]) -> Primer {
    Primer::new(checkpoint.get(..PRIMER_BYTES).unwrap_or(checkpoint))
}

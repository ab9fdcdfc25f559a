//! The keep: a checkpoint, then entries. A new generation is a fresh checkpoint under a new slot value.

use super::{Error, Journals, reader::Reader};
use crate::{
    seal::{
        derive::keep_key,
        row::{Context, EntryHash, Opened, Primer, RowKey, RowKind, seal_entry},
    },
    secret::Key,
    store::{Address, Batch, Instance, Partition},
};

/// How much of a checkpoint primes the compression of the entries behind it.
const PRIMER_BYTES: usize = 2048;

/// One generation of a keep journal.
pub(super) struct Keep {
    key: RowKey,
    /// Read when the first entry is written: an open owner is asked far more often than it changes.
    primer: Option<Primer>,
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
        let mut keep = Self { key, primer: None, next: 0, last: EntryHash::NONE };
        keep.seal(journals, RowKind::Checkpoint, checkpoint, &Primer::empty(), batch)?;
        // The checkpoint cannot be read before its batch is committed.
        keep.primer = Some(primer(checkpoint));
        Ok(keep)
    }

    /// Reads the generation that `slot` and `owner` open; `None` when there is no row under that key.
    pub(super) fn load(journals: &Journals, slot: &Key, owner: &Key) -> Result<Option<Loaded>, Error> {
        let key = RowKey::new(&keep_key(slot, owner));
        let mut reader = reader(journals, &key);
        let Some(checkpoint) = checkpoint(&mut reader)? else { return Ok(None) };
        let primer = primer(&checkpoint.plain);
        let mut entries = vec![checkpoint.plain];
        while let Some(opened) = reader.entry(context(RowKind::Entry), &primer)? {
            entries.push(opened.plain);
        }
        let (next, last) = (reader.position(), reader.last());
        Ok(Some((Self { key, primer: None, next, last }, entries)))
    }

    /// Puts one entry into `batch`.
    pub(super) fn append(&mut self, journals: &Journals, plain: &[u8], batch: &mut Batch) -> Result<(), Error> {
        let primer = match &self.primer {
            Some(primer) => primer.clone(),
            None => self.read_primer(journals)?,
        };
        self.seal(journals, RowKind::Entry, plain, &primer, batch)?;
        self.primer = Some(primer);
        Ok(())
    }

    /// The addresses of every row of this generation: dead once its slot has another value.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.next).map(|index| self.key.address(index))
    }

    fn read_primer(&self, journals: &Journals) -> Result<Primer, Error> {
        let checkpoint = checkpoint(&mut reader(journals, &self.key))?.ok_or(Error::Broken)?;
        Ok(primer(&checkpoint.plain))
    }

    fn seal(
        &mut self,
        journals: &Journals,
        kind: RowKind,
        plain: &[u8],
        primer: &Primer,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let random = journals.random.as_ref();
        let sealed = seal_entry(&self.key, self.next, context(kind), &self.last, plain, primer, random)?;
        for (address, value) in sealed.rows {
            batch.put_if_absent(Instance::Soup, Partition::FOREVER, address, value);
        }
        self.next = sealed.next;
        self.last = sealed.hash;
        Ok(())
    }
}

fn reader<'a>(journals: &'a Journals, key: &'a RowKey) -> Reader<'a> {
    Reader::new(&journals.store, Partition::FOREVER, key, 0, EntryHash::NONE)
}

fn checkpoint(reader: &mut Reader<'_>) -> Result<Option<Opened>, Error> {
    reader.entry(context(RowKind::Checkpoint), &Primer::empty())
}

fn context(kind: RowKind) -> Context {
    Context { partition: Partition::FOREVER, kind }
}

fn primer(checkpoint: &[u8]) -> Primer {
    Primer::new(checkpoint.get(..PRIMER_BYTES).unwrap_or(checkpoint))
}

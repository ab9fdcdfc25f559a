//! Reading a journal from the front: rows are fetched ahead in growing groups, so the end is found by galloping.

use super::Error;
use crate::{
    seal::row::{Context, EntryHash, OpenError, Opened, Primer, RowKey, open_entry},
    store::{Address, Instance, Partition, Store},
};

/// Rows fetched at first, and the number of rows behind an absent one that are probed before it counts as the end.
const PROBE: u64 = 16;
/// Rows fetched at once at the most: bounds what a long journal holds in memory beside its entries.
const MOST_AHEAD: u64 = 256;

/// A cursor over one journal.
pub(super) struct Reader<'a> {
    store: &'a Store,
    partition: Partition,
    key: &'a RowKey,
    /// The rows from `fetched_from` on.
    rows: Vec<Option<Vec<u8>>>,
    fetched_from: u64,
    ahead: u64,
    started: u64,
    next: u64,
    last: EntryHash,
}

impl<'a> Reader<'a> {
    /// A cursor that stands before the entry at `start`, which follows the entry hashed as `last`.
    pub(super) fn new(store: &'a Store, partition: Partition, key: &'a RowKey, start: u64, last: EntryHash) -> Self {
        Self {
            store,
            partition,
            key,
            rows: Vec::new(),
            fetched_from: start,
            // What it takes to see that there is nothing.
            ahead: PROBE + 1,
            started: start,
            next: start,
            last,
        }
    }

    /// The next entry, or `None` at the end of the journal.
    pub(super) fn entry(&mut self, context: Context, primer: &Primer) -> Result<Option<Opened>, Error> {
        loop {
            self.fetch_past(self.next)?;
            match self.open(context, primer) {
                Ok(Some(opened)) => {
                    if opened.previous != self.last {
                        return Err(Error::Broken);
                    }
                    self.started = self.next;
                    self.next = opened.next;
                    self.last = opened.hash;
                    return Ok(Some(opened));
                }
                Ok(None) => return self.end(),
                // A cut in the middle of an entry on a store without atomic batches: its indices stay used.
                Err(OpenError::Truncated { next }) => self.next = next,
                Err(OpenError::Fetch(error)) => return Err(error),
                Err(OpenError::Row(error)) => return Err(error.into()),
            }
        }
    }

    /// The index of the last entry read.
    pub(super) fn started(&self) -> u64 {
        self.started
    }

    /// The index behind the last entry read.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// The hash of the last entry read.
    pub(super) fn last(&self) -> EntryHash {
        self.last
    }

    fn open(&mut self, context: Context, primer: &Primer) -> Result<Option<Opened>, OpenError<Error>> {
        let (store, partition, rows) = (self.store, self.partition, &mut self.rows);
        // The rows of an entry are asked for one after the other.
        let mut at = usize::try_from(self.next - self.fetched_from).unwrap_or(usize::MAX);
        open_entry(self.key, self.next, context, primer, &mut |address| {
            let row = rows.get_mut(at).map(Option::take);
            at = at.saturating_add(1);
            match row {
                Some(row) => Ok(row),
                None => Ok(store.get(Instance::Soup, partition, address)?),
            }
        })
    }

    fn end(&mut self) -> Result<Option<Opened>, Error> {
        let behind = usize::try_from(self.next + 1 - self.fetched_from).unwrap_or(usize::MAX);
        let missing = (behind as u64 + PROBE).saturating_sub(self.rows.len() as u64);
        if missing > 0 {
            let more = self.get(self.fetched_from + self.rows.len() as u64, missing)?;
            self.rows.extend(more);
        }
        let there = self.rows.iter().skip(behind).any(Option::is_some);
        if there { Err(Error::Hole) } else { Ok(None) }
    }

    fn fetch_past(&mut self, index: u64) -> Result<(), Error> {
        if index < self.fetched_from + self.rows.len() as u64 {
            return Ok(());
        }
        self.rows = self.get(index, self.ahead)?;
        self.fetched_from = index;
        self.ahead = (self.ahead * 2).min(MOST_AHEAD);
        Ok(())
    }

    fn get(&self, index: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let addresses: Vec<Address> = (index..index + count).map(|index| self.key.address(index)).collect();
        Ok(self.store.multi_get(Instance::Soup, self.partition, &addresses)?)
    }
}

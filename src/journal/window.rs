//! A window: the journal of one owner, stream, class and epoch, under a secret of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Error, Journals, pack::Pack, reader::Reader};
use crate::{
    seal::{
        derive::{pack_key, window_key},
        row::{Context, EntryHash, OpenError, Primer, RowKey, RowKind, open_entry, seal_entry},
    },
    secret::Key,
    store::{Batch, Instance, Partition},
};

/// Entries that one pack holds.
pub(super) const PACK_ENTRIES: usize = 64;
/// The fewest entries that a pack of a closed window has, to which none come any more: fewer are no smaller than their rows.
const LEAST_ENTRIES: usize = 8;

/// Where an entry stands in its owner's stream: later entries have greater positions, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before every entry.
    pub const START: Self = Self(0);

    /// The place `index` in the window `serial`; serials start at 1.
    #[must_use]
    pub fn new(serial: u32, index: u64) -> Self {
        Self((u64::from(serial) << 32) | (index & 0xffff_ffff))
    }

    /// The place of the first entry of the window that this one lies in.
    #[must_use]
    pub fn window(self) -> Self {
        Self::new(self.serial(), 0)
    }

    /// The serial of the window it lies in.
    #[must_use]
    pub fn serial(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    pub(super) fn index(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

/// What a window carries: an owner's streams are numbered together but never share a window.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// A room's events.
    #[serde(rename = "e")]
    Timeline,
    /// An account's to-device messages.
    #[serde(rename = "t")]
    ToDevice,
    /// An account's key backup.
    #[serde(rename = "b")]
    Backup,
    /// What was reported to an administrator.
    #[serde(rename = "r")]
    Reports,
}

/// What a keep says of one window.
#[derive(Clone, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The number of the window among the owner's; never used twice.
    #[serde(rename = "n")]
    pub serial: u32,
    /// What it carries.
    #[serde(rename = "s")]
    pub stream: Stream,
    /// The partition its rows lie in.
    #[serde(rename = "p")]
    pub partition: Partition,
    /// The window secret: without it, or without the epoch's key, the rows are noise.
    #[serde(rename = "k")]
    pub secret: Key,
    /// What primes the compression of its entries: structure, never content.
    #[serde(rename = "z", default, skip_serializing_if = "Primer::is_empty")]
    pub primer: Primer,
    /// Whether later entries go elsewhere.
    #[serde(rename = "c", default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// The index behind the last entry and that entry's hash, at the time of the checkpoint.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<(u64, EntryHash)>,
}

/// A window with its keys at hand.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) record: WindowRecord,
    rows: RowKey,
    pack_rows: RowKey,
    next: u64,
    last: EntryHash,
    packs: Vec<PackPlace>,
    pack_next: u64,
    pack_last: EntryHash,
    packed_to: u64,
    loose: usize,
}

/// Which entries one pack holds, and where it lies.
#[derive(Clone)]
struct PackPlace {
    to: u64,
    row: u64,
}

impl Window {
    /// A window without rows, under `epoch`'s key.
    pub(super) fn new(record: WindowRecord, epoch: &Key) -> Self {
        let key = window_key(epoch, &record.secret);
        Self::unread(record, RowKey::new(&key), RowKey::new(&pack_key(&key)))
    }

    /// A window of which nothing has been read or written.
    fn unread(record: WindowRecord, rows: RowKey, pack_rows: RowKey) -> Self {
        Self {
            record,
            rows,
            pack_rows,
            next: 0,
            last: EntryHash::NONE,
            packs: Vec::new(),
            pack_next: 0,
            pack_last: EntryHash::NONE,
            packed_to: 0,
            loose: 0,
        }
    }

    /// Seals one entry into `batch` and says where it stands.
    pub(super) fn append(&mut self, journals: &Journals, plain: &[u8], batch: &mut Batch) -> Result<Position, Error> {
        let index = self.next;
        let sealed = seal_entry(
            &self.rows,
            index,
            self.context(RowKind::Window),
            &self.last,
            plain,
            &self.record.primer,
            journals.random.as_ref(),
        )?;
        for (address, value) in sealed.rows {
            batch.put_if_absent(Instance::Soup, self.record.partition, address, value);
        }
        self.next = sealed.next;
        self.last = sealed.hash;
        self.loose += 1;
        Ok(Position::new(self.record.serial, index))
    }

    /// Reads every entry from the disk, packs first, and stands behind the last one.
    pub(super) fn load(
        &mut self,
        journals: &Journals,
        each: &mut dyn FnMut(Position, Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (serial, partition) = (self.record.serial, self.record.partition);
        let context = self.context(RowKind::Pack);
        let mut packs = Reader::new(&journals.store, partition, &self.pack_rows, 0, EntryHash::NONE);
        while let Some(opened) = packs.entry(context, &self.record.primer)? {
            let pack = Pack::read(&opened.plain)?;
            for (index, plain) in pack.entries {
                each(Position::new(serial, index), plain.to_vec())?;
            }
            self.packs.push(PackPlace { to: pack.next, row: packs.started() });
            self.packed_to = pack.next;
            self.last = pack.last;
        }
        (self.pack_next, self.pack_last) = (packs.position(), packs.last());

        let context = self.context(RowKind::Window);
        let mut rows = Reader::new(&journals.store, partition, &self.rows, self.packed_to, self.last);
        while let Some(opened) = rows.entry(context, &self.record.primer)? {
            each(Position::new(serial, rows.started()), opened.plain)?;
            self.loose += 1;
        }
        (self.next, self.last) = (rows.position(), rows.last());
        match self.record.reached {
            Some((next, _)) if self.next < next => Err(Error::Broken),
            Some((next, hash)) if self.next == next && self.last != hash => Err(Error::Broken),
            _ => Ok(()),
        }
    }

    /// Reads one entry; `None` when there is none at `position`.
    pub(super) fn fetch(&self, journals: &Journals, position: Position) -> Result<Option<Vec<u8>>, Error> {
        let index = position.index();
        if index < self.packed_to {
            let place = self.packs.partition_point(|place| place.to <= index);
            let Some(place) = self.packs.get(place) else { return Ok(None) };
            let pack = self.open_pack(journals, place)?;
            return Ok(pack.entries.iter().find(|(at, _)| *at == index).map(|(_, plain)| plain.clone()));
        }
        let mut get = |address: &_| journals.store.get(Instance::Soup, self.record.partition, address);
        let context = self.context(RowKind::Window);
        let opened = open_entry(&self.rows, index, context, &self.record.primer, &mut get).map_err(flat)?;
        Ok(opened.map(|opened| opened.plain))
    }

    /// A pack, from the packs opened lately where it is among them: who reads back through a room wants all of it.
    fn open_pack(&self, journals: &Journals, place: &PackPlace) -> Result<Arc<Pack>, Error> {
        let address = self.pack_rows.address(place.row);
        if let Some(pack) = journals.packs.get(&address) {
            return Ok(pack);
        }
        let mut get = |address: &_| journals.store.get(Instance::Soup, self.record.partition, address);
        let context = self.context(RowKind::Pack);
        let opened = open_entry(&self.pack_rows, place.row, context, &self.record.primer, &mut get).map_err(flat)?;
        let Some(opened) = opened else { return Err(Error::Hole) };
        let pack = Arc::new(Pack::decode(&opened.plain)?);
        journals.packs.put(address, Arc::clone(&pack));
        Ok(pack)
    }

    /// Whether enough single rows have gathered for a pack.
    pub(super) fn wants_pack(&self) -> bool {
        self.loose >= if self.record.closed { LEAST_ENTRIES } else { PACK_ENTRIES }
    }

    /// Rewrites the first [`PACK_ENTRIES`] single rows as one pack, into `batch`; the rows it replaces are retired in
    /// `after`.
    pub(super) fn pack(&mut self, journals: &Journals, batch: &mut Batch, after: &mut Batch) -> Result<(), Error> {
        let (pack, rows) = self.gather(journals)?;
        let Some(pack) = pack else { return Ok(()) };
        for index in self.packed_to..pack.next {
            after.retire(Instance::Soup, self.record.partition, self.rows.address(index));
        }
        self.put_pack(journals, &pack, batch)?;
        self.loose -= rows;
        Ok(())
    }

    /// Writes `entries` as packs into this window, which has none yet: a window rewritten under a fresh secret.
    pub(super) fn fill(
        &mut self,
        journals: &Journals,
        entries: Vec<(u64, Vec<u8>)>,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let group: Vec<_> = entries.by_ref().take(PACK_ENTRIES).collect();
            let next = match (entries.peek(), group.last()) {
                (Some((index, _)), _) => *index,
                (None, Some((index, _))) => index + 1,
                (None, None) => break,
            };
            self.put_pack(journals, &Pack { last: EntryHash::NONE, next, entries: group }, batch)?;
            self.next = next;
        }
        self.last = EntryHash::NONE;
        Ok(())
    }

    /// The window as a checkpoint notes it: closed, with what it reached.
    pub(super) fn closed(&self) -> Self {
        let reached = Some((self.next, self.last));
        Self { record: WindowRecord { closed: true, reached, ..self.record.clone() }, ..self.clone() }
    }

    /// Reads every entry again.
    pub(super) fn read(&self, journals: &Journals) -> Result<Vec<(Position, Vec<u8>)>, Error> {
        let mut again = Self::unread(self.record.clone(), self.rows.clone(), self.pack_rows.clone());
        let mut entries = Vec::new();
        again.load(journals, &mut |position, plain| {
            entries.push((position, plain));
            Ok(())
        })?;
        Ok(entries)
    }

    /// Every row of the window: dead once its secret is replaced.
    pub(super) fn retire(&self, batch: &mut Batch) {
        let rows = (self.packed_to..self.next).map(|index| self.rows.address(index));
        let packs = (0..self.pack_next).map(|index| self.pack_rows.address(index));
        for address in rows.chain(packs) {
            batch.retire(Instance::Soup, self.record.partition, address);
        }
    }

    /// The place of the newest entry, or one before all of this window's.
    pub(super) fn newest(&self) -> Position {
        Position(Position::new(self.record.serial, self.next).0.saturating_sub(1))
    }

    /// Whether `position` lies in this window.
    pub(super) fn holds(&self, position: Position) -> bool {
        position.serial() == self.record.serial
    }

    fn gather(&self, journals: &Journals) -> Result<(Option<Pack>, usize), Error> {
        let context = self.context(RowKind::Window);
        // The chain is checked on opening the owner; here it is carried on from what was read or written since.
        let mut entries = Vec::with_capacity(PACK_ENTRIES);
        let (mut index, mut last) = (self.packed_to, EntryHash::NONE);
        let mut get = |address: &_| journals.store.get(Instance::Soup, self.record.partition, address);
        while entries.len() < PACK_ENTRIES && index < self.next {
            match open_entry(&self.rows, index, context, &self.record.primer, &mut get) {
                Ok(Some(opened)) => {
                    entries.push((index, opened.plain));
                    index = opened.next;
                    last = opened.hash;
                }
                Ok(None) => return Err(Error::Hole),
                Err(OpenError::Truncated { next }) => index = next,
                Err(other) => return Err(flat(other)),
            }
        }
        let count = entries.len();
        Ok(((count > 0).then_some(Pack { last, next: index, entries }), count))
    }

    fn put_pack(&mut self, journals: &Journals, pack: &Pack, batch: &mut Batch) -> Result<(), Error> {
        let sealed = seal_entry(
            &self.pack_rows,
            self.pack_next,
            self.context(RowKind::Pack),
            &self.pack_last,
            &pack.encode(),
            &self.record.primer,
            journals.random.as_ref(),
        )?;
        for (address, value) in sealed.rows {
            batch.put_if_absent(Instance::Soup, self.record.partition, address, value);
        }
        self.packs.push(PackPlace { to: pack.next, row: self.pack_next });
        self.packed_to = pack.next;
        self.pack_next = sealed.next;
        self.pack_last = sealed.hash;
        Ok(())
    }

    fn context(&self, kind: RowKind) -> Context {
        Context { partition: self.record.partition, kind }
    }
}

fn flat(error: OpenError<crate::store::Error>) -> Error {
    match error {
        OpenError::Fetch(error) => error.into(),
        OpenError::Row(error) => error.into(),
        OpenError::Truncated { .. } => Error::Broken,
    }
}

//! An owner: whoever has a sealed journal. Its keep rebuilds its ledger; its windows carry what dies.
//!
//! An owner in memory is ahead of the disk between putting rows into a batch and that batch's commit. Whoever holds
//! it does both under one lock; when the commit fails the owner is [`Owner::stop`]ped and must be loaded again.

mod append;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Error, Journals, Position, Shelf, Stream, WindowRecord, keep::Keep, window::Window};
use crate::{
    seal::{
        row::Primer,
        slots::{Change, SlotId, SlotKind},
    },
    secret::Key,
    store::{Batch, Class, Partition},
};

/// What a keep rebuilds: a value that changes only by [`Ledger::Change`]s.
pub trait Ledger: Send + Sync + 'static {
    /// One change; its serialised form is the stored format.
    type Change: Serialize + DeserializeOwned + Send;
    /// Takes the change in; fails when the stored change cannot be understood.
    fn apply(&mut self, change: Self::Change) -> Result<(), Error>;
    /// Changes that rebuild the current value from the empty one: nothing superseded may be among them.
    fn checkpoint(&self) -> Vec<Self::Change>;
}

/// The names and keys by which an owner is opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// What kind of owner it is.
    pub kind: SlotKind,
    /// The slot whose value makes it exist.
    pub slot: SlotId,
    /// The owner key: AK, HK or RK.
    pub key: Key,
}

/// An open owner.
pub struct Owner<L: Ledger> {
    identity: Identity,
    /// The current value. Changed only through [`Owner::change`].
    pub ledger: L,
    keep: Keep,
    windows: Vec<Window>,
    next_serial: u32,
    /// The newest window of events that had died when this was loaded.
    died: Option<u32>,
    /// Counts changes of where entries are found: windows opened, packed, replaced.
    arranged: u64,
    dirty: bool,
    /// Whether something was put into a batch whose commit has not been reported yet.
    ahead: bool,
    stopped: bool,
}

/// A generation that is written but not committed.
pub struct Prepared {
    keep: Keep,
    key: Key,
    value: Key,
    windows: Vec<Window>,
    /// Windows whose secret it replaces.
    replaced: Vec<Window>,
}

impl Prepared {
    /// The change of the slot table that makes the generation current.
    #[must_use]
    pub fn change(&self, identity: &Identity) -> Change {
        Change::Set { id: identity.slot, kind: identity.kind, value: self.value.clone(), epoch: None }
    }
}

/// A row of a new generation.
pub struct NewRow<'a> {
    /// Which stream it belongs to.
    pub stream: Stream,
    /// The partition it lies in, which must be living.
    pub partition: Partition,
    /// What primes its window.
    pub primer: Primer,
    /// Its text.
    pub plain: &'a [u8],
}

/// Gives an entry another text, or `None` where it stays as it is.
pub type Rewrite<'a> = dyn FnMut(Stream, Position, &[u8]) -> Option<Vec<u8>> + Send + 'a;

/// A line of a keep entry.
#[derive(Serialize, Deserialize)]
enum Line<C> {
    /// A window was opened, closed or given another secret.
    #[serde(rename = "w")]
    Window(WindowRecord),
    /// The number the next window gets.
    #[serde(rename = "n")]
    NextSerial(u32),
    /// A change of the ledger.
    #[serde(rename = "c")]
    Change(C),
}

/// Takes one entry of a keep in: what it changes, which windows there are, and which number the next one gets.
pub(crate) fn replay<L: Ledger>(
    entry: &[u8],
    ledger: &mut L,
    records: &mut Vec<WindowRecord>,
    next_serial: &mut u32,
) -> Result<(), Error> {
    let lines: Vec<Line<L::Change>> = serde_json::from_slice(entry).map_err(|_| Error::Malformed)?;
    for line in lines {
        match line {
            Line::Window(record) => {
                *next_serial = (*next_serial).max(record.serial.checked_add(1).ok_or(Error::Malformed)?);
                records.retain(|known| known.serial != record.serial);
                records.push(record);
            }
            Line::NextSerial(serial) => *next_serial = (*next_serial).max(serial),
            Line::Change(change) => ledger.apply(change)?,
        }
    }
    Ok(())
}

impl<L: Ledger> Owner<L> {
    /// Writes a new owner's checkpoint into `batch`; it exists once the returned change is committed.
    pub fn create(
        journals: &Journals,
        identity: Identity,
        ledger: L,
        batch: &mut Batch,
    ) -> Result<(Self, Change), Error> {
        let value = Key::random(journals.random.as_ref());
        let next_serial = journals.slots.incarnation().first_serial().max(1);
        let plain = encode::<L>(&[], next_serial, ledger.checkpoint())?;
        let keep = Keep::start(journals, &value, &identity.key, &plain, batch)?;
        let change = Change::Set { id: identity.slot, kind: identity.kind, value, epoch: None };
        let owner = Self {
            identity,
            ledger,
            keep,
            windows: Vec::new(),
            next_serial,
            died: None,
            arranged: 0,
            dirty: false,
            ahead: false,
            stopped: false,
        };
        Ok((owner, change))
    }

    /// Loads the owner into `ledger`, which is empty. `None`: its slot is gone, or the key opens nothing under it.
    pub fn load(journals: &Journals, identity: Identity, mut ledger: L) -> Result<Option<Self>, Error> {
        let Some(value) = journals.slots.value(&identity.slot) else { return Ok(None) };
        let Some((keep, entries)) = Keep::load(journals, &value, &identity.key)? else { return Ok(None) };
        let mut records: Vec<WindowRecord> = Vec::new();
        let mut next_serial = 1;
        // What a process before this one superseded lies there still.
        let dirty = entries.len() > 1;
        for entry in entries {
            replay(&entry, &mut ledger, &mut records, &mut next_serial)?;
        }
        records.sort_unstable_by_key(|record| record.serial);
        let first = journals.slots.incarnation().first_serial();
        // Positions that clients saw after the backup that this server was restored from stand for nothing else.
        next_serial = next_serial.max(first);
        records.iter_mut().filter(|record| record.serial < first).for_each(|record| record.closed = true);
        let dead = |record: &&WindowRecord| {
            record.stream == Stream::Timeline && journals.slots.epoch_key(record.partition).is_none()
        };
        let died = records.iter().rfind(dead).map(|record| record.serial);
        let mut windows: Vec<_> = records.into_iter().filter_map(|record| open_window(journals, record)).collect();
        windows.shrink_to_fit();
        let (arranged, ahead, stopped) = (0, false, false);
        Ok(Some(Self { identity, ledger, keep, windows, next_serial, died, arranged, dirty, ahead, stopped }))
    }

    /// Reads every living window from the disk, in the order of their serials, and stands behind their last entries.
    /// Must be called once, before the first [`Owner::append`].
    pub fn load_windows(
        &mut self,
        journals: &Journals,
        each: &mut dyn FnMut(Stream, Position, Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for window in &mut self.windows {
            let stream = window.record.stream;
            window.load(journals, &mut |position, plain| each(stream, position, plain))?;
        }
        self.arranged += 1;
        Ok(())
    }

    /// How this owner is opened.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether anything was written since the last generation.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Marks the owner as out of step with the disk: every later write is refused.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether the owner has stopped and must be loaded again.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether memory is ahead of the disk: something was put into a batch and its commit has not been reported.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// Notes that everything put into batches is durable.
    pub fn settle(&mut self) {
        self.ahead = false;
    }

    /// Applies `changes` and puts them into `batch` as one entry.
    pub fn change(&mut self, journals: &Journals, changes: Vec<L::Change>, batch: &mut Batch) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(journals, changes.into_iter().map(Line::Change).collect(), batch)
    }

    /// Reads one entry; `None` when its window is gone.
    pub fn fetch(&self, journals: &Journals, position: Position) -> Result<Option<Vec<u8>>, Error> {
        match self.windows.iter().find(|window| window.holds(position)) {
            Some(window) => window.fetch(journals, position),
            None => Ok(None),
        }
    }

    /// Where the entries of `stream` are found, for readers beside the writer; good until [`Owner::arranged`] changes.
    #[must_use]
    pub fn shelf(&self, stream: Stream) -> Shelf {
        Shelf::new(self.windows.iter().filter(|window| window.record.stream == stream).cloned().collect())
    }

    /// Counts how often the places where entries are found have changed.
    #[must_use]
    pub fn arranged(&self) -> u64 {
        self.arranged
    }

    /// A place behind every entry of `stream` and before every later one.
    #[must_use]
    pub fn reached(&self, stream: Stream) -> Position {
        let newest = self.windows.iter().rev().find(|window| window.record.stream == stream);
        newest.map_or(Position::START, Window::newest)
    }

    /// The class of the window that `position` lies in; `None` when its rows are dead.
    #[must_use]
    pub fn class_at(&self, journals: &Journals, position: Position) -> Option<Class> {
        let window = self.windows.iter().find(|window| window.holds(position))?;
        lives(journals, window).then_some(window.record.partition.class)
    }

    /// The place behind the last entry of the newest window of events that had died when this was loaded.
    #[must_use]
    pub fn died_until(&self) -> Option<Position> {
        self.died.map(|serial| Position::new(serial.saturating_add(1), 0))
    }

    /// The place of the first entry of the next window: behind everything that was ever written.
    #[must_use]
    pub fn next_window(&self) -> Position {
        Position::new(self.next_serial, 0)
    }

    /// The partition that the entry at `position` lies in; nothing when its window is gone.
    #[must_use]
    pub fn partition_of(&self, position: Position) -> Option<Partition> {
        self.windows.iter().find(|window| window.holds(position)).map(|window| window.record.partition)
    }

    /// Whether there is a window of which `which` says yes.
    #[must_use]
    pub fn has_windows(&self, which: &dyn Fn(Stream, Partition) -> bool) -> bool {
        self.windows.iter().any(|window| which(window.record.stream, window.record.partition))
    }

    /// Lets go of every window whose epoch is dead, and of those that `over` names, which live: the next generation does
    /// not have their secrets. Whether there was any of these.
    pub fn let_go(&mut self, journals: &Journals, over: &dyn Fn(Stream, Partition) -> bool) -> bool {
        let before = self.windows.len();
        let mut over_some = false;
        self.windows.retain(|window| {
            let over = over(window.record.stream, window.record.partition);
            let lives = lives(journals, window);
            over_some |= over && lives;
            lives && !over
        });
        if self.windows.len() < before {
            self.arranged += 1;
            journals.packs.clear();
        }
        self.dirty |= over_some;
        over_some
    }

    /// Whether some window has enough single rows for a pack.
    #[must_use]
    pub fn wants_pack(&self) -> bool {
        self.windows.iter().any(Window::wants_pack)
    }

    /// Rewrites single rows as packs, into `batch`. The rows they replace are retired in `after`, to be committed once
    /// readers look for the entries in their packs.
    pub fn pack(&mut self, journals: &Journals, batch: &mut Batch, after: &mut Batch) -> Result<(), Error> {
        (self.ahead, self.arranged) = (true, self.arranged + 1);
        for window in self.windows.iter_mut().filter(|window| window.wants_pack()) {
            window.pack(journals, batch, after)?;
        }
        Ok(())
    }

    /// Writes a new generation into `batch`: the ledger as it is, under a fresh slot value and, when `key` is given,
    /// another owner key. Closes the windows and drops those of dead epochs. No write may come between this and
    /// [`Owner::adopt`].
    pub fn prepare(&mut self, journals: &Journals, key: Option<Key>, batch: &mut Batch) -> Result<Prepared, Error> {
        self.prepare_with(journals, key, Vec::new(), batch)
    }

    /// As [`Owner::prepare`], with `changes` that lie in the new generation only: a cut before its slot commit leaves
    /// none of them.
    pub fn prepare_with(
        &mut self,
        journals: &Journals,
        key: Option<Key>,
        changes: Vec<L::Change>,
        batch: &mut Batch,
    ) -> Result<Prepared, Error> {
        self.take_in(changes)?;
        let windows = self.closed_windows(journals);
        self.generation(journals, key, windows, Vec::new(), batch)
    }

    /// As [`Owner::prepare`], with `changes` and one row that lie in the new generation only: a cut before its slot
    /// commit leaves neither.
    pub fn prepare_change(
        &mut self,
        journals: &Journals,
        key: Option<Key>,
        changes: Vec<L::Change>,
        row: NewRow<'_>,
        batch: &mut Batch,
    ) -> Result<(Prepared, Position), Error> {
        self.take_in(changes)?;
        let mut windows = self.closed_windows(journals);
        let mut window = self.fresh_window(journals, row.stream, row.partition, row.primer)?;
        let position = window.append(journals, row.plain, batch)?;
        windows.push(window);
        Ok((self.generation(journals, key, windows, Vec::new(), batch)?, position))
    }

    /// As [`Owner::prepare`], and rewrites under a fresh secret every window in which `rewrite` gives some entry
    /// another text: the old text dies with the old secret.
    pub fn prepare_rewrite(
        &mut self,
        journals: &Journals,
        key: Option<Key>,
        rewrite: &mut Rewrite<'_>,
        batch: &mut Batch,
    ) -> Result<Prepared, Error> {
        self.prepare_rewrite_of(journals, key, Vec::new(), &|_| true, rewrite, batch)
    }

    /// As [`Owner::prepare_rewrite`], looking only into the windows whose serial is `wanted`, and with `changes` that lie
    /// in the new generation only.
    pub fn prepare_rewrite_of(
        &mut self,
        journals: &Journals,
        key: Option<Key>,
        changes: Vec<L::Change>,
        wanted: &(dyn Fn(u32) -> bool + Sync),
        rewrite: &mut Rewrite<'_>,
        batch: &mut Batch,
    ) -> Result<Prepared, Error> {
        self.take_in(changes)?;
        let (mut windows, mut replaced) = (Vec::new(), Vec::new());
        for window in self.windows.iter().filter(|window| lives(journals, window)) {
            let fresh = if wanted(window.record.serial) { rewritten(journals, window, rewrite, batch)? } else { None };
            match fresh {
                Some(fresh) => {
                    windows.push(fresh);
                    replaced.push(window.clone());
                }
                None => windows.push(window.closed()),
            }
        }
        self.generation(journals, key, windows, replaced, batch)
    }

    fn take_in(&mut self, changes: Vec<L::Change>) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        self.ahead = true;
        changes.into_iter().try_for_each(|change| self.ledger.apply(change))
    }

    fn closed_windows(&self, journals: &Journals) -> Vec<Window> {
        self.windows.iter().filter(|window| lives(journals, window)).map(Window::closed).collect()
    }

    fn generation(
        &mut self,
        journals: &Journals,
        key: Option<Key>,
        windows: Vec<Window>,
        replaced: Vec<Window>,
        batch: &mut Batch,
    ) -> Result<Prepared, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        self.ahead = true;
        let value = Key::random(journals.random.as_ref());
        let key = key.unwrap_or_else(|| self.identity.key.clone());
        let records: Vec<WindowRecord> = windows.iter().map(|window| window.record.clone()).collect();
        let plain = encode::<L>(&records, self.next_serial, self.ledger.checkpoint())?;
        let keep = Keep::start(journals, &value, &key, &plain, batch)?;
        Ok(Prepared { keep, key, value, windows, replaced })
    }

    /// Makes a committed generation the current one and retires the rows that died with the one before.
    pub fn adopt(&mut self, journals: &Journals, prepared: Prepared, batch: &mut Batch) {
        for address in self.keep.addresses() {
            batch.retire(crate::store::Instance::Soup, Partition::FOREVER, address);
        }
        for window in &prepared.replaced {
            window.retire(batch);
        }
        if !prepared.replaced.is_empty() {
            journals.packs.clear();
        }
        self.arranged += 1;
        self.keep = prepared.keep;
        self.identity.key = prepared.key;
        self.windows = prepared.windows;
        (self.dirty, self.ahead) = (false, false);
    }

    fn open_window(
        &mut self,
        journals: &Journals,
        stream: Stream,
        partition: Partition,
        primer: Primer,
        batch: &mut Batch,
    ) -> Result<usize, Error> {
        let window = self.fresh_window(journals, stream, partition, primer)?;
        self.write(journals, vec![Line::Window(window.record.clone())], batch)?;
        self.windows.push(window);
        self.arranged += 1;
        Ok(self.windows.len() - 1)
    }

    fn fresh_window(
        &mut self,
        journals: &Journals,
        stream: Stream,
        partition: Partition,
        primer: Primer,
    ) -> Result<Window, Error> {
        let serial = self.next_serial;
        let secret = Key::random(journals.random.as_ref());
        let record = WindowRecord { serial, stream, partition, secret, primer, closed: false, reached: None };
        self.next_serial += 1;
        open_window(journals, record).ok_or(Error::Stopped)
    }

    fn write(&mut self, journals: &Journals, lines: Vec<Line<L::Change>>, batch: &mut Batch) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let plain = serde_json::to_vec(&lines).map_err(|_| Error::Malformed)?;
        self.ahead = true;
        self.keep.append(journals, &plain, batch)?;
        self.dirty = true;
        for line in lines {
            if let Line::Change(change) = line {
                self.ledger.apply(change)?;
            }
        }
        Ok(())
    }
}

fn encode<L: Ledger>(windows: &[WindowRecord], next_serial: u32, changes: Vec<L::Change>) -> Result<Vec<u8>, Error> {
    let mut lines: Vec<Line<L::Change>> = vec![Line::NextSerial(next_serial)];
    lines.extend(windows.iter().cloned().map(Line::Window));
    lines.extend(changes.into_iter().map(Line::Change));
    serde_json::to_vec(&lines).map_err(|_| Error::Malformed)
}

/// The window with its key, or `None` when its epoch is dead.
fn open_window(journals: &Journals, record: WindowRecord) -> Option<Window> {
    let epoch = journals.slots.epoch_key(record.partition)?;
    Some(Window::new(record, &epoch))
}

fn lives(journals: &Journals, window: &Window) -> bool {
    journals.slots.epoch_key(window.record.partition).is_some()
}

/// `window` closed and under a fresh secret, when `rewrite` changes any of its entries.
fn rewritten(
    journals: &Journals,
    window: &Window,
    rewrite: &mut Rewrite<'_>,
    batch: &mut Batch,
) -> Result<Option<Window>, Error> {
    let stream = window.record.stream;
    let mut entries = Vec::new();
    let mut changed = false;
    for (position, plain) in window.read(journals)? {
        let text = rewrite(stream, position, &plain);
        changed |= text.is_some();
        entries.push((position.index(), text.unwrap_or(plain)));
    }
    if !changed {
        return Ok(None);
    }
    let secret = Key::random(journals.random.as_ref());
    let record = WindowRecord { secret, reached: None, closed: true, ..window.record.clone() };
    let mut fresh = open_window(journals, record).ok_or(Error::Stopped)?;
    fresh.fill(journals, entries, batch)?;
    Ok(Some(fresh.closed()))
}

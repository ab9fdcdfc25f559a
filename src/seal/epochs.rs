//! Epochs: which partition is open now, and which are over.
//!
//! An epoch is a stretch of receive time in which a class's rows are filed together; its key dies with it, alone. A
//! partition is (class, serial); when it ends stands in the slot table only. This module decides lengths and ends and
//! never sees a row. While the clock is not trusted, rows go to one provisional epoch beyond the newest, whose end is set
//! once it is: so nothing dies early that came meanwhile, and nothing lives for ever (keys.md M20).

mod calendar;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

pub use self::calendar::Stretch;
use self::calendar::epoch_end;
use super::slots::{self, Change, Slots};
use crate::{
    clock::{Clock, Moment, Timekeeper, Timestamp},
    random::Random,
    secret::Key,
    store::{self, Class, Instance, Partition, Store},
};

/// For how long RK and HK are used before the next generation replaces them (keys.md M16).
const KEY_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// How long a partition stays after it was chosen for a row that may still be on its way: a commit takes less.
const FILING: Duration = Duration::from_mins(5);

/// Why an epoch could not be opened or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The slot table failed.
    #[error(transparent)]
    Slots(#[from] slots::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The clock shows a time no calendar has.
    #[error("the clock is out of range")]
    Clock,
}

/// The epochs of all classes. Clones share them.
#[derive(Clone)]
pub struct Epochs {
    slots: Slots,
    store: Store,
    clock: Arc<dyn Clock>,
    time: Timekeeper,
    random: Arc<dyn Random>,
    /// One opening or correction at a time: two would number the same epoch twice.
    opening: Arc<tokio::sync::Mutex<()>>,
    filed: Arc<Mutex<Filed>>,
}

/// What was filed where by this process.
#[derive(Default)]
struct Filed {
    /// When a partition was last chosen, in steady time; those chosen lately.
    lately: BTreeMap<Partition, Duration>,
    /// The newest serial of each class: rows never go to an earlier one again.
    newest: BTreeMap<Class, u32>,
    /// What was filed in under a clock that only a steady day speaks for.
    unsure: BTreeSet<Partition>,
}

impl Epochs {
    /// The epochs that stand in `slots`.
    #[must_use]
    pub fn new(slots: Slots, store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let time = Timekeeper::new(Arc::clone(&clock));
        Self { slots, store, clock, time, random, opening: Arc::default(), filed: Arc::default() }
    }

    /// What time it is for what is to die.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.time.look(|| self.floor())
    }

    /// Who says so.
    #[must_use]
    pub fn timekeeper(&self) -> &Timekeeper {
        &self.time
    }

    /// The stretch of thirty days that it is now, counted since 1970: all that is noted of when a key came. What the clock
    /// says, right or not.
    #[must_use]
    pub fn stretch(&self) -> u32 {
        stretch_of(self.moment().time)
    }

    /// As [`Epochs::stretch`]; nothing while the clock is not trusted, when no key is replaced for its age.
    #[must_use]
    pub fn sure_stretch(&self) -> Option<u32> {
        let moment = self.moment();
        moment.trusted.then(|| stretch_of(moment.time))
    }

    /// The partition what is received now is filed in; opens it if maintenance did not do so ahead. It stays for as long
    /// as a commit may take.
    ///
    /// # Errors
    /// When the store or the slot table fails.
    pub async fn current(&self, class: Class) -> Result<Partition, Error> {
        if class == Class::Forever {
            return Ok(Partition::FOREVER);
        }
        let moment = self.moment();
        if let Some(partition) = self.usable(class, &moment) {
            self.note(partition, &moment);
            return Ok(partition);
        }
        let _turn = self.opening.lock().await;
        let moment = self.moment();
        self.correct(&moment).await?;
        let partition = match self.usable(class, &moment) {
            Some(partition) => partition,
            None => self.open_now(class, &moment).await?,
        };
        self.note(partition, &moment);
        Ok(partition)
    }

    /// Makes sure that of each class the current epoch and the next are open, so that no send waits for it; while the
    /// clock is not trusted the provisional one alone.
    ///
    /// # Errors
    /// When the store or the slot table fails.
    pub async fn open_ahead(&self, classes: &[Class]) -> Result<(), Error> {
        for &class in classes.iter().filter(|&&class| class != Class::Forever) {
            let _turn = self.opening.lock().await;
            let moment = self.moment();
            self.correct(&moment).await?;
            if self.usable(class, &moment).is_none() {
                self.open_now(class, &moment).await?;
            }
            if moment.trusted {
                let next = epoch_end(class, moment.time)?;
                if self.at(class, next).is_none() {
                    self.open(class, epoch_end(class, next)?, false).await?;
                }
            }
        }
        Ok(())
    }

    /// The partitions of a class whose keys live, the newest first.
    #[must_use]
    pub fn live(&self, class: Class) -> Vec<Partition> {
        if class == Class::Forever {
            return vec![Partition::FOREVER];
        }
        let epochs = self.slots.epochs();
        epochs.into_iter().rev().map(|(partition, _)| partition).filter(|partition| partition.class == class).collect()
    }

    /// Those of [`Epochs::live`] in which something has not expired by the time that is shown.
    #[must_use]
    pub fn shown(&self, class: Class) -> Vec<Partition> {
        let (moment, ends) = (self.moment(), self.ends());
        let mut live = self.live(class);
        live.retain(|partition| {
            let due = ends.get(partition).zip(class.lifetime()).map(|(end, lifetime)| end.after(lifetime));
            due.is_none_or(|due| due > moment.shown)
        });
        live
    }

    /// When nothing is filed any more in each living partition whose end is known.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<Partition, Timestamp> {
        let provisional = self.slots.provisional();
        self.slots.epochs().into_iter().filter(|(partition, _)| !provisional.contains(partition)).collect()
    }

    /// Once the clock is trusted: gives every epoch the end that it should have.
    ///
    /// # Errors
    /// When the slot table fails.
    pub async fn settle(&self) -> Result<(), Error> {
        let _turn = self.opening.lock().await;
        self.correct(&self.moment()).await
    }

    /// The epochs whose last row has outlived its class at `now`, with the time at which it had: those whose ends are
    /// known, but for those in which a row may just be on its way.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> Vec<(Partition, Timestamp)> {
        let lately = {
            let mut filed = self.filed.lock();
            let steady = self.clock.monotonic();
            filed.lately.retain(|_, at| steady.saturating_sub(*at) < FILING);
            filed.unsure.retain(|partition| self.slots.epoch_key(*partition).is_some());
            filed.lately.clone()
        };
        let due = |(partition, end): (Partition, Timestamp)| Some((partition, end.after(partition.class.lifetime()?)));
        let ends = self.ends().into_iter().filter_map(due);
        ends.filter(|(partition, due)| *due <= now && !lately.contains_key(partition)).collect()
    }

    /// Destroys the keys of `partitions`, and with each the tokens that were last used in it: from here on nothing opens
    /// their rows (keys.md M25).
    ///
    /// # Errors
    /// When the slot table fails; then the old keys or none come up at the next start.
    pub async fn destroy(&self, partitions: &[Partition]) -> Result<(), Error> {
        if partitions.is_empty() {
            return Ok(());
        }
        let _turn = self.opening.lock().await;
        let changes = partitions.iter().map(|&partition| Change::DropEpoch { partition });
        Ok(self.slots.commit(changes.collect()).await?)
    }

    /// Drops every partition without a key from every database, and their rows from the logs: those that have expired,
    /// and what a cut has left behind. Returns them.
    ///
    /// # Errors
    /// When the store fails; what is left over goes at the next call.
    pub async fn drop_dead(&self) -> Result<Vec<Partition>, Error> {
        let _turn = self.opening.lock().await;
        let mut dropped = Vec::new();
        for instance in Instance::ALL {
            for partition in self.dead_in(instance).await? {
                self.store.drop_partition(instance, partition).await?;
                dropped.push(partition);
            }
        }
        dropped.sort_unstable();
        dropped.dedup();
        Ok(dropped)
    }

    /// The partitions without a key that some database still has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn dead(&self) -> Result<Vec<Partition>, Error> {
        let _turn = self.opening.lock().await;
        let mut dead = Vec::new();
        for instance in Instance::ALL {
            dead.extend(self.dead_in(instance).await?);
        }
        dead.sort_unstable();
        dead.dedup();
        Ok(dead)
    }

    /// Destroys the epochs that are over at `now`: first their keys, then their rows. The caller trusts the clock.
    ///
    /// # Errors
    /// When the store or the slot table fails; what is left over goes at the next call.
    pub async fn expire(&self, now: Timestamp) -> Result<Vec<Partition>, Error> {
        let over: Vec<Partition> = self.over(now).into_iter().map(|(partition, _)| partition).collect();
        self.destroy(&over).await?;
        self.drop_dead().await?;
        Ok(over)
    }

    async fn dead_in(&self, instance: Instance) -> Result<Vec<Partition>, Error> {
        let mut partitions = self.store.list_partitions(instance).await?;
        partitions.retain(|partition| self.slots.epoch_key(*partition).is_none());
        Ok(partitions)
    }

    /// A time that has certainly been: an epoch is opened during the one before it at the earliest.
    fn floor(&self) -> Timestamp {
        let opened = |(partition, end): (Partition, Timestamp)| {
            let back = Stretch::of(partition.class).map_or(Duration::ZERO, |stretch| 2 * stretch.longest());
            Timestamp(end.0.saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX)))
        };
        self.ends().into_iter().map(opened).max().unwrap_or_default()
    }

    /// The open partition of `class` that rows go to at `moment`.
    fn usable(&self, class: Class, moment: &Moment) -> Option<Partition> {
        if moment.trusted {
            return self.at(class, moment.time);
        }
        let newest = self.live(class).into_iter().next()?;
        self.slots.provisional().contains(&newest).then_some(newest)
    }

    /// The open partition of `class` that covers `now`: the one that ends first after it, the newest of several. Never one
    /// that rows have gone beyond.
    fn at(&self, class: Class, now: Timestamp) -> Option<Partition> {
        let from = self.filed.lock().newest.get(&class).copied().unwrap_or(0);
        let open = self
            .ends()
            .into_iter()
            .filter(|(partition, end)| partition.class == class && partition.serial >= from && *end > now);
        open.min_by_key(|(partition, end)| (*end, u32::MAX - partition.serial)).map(|(partition, _)| partition)
    }

    fn note(&self, partition: Partition, moment: &Moment) {
        let mut filed = self.filed.lock();
        if !moment.firm {
            filed.unsure.insert(partition);
        }
        filed.lately.insert(partition, self.clock.monotonic());
        let newest = filed.newest.entry(partition.class).or_default();
        *newest = partition.serial.max(*newest);
    }

    /// Once the clock is trusted: sets the ends of provisional epochs, in which nothing was filed later than now, and of
    /// those that a wrong clock has put further away than one would be opened. When the clock was behind while only a
    /// steady day spoke for it, what was filed then came later than it seemed, and its epochs end later.
    async fn correct(&self, moment: &Moment) -> Result<(), Error> {
        if !moment.trusted {
            return Ok(());
        }
        let behind = self.time.take_behind();
        let unsure = if behind.is_zero() { BTreeSet::new() } else { std::mem::take(&mut self.filed.lock().unsure) };
        let provisional = self.slots.provisional();
        let mut changes = Vec::new();
        for (partition, end) in self.slots.epochs() {
            let current = epoch_end(partition.class, moment.time)?;
            let latest = epoch_end(partition.class, current)?;
            let moved = if unsure.contains(&partition) { end.after(behind) } else { end };
            let right = if provisional.contains(&partition) { current } else { moved.min(latest) };
            let right = (right != end || provisional.contains(&partition)).then_some(right);
            let key = Key::random(&*self.random); // The epoch keeps its own.
            changes.extend(right.map(|end| Change::OpenEpoch { partition, key, end }));
        }
        if !changes.is_empty() {
            self.slots.commit(changes).await?;
        }
        Ok(())
    }

    async fn open_now(&self, class: Class, moment: &Moment) -> Result<Partition, Error> {
        // A clock that no calendar knows is not trusted, and what it says of the end is not needed.
        let end = epoch_end(class, moment.time);
        let end = if moment.trusted { end? } else { end.unwrap_or(moment.time) };
        self.open(class, end, !moment.trusted).await
    }

    /// Opens the next serial of `class`: the partitions first, because a key without them would take rows that fail.
    async fn open(&self, class: Class, end: Timestamp, provisional: bool) -> Result<Partition, Error> {
        // Partitions of an opening that was cut have a number too, and no key.
        let mut serial = self.slots.last_serial(class).saturating_add(1);
        for instance in Instance::ALL {
            for old in self.store.list_partitions(instance).await?.iter().filter(|old| old.class == class) {
                serial = serial.max(old.serial.saturating_add(1));
            }
        }
        let partition = Partition { class, serial };
        for instance in Instance::ALL {
            self.store.create_partition(instance, partition).await?;
        }
        let key = Key::random(&*self.random);
        let change = if provisional {
            Change::Provisional { partition, key, end }
        } else {
            Change::OpenEpoch { partition, key, end }
        };
        self.slots.commit(vec![change]).await?;
        Ok(partition)
    }
}

fn stretch_of(time: Timestamp) -> u32 {
    let long = u64::try_from(KEY_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    u32::try_from(time.0 / long).unwrap_or(u32::MAX)
}

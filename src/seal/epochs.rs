//! Epochs: which partition is open now, and which are over.
//!
//! An epoch is a stretch of receive time in which a class's rows are filed together; its key dies with it, alone. A
//! partition is (class, serial); when it ends stands in the slot table only. This module decides lengths and ends and
//! never sees a row. While the clock is not trusted no epoch is opened beyond one more than the newest (`open_ahead` is
//! the only caller that opens the next one).

use std::sync::Arc;

use chrono::{DateTime, Datelike, Duration, Months, NaiveTime, TimeDelta, Utc};

use super::slots::{self, Change, Slots};
use crate::{
    clock::{Clock, Timestamp},
    random::Random,
    secret::Key,
    store::{self, Class, Instance, Partition, Store},
};

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
    random: Arc<dyn Random>,
    /// One opening at a time: two would number the same epoch twice.
    opening: Arc<tokio::sync::Mutex<()>>,
}

impl Epochs {
    /// The epochs that stand in `slots`.
    #[must_use]
    pub fn new(slots: Slots, store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { slots, store, clock, random, opening: Arc::default() }
    }

    /// The partition what is received now is filed in; opens it if maintenance did not do so ahead.
    ///
    /// # Errors
    /// When the store or the slot table fails.
    pub async fn current(&self, class: Class) -> Result<Partition, Error> {
        if class == Class::Forever {
            return Ok(Partition::FOREVER);
        }
        if let Some(partition) = self.at(class, self.clock.now()) {
            return Ok(partition);
        }
        let _turn = self.opening.lock().await;
        let now = self.clock.now();
        match self.at(class, now) {
            Some(partition) => Ok(partition),
            None => self.open(class, epoch_end(class, now)?).await,
        }
    }

    /// Makes sure that of each class the current epoch and the next are open, so that no send waits for it.
    ///
    /// # Errors
    /// When the store or the slot table fails.
    pub async fn open_ahead(&self, classes: &[Class]) -> Result<(), Error> {
        for &class in classes.iter().filter(|&&class| class != Class::Forever) {
            self.current(class).await?;
            let _turn = self.opening.lock().await;
            let next = epoch_end(class, self.clock.now())?;
            if self.at(class, next).is_none() {
                self.open(class, epoch_end(class, next)?).await?;
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

    /// Destroys the epochs whose last row has outlived its class at `now`: first their keys, then their rows. Also drops
    /// partitions without a key, which a cut between the two leaves behind. The caller trusts the clock.
    ///
    /// # Errors
    /// When the store or the slot table fails; what is left over goes at the next call.
    pub async fn expire(&self, now: Timestamp) -> Result<Vec<Partition>, Error> {
        let _turn = self.opening.lock().await;
        let over = |(partition, end): &(Partition, Timestamp)| {
            partition.class.lifetime().is_some_and(|lifetime| end.after(lifetime) <= now)
        };
        let dead: Vec<Partition> =
            self.slots.epochs().iter().filter(|epoch| over(epoch)).map(|epoch| epoch.0).collect();
        if !dead.is_empty() {
            self.slots.commit(dead.iter().map(|&partition| Change::DropEpoch { partition }).collect()).await?;
        }
        for instance in Instance::ALL {
            for partition in self.store.list_partitions(instance).await? {
                if self.slots.epoch_key(partition).is_none() {
                    self.store.drop_partition(instance, partition).await?;
                }
            }
        }
        Ok(dead)
    }

    /// The open partition of `class` that covers `now`: the one that ends first after it.
    fn at(&self, class: Class, now: Timestamp) -> Option<Partition> {
        let epochs = self.slots.epochs();
        let ahead = epochs.into_iter().filter(|(partition, end)| partition.class == class && *end > now);
        ahead.min_by_key(|(_, end)| *end).map(|(partition, _)| partition)
    }

    /// Opens the next serial of `class`: the partitions first, because a key without them would take rows that fail.
    async fn open(&self, class: Class, end: Timestamp) -> Result<Partition, Error> {
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
        self.slots.commit(vec![Change::OpenEpoch { partition, key, end }]).await?;
        Ok(partition)
    }
}

/// When the epoch of `class` that covers `now` ends: hours for lifetimes up to a day, days up to 30, weeks (from Monday)
/// for 90, calendar months for a year; all in UTC.
fn epoch_end(class: Class, now: Timestamp) -> Result<Timestamp, Error> {
    let millis = i64::try_from(now.0).map_err(|_| Error::Clock)?;
    let now = DateTime::<Utc>::from_timestamp_millis(millis).ok_or(Error::Clock)?;
    let day = now.date_naive();
    let midnight = |day: chrono::NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let end = match class {
        Class::Hour | Class::Day => {
            let hour = Duration::hours(1).num_milliseconds();
            return u64::try_from((millis / hour + 1) * hour).map(Timestamp).map_err(|_| Error::Clock);
        }
        Class::Week | Class::Month => day.checked_add_signed(TimeDelta::days(1)),
        Class::Quarter => day.checked_add_signed(TimeDelta::days(7 - i64::from(day.weekday().num_days_from_monday()))),
        Class::Year => day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        Class::Forever => None,
    };
    let end = end.map(midnight).ok_or(Error::Clock)?;
    u64::try_from(end.timestamp_millis()).map(Timestamp).map_err(|_| Error::Clock)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::ManualClock,
        random::SeededRandom,
        seal::slots::MemoryMedium,
        store::{Fuse, MemoryBackend},
    };

    const HOUR: u64 = 3_600_000;
    /// Thursday 2026-01-01 00:30 UTC.
    const START: Timestamp = Timestamp(1_767_227_400_000);

    async fn epochs(clock: &Arc<ManualClock>) -> Epochs {
        let fuse = Arc::new(Fuse::new());
        let store = Store::inline(Arc::new(MemoryBackend::with_fuse(fuse.clone())));
        let random = Arc::new(SeededRandom::new(1));
        let slots = Slots::open(Arc::new(MemoryMedium::with_fuse(fuse)), store.clone(), random.clone()).await.unwrap();
        Epochs::new(slots, store, clock.clone(), random)
    }

    #[test]
    fn epochs_end_with_the_calendar() {
        let after = |class| epoch_end(class, START).unwrap().0 - START.0;
        assert_eq!((after(Class::Hour), after(Class::Day)), (HOUR / 2, HOUR / 2));
        assert_eq!((after(Class::Week), after(Class::Month)), (47 * HOUR / 2, 47 * HOUR / 2));
        assert_eq!(after(Class::Quarter), 4 * 24 * HOUR - HOUR / 2);
        assert_eq!(after(Class::Year), 31 * 24 * HOUR - HOUR / 2);
        assert!(epoch_end(Class::Year, Timestamp(u64::MAX)).is_err());
    }

    #[tokio::test]
    async fn an_epoch_opens_once_and_dies_after_its_lifetime() {
        let clock = Arc::new(ManualClock::at(START));
        let epochs = epochs(&clock).await;
        let first = epochs.current(Class::Hour).await.unwrap();
        assert_eq!(epochs.current(Class::Hour).await.unwrap(), first);
        epochs.open_ahead(&[Class::Hour, Class::Forever]).await.unwrap();
        epochs.open_ahead(&[Class::Hour]).await.unwrap();
        assert_eq!(epochs.live(Class::Hour).len(), 2);
        clock.advance(Duration::from_millis(HOUR / 2));
        let second = epochs.current(Class::Hour).await.unwrap();
        assert_eq!((second.serial, epochs.live(Class::Hour)), (first.serial + 1, vec![second, first]));
        // A row written in the last moment of the first epoch lives a full hour.
        let end = Timestamp(START.0 + HOUR / 2);
        assert!(epochs.expire(Timestamp(end.0 + HOUR - 1)).await.unwrap().is_empty());
        assert_eq!(epochs.expire(Timestamp(end.0 + HOUR)).await.unwrap(), [first]);
        assert!(epochs.slots.epoch_key(first).is_none());
        for instance in Instance::ALL {
            let left = epochs.store.list_partitions(instance).await.unwrap();
            assert!(!left.contains(&first) && left.contains(&second) && left.contains(&Partition::FOREVER));
        }
        // A name is never used again, also when nothing of the class is left.
        clock.advance(Duration::from_millis(50 * HOUR));
        assert_eq!(epochs.expire(clock.now()).await.unwrap(), [second]);
        assert_eq!(epochs.current(Class::Hour).await.unwrap().serial, second.serial + 1);
        assert_eq!(epochs.live(Class::Forever), [Partition::FOREVER]);
        assert!(epochs.slots.epoch_key(Partition::FOREVER).is_some());
    }
}

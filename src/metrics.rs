//! What monitoring may know: the server's own state at once, and what follows people's activity only as totals of
//! whole hours in which enough of them were active.
//!
//! Owns the counters, which live in RAM alone, and their text form. Knows no names: accounts are told apart by a hash
//! under a key of this process, and only until their hour is over.

mod hour;
mod lateness;
mod process;
mod text;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use self::{hour::Hour, process::Usage};
pub use self::{
    hour::{FEWEST, Outcome, Summary},
    lateness::{Lateness, State},
};
use crate::{
    clock::{Clock, Timestamp},
    random::Random,
};

/// The stretch over which people's activity is added up. It is counted from the start of the process, so every stretch
/// is a whole one.
pub const HOUR: Duration = Duration::from_hours(1);

/// Work that the server does by its own clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Opening epochs ahead of time.
    Epochs,
    /// Rewriting single rows as packs.
    Packs,
    /// New generations for whoever changed.
    Generations,
    /// Rewriting what was redacted.
    Redactions,
    /// Merging the store.
    Merge,
    /// Unlinking media that has expired.
    Media,
    /// Hiding, shredding and dropping what has expired.
    Expiry,
}

impl Task {
    const ALL: [Self; 7] =
        [Self::Epochs, Self::Packs, Self::Generations, Self::Redactions, Self::Merge, Self::Media, Self::Expiry];

    fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Packs => "packs",
            Self::Generations => "generations",
            Self::Redactions => "redactions",
            Self::Merge => "merge",
            Self::Media => "media",
            Self::Expiry => "expiry",
        }
    }
}

/// Somebody who is active: a hash of the account's name under a key of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Somebody(u64);

/// All counters of a process.
pub struct Metrics {
    clock: Arc<dyn Clock>,
    key: [u8; 32],
    started: Timestamp,
    data: PathBuf,
    tasks: [[AtomicU64; 2]; Task::ALL.len()],
    lateness: Mutex<Lateness>,
    hours: Mutex<Hours>,
}

struct Hours {
    /// How many hours were over when `open` began.
    number: u64,
    open: Hour,
    /// What the process had used when `open` began.
    used: Usage,
    /// The hour before `open`, if anything of it may be known.
    closed: Option<Summary>,
}

impl Metrics {
    /// Counters at zero, for a server whose data lie in `data`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random, data: PathBuf) -> Self {
        let number = number(clock.monotonic());
        let hours = Hours { number, open: Hour::default(), used: process::usage(&data), closed: None };
        let started = clock.now();
        let (lateness, hours) = (Mutex::default(), Mutex::new(hours));
        Self { clock, key: random.bytes(), started, data, tasks: Default::default(), lateness, hours }
    }

    /// Notes that a task was done, and whether all of it worked.
    pub fn ran(&self, task: Task, well: bool) {
        self.tasks[task as usize][usize::from(!well)].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how far forgetting has got.
    pub fn set_lateness(&self, lateness: Lateness) {
        *self.lateness.lock() = lateness;
    }

    /// How far forgetting has got.
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        *self.lateness.lock()
    }

    /// Whoever has this name.
    #[must_use]
    pub fn somebody(&self, name: &str) -> Somebody {
        let hash = blake3::keyed_hash(&self.key, name.as_bytes());
        Somebody(hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first)))
    }

    /// Notes how a request ended, and whose it was.
    pub fn answered(&self, outcome: Outcome, whose: Option<Somebody>) {
        let mut hours = self.hours.lock();
        self.turn(&mut hours);
        hours.open.add(outcome, whose);
    }

    /// What may be known of the last whole hour; nothing when too few were active in it.
    #[must_use]
    pub fn last_hour(&self) -> Option<Summary> {
        let mut hours = self.hours.lock();
        self.turn(&mut hours);
        hours.closed.clone()
    }

    /// How long until the hour is over.
    #[must_use]
    pub fn rest_of_hour(&self) -> Duration {
        let now = self.clock.monotonic();
        HOUR.saturating_mul(u32::try_from(number(now) + 1).unwrap_or(u32::MAX)).saturating_sub(now)
    }

    /// Closes the open hour when it is over.
    fn turn(&self, hours: &mut Hours) {
        let number = number(self.clock.monotonic());
        if number == hours.number {
            return;
        }
        let used = process::usage(&self.data);
        // Whoever looks later than the hour after has missed it.
        let summary = std::mem::take(&mut hours.open).close(hours.used, used);
        hours.closed = summary.filter(|_| number == hours.number + 1);
        (hours.number, hours.used) = (number, used);
    }
}

/// How many whole hours are over.
fn number(now: Duration) -> u64 {
    now.as_secs() / HOUR.as_secs()
}

#[cfg(test)]
mod tests;

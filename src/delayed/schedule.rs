//! Which event is due when. In RAM: the vaults have what must last.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use ruma::OwnedUserId;

use crate::clock::Timestamp;

/// An event that waits.
#[derive(Clone)]
pub(super) struct Pending {
    /// Whose it is.
    pub(super) user: OwnedUserId,
    /// When it goes out, in steady time.
    pub(super) due: Duration,
    /// Among those due at the same moment, which comes first; given by the schedule.
    pub(super) order: u64,
    /// When its delay began.
    pub(super) since: Timestamp,
}

/// Events that wait, by id and by when they are due.
#[derive(Default)]
pub(super) struct Schedule {
    pending: HashMap<String, Pending>,
    queue: BTreeSet<(Duration, u64, String)>,
    count: u64,
}

impl Schedule {
    /// Puts an event in, in the place of the one of the same id.
    pub(super) fn insert(&mut self, id: String, mut pending: Pending) {
        self.take(&id);
        self.count += 1;
        pending.order = self.count;
        self.queue.insert((pending.due, pending.order, id.clone()));
        self.pending.insert(id, pending);
    }

    /// Puts an event in unless there is one of the same id.
    pub(super) fn insert_new(&mut self, id: &str, pending: Pending) {
        if !self.pending.contains_key(id) {
            self.insert(id.to_owned(), pending);
        }
    }

    /// The event of this id.
    pub(super) fn get(&self, id: &str) -> Option<&Pending> {
        self.pending.get(id)
    }

    /// Takes an event out: whoever has it alone may send or cancel it.
    pub(super) fn take(&mut self, id: &str) -> Option<Pending> {
        let pending = self.pending.remove(id)?;
        self.queue.remove(&(pending.due, pending.order, id.to_owned()));
        Some(pending)
    }

    /// Takes out the first event that is due at `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<(String, Pending)> {
        let id = self.queue.first().filter(|(due, ..)| *due <= now)?.2.clone();
        self.take(&id).map(|pending| (id, pending))
    }

    /// When the next event is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(due, ..)| *due)
    }
}

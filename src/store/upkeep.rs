//! What the next merge has to do. Owns notes in RAM only; nothing of them is ever written.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use super::{Address, Instance, Partition, Row};

/// Retired addresses noted at most: about 10 MiB. Beyond it rows stay until their partition goes; they are
/// undecryptable anyway.
const RETIRED: usize = 1 << 18;

type Place = (Instance, Partition);

/// The changed partitions and the retired addresses, shared by the commit thread and the merges.
#[derive(Default)]
pub(super) struct Upkeep {
    notes: Mutex<Notes>,
    merged: Condvar,
}

#[derive(Default)]
struct Notes {
    changed: HashSet<Place>,
    retired: HashMap<Place, HashSet<Address>>,
    count: usize,
    merging: Option<(Place, Arc<HashSet<Address>>)>,
}

impl Notes {
    fn retire(&mut self, place: Place, address: Address) {
        if self.count < RETIRED && self.retired.entry(place).or_default().insert(address) {
            self.count += 1;
        }
    }
}

impl Upkeep {
    /// Notes that a partition holds what no merge has seen.
    pub(super) fn change(&self, instance: Instance, partition: Partition) {
        self.notes.lock().changed.insert((instance, partition));
    }

    /// Notes that rows can go.
    pub(super) fn retire(&self, dead: Vec<(Instance, Partition, Address)>) {
        let mut notes = self.notes.lock();
        for (instance, partition, address) in dead {
            notes.retire((instance, partition), address);
        }
    }

    /// Notes that `rows` are about to be written: their partitions change, their addresses are not retired.
    ///
    /// A merge that is leaving out one of these very addresses is waited for: it could take the new row for the old
    /// one. That happens only to addresses that are written more than once, such as the login record of a deleted
    /// account whose name is registered again.
    pub(super) fn writing(&self, rows: &[Row]) {
        let mut notes = self.notes.lock();
        for row in rows {
            let place = (row.instance, row.partition);
            while notes.merging.as_ref().is_some_and(|(at, dead)| *at == place && dead.contains(&row.address)) {
                self.merged.wait(&mut notes);
            }
            notes.changed.insert(place);
            if notes.retired.get_mut(&place).is_some_and(|dead| dead.remove(&row.address)) {
                notes.count -= 1;
            }
        }
    }

    /// Forgets a partition that was dropped.
    pub(super) fn forget(&self, instance: Instance, partition: Partition) {
        let mut notes = self.notes.lock();
        let dropped = notes.retired.remove(&(instance, partition)).map_or(0, |dead| dead.len());
        notes.count -= dropped;
        notes.changed.remove(&(instance, partition));
    }

    /// The partitions that a merge would change, in order.
    pub(super) fn due(&self) -> Vec<Place> {
        let notes = self.notes.lock();
        let retired = notes.retired.iter().filter(|(_, dead)| !dead.is_empty()).map(|(place, _)| place);
        let due: HashSet<Place> = notes.changed.iter().chain(retired).copied().collect();
        let mut due: Vec<Place> = due.into_iter().collect();
        due.sort_unstable();
        due
    }

    /// Hands what is noted on one partition to a merge. One merge runs at a time.
    pub(super) fn begin(self: Arc<Self>, instance: Instance, partition: Partition) -> Merging {
        let place = (instance, partition);
        let mut notes = self.notes.lock();
        let dead = Arc::new(notes.retired.remove(&place).unwrap_or_default());
        notes.count -= dead.len();
        notes.changed.remove(&place);
        notes.merging = Some((place, Arc::clone(&dead)));
        drop(notes);
        Merging { upkeep: self, place, dead, done: false }
    }
}

/// A merge under way. Dropped before it is done, it gives back what it was to do.
pub(super) struct Merging {
    upkeep: Arc<Upkeep>,
    place: Place,
    dead: Arc<HashSet<Address>>,
    done: bool,
}

impl Merging {
    /// The rows to leave out.
    pub(super) fn dead(&self) -> &HashSet<Address> {
        &self.dead
    }

    /// The merge has worked.
    pub(super) fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        let mut notes = self.upkeep.notes.lock();
        notes.merging = None;
        if !self.done {
            notes.changed.insert(self.place);
            for address in self.dead.iter() {
                notes.retire(self.place, *address);
            }
        }
        self.upkeep.merged.notify_all();
    }
}

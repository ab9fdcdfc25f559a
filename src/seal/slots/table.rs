//! The table in RAM and what a change does to it.

use std::collections::BTreeMap;

use super::{Change, Incarnation, SlotId, SlotKind};
use crate::{
    clock::Timestamp,
    seal::derive::{Usage, derive},
    secret::Key,
    store::{Class, Partition},
};

/// A slot beside its name.
#[derive(Clone, PartialEq)]
pub(super) struct Slot {
    pub(super) kind: SlotKind,
    pub(super) value: Key,
    pub(super) epoch: Option<Partition>,
}

/// An epoch key and when nothing is filed under it any more.
#[derive(Clone, PartialEq)]
pub(super) struct Epoch {
    pub(super) key: Key,
    pub(super) end: Timestamp,
    /// Whether `end` was set while the clock was not trusted.
    pub(super) provisional: bool,
}

/// All secrets that can be erased.
#[derive(Clone, PartialEq)]
pub(super) struct Table {
    pub(super) server: Key,
    pub(super) epochs: BTreeMap<Partition, Epoch>,
    pub(super) slots: BTreeMap<SlotId, Slot>,
    /// The highest serial each class ever had: a partition's name is never used again.
    pub(super) serials: BTreeMap<Class, u32>,
    pub(super) incarnation: Incarnation,
}

impl Table {
    /// A table with nothing but a server key.
    pub(super) fn new(server: Key) -> Self {
        Self {
            server,
            epochs: BTreeMap::new(),
            slots: BTreeMap::new(),
            serials: BTreeMap::new(),
            incarnation: Incarnation::default(),
        }
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Set { id, kind, value, epoch } => drop(self.slots.insert(id, Slot { kind, value, epoch })),
                Change::Keep { id, epoch } => {
                    if let Some(slot) = self.slots.get_mut(&id) {
                        slot.epoch = Some(epoch);
                    }
                }
                Change::Remove { id } => drop(self.slots.remove(&id)),
                Change::OpenEpoch { partition, key, end } => self.open_epoch(partition, key, end, false),
                Change::Provisional { partition, key, end } => self.open_epoch(partition, key, end, true),
                Change::DropEpoch { partition } => self.drop_epoch(partition),
            }
        }
    }

    pub(super) fn value(&self, id: &SlotId) -> Option<Key> {
        self.slots.get(id).map(|slot| slot.value.clone())
    }

    pub(super) fn contains(&self, id: &SlotId) -> bool {
        self.slots.contains_key(id)
    }

    pub(super) fn epoch_key(&self, partition: Partition) -> Option<Key> {
        if partition == Partition::FOREVER {
            return Some(derive(Usage::ForeverEpoch, &self.server, &[]));
        }
        self.epochs.get(&partition).map(|epoch| epoch.key.clone())
    }

    pub(super) fn epochs(&self) -> Vec<(Partition, Timestamp)> {
        self.epochs.iter().map(|(partition, epoch)| (*partition, epoch.end)).collect()
    }

    pub(super) fn provisional(&self) -> Vec<Partition> {
        self.epochs.iter().filter(|(_, epoch)| epoch.provisional).map(|(partition, _)| *partition).collect()
    }

    pub(super) fn len(&self) -> usize {
        1 + self.epochs.len() + self.slots.len()
    }

    pub(super) fn count(&self, kind: SlotKind) -> usize {
        self.slots.values().filter(|slot| slot.kind == kind).count()
    }

    /// A second opening keeps the key: rows lie under it already.
    fn open_epoch(&mut self, partition: Partition, key: Key, end: Timestamp, provisional: bool) {
        let highest = self.serials.entry(partition.class).or_default();
        *highest = partition.serial.max(*highest);
        let key = self.epochs.remove(&partition).map_or(key, |epoch| epoch.key);
        self.epochs.insert(partition, Epoch { key, end, provisional });
    }

    pub(super) fn drop_epoch(&mut self, partition: Partition) {
        self.epochs.remove(&partition);
        self.slots.retain(|_, slot| slot.kind != SlotKind::Token || slot.epoch != Some(partition));
    }
}

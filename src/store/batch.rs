//! What is committed together. Owns rows on their way to the store; never inspects them.

use super::{Address, Instance, Partition};
use crate::random::Random;

/// What must hold for a row to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: what lies at the address is replaced.
    Any,
    /// Nothing lies at the address.
    Absent,
}

/// One row to be written.
#[derive(Clone)]
pub struct Row {
    /// The database.
    pub instance: Instance,
    /// The partition within it.
    pub partition: Partition,
    /// The address within the partition.
    pub address: Address,
    /// The sealed bytes.
    pub value: Vec<u8>,
    /// What must hold.
    pub condition: Condition,
}

/// Rows that are written together or, when a condition fails, not at all.
///
/// A power cut may keep the rows of one instance and lose those of another; who needs an order between instances
/// makes two commits. Within one instance a batch is all there or not at all.
#[derive(Clone, Default)]
pub struct Batch {
    /// The rows, in the order in which they are checked and written.
    pub(super) rows: Vec<Row>,
    /// Addresses whose rows nothing can open any more.
    pub(super) dead: Vec<(Instance, Partition, Address)>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row that replaces what lies at `address`.
    pub fn put(&mut self, instance: Instance, partition: Partition, address: Address, value: Vec<u8>) {
        self.rows.push(Row { instance, partition, address, value, condition: Condition::Any });
    }

    /// Adds a row that is written only if nothing lies at `address`; otherwise the whole batch is refused.
    pub fn put_if_absent(&mut self, instance: Instance, partition: Partition, address: Address, value: Vec<u8>) {
        self.rows.push(Row { instance, partition, address, value, condition: Condition::Absent });
    }

    /// Notes that the row at `address` can be left out of the next merge.
    ///
    /// The note lives in RAM only. Make it when the row is undecryptable or superseded already: after the slot
    /// commit that killed its key, or in the batch that holds its replacement. Writing the address again withdraws it.
    pub fn retire(&mut self, instance: Instance, partition: Partition, address: Address) {
        self.dead.push((instance, partition, address));
    }

    /// Adds everything in `other` behind what is here.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.dead.extend(other.dead);
    }

    /// Puts the rows into a random order: those of several owners tell nothing of who they are of.
    pub fn shuffle(&mut self, random: &dyn Random) {
        random.shuffle(&mut self.rows);
    }

    /// The number of rows; retired addresses do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.dead.is_empty()
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The bytes it holds in RAM, about.
    pub(super) fn weight(&self) -> usize {
        let values: usize = self.rows.iter().map(|row| row.value.len()).sum();
        values + self.rows.len() * size_of::<Row>() + self.dead.len() * size_of::<(Instance, Partition, Address)>()
    }
}

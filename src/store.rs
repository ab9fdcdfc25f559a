//! The store: sealed bytes at 16-byte addresses, in partitions that are dropped whole.
//!
//! Owns the three databases, the one commit thread that writes them, and what "durable" means. It never looks into
//! a value, never lists rows, never deletes one, and knows no Matrix type. What lies on the disk is described in
//! `doc/storage.md`.

mod batch;
mod engine;
mod fuse;
mod handle;
mod memory;
mod queue;
mod rocks;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{collections::HashSet, path::Path, time::Duration};

pub use self::{
    batch::{Batch, Condition, Row},
    fuse::Fuse,
    handle::Store,
    memory::{MemoryBackend, Written},
    rocks::{RocksBackend, SIZES, Survey, Tally},
};

/// Where a row lies: 16 bytes that look random to whoever lacks the key they were derived with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 16]);

/// One of the three databases; what is written together into one of them can be linked, hence three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instance {
    /// Login records and the doors of federated rooms.
    Records,
    /// Every journal, and the token rows.
    Soup,
    /// Mail to accounts that are cold.
    Inbox,
}

impl Instance {
    /// All of them, in the order in which a group is written.
    pub const ALL: [Self; 3] = [Self::Records, Self::Soup, Self::Inbox];

    /// The name of its directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Soup => "soup",
            Self::Inbox => "inbox",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Records => 0,
            Self::Soup => 1,
            Self::Inbox => 2,
        }
    }
}

/// A lifetime; shorter ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// Ninety days.
    Quarter,
    /// 365 days.
    Year,
    /// Until its owner goes.
    Forever,
}

impl Class {
    /// All of them, the shortest first.
    pub const ALL: [Self; 7] =
        [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year, Self::Forever];

    /// The number that stands for it at rest: 1 to 7.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Hour => 1,
            Self::Day => 2,
            Self::Week => 3,
            Self::Month => 4,
            Self::Quarter => 5,
            Self::Year => 6,
            Self::Forever => 7,
        }
    }

    /// The class that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// The class that a lifetime acts as: the longest within it, at least an hour.
    #[must_use]
    pub fn within(lifetime: Duration) -> Self {
        let fits = |class: &&Self| class.lifetime().is_some_and(|own| own <= lifetime);
        Self::ALL.iter().rev().find(fits).copied().unwrap_or(Self::Hour)
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
            Self::Year => "1y",
            Self::Forever => "forever",
        }
    }

    /// The next longer class.
    #[must_use]
    pub fn longer(self) -> Self {
        Self::from_code(self.code() + 1).unwrap_or(Self::Forever)
    }

    /// How long its rows live; nothing for [`Class::Forever`].
    #[must_use]
    pub fn lifetime(self) -> Option<Duration> {
        const DAY: u64 = 24 * 60 * 60;
        let seconds = match self {
            Self::Hour => 60 * 60,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
            Self::Forever => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// One class during one epoch: what is dropped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The lifetime of its rows.
    pub class: Class,
    /// The number of the epoch within the class; its end stands in the slot table only.
    pub serial: u32,
}

impl Partition {
    /// What does not expire: exists in every instance and cannot be dropped.
    pub const FOREVER: Self = Self { class: Class::Forever, serial: 0 };
}

/// As `[class code, serial]`.
impl serde::Serialize for Partition {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.class.code(), self.serial).serialize(to)
    }
}

impl<'de> serde::Deserialize<'de> for Partition {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (code, serial) = <(u8, u32)>::deserialize(from)?;
        let class = Class::from_code(code).ok_or_else(|| serde::de::Error::custom("an unknown class"))?;
        Ok(Self { class, serial })
    }
}

/// When a commit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the sync that covers it.
    Synced,
    /// After it is written; the sync follows within a second.
    Relaxed,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An address that had to be free is taken (nothing of the batch was written), or a partition that must stay
    /// was to be dropped.
    #[error("the address is taken")]
    Conflict,
    /// The medium failed; what was written last is unknown until the next start.
    #[error("the store cannot read or write")]
    Io,
    /// The store was shut down or has failed before.
    #[error("the store is closed")]
    Closed,
    /// A row was to go into a partition that does not exist.
    #[error("no such partition")]
    UnknownPartition,
    /// What lies on the medium is not what the store wrote.
    #[error("the store is damaged")]
    Corrupt,
}

/// What holds the rows. One commit thread writes; any thread reads.
///
/// Every backend passes the conformance suite in `store/tests.rs`.
pub trait Backend: Send + Sync + 'static {
    /// The row at `address`; nothing when it or the partition does not exist.
    fn get(&self, instance: Instance, partition: Partition, address: &Address) -> Result<Option<Vec<u8>>, Error>;

    /// The rows at `addresses`, in their order.
    fn multi_get(
        &self,
        instance: Instance,
        partition: Partition,
        addresses: &[Address],
    ) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Writes `rows`, later ones over earlier ones: after a crash all rows of one instance are there or none, and if
    /// they are, everything written to that instance before them is. Conditions are already checked. Not synced.
    fn write(&self, rows: &[Row]) -> Result<(), Error>;

    /// Returns when everything written to `instance` before survives a power cut.
    fn sync(&self, instance: Instance) -> Result<(), Error>;

    /// Makes an empty partition, durably; an existing one is left alone.
    fn create_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error>;

    /// Drops a partition with all its rows, durably, also from logs; one that does not exist is fine.
    fn drop_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error>;

    /// The partitions of `instance`, in order.
    fn list_partitions(&self, instance: Instance) -> Result<Vec<Partition>, Error>;

    /// How many files of `instance` lie there that no partition needs: rows that were dropped may be in them.
    fn leftovers(&self, _instance: Instance) -> Result<usize, Error> {
        Ok(0)
    }

    /// Brings a partition into a form that says nothing about the order of its writes, and leaves out the rows at
    /// `dead`. Takes as long as the partition is large; runs beside reads and writes. The caller writes to no
    /// address in `dead` until it returns. A partition that does not exist is fine.
    fn merge(&self, instance: Instance, partition: Partition, dead: &HashSet<Address>) -> Result<(), Error>;

    /// Makes a copy of `instance` as it is now at `to`, which must not exist: whoever opens it finds every row written
    /// so far. Cheap where `to` is on the file system of the data.
    fn checkpoint(&self, instance: Instance, to: &Path) -> Result<(), Error>;
}

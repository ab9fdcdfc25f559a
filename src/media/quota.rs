//! How much each account has uploaded into partitions that still live. In RAM only: at rest nothing tells who uploaded.

use std::collections::HashMap;

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};

use super::Error;
use crate::store::Partition;

/// Bytes on the disk, by account and partition: one entry an account, one number a living partition.
#[derive(Default)]
pub(super) struct Quotas(Mutex<HashMap<OwnedUserId, HashMap<Partition, u64>>>);

impl Quotas {
    /// Counts `size` bytes. An upload that is broken off stays counted: its bytes stay too.
    pub(super) fn charge(&self, user: &UserId, partition: Partition, size: u64, most: u64) -> Result<(), Error> {
        let mut accounts = self.0.lock();
        let held = accounts.entry(user.to_owned()).or_default();
        if held.values().sum::<u64>().saturating_add(size) > most {
            return Err(Error::Quota);
        }
        *held.entry(partition).or_default() += size;
        Ok(())
    }

    /// Forgets a partition.
    pub(super) fn forget(&self, partition: Partition) {
        self.0.lock().retain(|_, held| {
            held.remove(&partition);
            !held.is_empty()
        });
    }
}

//! Backed-up room keys in an account's windows, and their index in RAM.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Account,
    vault::{Backup, VaultChange, VaultLedger},
};
use crate::{
    journal::{self, Journals, Owner, Position, Stream},
    seal::row::Primer,
    store::{Batch, Partition},
};

/// Which backed-up key: version, room, session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupKey {
    /// The backup version.
    pub version: u64,
    /// The room.
    pub room: OwnedRoomId,
    /// The Megolm session.
    pub session: String,
}

/// A backed-up key as it lies in the vault's window; without data it says that the key was deleted.
#[derive(Serialize, Deserialize)]
pub(super) struct BackupRow {
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "r")]
    room: OwnedRoomId,
    #[serde(rename = "s")]
    session: String,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Box<RawValue>>,
}

impl BackupRow {
    pub(super) fn key(&self) -> BackupKey {
        BackupKey { version: self.version, room: self.room.clone(), session: self.session.clone() }
    }
}

/// What there is while a change of the backup is decided.
pub struct Backups<'a> {
    journals: &'a Journals,
    vault: &'a Owner<VaultLedger>,
    index: &'a BTreeMap<BackupKey, Position>,
}

/// A change of the backup.
#[derive(Default)]
pub struct BackupPlan {
    /// Keys to write; those without data are deleted.
    pub keys: Vec<(BackupKey, Option<Box<RawValue>>)>,
    /// What changes beside them.
    pub changes: Vec<VaultChange>,
}

impl Backups<'_> {
    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &VaultLedger {
        &self.vault.ledger
    }

    /// The keys of a version, or those of one of its rooms.
    pub fn keys(&self, version: u64, room: Option<&RoomId>) -> impl Iterator<Item = &BackupKey> {
        of_version(self.index, version).map(|(key, _)| key).filter(move |key| room.is_none_or(|room| key.room == room))
    }

    /// Whether the key is there.
    #[must_use]
    pub fn contains(&self, key: &BackupKey) -> bool {
        self.index.contains_key(key)
    }

    /// Reads a key.
    pub fn read(&self, key: &BackupKey) -> Result<Option<Box<RawValue>>, journal::Error> {
        self.index.get(key).map_or(Ok(None), |position| read(self.journals, self.vault, *position))
    }
}

impl Account {
    /// Makes durable what `decide` derives from the backup as it is, the keys of each room in the partition that
    /// `partitions` names, and gives the entry of `version` and the number of its keys afterwards.
    pub async fn back_up<E: From<journal::Error> + Send>(
        &self,
        journals: &Journals,
        partitions: &(dyn Fn(&RoomId) -> Partition + Sync),
        version: u64,
        decide: impl FnOnce(&Backups<'_>) -> Result<BackupPlan, E> + Send,
    ) -> Result<(Option<Backup>, u64), E> {
        let mut vault = self.vault.write().await;
        let decided = {
            let index = self.backup.read();
            decide(&Backups { journals, vault: &vault, index: &index })?
        };
        let mut batch = Batch::default();
        let mut placed = Vec::with_capacity(decided.keys.len());
        let mut deleted = *self.deleted.lock();
        for (key, data) in decided.keys {
            let partition = partitions(&key.room);
            // What is read last holds: behind the row that this one replaces, or else behind everything deleted.
            let after = self.backup.read().get(&key).copied().unwrap_or(deleted);
            let BackupKey { version, room, session } = key;
            let there = data.is_some();
            let row = BackupRow { version, room, session, data };
            let plain = serde_json::to_vec(&row).map_err(|_| journal::Error::Malformed)?;
            let primer = |_: &VaultLedger| Primer::default();
            let position =
                vault.append_behind(journals, Stream::Backup, partition, after, primer, &plain, &mut batch)?;
            if !there {
                deleted = deleted.max(position);
            }
            placed.push((row.key(), there.then_some(position)));
        }
        *self.deleted.lock() = deleted;
        vault.change(journals, decided.changes, &mut batch)?;
        let done = journals.store.commit(batch).await.map_err(journal::Error::from);
        vault.finish(done)?;
        let mut index = self.backup.write();
        for (key, position) in placed {
            match position {
                Some(position) => index.insert(key, position),
                None => index.remove(&key),
            };
        }
        let entry = vault.ledger.backups.get(&version).filter(|entry| !entry.deleted).cloned();
        if entry.is_none() {
            index.retain(|key, _| key.version != version);
        }
        let count = of_version(&index, version).count() as u64;
        Ok((entry, count))
    }

    /// Shreds backed-up keys that were deleted or replaced: the windows that held them are rewritten under fresh secrets.
    pub async fn shred_backup(&self, journals: &Journals) -> Result<(), journal::Error> {
        let mut vault = self.vault.write().await;
        let index = self.backup.read().clone();
        let mut rewrite = |stream, position, plain: &[u8]| {
            if stream != Stream::Backup {
                return None;
            }
            let row: BackupRow = serde_json::from_slice(plain).ok()?;
            let dead = row.data.is_some() && index.get(&row.key()) != Some(&position);
            if dead { serde_json::to_vec(&BackupRow { data: None, ..row }).ok() } else { None }
        };
        let mut batch = Batch::default();
        let prepared = vault.prepare_rewrite(journals, None, &mut rewrite, &mut batch)?;
        vault.commit_generation(journals, prepared, batch).await
    }

    /// How many keys a backup version has.
    pub fn backed_up_count(&self, version: u64) -> u64 {
        of_version(&self.backup.read(), version).count() as u64
    }

    /// The backed-up keys of a version; of one room or one session of it, when they are given. Keys whose epoch has
    /// ended are left out.
    pub async fn backed_up(
        &self,
        journals: &Journals,
        version: u64,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<Vec<(BackupKey, Box<RawValue>)>, journal::Error> {
        let wanted = |key: &BackupKey| room.is_none_or(|room| key.room == room);
        let places: Vec<_> = {
            let index = self.backup.read();
            match (room, session) {
                (Some(room), Some(session)) => {
                    let key = BackupKey { version, room: room.to_owned(), session: session.to_owned() };
                    index.get_key_value(&key).into_iter().map(owned).collect()
                }
                _ => of_version(&index, version).filter(|(key, _)| wanted(key)).map(owned).collect(),
            }
        };
        let vault = self.vault.write().await;
        let mut keys = Vec::with_capacity(places.len());
        for (key, position) in places {
            if let Some(data) = read(journals, &vault, position)? {
                keys.push((key, data));
            }
        }
        Ok(keys)
    }
}

fn owned((key, position): (&BackupKey, &Position)) -> (BackupKey, Position) {
    (key.clone(), *position)
}

fn of_version(index: &BTreeMap<BackupKey, Position>, version: u64) -> impl Iterator<Item = (&BackupKey, &Position)> {
    index.iter().skip_while(move |(key, _)| key.version < version).take_while(move |(key, _)| key.version == version)
}

fn read(
    journals: &Journals,
    vault: &Owner<VaultLedger>,
    position: Position,
) -> Result<Option<Box<RawValue>>, journal::Error> {
    let Some(plain) = vault.fetch(journals, position)? else { return Ok(None) };
    let row: BackupRow = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
    Ok(row.data)
}

//! Key backups ([spec](https://spec.matrix.org/latest/client-server-api/#server-side-key-backups)).

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{E2ee, Error};
use crate::{
    accounts::{
        Account, BackupKey, BackupPlan, Backups,
        vault::{Backup, VaultChange, VaultLedger},
    },
    rooms::Rooms,
    store::{Class, Partition},
};

/// Keys one backup may hold: each takes a row on the disk, and some 200 bytes of RAM while its account is open.
const MOST_KEYS: u64 = 500_000;
/// Bytes of one backed-up key; real ones have less than two thousand.
const MOST_KEY_BYTES: usize = 64 * 1024;
/// Bytes of a session id; real ones have 43.
const MOST_SESSION_BYTES: usize = 255;
/// Bytes of what a version says about itself.
const MOST_AUTH_BYTES: usize = 64 * 1024;
/// Backup versions an account may ever have; those deleted count, lest a number returns.
const MOST_VERSIONS: usize = 10_000;
/// Backup versions an account may have that are not deleted: clients use the newest and delete the one before.
const MOST_LIVING: usize = 20;

/// Backed-up keys by room and session.
pub type RoomKeys = BTreeMap<OwnedRoomId, BTreeMap<String, Box<RawValue>>>;

/// How a backup stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupState {
    /// How many keys it has.
    pub count: u64,
    /// Another value after every change.
    pub etag: u64,
}

/// A backup version.
pub struct BackupInfo {
    /// Its number.
    pub version: u64,
    /// What it says about itself.
    pub backup: Backup,
    /// How it stands.
    pub state: BackupState,
}

/// What decides which of two copies of a key is the better one.
#[derive(Deserialize)]
struct Worth {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
}

impl E2ee {
    /// Begins a new backup version.
    pub async fn create_backup(&self, account: &Account, algorithm: String, auth_data: Value) -> Result<u64, Error> {
        check_auth(&algorithm, &auth_data)?;
        let mut made = Err(Error::TooMany);
        let decide = |vault: &VaultLedger| {
            let living = vault.backups.values().filter(|backup| !backup.deleted).count();
            if vault.backups.len() >= MOST_VERSIONS || living >= MOST_LIVING {
                return Vec::new();
            }
            let version = vault.backups.get_max().map_or(1, |(last, _)| last + 1);
            made = Ok(version);
            vec![VaultChange::Backup(version, Backup { algorithm, auth_data, etag: 0, deleted: false })]
        };
        account.vault.change(self.journals(), decide).await?;
        made
    }

    /// A backup version, or the current one.
    pub fn backup(&self, account: &Account, version: Option<&str>) -> Result<BackupInfo, Error> {
        let vault = account.view();
        let version = match version {
            Some(text) => number(text)?,
            None => current(&vault).ok_or(Error::NotFound)?,
        };
        let backup = living(&vault, version)?.clone();
        let state = BackupState { count: account.backed_up_count(version), etag: backup.etag };
        Ok(BackupInfo { version, backup, state })
    }

    /// Gives a backup version other data; its algorithm stays. `named` is the version that the body names.
    pub async fn update_backup(
        &self,
        account: &Account,
        version: &str,
        (algorithm, auth_data): (String, Value),
        named: Option<String>,
    ) -> Result<(), Error> {
        check_auth(&algorithm, &auth_data)?;
        if named.is_some_and(|named| named != version) {
            return Err(Error::OtherBackup);
        }
        let version = number(version)?;
        let decide = |vault: &VaultLedger| {
            let before = living(vault, version)?;
            if before.algorithm != algorithm {
                return Err(Error::OtherBackup);
            }
            Ok(vec![VaultChange::Backup(version, Backup { auth_data, ..before.clone() })])
        };
        account.vault.try_change(self.journals(), decide).await
    }

    /// Ends a backup version and shreds its keys. Its number is not used again.
    pub async fn delete_backup(&self, account: &Account, version: &str) -> Result<(), Error> {
        let version = number(version)?;
        let decide = |backups: &Backups<'_>| {
            let etag = living(backups.vault(), version)?.etag + 1;
            // Of a deleted version only the number lasts.
            let gone = Backup { algorithm: String::new(), auth_data: Value::Null, etag, deleted: true };
            Ok::<_, Error>(BackupPlan { keys: Vec::new(), changes: vec![VaultChange::Backup(version, gone)] })
        };
        let partitions = self.backup_partitions().await?;
        account.back_up(self.journals(), &|room| partitions.of(&self.rooms, room), version, decide).await?;
        Ok(account.shred_backup(self.journals()).await?)
    }

    /// Backs keys up. Where a key is there already the better one stays: a verified one, then one that opens more
    /// messages, then one that came a shorter way.
    pub async fn back_up(&self, account: &Account, version: &str, keys: RoomKeys) -> Result<BackupState, Error> {
        for (session, data) in keys.values().flatten() {
            if session.len() > MOST_SESSION_BYTES || data.get().len() > MOST_KEY_BYTES {
                return Err(Error::TooLarge);
            }
        }
        let version = number(version)?;
        self.change_backup(account, version, |backups| {
            match current(backups.vault()) {
                Some(current) if current == version => {}
                Some(current) => {
                    return Err(
                        living(backups.vault(), version).map_or_else(|gone| gone, |_| Error::WrongVersion(current))
                    );
                }
                None => return Err(Error::NotFound),
            }
            let mut better = Vec::new();
            let mut count = backups.keys(version, None).count() as u64;
            for (room, sessions) in keys {
                for (session, data) in sessions {
                    let key = BackupKey { version, room: room.clone(), session };
                    let worth = Worth::of(&data)?;
                    match backups.read(&key)? {
                        Some(there) if !worth.beats(&Worth::of(&there)?) => continue,
                        Some(_) => {}
                        None => count += 1,
                    }
                    better.push((key, Some(data)));
                }
            }
            if count > MOST_KEYS { Err(Error::TooMany) } else { Ok(better) }
        })
        .await
    }

    /// Deletes the keys of a version: all, those of a room, or one.
    pub async fn delete_keys(
        &self,
        account: &Account,
        version: &str,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<BackupState, Error> {
        let version = number(version)?;
        self.change_backup(account, version, |backups| {
            living(backups.vault(), version)?;
            let keys = backups.keys(version, room).filter(|key| session.is_none_or(|session| key.session == session));
            Ok(keys.map(|key| (key.clone(), None)).collect())
        })
        .await
    }

    /// The keys of a version: all, those of a room, or one.
    pub async fn backed_up(
        &self,
        account: &Account,
        version: &str,
        room: Option<&RoomId>,
        session: Option<&str>,
    ) -> Result<RoomKeys, Error> {
        let version = number(version)?;
        living(&account.view(), version)?;
        let mut keys = RoomKeys::default();
        for (key, data) in account.backed_up(self.journals(), version, room, session).await? {
            keys.entry(key.room).or_default().insert(key.session, data);
        }
        Ok(keys)
    }

    async fn change_backup<F>(&self, account: &Account, version: u64, decide: F) -> Result<BackupState, Error>
    where
        F: FnOnce(&Backups<'_>) -> Result<Vec<(BackupKey, Option<Box<RawValue>>)>, Error> + Send,
    {
        let partitions = self.backup_partitions().await?;
        let plan = |backups: &Backups<'_>| {
            let keys = decide(backups)?;
            let mut plan = BackupPlan { keys, changes: Vec::new() };
            if !plan.keys.is_empty() {
                let before = living(backups.vault(), version)?;
                let after = Backup { etag: before.etag + 1, ..before.clone() };
                plan.changes.push(VaultChange::Backup(version, after));
            }
            Ok::<_, Error>(plan)
        };
        let (entry, count) =
            account.back_up(self.journals(), &|room| partitions.of(&self.rooms, room), version, plan).await?;
        Ok(BackupState { count, etag: entry.ok_or(Error::NotFound)?.etag })
    }
}

/// Where backed-up keys are filed now, by the class of their rooms.
struct BackupPartitions(BTreeMap<Class, Partition>);

impl BackupPartitions {
    /// The one for the keys of a room: where nobody has it open, that of the default.
    fn of(&self, rooms: &Rooms, room: &RoomId) -> Partition {
        let known = rooms.find(room).and_then(|room| self.0.get(&room.view().class()));
        known.or_else(|| self.0.get(&rooms.policy().lifetimes.default)).copied().unwrap_or(Partition::FOREVER)
    }
}

impl E2ee {
    /// A key lives one class longer than the messages it opens: those that came last would else outlive it.
    async fn backup_partitions(&self) -> Result<BackupPartitions, Error> {
        let mut partitions = BTreeMap::new();
        for class in self.rooms.classes() {
            let partition = self.journals().epochs.current(class.longer()).await;
            partitions.insert(class, partition.map_err(crate::accounts::Error::from)?);
        }
        Ok(BackupPartitions(partitions))
    }
}

impl Worth {
    fn of(data: &RawValue) -> Result<Self, Error> {
        serde_json::from_str(data.get()).map_err(|_| Error::Malformed)
    }

    fn beats(&self, other: &Self) -> bool {
        let rank = |worth: &Self| (!worth.is_verified, worth.first_message_index, worth.forwarded_count);
        rank(self) < rank(other)
    }
}

/// The number of a version. Clients name versions as they got them: anything else is none.
pub(super) fn number(text: &str) -> Result<u64, Error> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text).ok_or(Error::NotFound)
}

fn living(vault: &VaultLedger, version: u64) -> Result<&Backup, Error> {
    vault.backups.get(&version).filter(|backup| !backup.deleted).ok_or(Error::NotFound)
}

/// The version that keys go to: the newest that was not deleted.
fn current(vault: &VaultLedger) -> Option<u64> {
    vault.backups.iter().rev().find(|(_, backup)| !backup.deleted).map(|(version, _)| *version)
}

fn check_auth(algorithm: &str, auth_data: &Value) -> Result<(), Error> {
    let size = serde_json::to_vec(auth_data).map_err(|_| Error::Malformed)?.len() + algorithm.len();
    if size > MOST_AUTH_BYTES { Err(Error::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_key_stays() {
        let worth = |is_verified, first_message_index, forwarded_count| Worth {
            first_message_index,
            forwarded_count,
            is_verified,
        };
        let ladder = [worth(true, 0, 0), worth(true, 0, 5), worth(true, 9, 0), worth(false, 0, 0), worth(false, 0, 1)];
        for (at, one) in ladder.iter().enumerate() {
            for (other_at, other) in ladder.iter().enumerate() {
                assert_eq!(one.beats(other), at < other_at);
            }
        }
    }

    #[test]
    fn versions_are_named_as_they_were_given() {
        assert_eq!(number("12"), Ok(12));
        for text in ["", "01", "+1", "-1", "1.0", "a", "99999999999999999999"] {
            assert_eq!(number(text), Err(Error::NotFound));
        }
    }
}

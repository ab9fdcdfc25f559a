//! Key backups ([spec](https://spec.matrix.org/latest/client-server-api/#server-side-key-backups)).

use std::{collections::BTreeMap, fmt};

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

/// What clients call a backup version: its number, and after a restore the life of the server. So each of them finds that
/// its version is no longer the current one, takes up the same backup under its new name, and brings the keys again that
/// it has backed up since the copy was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionName {
    number: u64,
    incarnation: u32,
}

impl VersionName {
    /// Reads a name as it was given to clients; nothing for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, incarnation) = text.split_once('.').unwrap_or((text, "0"));
        let name = Self { number: number.parse().ok()?, incarnation: incarnation.parse().ok()? };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.incarnation {
            0 => write!(f, "{}", self.number),
            incarnation => write!(f, "{}.{incarnation}", self.number),
        }
    }
}

/// A backup version.
pub struct BackupInfo {
    /// Its name.
    pub version: VersionName,
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
    pub async fn create_backup(
        &self,
        account: &Account,
        algorithm: String,
        auth_data: Value,
    ) -> Result<VersionName, Error> {
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
        Ok(self.name(made?))
    }

    fn name(&self, number: u64) -> VersionName {
        VersionName { number, incarnation: self.journals().slots.incarnation().number }
    }

    /// The number of the version that keys are to go to.
    ///
    /// # Errors
    /// [`Error::WrongVersion`] when it is called by its name of before a restore: the client looks for the current one.
    fn number_for_keys(&self, account: &Account, text: &str) -> Result<u64, Error> {
        self.number(text).map_err(|error| {
            let vault = account.view();
            let before = VersionName::parse(text).filter(|named| living(&vault, named.number).is_ok());
            let current = before.and_then(|_| current(&vault));
            current.map_or(error, |current| Error::WrongVersion(self.name(current)))
        })
    }

    /// The number of a version as it is called now.
    fn number(&self, text: &str) -> Result<u64, Error> {
        let named = VersionName::parse(text).filter(|named| *named == self.name(named.number));
        named.map(|named| named.number).ok_or(Error::NotFound)
    }

    /// A backup version, or the current one.
    pub fn backup(&self, account: &Account, version: Option<&str>) -> Result<BackupInfo, Error> {
        let vault = account.view();
        let version = match version {
            Some(text) => self.number(text)?,
            None => current(&vault).ok_or(Error::NotFound)?,
        };
        let backup = living(&vault, version)?.clone();
        let state = BackupState { count: account.backed_up_count(version), etag: backup.etag };
        Ok(BackupInfo { version: self.name(version), backup, state })
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
        let version = self.number(version)?;
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
        let version = self.number(version)?;
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
        let version = self.number_for_keys(account, version)?;
        self.change_backup(account, version, |backups| {
            match current(backups.vault()) {
                Some(current) if current == version => {}
                Some(current) => {
                    return Err(living(backups.vault(), version)
                        .map_or_else(|gone| gone, |_| Error::WrongVersion(self.name(current))));
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
        let version = self.number(version)?;
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
        let version = self.number(version)?;
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
        for text in ["12", "0", "3.1", "3.4095"] {
            assert_eq!(VersionName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "01", "+1", "-1", "1.0", "1.", ".1", "1.01", "1.1.1", "a", "99999999999999999999"] {
            assert!(VersionName::parse(text).is_none(), "{text}");
        }
    }
}

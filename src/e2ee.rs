//! End-to-end encryption, as far as a server has part in it: it keeps public keys, hands each one-time key out once,
//! carries messages between devices and stores backups that it cannot read
//! ([spec](https://spec.matrix.org/latest/client-server-api/#end-to-end-encryption)).
//!
//! Owns the rules for keys, signatures, to-device messages and backups. What is stored lies in the house (public keys)
//! and in vaults; nothing here is kept anywhere else but the ids of recent to-device requests, in RAM.

mod backup;
mod claim;
mod cross_signing;
mod dehydrated;
mod query;
mod signatures;
mod signed;
mod to_device;
mod upload;

use std::sync::Arc;

pub use self::{
    backup::{BackupInfo, BackupState, RoomKeys, VersionName},
    claim::{Claimed, Wanted},
    cross_signing::SigningKeys,
    dehydrated::Batch,
    query::Queried,
    signatures::{Refusals, Signed},
    to_device::{Contents, Sending},
    upload::Upload,
};
use crate::{
    accounts::{self, Account, Accounts, vault::value_size},
    house::{self, House},
    journal::{self, Journals},
    rooms::Rooms,
};

/// What can go wrong with keys and backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The keys name another account or device than the one that uploads them.
    #[error("the keys are another device's")]
    NotYours,
    /// Keys without the shape that the specification gives them.
    #[error("the keys are malformed")]
    Malformed,
    /// A one-time key of that id is there already, and it is another.
    #[error("the one-time key exists already")]
    Exists,
    /// A key, or a message, larger than is taken.
    #[error("too large")]
    TooLarge,
    /// More keys or receivers than are taken.
    #[error("too many")]
    TooMany,
    /// A signature that must be there is absent or wrong.
    #[error("the signature is invalid")]
    InvalidSignature,
    /// A cross-signing key was uploaded before there was a master key.
    #[error("there is no master key")]
    NoMaster,
    /// Cross-signing keys are replaced only by who knows the password.
    #[error("the user has to authenticate")]
    Unauthorised,
    /// The id is that of a device that is logged in.
    #[error("the device id is in use")]
    DeviceInUse,
    /// The device is not the dehydrated one.
    #[error("not the dehydrated device")]
    NotDehydrated,
    /// There is no such key, session or backup.
    #[error("not found")]
    NotFound,
    /// The backup has moved on to this version.
    #[error("another backup version is current")]
    WrongVersion(VersionName),
    /// A new form of a backup version names another algorithm or version.
    #[error("the backup cannot be changed like this")]
    OtherBackup,
    /// The account failed.
    #[error("the account failed")]
    Account(#[from] accounts::Error),
    /// The house sleeps or failed.
    #[error("the house is not there")]
    House(#[from] house::Error),
    /// The vault failed.
    #[error("the vault failed")]
    Journal(#[from] journal::Error),
}

/// The largest cross-signing key taken, in bytes of JSON: real ones have a few hundred, and signatures of all of an
/// account's devices gather on its master key.
const MOST_KEY_BYTES: usize = 32 * 1024;

/// Everything devices ask of a server for encryption.
pub struct E2ee {
    accounts: Arc<Accounts>,
    rooms: Arc<Rooms>,
    sending: Sending,
}

impl E2ee {
    /// Encryption support on the accounts of `rooms`.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>) -> Self {
        Self { accounts: Arc::clone(rooms.accounts()), rooms, sending: Sending::default() }
    }

    /// Wakes the syncs of everybody who is told of a change of the account's devices or keys.
    pub fn announce(&self, account: &Account) {
        self.rooms.notify_neighbours(account);
    }

    fn house(&self) -> &House {
        &self.accounts.house
    }

    fn journals(&self) -> &Journals {
        self.accounts.journals()
    }
}

/// A door for fuzz targets: the number that names a backup version.
#[cfg(any(test, fuzzing))]
pub(crate) fn backup_version(text: &str) -> Option<u64> {
    VersionName::parse(text)?.to_string().parse().ok()
}

/// Refuses a key that has more bytes than `most` as JSON.
fn check_size(key: &serde_json::Value, most: usize) -> Result<(), Error> {
    if value_size(key) > most { Err(Error::TooLarge) } else { Ok(()) }
}

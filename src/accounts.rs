//! Accounts: login records, tokens, vaults. An account is *cold* until its first request since the start, then open
//! until the process ends, or until it is idle where the operator wants that.
//!
//! Owns everything that turns a password or token into an open vault and back into nothing. Knows rooms only as names
//! and keys in a vault.

mod account;
mod backup;
mod credentials;
mod deliver;
mod devices;
mod ending;
mod error;
mod expiry;
mod house_key;
mod idle;
mod login;
mod login_token;
mod mail;
mod password;
mod profile;
mod queue;
mod record;
mod register;
mod reports;
mod reset;
mod sessions;
mod standing;
mod token_row;
pub mod vault;
mod wake;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, UserId};
use tokio::sync::{OnceCell, Semaphore};

use self::login_token::LoginTokens;
pub use self::{
    account::{Account, ToDevice},
    backup::{BackupKey, BackupPlan, Backups},
    deliver::Addressed,
    error::Error,
    login::{LoggedIn, NewDevice},
    mail::{Letter, Mailbox},
    profile::ProfileError,
    reports::{LONGEST_REASON, Listed, Report, Subject},
    reset::{Named, Reset},
    standing::Standing,
};
use crate::{
    clock::{Clock, Timestamp},
    house::House,
    journal::{Journals, TOGETHER, renew_together},
    seal::{slots::SlotId, token::Token},
    store::Class,
};

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    pub(crate) use super::mail::fuzzing::Reader as MailReader;
    use super::{
        OwnedDeviceId, account::ToDevice, backup::BackupRow, credentials::Opening, record::LoginRecord,
        reports::ReportRow,
    };

    /// The device that the inside of a wrap names.
    pub(crate) fn read_opening(bytes: &[u8]) -> Option<OwnedDeviceId> {
        let opening = Opening::decode(bytes)?;
        assert!(opening.encode().ok().and_then(|written| Opening::decode(&written)).is_some());
        opening.device
    }

    /// How many lives a login record has.
    pub(crate) fn read_record(bytes: &[u8]) -> Option<usize> {
        let record: LoginRecord = serde_json::from_slice(bytes).ok()?;
        Some(record.0.len())
    }

    /// Reads a row of a vault's windows and writes it again: a message between devices, a backed-up key or a report.
    pub(crate) fn rewrite_row(kind: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let written = match kind % 3 {
            0 => serde_json::to_vec(&serde_json::from_slice::<ToDevice>(bytes).ok()?),
            1 => serde_json::to_vec(&serde_json::from_slice::<BackupRow>(bytes).ok()?),
            _ => serde_json::to_vec(&serde_json::from_slice::<ReportRow>(bytes).ok()?),
        };
        Some(written.expect("what was read can be written"))
    }
}

/// What of the configuration accounts depend on.
#[derive(Clone)]
pub struct Policy {
    /// The server's name.
    pub server_name: OwnedServerName,
    /// Memory of one password hash, in KiB.
    pub kdf_memory_kib: u32,
    /// Passes of one password hash.
    pub kdf_passes: u32,
    /// Password hashes at once.
    pub kdf_permits: usize,
    /// Devices one account may have: each is a token row and a vault entry for the inactivity lifetime.
    pub most_devices: usize,
    /// Rooms one account may have: each is a key in its vault, and in memory while it is open.
    pub most_rooms: usize,
    /// How long a device lives without being used.
    pub inactivity: Class,
    /// How long to-device messages wait.
    pub to_device: Class,
    /// After how long without a request an account is closed; nothing where it stays open.
    pub idle: Option<Duration>,
    /// After how long rooms forget who ended his account; nothing where they never do unasked.
    pub parted: Option<Duration>,
    /// How long an access token bought with a refresh token lives.
    pub access_lifetime: Duration,
    /// Passwords that are easier to guess are refused.
    pub least_guesses: f64,
    /// Whether new accounts get a Matrix id that is not their login name.
    pub random_localpart: bool,
    /// A name that nobody can register: notices come from it.
    pub reserved: Option<String>,
}

/// Every account.
pub struct Accounts {
    journals: Journals,
    clock: Arc<dyn Clock>,
    /// The house.
    pub house: Arc<House>,
    policy: Policy,
    open: RwLock<HashMap<String, Arc<OnceCell<Arc<Account>>>>>,
    sessions: RwLock<HashMap<[u8; 32], Known>>,
    login_tokens: LoginTokens,
    hashing: Semaphore,
    waiting: Semaphore,
    registering: tokio::sync::Mutex<()>,
    /// Held while several vaults are held at once.
    renewing: tokio::sync::Mutex<()>,
    /// Held while an open account gets another mail key: house and vault must name the same one afterwards.
    remailing: tokio::sync::Mutex<()>,
    mailbox: Mailbox,
    reports: reports::Reports,
    wakers: RwLock<Vec<Weak<dyn Wakes>>>,
}

/// Password hashes that may wait for a permit; more are told to come back.
const MOST_WAITING: usize = 64;

/// Who uses the account from where, as far as this process knows.
#[derive(Clone)]
pub struct Session {
    /// The account, open.
    pub account: Arc<Account>,
    /// The device.
    pub device: OwnedDeviceId,
    /// The slot of the token that opened it.
    pub(crate) slot: SlotId,
    /// The token whose row opened it: an access token, or the refresh token that bought one.
    pub(crate) durable: Token,
}

struct Known {
    session: Session,
    expires: Option<Timestamp>,
}

/// What happens elsewhere when an account opens or is to close: its rooms open, what it has put off goes on.
pub trait Wakes: Send + Sync {
    /// Called each time the account opens, before the request that opened it goes on.
    fn woke(&self, account: Arc<Account>) -> futures_like::BoxFuture<'_, ()> {
        drop(account);
        Box::pin(std::future::ready(()))
    }

    /// Called before an account that is idle closes: lets go of it, and of what is known of it beside its vault. It may turn
    /// out to be in use and stay open: what is let go of here must come again by itself.
    fn rests<'a>(&'a self, account: &'a Arc<Account>) -> futures_like::BoxFuture<'a, ()> {
        let _ = account;
        Box::pin(std::future::ready(()))
    }
}

/// The boxed future of a port.
pub mod futures_like {
    /// A boxed, sendable future.
    pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
}

impl Accounts {
    /// Accounts on `journals`; all are cold.
    #[must_use]
    pub fn new(journals: Journals, clock: Arc<dyn Clock>, house: Arc<House>, policy: Policy) -> Self {
        let permits = policy.kdf_permits.max(1);
        Self {
            mailbox: Mailbox::new(journals.clone(), Arc::clone(&clock), policy.to_device),
            journals,
            clock,
            house,
            policy,
            open: RwLock::default(),
            sessions: RwLock::default(),
            login_tokens: LoginTokens::default(),
            hashing: Semaphore::new(permits),
            waiting: Semaphore::new(permits + MOST_WAITING),
            registering: tokio::sync::Mutex::new(()),
            renewing: tokio::sync::Mutex::new(()),
            remailing: tokio::sync::Mutex::new(()),
            reports: reports::Reports::default(),
            wakers: RwLock::default(),
        }
    }

    /// Adds who is told of an account that opens, for as long as he is there, after those before him. Called while the
    /// server is put together.
    pub fn on_wake(&self, waker: &Arc<dyn Wakes>) {
        self.wakers.write().push(Arc::downgrade(waker));
    }

    /// The account, when it is open.
    #[must_use]
    pub fn open(&self, user: &UserId) -> Option<Arc<Account>> {
        if user.server_name() != self.policy.server_name {
            return None;
        }
        self.open.read().get(user.localpart())?.get().filter(|account| account.vault.stopped().is_none()).cloned()
    }

    /// Whether the account is neither open nor about to be. Whoever opens it does so before he opens its rooms.
    #[must_use]
    pub fn is_cold(&self, user: &UserId) -> bool {
        user.server_name() != self.policy.server_name || !self.open.read().contains_key(user.localpart())
    }

    /// Every open account.
    #[must_use]
    pub fn all_open(&self) -> Vec<Arc<Account>> {
        let open = self.open.read();
        let living = |cell: &Arc<OnceCell<Arc<Account>>>| {
            cell.get().filter(|account| account.vault.stopped().is_none()).cloned()
        };
        open.values().filter_map(living).collect()
    }

    /// Whether `user` is an account of this server that lives. Needs the house awake.
    pub fn exists(&self, user: &UserId) -> Result<bool, Error> {
        Ok(self.entry(user)?.is_some())
    }

    /// Gives the vault of every open account that changed a new generation.
    ///
    /// # Errors
    /// The last error; the other vaults have their generation all the same.
    pub async fn renew_generations(&self) -> Result<(), Error> {
        let _alone = self.renewing.lock().await;
        let mut outcome = Ok(());
        for accounts in self.all_open().chunks(TOGETHER) {
            let vaults: Vec<_> = accounts.iter().map(|account| &account.vault).collect();
            outcome = renew_together(&self.journals, &vaults).await.and(outcome);
        }
        Ok(outcome?)
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The journals accounts lie in.
    #[must_use]
    pub fn journals(&self) -> &Journals {
        &self.journals
    }

    /// The mailbox of cold accounts.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The login name as it is filed: a localpart or a whole Matrix id of this server, in any case.
    #[must_use]
    pub fn localpart_of(&self, name: &str) -> Option<String> {
        let Some(id) = name.strip_prefix('@') else { return Some(self.folded(name)) };
        let (localpart, server) = id.split_once(':')?;
        (server == self.policy.server_name.as_str()).then(|| self.folded(localpart))
    }

    /// The Matrix id of a localpart of this server.
    pub fn user_id(&self, localpart: &str) -> Result<OwnedUserId, Error> {
        UserId::parse(format!("@{localpart}:{}", self.policy.server_name)).map_err(|_| Error::InvalidName)
    }
}

//! Login records: at an address derived from the login name, what a password needs to open the account.
//!
//! Static: it changes with the password only. It names the account slot, never the vault's.

use serde::{Deserialize, Serialize};

use super::{Accounts, Error, credentials::Opening};
use crate::{
    seal::{
        derive::{Usage, address, derive},
        password::{Kdf, unwrap},
        row::{Context, RowKind, open_one, seal_one},
        slots::SlotId,
    },
    secret::Key,
    store::{Address, Batch, Instance, Partition},
};

/// Every life of an account name; at most one has a living slot.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LoginRecord(pub(super) Vec<Life>);

/// One life: from a registration to its end.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Life {
    /// The account slot.
    #[serde(rename = "a")]
    pub(super) account: SlotId,
    /// The passwords; during a change the new one stands beside the old.
    #[serde(rename = "w")]
    pub(super) wraps: Vec<PasswordWrap>,
}

impl Life {
    /// Whether it only says that the account of this name has ended.
    pub(super) fn is_mark(&self) -> bool {
        self.wraps.is_empty()
    }
}

/// One password.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PasswordWrap {
    /// The wrap's slot.
    #[serde(rename = "s")]
    pub(super) slot: SlotId,
    /// How the password is hashed.
    #[serde(rename = "h")]
    pub(super) kdf: Kdf,
    /// The wrap.
    #[serde(rename = "w", with = "crate::seal::text")]
    pub(super) wrap: Vec<u8>,
}

impl Accounts {
    /// The record of a login name, whatever of it lives.
    pub(super) fn record(&self, name: &str) -> Result<LoginRecord, Error> {
        let (key, address) = self.record_place(name);
        let Some(row) = self.journals.store.get(Instance::Records, Partition::FOREVER, &address)? else {
            return Ok(LoginRecord::default());
        };
        let plain = open_one(&key, CONTEXT, &address, row).map_err(|_| crate::journal::Error::Broken)?;
        serde_json::from_slice(&plain).map_err(|_| crate::journal::Error::Malformed.into())
    }

    /// The life whose account slot exists.
    pub(super) fn living(&self, name: &str) -> Result<Option<Life>, Error> {
        let record = self.record(name)?;
        Ok(record.0.into_iter().find(|life| self.journals.slots.contains(&life.account)))
    }

    /// Whether an account of this name was ended: its record says so beside the life that is gone. A registration that
    /// was cut leaves a life with wraps, and the name is free.
    pub(super) fn ended(&self, name: &str) -> Result<bool, Error> {
        Ok(self.record(name)?.0.iter().any(Life::is_mark))
    }

    /// Puts the record into `batch`, dropping what is dead in it.
    pub(super) fn put_record(&self, name: &str, record: &LoginRecord, batch: &mut Batch) -> Result<(), Error> {
        let (key, address) = self.record_place(name);
        let plain = serde_json::to_vec(record).map_err(|_| crate::journal::Error::Malformed)?;
        let row = seal_one(&key, CONTEXT, &address, &plain, self.journals.random.as_ref())?;
        batch.put(Instance::Records, Partition::FOREVER, address, row);
        Ok(())
    }

    /// What `stretched` opens among the wraps of `life`.
    pub(super) fn open_wrap(&self, life: &Life, wrap: &PasswordWrap, stretched: &Key) -> Option<Opening> {
        let slot = self.journals.slots.value(&wrap.slot)?;
        let account = self.journals.slots.value(&life.account)?;
        Opening::decode(&unwrap(&slot, &account, stretched, &wrap.wrap)?)
    }

    fn record_place(&self, name: &str) -> (Key, Address) {
        let server = self.journals.slots.server_key();
        (derive(Usage::LoginCipher, &server, &[]), address(&server, Usage::LoginAddress, name.as_bytes()))
    }
}

const CONTEXT: Context = Context { partition: Partition::FOREVER, kind: RowKind::Login };

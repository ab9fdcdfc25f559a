//! How an account stands with the server's administrators: it may be locked or suspended, and may be one of them.

use ruma::UserId;

use super::{Account, Accounts, Error};
use crate::house::{AccountEntry, HouseChange, HouseLedger};

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may do everything.
    Good,
    /// It may read, leave and log out, not take part.
    Suspended,
    /// It may log out.
    Locked,
}

impl From<&AccountEntry> for Standing {
    fn from(entry: &AccountEntry) -> Self {
        match entry {
            AccountEntry { locked: true, .. } => Self::Locked,
            AccountEntry { suspended: true, .. } => Self::Suspended,
            _ => Self::Good,
        }
    }
}

impl Accounts {
    /// How an open account stands.
    pub fn standing(&self, account: &Account) -> Result<Standing, Error> {
        let house = self.house.view()?;
        let entry = house.accounts.get(account.user_id.localpart()).filter(|entry| entry.slot == account.slot);
        Ok(entry.map_or(Standing::Good, Standing::from))
    }

    /// Whether an account is locked, open or cold; nobody is while the house sleeps.
    #[must_use]
    pub fn is_locked(&self, user: &UserId) -> bool {
        self.has_noted(user, |entry| entry.locked)
    }

    /// Whether the usual limit of rate does not hold for an account.
    #[must_use]
    pub fn is_unlimited(&self, user: &UserId) -> bool {
        self.has_noted(user, |entry| entry.unlimited)
    }

    fn has_noted(&self, user: &UserId, what: impl Fn(&AccountEntry) -> bool) -> bool {
        if user.server_name() != self.policy.server_name {
            return false;
        }
        let Ok(house) = self.house.view() else { return false };
        let entry = house.accounts.get(user.localpart());
        entry.is_some_and(|entry| what(entry) && self.journals.slots.contains(&entry.slot))
    }

    /// What the house knows of an account of this server that lives.
    pub fn entry(&self, user: &UserId) -> Result<Option<AccountEntry>, Error> {
        if user.server_name() != self.policy.server_name {
            return Ok(None);
        }
        let house = self.house.view()?;
        Ok(house.accounts.get(user.localpart()).filter(|entry| self.journals.slots.contains(&entry.slot)).cloned())
    }

    /// Changes what the house notes of an account, durably; syncs of a locked one that wait are told.
    ///
    /// # Errors
    /// [`Error::NotFound`] for who has no account here.
    pub async fn note(&self, user: &UserId, change: impl FnOnce(&mut AccountEntry) + Send) -> Result<(), Error> {
        self.entry(user)?.ok_or(Error::NotFound)?;
        let name = user.localpart();
        let decide = |house: &HouseLedger| {
            let entry = house.accounts.get(name).cloned().map(|mut entry| {
                change(&mut entry);
                entry
            });
            entry.map(|entry| HouseChange::Account(name.to_owned(), Some(entry))).into_iter().collect()
        };
        self.house.change(decide).await?;
        if let Some(account) = self.open(user) {
            account.notify();
        }
        Ok(())
    }

    /// Fails for an account that is locked.
    pub(super) fn check_unlocked(&self, account: &Account) -> Result<(), Error> {
        match self.standing(account)? {
            Standing::Locked => Err(Error::Locked),
            Standing::Good | Standing::Suspended => Ok(()),
        }
    }
}

//! Accounts as administrators see and change them.

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use serde::Serialize;

use super::Error;
use crate::{
    accounts::{
        self, Named, Reset,
        vault::{Device, Fact},
    },
    engine::Engine,
    house::{AccountEntry, HouseLedger},
    secret::SecretText,
};

/// An account as administrators see it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown by its name")]
#[derive(Clone, Serialize)]
pub struct UserShown {
    /// Its Matrix id.
    pub user_id: OwnedUserId,
    /// What it calls itself.
    pub displayname: Option<String>,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// Whether it may administer the server.
    pub admin: bool,
    /// Whether it is locked.
    pub locked: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether the usual limit of rate does not hold for it.
    pub unlimited: bool,
    /// Whether its key is in memory: somebody has used it since the server started.
    pub open: bool,
}

/// A device as administrators see it.
pub struct DeviceShown {
    /// Its id.
    pub id: OwnedDeviceId,
    /// The day it was last seen, in days since the epoch; unknown while the account is cold.
    pub seen_day: Option<u64>,
}

impl Engine {
    /// Every living account, by name.
    pub fn users(&self) -> Result<Vec<UserShown>, Error> {
        if !self.house.exists() {
            return Ok(Vec::new());
        }
        let house = self.house.view()?;
        let slots = &self.journals.slots;
        let living = house.accounts.iter().filter(|(_, entry)| slots.contains(&entry.slot));
        let shown = living.map(|(name, entry)| Ok(self.shown(&house, self.accounts.user_id(name)?, entry)));
        shown.collect()
    }

    /// One living account.
    pub fn user(&self, user: &UserId) -> Result<UserShown, Error> {
        let entry = self.accounts.entry(user)?.ok_or(Error::UnknownUser)?;
        Ok(self.shown(&*self.house.view()?, user.to_owned(), &entry))
    }

    fn shown(&self, house: &HouseLedger, user_id: OwnedUserId, entry: &AccountEntry) -> UserShown {
        let profile = house.profiles.get(user_id.localpart());
        let text = |field| profile.and_then(|profile| profile.text(field)).map(str::to_owned);
        UserShown {
            displayname: text("displayname"),
            avatar_url: text("avatar_url"),
            admin: entry.admin,
            locked: entry.locked,
            suspended: entry.suspended,
            unlimited: entry.unlimited,
            open: self.accounts.open(&user_id).is_some(),
            user_id,
        }
    }

    /// The account that `name` means: a login name, a Matrix id or its localpart.
    pub fn named(&self, name: &str) -> Result<Named, Error> {
        if !self.house.exists() {
            return Err(Error::UnknownUser);
        }
        self.accounts.named(name)?.ok_or(Error::UnknownUser)
    }

    /// Changes what the house notes of an account.
    pub async fn note(&self, user: &UserId, change: impl FnOnce(&mut AccountEntry) + Send) -> Result<(), Error> {
        self.accounts.note(user, change).await.map_err(unknown)
    }

    /// Ends every device of an account, which must be open: only its vault knows them.
    pub async fn logout(&self, user: &UserId) -> Result<(), Error> {
        self.accounts.entry(user)?.ok_or(Error::UnknownUser)?;
        let account = self.accounts.open(user).ok_or(Error::Cold)?;
        Ok(self.accounts.logout_all(&account).await?)
    }

    /// The devices of an account: all while it is open, else those whose keys are public.
    pub fn devices(&self, user: &UserId) -> Result<Vec<DeviceShown>, Error> {
        self.accounts.entry(user)?.ok_or(Error::UnknownUser)?;
        if let Some(account) = self.accounts.open(user) {
            let view = account.view();
            let shown = |(id, device): (&OwnedDeviceId, &Device)| DeviceShown {
                id: id.clone(),
                seen_day: Some(device.seen_day),
            };
            return Ok(view.devices.iter().map(shown).collect());
        }
        let house = self.house.view()?;
        let public = house.devices_of(user.localpart());
        Ok(public.map(|(id, _)| DeviceShown { id: id.clone(), seen_day: None }).collect())
    }

    /// Ends devices of an account, which must be open: only its vault knows their tokens.
    pub async fn end_devices(&self, user: &UserId, devices: &[OwnedDeviceId]) -> Result<(), Error> {
        self.accounts.entry(user)?.ok_or(Error::UnknownUser)?;
        let account = self.accounts.open(user).ok_or(Error::Cold)?;
        let view = account.view();
        let known: Vec<_> = devices.iter().filter(|id| view.devices.contains_key(*id)).cloned().collect();
        Ok(self.accounts.end_devices(&account, &known).await?)
    }

    /// The rooms that an account is joined to, which must be open: only its vault knows them.
    pub fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, Error> {
        self.accounts.entry(user)?.ok_or(Error::UnknownUser)?;
        let view = self.accounts.open(user).ok_or(Error::Cold)?.view();
        let joined = view.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        Ok(joined.map(|(id, _)| id.clone()).collect())
    }

    /// Gives an account another password. With `abandon`, what only the old one opened is given up and the account
    /// begins anew; without, a cold account gets it when it comes.
    pub async fn reset_password(
        &self,
        named: &Named,
        password: SecretText,
        end_devices: bool,
        abandon: bool,
    ) -> Result<Reset, Error> {
        if !abandon {
            return self.accounts.reset_password(&named.user, password, end_devices).await.map_err(unknown);
        }
        if named.login.is_none() {
            return Err(Error::NoLoginName);
        }
        self.abandon(named, password).await.map_err(unknown)?;
        Ok(Reset::Done)
    }
}

/// An account that ended since it was looked up.
fn unknown(error: accounts::Error) -> Error {
    match error {
        accounts::Error::NotFound => Error::UnknownUser,
        error => error.into(),
    }
}

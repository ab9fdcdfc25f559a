//! Passwords set by somebody else than their owner (keys.md §2, "reset").
//!
//! Nobody but the account itself holds its key, so a reset either waits for the account to come, or gives it up: a fresh
//! life with the same name, whose rooms heal as soon as a co-member is open.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    Account, Accounts, Error, Letter,
    password::{Ends, Stretched},
    record::Life,
};
use crate::{
    house::{AccountEntry, HouseChange, HouseLedger},
    seal::{mail::mail_pair, password::Kdf, slots::Change},
    secret::{Key, SecretText},
    store::Batch,
};

/// What became of a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The new password is the account's.
    Done,
    /// It will be, at the next request of one of the account's devices, or at a login with the old password, which is
    /// then refused. Until then the old one stays good.
    Waits,
}

/// A password on its way to a cold account.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewPassword {
    #[serde(rename = "h")]
    kdf: Kdf,
    #[serde(rename = "k")]
    key: Key,
    /// Whether it ends every device.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    end_devices: bool,
}

/// An account as an administrator names it.
#[derive(Clone)]
pub struct Named {
    /// Its Matrix id.
    pub user: OwnedUserId,
    /// What the house knows of it.
    pub entry: AccountEntry,
    /// Its login name, as far as it follows from the name given or from the open vault.
    pub login: Option<String>,
}

impl Accounts {
    /// The living account that `name` means: a Matrix id, whole or in part, or a login name.
    pub fn named(&self, name: &str) -> Result<Option<Named>, Error> {
        let house = self.house.view()?;
        let Some(name) = self.localpart_of(name) else { return Ok(None) };
        let lives = |entry: &AccountEntry| self.journals.slots.contains(&entry.slot);
        let life = self.living(&name)?.map(|life| life.account);
        let by_login = life.and_then(|slot| house.accounts.iter().find(|(_, entry)| entry.slot == slot));
        let by_id = house.accounts.get_key_value(&name).filter(|(_, entry)| lives(entry));
        let Some((localpart, entry)) = by_id.or(by_login) else { return Ok(None) };
        let user = self.user_id(localpart)?;
        let open = self.open(&user).map(|account| account.login_name());
        let login = open.or_else(|| (life == Some(entry.slot)).then_some(name));
        Ok(Some(Named { user, entry: entry.clone(), login }))
    }

    /// Gives an account another password, now when it is open, else when it comes.
    pub async fn reset_password(&self, user: &UserId, password: SecretText, end_devices: bool) -> Result<Reset, Error> {
        self.entry(user)?.ok_or(Error::NotFound)?;
        let password = self.new_password(password).await?;
        let letters = async || {
            let letter = NewPassword { kdf: password.kdf, key: password.key.clone(), end_devices };
            Ok(vec![Letter::Password(letter)])
        };
        match self.at_home(user, letters).await? {
            Some(account) => {
                self.put_password(&account, &password, ends(end_devices)).await?;
                if end_devices {
                    self.change_mail_key(&account).await?;
                }
                Ok(Reset::Done)
            }
            None => Ok(Reset::Waits),
        }
    }

    /// Carries out a reset that came by mail. One whose password is in force already was cut before it was marked.
    pub(super) async fn take_password(&self, account: &Account, letter: NewPassword) -> Result<(), Error> {
        let life = self.living(&account.login_name())?.ok_or(Error::Forbidden)?;
        let is_living = |slot| self.journals.slots.contains(slot);
        if life.wraps.iter().any(|wrap| is_living(&wrap.slot) && wrap.kdf == letter.kdf) {
            return Ok(());
        }
        let NewPassword { kdf, key, end_devices } = letter;
        self.put_password(account, &Stretched { kdf, key }, ends(end_devices)).await
    }

    /// Gives an account a fresh life under the same name: another password and account key, an empty vault, no devices.
    /// What lay in the old vault opens with nothing afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `named` has no login name: without it nobody could log in.
    pub async fn abandon(&self, named: &Named, password: SecretText) -> Result<(), Error> {
        let login = named.login.as_deref().ok_or(Error::NotFound)?;
        let password = self.new_password(password).await?;
        let cold = async || self.replace(named, login, &password, None).await;
        match self.unless_open(named.user.localpart(), cold).await? {
            Some(account) => self.replace(named, login, &password, Some(&account)).await,
            None => Ok(()),
        }
    }

    async fn replace(
        &self,
        named: &Named,
        login: &str,
        password: &Stretched,
        open: Option<&Account>,
    ) -> Result<(), Error> {
        let localpart = named.user.localpart();
        let old = named.entry.slot;
        // Locks are taken in the order vault, house; mail waits, so that none is sealed to who is no more.
        let mut vault = match open {
            Some(account) => Some(account.vault.write().await),
            None => None,
        };
        let house = self.house.awake()?;
        let mut house = house.write().await;
        let _turn = self.mailbox.turn().await;
        let known = house.ledger.accounts.get(localpart).filter(|entry| entry.slot == old).cloned();
        let known = known.filter(|_| self.journals.slots.contains(&old)).ok_or(Error::NotFound)?;

        let mut batch = Batch::default();
        let (secret, public) = mail_pair(self.journals.random.as_ref());
        let house_key = house.identity().key.clone();
        let fresh = self.fresh_life((localpart, login), house_key, secret, Vec::new(), &mut batch)?;
        let (wrap, change) = self.password_wrap(password, &fresh.value, &fresh.opening)?;
        let mut slots = fresh.changes;
        slots.push(change);
        let mut record = self.record(login)?;
        record.0.retain(|life| life.is_mark() || self.journals.slots.contains(&life.account));
        let gone = record.0.iter().filter(|life| life.account == old).flat_map(|life| &life.wraps);
        slots.extend(gone.map(|wrap| Change::Remove { id: wrap.slot }));
        record.0.push(Life { account: fresh.account, wraps: vec![wrap] });
        self.put_record(login, &record, &mut batch)?;
        slots.push(Change::Remove { id: old });
        if let Some(vault) = &vault {
            slots.push(Change::Remove { id: vault.identity().slot });
            let tokens = vault.ledger.devices.values().flat_map(|device| device.tokens.iter());
            slots.extend(tokens.map(|id| Change::Remove { id: *id }));
        }
        // In the new generation only: before its slot commit the house knows the old life.
        let changes = handed_on(&house.ledger, localpart, AccountEntry { slot: fresh.account, mail: public, ..known });
        let prepared = house.prepare_with(&self.journals, None, changes, &mut batch)?;
        slots.push(prepared.change(house.identity()));

        let done = self.commit_all(batch, slots).await;
        let mut after = Batch::default();
        if done.is_ok() {
            house.adopt(&self.journals, prepared, &mut after);
        }
        house.finish(done)?;
        drop(house);
        if let Some(vault) = &mut vault {
            vault.stop();
        }
        drop(vault);
        self.sessions.write().retain(|_, known| known.session.account.slot != old);
        self.open.write().remove(localpart);
        self.journals.store.commit(after).await?;
        if let Some(account) = open {
            account.notify();
        }
        Ok(())
    }
}

/// What a house keeps of an account that begins anew: its name and profile, without devices and keys.
fn handed_on(house: &HouseLedger, localpart: &str, entry: AccountEntry) -> Vec<HouseChange> {
    let name = || localpart.to_owned();
    let devices = house.devices_of(localpart);
    let mut changes: Vec<_> = devices.map(|(id, _)| HouseChange::Device(name(), id.clone(), None, true)).collect();
    if house.cross_signing.contains_key(localpart) {
        changes.push(HouseChange::CrossSigning(name(), None));
    }
    changes.push(HouseChange::Account(name(), Some(entry)));
    changes
}

fn ends(end_devices: bool) -> Ends<'static> {
    if end_devices { Ends::Everybody } else { Ends::Nobody }
}

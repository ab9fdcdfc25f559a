//! Registration: the account exists once one slot commit has made its slots (keys.md §2, "register").

use std::{collections::BTreeMap, sync::Arc};

use ruma::UserId;

use super::{
    Account, Accounts, Error, Session,
    credentials::Opening,
    login::{LoggedIn, NewDevice, TokenPlan},
    record::Life,
    vault::{VaultChange, VaultLedger},
};
use crate::{
    house::{AccountEntry, HouseChange, HouseLedger},
    journal::{Identity, Ledger, Owner},
    seal::{
        mail::{MailSecret, mail_pair},
        slots::{Change, SlotId, SlotKind},
    },
    secret::{Key, SecretText},
    store::Batch,
};

/// What the names of those begin with whom rooms have forgotten: nobody else may look like one.
const ERASED: &str = "erased-";
/// Letters of a localpart that says nothing: 60 random bits.
const RANDOM_LETTERS: usize = 12;

impl Accounts {
    /// A name as accounts are filed under it: upper case is folded, because people type names as they write them.
    #[must_use]
    pub fn folded(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    /// Checks that `name` could be a new account's login name, and where Matrix ids follow login names, its localpart.
    pub fn check_name(&self, name: &str) -> Result<(), Error> {
        let user = self.user_id(name)?;
        if user.as_str().len() > 255 || name.is_empty() || !allowed(name) || name.starts_with(ERASED) {
            return Err(Error::InvalidName);
        }
        let reserved = self.policy.reserved.as_deref() == Some(name);
        let taken = reserved || self.living(name)?.is_some() || !self.policy.random_localpart && !self.is_free(name)?;
        if taken { Err(Error::Taken) } else { Ok(()) }
    }

    /// Whether nobody has or had the Matrix id of this localpart.
    fn is_free(&self, localpart: &str) -> Result<bool, Error> {
        // A house that sleeps is asked again before the account is made.
        let lives = |house: &HouseLedger| {
            let entry = house.accounts.get(localpart);
            entry.is_some_and(|entry| self.journals.slots.contains(&entry.slot))
        };
        Ok(!self.house.view().is_ok_and(|house| lives(&house)) && !self.ended(localpart)?)
    }

    /// The localpart of a new account: its login name, or one that says nothing.
    fn localpart_for(&self, name: &str) -> Result<String, Error> {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        if !self.policy.random_localpart {
            return Ok(name.to_owned());
        }
        loop {
            let letters = self.journals.random.bytes::<RANDOM_LETTERS>();
            let localpart: String = letters.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
            if self.is_free(&localpart)? {
                return Ok(localpart);
            }
        }
    }

    /// Makes an account, and a device where one is asked for. The first account makes the house. `name` is what its
    /// owner logs in with; what others see may be another name ([`Policy::random_localpart`](super::Policy)).
    ///
    /// `extra` is given the localpart and goes into the house in the same breath: the use of a registration token, a
    /// profile.
    pub async fn register(
        &self,
        name: &str,
        password: SecretText,
        device: Option<NewDevice>,
        admin: bool,
        extra: impl FnOnce(&HouseLedger, &str) -> Result<Vec<HouseChange>, Error> + Send,
    ) -> Result<(Arc<Account>, Option<LoggedIn>), Error> {
        self.check_name(name)?;
        if self.house.exists() {
            self.house.view()?;
        }
        let stretched = self.new_password(password).await?;
        let partition = self.journals.epochs.current(self.policy.inactivity).await?;
        let random = self.journals.random.as_ref();

        // One registration at a time: what follows decides on the name and may found the house.
        let _one = self.registering.lock().await;
        let founding = !self.house.exists();
        let house = if founding { None } else { Some(self.house.awake()?) };
        let mut house_writing = match &house {
            Some(house) => Some(house.write().await),
            None => None,
        };
        self.check_name(name)?;
        let localpart = &self.localpart_for(name)?;
        let user_id = self.user_id(localpart)?;

        let mut batch = Batch::default();
        let (mail_secret, mail_public) = mail_pair(random);
        let house_key = match &house_writing {
            Some(house) => house.identity().key.clone(),
            None => Key::random(random),
        };
        let plan = device.map(|device| TokenPlan::new(device, random));
        let entry = plan.as_ref().map(|plan| (plan.device.clone(), Some(plan.entry(self.clock.now()))));
        let devices = entry.into_iter().map(|(id, entry)| VaultChange::Device(id, entry)).collect();
        let fresh = self.fresh_life((localpart, name), house_key.clone(), mail_secret, devices, &mut batch)?;
        let account = fresh.account;
        let mut slots = fresh.changes;
        if let Some(plan) = &plan {
            let opening = Opening { device: Some(plan.device.clone()), ..fresh.opening.clone() };
            slots.push(self.put_plan(plan, (account, &fresh.value), &opening, partition, &mut batch)?);
        }
        let (wrap, change) = self.password_wrap(&stretched, &fresh.value, &fresh.opening)?;
        slots.push(change);
        // What is left of a registration that was cut goes; that a Matrix id was used before stays.
        let mut record = self.record(name)?;
        record.0.retain(Life::is_mark);
        record.0.push(Life { account, wraps: vec![wrap] });
        self.put_record(name, &record, &mut batch)?;

        let entry =
            AccountEntry { slot: account, mail: mail_public, admin, locked: false, suspended: false, unlimited: false };
        let mut changes = vec![HouseChange::Account(localpart.to_owned(), Some(entry))];
        let nobody = HouseLedger::default();
        changes.extend(extra(house_writing.as_ref().map_or(&nobody, |house| &house.ledger), localpart)?);
        let mut founded = None;
        if let Some(house) = &mut house_writing {
            house.change(&self.journals, changes, &mut batch)?;
        } else {
            let (owner, change) = self.house.found(house_key, changes, &mut batch)?;
            slots.push(change);
            founded = Some(owner);
        }

        let done = self.commit_all(batch, slots).await;
        if let Some(mut house) = house_writing {
            house.finish(done)?;
        }
        done?;
        if let Some(owner) = founded {
            self.house.adopt(owner);
        }
        let opened = Arc::new(Account::assemble(user_id, account, fresh.vault, BTreeMap::new(), BTreeMap::new()));
        self.enter(localpart, &opened).await;
        let logged_in = plan.map(|plan| {
            let session = Session {
                account: Arc::clone(&opened),
                device: plan.device.clone(),
                slot: plan.slot,
                durable: plan.token.clone(),
            };
            self.grant(&plan, session)
        });
        Ok((opened, logged_in))
    }

    /// A vault without anything but `changes`, and an account slot: what a life needs beside a password.
    pub(super) fn fresh_life(
        &self,
        (localpart, login): (&str, &str),
        house: Key,
        mail: MailSecret,
        changes: Vec<VaultChange>,
        batch: &mut Batch,
    ) -> Result<FreshLife, Error> {
        let random = self.journals.random.as_ref();
        let (account, vault) = (SlotId::random(random), SlotId::random(random));
        let (value, key) = (Key::random(random), Key::random(random));
        let mut ledger = VaultLedger::default();
        ledger.apply(VaultChange::Life(account))?;
        // A vault that is made in this life of the server has nothing of an earlier one.
        ledger.incarnation = self.journals.slots.incarnation().number;
        ledger.apply(VaultChange::HouseKeys(vec![house]))?;
        ledger.apply(VaultChange::Mail(vec![mail]))?;
        for (journal, index) in self.mailbox.ends()? {
            ledger.apply(VaultChange::MailRead(journal, index))?;
        }
        if login != localpart {
            ledger.apply(VaultChange::Login(login.to_owned()))?;
        }
        changes.into_iter().try_for_each(|change| ledger.apply(change))?;
        let identity = Identity { kind: SlotKind::Vault, slot: vault, key: key.clone() };
        let (owner, change) = Owner::create(&self.journals, identity, ledger, batch)?;
        let opening = Opening { key, vault, localpart: localpart.to_owned(), device: None };
        let set = Change::Set { id: account, kind: SlotKind::Account, value: value.clone(), epoch: None };
        Ok(FreshLife { account, value, vault: owner, opening, changes: vec![change, set] })
    }

    /// Rows of all owners, synced, then one slot commit: nothing exists before it.
    pub(crate) async fn commit_all(&self, batch: Batch, slots: Vec<Change>) -> Result<(), crate::journal::Error> {
        self.journals.store.commit(batch).await?;
        self.journals.slots.commit(slots).await?;
        Ok(())
    }
}

/// A life of an account that exists once its changes are committed.
pub(super) struct FreshLife {
    pub(super) account: SlotId,
    /// The account slot's value.
    pub(super) value: Key,
    pub(super) vault: Owner<VaultLedger>,
    /// What its password will open.
    pub(super) opening: Opening,
    pub(super) changes: Vec<Change>,
}

/// The characters of a new localpart (Matrix specification, "User Identifiers").
fn allowed(localpart: &str) -> bool {
    localpart.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+'))
        && UserId::parse(format!("@{localpart}:x")).is_ok()
}

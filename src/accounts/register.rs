//! Registration: the account exists once one slot commit has made its slots (keys.md §2, "register").

use std::{collections::BTreeMap, sync::Arc};

use ruma::UserId;

use super::{
    Account, Accounts, Error, Session,
    credentials::Opening,
    error::too_long,
    login::{LoggedIn, NewDevice, TokenPlan},
    record::{Life, LoginRecord, PasswordWrap},
    vault::{VaultChange, VaultLedger},
};
use crate::{
    house::{AccountEntry, HouseChange, HouseLedger},
    journal::{Identity, Ledger, Owner},
    seal::{
        mail::mail_pair,
        password::wrap,
        slots::{Change, SlotId, SlotKind},
    },
    secret::{Key, SecretText},
    store::Batch,
};

impl Accounts {
    /// Checks that `localpart` could be a new account's name.
    pub fn check_name(&self, localpart: &str) -> Result<(), Error> {
        let user = self.user_id(localpart)?;
        if user.as_str().len() > 255 || localpart.is_empty() || !allowed(localpart) {
            return Err(Error::InvalidName);
        }
        match self.living(localpart)? {
            None if !self.ended(localpart)? => Ok(()),
            _ => Err(Error::Taken),
        }
    }

    /// Makes an account, and a device where one is asked for. The first account makes the house.
    ///
    /// `extra` goes into the house in the same breath: the use of a registration token, an admin flag.
    pub async fn register(
        &self,
        localpart: &str,
        password: SecretText,
        device: Option<NewDevice>,
        admin: bool,
        extra: impl FnOnce(&HouseLedger) -> Result<Vec<HouseChange>, Error> + Send,
    ) -> Result<(Arc<Account>, Option<LoggedIn>), Error> {
        self.check_name(localpart)?;
        self.check_strength(&password)?;
        if self.house.exists() {
            self.house.view()?;
        }
        let kdf = self.kdf();
        let stretched = self.stretch(password, kdf).await?;
        let partition = self.journals.epochs.current(self.policy.inactivity).await?;
        let random = self.journals.random.as_ref();
        let user_id = self.user_id(localpart)?;

        // One registration at a time: what follows decides on the name and may found the house.
        let _one = self.registering.lock().await;
        let founding = !self.house.exists();
        let house = if founding { None } else { Some(self.house.awake()?) };
        let mut house_writing = match &house {
            Some(house) => Some(house.write().await),
            None => None,
        };
        self.check_name(localpart)?;

        let mut batch = Batch::default();
        let (account, vault, wrap_slot) = (SlotId::random(random), SlotId::random(random), SlotId::random(random));
        let (account_value, wrap_value) = (Key::random(random), Key::random(random));
        let (mail_secret, mail_public) = mail_pair(random);
        let house_key = match &house_writing {
            Some(house) => house.identity().key.clone(),
            None => Key::random(random),
        };

        let mut ledger = VaultLedger::default();
        let mut changes = vec![
            VaultChange::Life(account),
            VaultChange::HouseKeys(vec![house_key.clone()]),
            VaultChange::Mail(vec![mail_secret]),
        ];
        changes.extend(self.mailbox.ends()?.into_iter().map(|(journal, index)| VaultChange::MailRead(journal, index)));
        let opening =
            |device| Opening { key: Key::from_bytes([0; 32]), vault, localpart: localpart.to_owned(), device };
        let key = Key::random(random);
        let plan = device.map(|device| TokenPlan::new(device, random));
        if let Some(plan) = &plan {
            changes.push(VaultChange::Device(plan.device.clone(), Some(plan.entry(self.clock.now()))));
        }
        for change in changes {
            ledger.apply(change)?;
        }
        let identity = Identity { kind: SlotKind::Vault, slot: vault, key: key.clone() };
        let (vault_owner, vault_change) = Owner::create(&self.journals, identity, ledger, &mut batch)?;

        let mut slots = vec![
            vault_change,
            Change::Set { id: account, kind: SlotKind::Account, value: account_value.clone(), epoch: None },
            Change::Set { id: wrap_slot, kind: SlotKind::Password, value: wrap_value.clone(), epoch: None },
        ];
        if let Some(plan) = &plan {
            let opening = Opening { key: key.clone(), ..opening(Some(plan.device.clone())) };
            slots.push(self.put_plan(plan, (account, &account_value), &opening, partition, &mut batch)?);
        }
        let sealed = wrap(&wrap_value, &account_value, &stretched, &Opening { key, ..opening(None) }.encode()?, random)
            .map_err(too_long)?;
        let mut record = LoginRecord::default();
        record.0.push(Life { account, wraps: vec![PasswordWrap { slot: wrap_slot, kdf, wrap: sealed }] });
        self.put_record(localpart, &record, &mut batch)?;

        let entry = AccountEntry { slot: account, mail: mail_public, admin };
        let mut changes = vec![HouseChange::Account(localpart.to_owned(), Some(entry))];
        changes.extend(extra(house_writing.as_ref().map_or(&HouseLedger::default(), |house| &house.ledger))?);
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
        let opened = Arc::new(Account::assemble(user_id, account, vault_owner, BTreeMap::new(), BTreeMap::new()));
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

    /// Rows of all owners, synced, then one slot commit: nothing exists before it.
    pub(crate) async fn commit_all(&self, batch: Batch, slots: Vec<Change>) -> Result<(), crate::journal::Error> {
        self.journals.store.commit(batch).await?;
        self.journals.slots.commit(slots).await?;
        Ok(())
    }
}

/// The characters of a new localpart (Matrix specification, "User Identifiers").
fn allowed(localpart: &str) -> bool {
    localpart.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+'))
        && UserId::parse(format!("@{localpart}:x")).is_ok()
}

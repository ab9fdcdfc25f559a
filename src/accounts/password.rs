//! Changing a password (keys.md §2, "password"; M16).

use super::{
    Account, Accounts, Error, Session, credentials::Opening, error::too_long, record::PasswordWrap, vault::VaultChange,
};
use crate::{
    house::HouseChange,
    seal::{
        password::{Kdf, wrap},
        slots::{Change, SlotId, SlotKind},
    },
    secret::{Key, SecretText},
    store::Batch,
};

/// Which devices a new password ends.
pub(super) enum Ends<'a> {
    /// None: the account key stays.
    Nobody,
    /// All but that of the session, which gets the new account key.
    Others(&'a Session),
    /// All.
    Everybody,
}

/// A new password, as far as anybody but its owner needs to know it.
pub(super) struct Stretched {
    /// How it was hashed.
    pub(super) kdf: Kdf,
    /// What came of it.
    pub(super) key: Key,
}

impl Accounts {
    /// Replaces the account's password. With `end_others`, every other device ends and the account's key and its mail key
    /// are replaced with it; the session's own token is made good for the new key in the same commit.
    pub async fn change_password(
        &self,
        session: &Session,
        password: SecretText,
        end_others: bool,
    ) -> Result<(), Error> {
        let stretched = self.new_password(password).await?;
        let ends = if end_others { Ends::Others(session) } else { Ends::Nobody };
        self.put_password(&session.account, &stretched, ends).await?;
        if end_others { self.change_mail_key(&session.account).await } else { Ok(()) }
    }

    /// Checks and stretches a password that is to be somebody's next.
    pub(super) async fn new_password(&self, password: SecretText) -> Result<Stretched, Error> {
        self.check_strength(&password)?;
        let kdf = self.kdf();
        Ok(Stretched { kdf, key: self.stretch(password, kdf).await? })
    }

    /// Makes `password` the only one of an account whose vault is open.
    pub(super) async fn put_password(
        &self,
        account: &Account,
        password: &Stretched,
        ends: Ends<'_>,
    ) -> Result<(), Error> {
        // The record is read with the right to write in hand: two changes at once would each keep the other's wrap.
        let mut vault = account.vault.write().await;
        let name = vault.ledger.login.clone().unwrap_or_else(|| account.user_id.localpart().to_owned());
        let mut record = self.record(&name)?;
        let life = record.0.iter_mut().find(|life| life.account == account.slot).ok_or(Error::Forbidden)?;
        let account_value = self.journals.slots.value(&account.slot).ok_or(Error::Forbidden)?;
        let mut batch = Batch::default();
        let mut slots = Vec::new();
        let mut key = vault.identity().key.clone();
        let rekeyed = match &ends {
            Ends::Nobody => None,
            Ends::Others(session) => {
                // Without a token that lives there is nobody to give the new key to.
                let own = self.rekey_own(session, &vault, &account_value, &mut batch).await?;
                Some(own.ok_or(Error::UnknownToken)?)
            }
            Ends::Everybody => Some(Rekeyed::for_nobody(Key::random(self.journals.random.as_ref()))),
        };
        let gone = vault.ledger.devices.iter().filter(|(id, _)| match &ends {
            Ends::Nobody => false,
            Ends::Others(session) => **id != session.device,
            Ends::Everybody => true,
        });
        let gone: Vec<_> = gone.map(|(id, device)| (id.clone(), device.tokens.clone())).collect();
        let mut prepared = None;
        if let Some(rekeyed) = rekeyed {
            // In the new generation only: before its slot commit the devices are what they were.
            let mut changes: Vec<_> = gone.iter().map(|(id, _)| VaultChange::Device(id.clone(), None)).collect();
            changes.extend(rekeyed.device);
            key = rekeyed.key;
            slots.extend(rekeyed.changes);
            let generation = vault.prepare_with(&self.journals, Some(key.clone()), changes, &mut batch)?;
            slots.push(generation.change(vault.identity()));
            prepared = Some((generation, rekeyed.moved));
        }

        let localpart = account.user_id.localpart().to_owned();
        let opening = Opening { key, vault: vault.identity().slot, localpart, device: None };
        let (wrap, change) = self.password_wrap(password, &account_value, &opening)?;
        slots.extend(life.wraps.iter().map(|old| Change::Remove { id: old.slot }));
        slots.extend(gone.iter().flat_map(|(_, tokens)| tokens).map(|id| Change::Remove { id: *id }));
        slots.push(change);
        life.wraps.retain(|old| self.journals.slots.contains(&old.slot));
        life.wraps.push(wrap);
        self.put_record(&name, &record, &mut batch)?;

        let done = self.commit_all(batch, slots).await;
        let mut after = Batch::default();
        if let (Ok(()), Some((generation, moved))) = (&done, prepared) {
            vault.adopt(&self.journals, generation, &mut after);
            if let Some((from, to)) = moved {
                self.move_slot(from, to);
            }
        }
        vault.finish(done)?;
        drop(vault);
        self.journals.store.commit(after).await?;
        for slot in gone.iter().flat_map(|(_, tokens)| tokens) {
            self.forget_slot(*slot);
        }
        let gone: Vec<_> = gone.into_iter().map(|(id, _)| id).collect();
        if !gone.is_empty() {
            self.drop_public_devices(account, &gone).await?;
        }
        account.notify();
        Ok(())
    }

    /// A wrap of `opening` under a password, and the slot that makes it good.
    pub(super) fn password_wrap(
        &self,
        password: &Stretched,
        account_value: &Key,
        opening: &Opening,
    ) -> Result<(PasswordWrap, Change), Error> {
        let random = self.journals.random.as_ref();
        let (slot, value) = (SlotId::random(random), Key::random(random));
        let sealed = wrap(&value, account_value, &password.key, &opening.encode()?, random).map_err(too_long)?;
        let change = Change::Set { id: slot, kind: SlotKind::Password, value, epoch: None };
        Ok((PasswordWrap { slot, kdf: password.kdf, wrap: sealed }, change))
    }

    async fn drop_public_devices(&self, account: &Account, devices: &[ruma::OwnedDeviceId]) -> Result<(), Error> {
        let name = account.user_id.localpart();
        let changes = devices.iter().map(|id| HouseChange::Device(name.to_owned(), id.clone(), None, true)).collect();
        Ok(self.house.change(|_| changes).await?)
    }

    /// A fresh account key, and the session's own token row good for the old key and, under a new slot, for the new.
    async fn rekey_own(
        &self,
        session: &Session,
        vault: &crate::journal::Owner<super::vault::VaultLedger>,
        account_value: &Key,
        batch: &mut Batch,
    ) -> Result<Option<Rekeyed>, Error> {
        use super::token_row::TokenWrap;
        let token = &session.durable;
        let Some(old) = self.open_token(token)? else { return Ok(None) };
        let random = self.journals.random.as_ref();
        let (key, slot, value) = (Key::random(random), SlotId::random(random), Key::random(random));
        let Some(old_value) = self.journals.slots.value(&old.slot) else { return Ok(None) };
        let opening = Opening { key: key.clone(), ..old.opening.clone() };
        let account = session.account.slot;
        let ways = [
            TokenWrap { slot, slot_value: &value, account, account_value, opening: &opening },
            TokenWrap { slot: old.slot, slot_value: &old_value, account, account_value, opening: &old.opening },
        ];
        let partition = self.journals.epochs.current(self.policy.inactivity).await?;
        self.put_token(token, &ways, partition, batch)?;
        let mut device = vault.ledger.devices.get(&session.device).cloned().unwrap_or_default();
        device.tokens = vec![slot];
        Ok(Some(Rekeyed {
            key,
            moved: Some((old.slot, slot)),
            changes: vec![
                Change::Set { id: slot, kind: SlotKind::Token, value, epoch: Some(partition) },
                Change::Remove { id: old.slot },
            ],
            device: Some(VaultChange::Device(session.device.clone(), Some(device))),
        }))
    }

    fn move_slot(&self, from: SlotId, to: SlotId) {
        for known in self.sessions.write().values_mut() {
            if known.session.slot == from {
                known.session.slot = to;
            }
        }
    }
}

/// A fresh account key, and what changes for who gets it.
struct Rekeyed {
    key: Key,
    /// The slot of his token before and afterwards.
    moved: Option<(SlotId, SlotId)>,
    changes: Vec<Change>,
    device: Option<VaultChange>,
}

impl Rekeyed {
    fn for_nobody(key: Key) -> Self {
        Self { key, moved: None, changes: Vec::new(), device: None }
    }
}

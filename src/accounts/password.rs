//! Changing a password, and ending an account (keys.md §2, "password", "account delete"; M16).

use super::{
    Account, Accounts, Error, Session,
    credentials::Opening,
    error::too_long,
    record::{Life, PasswordWrap},
    vault::VaultChange,
};
use crate::{
    house::HouseChange,
    seal::{
        password::wrap,
        slots::{Change, SlotId, SlotKind},
    },
    secret::{Key, SecretText},
    store::Batch,
};

impl Accounts {
    /// Replaces the account's password. With `end_others`, every other device ends and the account key is replaced
    /// with it; the session's own token is made good for the new key in the same commit.
    pub async fn change_password(
        &self,
        session: &Session,
        password: SecretText,
        end_others: bool,
    ) -> Result<(), Error> {
        self.check_strength(&password)?;
        let account = &session.account;
        let name = account.user_id.localpart();
        let kdf = self.kdf();
        let stretched = self.stretch(password, kdf).await?;
        let random = self.journals.random.as_ref();

        // The record is read with the right to write in hand: two changes at once would each keep the other's wrap.
        let mut vault = account.vault.write().await;
        let mut record = self.record(name)?;
        let life = record.0.iter_mut().find(|life| life.account == account.slot).ok_or(Error::Forbidden)?;
        let account_value = self.journals.slots.value(&account.slot).ok_or(Error::Forbidden)?;
        let mut batch = Batch::default();
        let mut slots = Vec::new();
        let mut prepared = None;
        let mut key = vault.identity().key.clone();
        let others: Vec<_> = vault.ledger.devices.keys().filter(|id| **id != session.device).cloned().collect();
        let mut ended: Vec<SlotId> = Vec::new();
        if end_others {
            // Without a token that lives there is nobody to give the new key to.
            let own = self.rekey_own(session, &vault, &account_value, &mut batch).await?.ok_or(Error::UnknownToken)?;
            for id in &others {
                ended.extend(vault.ledger.devices.get(id).into_iter().flat_map(|device| device.tokens.clone()));
            }
            // In the new generation only: before its slot commit the devices are what they were.
            let mut changes: Vec<_> = others.iter().map(|id| VaultChange::Device(id.clone(), None)).collect();
            changes.push(own.device);
            key = own.key;
            slots.extend(own.changes);
            let generation = vault.prepare_with(&self.journals, Some(key.clone()), changes, &mut batch)?;
            slots.push(generation.change(vault.identity()));
            prepared = Some((generation, own.slot));
        }

        let (slot, value) = (SlotId::random(random), Key::random(random));
        let opening = Opening { key, vault: vault.identity().slot, localpart: name.to_owned(), device: None };
        let sealed = wrap(&value, &account_value, &stretched, &opening.encode()?, random).map_err(too_long)?;
        slots.extend(life.wraps.iter().map(|old| Change::Remove { id: old.slot }));
        slots.extend(ended.iter().map(|id| Change::Remove { id: *id }));
        slots.push(Change::Set { id: slot, kind: SlotKind::Password, value, epoch: None });
        life.wraps.retain(|old| self.journals.slots.contains(&old.slot));
        life.wraps.push(PasswordWrap { slot, kdf, wrap: sealed });
        self.put_record(name, &record, &mut batch)?;

        let done = self.commit_all(batch, slots).await;
        let mut after = Batch::default();
        if let (Ok(()), Some((generation, own_slot))) = (&done, prepared) {
            vault.adopt(&self.journals, generation, &mut after);
            self.move_slot(session.slot, own_slot);
        }
        vault.finish(done)?;
        drop(vault);
        self.journals.store.commit(after).await?;
        for slot in ended {
            self.forget_slot(slot);
        }
        if end_others {
            self.drop_public_devices(account, &others).await?;
        }
        account.notify();
        Ok(())
    }

    /// Ends the account: nothing of it opens once this returns. The caller ends its memberships.
    pub async fn deactivate(&self, account: &Account) -> Result<(), Error> {
        let name = account.user_id.localpart().to_owned();
        let mut vault = account.vault.write().await;
        let mut ended = vec![account.slot, vault.identity().slot];
        ended.extend(vault.ledger.devices.values().flat_map(|device| device.tokens.iter().copied()));
        let mut record = self.record(&name)?;
        ended.extend(record.0.iter().flat_map(|life| life.wraps.iter().map(|wrap| wrap.slot)));
        // The name is not given out again: whoever had it next would be taken for the one before in every room.
        record.0.push(Life { account: account.slot, wraps: Vec::new() });
        let mut batch = Batch::default();
        self.put_record(&name, &record, &mut batch)?;
        self.commit_all(batch, ended.into_iter().map(|id| Change::Remove { id }).collect()).await?;
        vault.stop();
        drop(vault);
        self.sessions.write().retain(|_, known| known.session.account.slot != account.slot);
        self.open.write().remove(&name);
        self.house.change(|_| vec![HouseChange::Account(name.clone(), None)]).await?;
        account.notify();
        Ok(())
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
    ) -> Result<Option<OwnToken>, Error> {
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
        Ok(Some(OwnToken {
            key,
            slot,
            changes: vec![
                Change::Set { id: slot, kind: SlotKind::Token, value, epoch: Some(partition) },
                Change::Remove { id: old.slot },
            ],
            device: VaultChange::Device(session.device.clone(), Some(device)),
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

struct OwnToken {
    key: Key,
    slot: SlotId,
    changes: Vec<Change>,
    device: VaultChange,
}

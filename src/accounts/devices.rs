//! Devices: how they end, and what of them their user may change.

use ruma::OwnedDeviceId;

use super::{Account, Accounts, Error, Session, vault::VaultChange};
use crate::{
    house::HouseChange,
    journal::{Position, Stream},
    seal::slots::Change,
    store::Batch,
};

impl Accounts {
    /// Ends the session's device: its tokens open nothing once this returns (keys.md §2, "logout").
    pub async fn logout(&self, session: &Session) -> Result<(), Error> {
        self.end_devices(&session.account, std::slice::from_ref(&session.device)).await
    }

    /// Ends every device of the account.
    pub async fn logout_all(&self, account: &Account) -> Result<(), Error> {
        let devices: Vec<_> = account.view().devices.keys().cloned().collect();
        self.end_devices(account, &devices).await
    }

    /// Ends devices: first their tokens' slots, then what vault and house say of them.
    pub async fn end_devices(&self, account: &Account, devices: &[OwnedDeviceId]) -> Result<(), Error> {
        let mut vault = account.vault.write().await;
        let slots: Vec<_> = devices
            .iter()
            .filter_map(|id| vault.ledger.devices.get(id))
            .flat_map(|device| device.tokens.iter().copied())
            .collect();
        self.journals.slots.commit(slots.iter().map(|id| Change::Remove { id: *id }).collect()).await?;
        for slot in slots {
            self.forget_slot(slot);
        }
        let known = devices.iter().filter(|id| vault.ledger.devices.contains_key(*id));
        let gone = known.map(|id| VaultChange::Device(id.clone(), None)).collect();
        let mut batch = Batch::default();
        vault.change(&self.journals, gone, &mut batch)?;
        vault.commit(&self.journals, batch).await?;
        let localpart = account.user_id.localpart();
        let known = |house: &crate::house::HouseLedger| {
            let of = |id: &OwnedDeviceId| house.devices.contains_key(&(localpart.to_owned(), id.clone()));
            let changes = devices.iter().filter(|id| of(id));
            changes.map(|id| HouseChange::Device(localpart.to_owned(), id.clone(), None, true)).collect()
        };
        self.house.change(known).await?;
        for device in devices {
            account.forget_waiting(device, Position(u64::MAX));
        }
        account.notify();
        Ok(())
    }

    /// Adds a device that has no token, or gives the dehydrated one another name. Until it is the dehydrated one, a
    /// restart drops it.
    pub(crate) async fn add_device_without_token(
        &self,
        account: &Account,
        device: &OwnedDeviceId,
        name: Option<String>,
    ) -> Result<(), Error> {
        let mut vault = account.vault.write().await;
        let before = vault.ledger.devices.get(device).cloned();
        let entry = match before {
            Some(before) if !before.tokens.is_empty() => return Err(Error::Taken),
            Some(before) => super::vault::Device { name, ..before },
            None if vault.ledger.devices.len() >= self.policy.most_devices => return Err(Error::TooMany),
            None => super::vault::Device {
                name,
                acknowledged: vault.reached(Stream::ToDevice),
                ..super::vault::Device::default()
            },
        };
        let mut batch = Batch::default();
        vault.change(&self.journals, vec![VaultChange::Device(device.clone(), Some(entry))], &mut batch)?;
        Ok(vault.commit(&self.journals, batch).await?)
    }

    /// Gives a device another name.
    pub async fn rename_device(
        &self,
        account: &Account,
        device: &OwnedDeviceId,
        name: Option<String>,
    ) -> Result<(), Error> {
        if !account.view().devices.contains_key(device) {
            return Err(Error::NotFound);
        }
        let change = |vault: &super::vault::VaultLedger| {
            let entry = vault.devices.get(device).cloned();
            let entry = entry.map(|entry| super::vault::Device { name, ..entry });
            entry.map(|entry| VaultChange::Device(device.clone(), Some(entry))).into_iter().collect()
        };
        Ok(account.vault.change(&self.journals, change).await?)
    }

    /// Notes that a device was seen today; writes at most once a day.
    pub async fn seen(&self, session: &Session) -> Result<(), Error> {
        let today = self.clock.now().day();
        let stale = |vault: &super::vault::VaultLedger| {
            vault.devices.get(&session.device).filter(|device| device.seen_day != today).cloned()
        };
        if stale(&session.account.view()).is_none() {
            return Ok(());
        }
        let change = |vault: &super::vault::VaultLedger| {
            let entry = stale(vault).map(|device| super::vault::Device { seen_day: today, ..device });
            entry.map(|entry| VaultChange::Device(session.device.clone(), Some(entry))).into_iter().collect()
        };
        Ok(session.account.vault.change(&self.journals, change).await?)
    }

    /// Notes, durably, that a device has its to-device messages up to and including `to`.
    pub async fn acknowledge(&self, session: &Session, to: Position) -> Result<(), Error> {
        let behind = |vault: &super::vault::VaultLedger| {
            vault.devices.get(&session.device).filter(|device| device.acknowledged < to).cloned()
        };
        if behind(&session.account.view()).is_none() {
            return Ok(());
        }
        let change = |vault: &super::vault::VaultLedger| {
            let entry = behind(vault).map(|device| super::vault::Device { acknowledged: to, ..device });
            entry.map(|entry| VaultChange::Device(session.device.clone(), Some(entry))).into_iter().collect()
        };
        session.account.vault.change(&self.journals, change).await?;
        session.account.forget_waiting(&session.device, to);
        Ok(())
    }
}

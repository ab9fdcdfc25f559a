//! Dehydrated devices (MSC3814): a device whose secrets lie here under a key that only the user's clients have. It gets
//! messages while the user has no other device, and the next one he logs in with reads them.
//!
//! It has keys like every device and no token: it opens nothing. An account has one at a time.

use std::sync::Arc;

use ruma::OwnedDeviceId;
use serde_json::{Value, value::RawValue};

use super::{E2ee, Error, Upload};
use crate::{
    accounts::{
        self, Account,
        vault::{Dehydrated, VaultChange},
    },
    journal::Position,
};

/// The largest sealed device, in bytes of JSON: a hundred one-time keys and what belongs to them make some tens of KiB.
const MOST_BYTES: usize = 128 * 1024;
/// Messages of one batch.
const MOST_MESSAGES: usize = 100;

/// Messages of a dehydrated device.
pub struct Batch {
    /// The messages, oldest first.
    pub messages: Vec<Arc<RawValue>>,
    /// The place behind them.
    pub end: Position,
    /// Whether there are more.
    pub more: bool,
}

impl E2ee {
    /// Keeps a dehydrated device with its keys, in the place of the one before.
    ///
    /// # Errors
    /// The id of another device of the account, keys that name another device, too much.
    pub async fn dehydrate(
        &self,
        account: &Account,
        device: OwnedDeviceId,
        name: Option<String>,
        data: Value,
        keys: Upload,
    ) -> Result<(), Error> {
        if !data.is_object() || !keys.has_device_keys() {
            return Err(Error::Malformed);
        }
        if serde_json::to_vec(&data).map_or(true, |bytes| bytes.len() > MOST_BYTES) {
            return Err(Error::TooLarge);
        }
        let before = account.view().dehydrated.clone().map(|before| before.device);
        // A device without tokens that is not the dehydrated one goes when the account opens: a cut leaves nothing.
        let added = self.accounts.add_device_without_token(account, &device, name).await;
        added.map_err(|error| if error == accounts::Error::Taken { Error::DeviceInUse } else { error.into() })?;
        if let Err(error) = self.upload_keys(account, &device, keys).await {
            if before.as_ref() != Some(&device) {
                self.accounts.end_devices(account, &[device]).await?;
            }
            return Err(error);
        }
        let kept = Dehydrated { device: device.clone(), data };
        account.vault.change(self.journals(), |_| vec![VaultChange::Dehydrated(Some(kept))]).await?;
        if let Some(before) = before.filter(|before| *before != device) {
            self.accounts.end_devices(account, &[before]).await?;
        }
        self.announce(account);
        Ok(())
    }

    /// The account's dehydrated device.
    pub fn dehydrated(&self, account: &Account) -> Result<Dehydrated, Error> {
        account.view().dehydrated.clone().ok_or(Error::NotFound)
    }

    /// Ends the account's dehydrated device; its id.
    pub async fn drop_dehydrated(&self, account: &Account) -> Result<OwnedDeviceId, Error> {
        let device = self.dehydrated(account)?.device;
        self.accounts.end_devices(account, std::slice::from_ref(&device)).await?;
        self.announce(account);
        Ok(device)
    }

    /// Messages of the dehydrated device behind `from`. They stay until the device goes: whoever is cut off while he reads
    /// them starts again.
    pub fn dehydrated_messages(
        &self,
        account: &Account,
        device: &OwnedDeviceId,
        from: Option<Position>,
    ) -> Result<Batch, Error> {
        if self.dehydrated(account)?.device != *device {
            return Err(Error::NotDehydrated);
        }
        let start = account.view().devices.get(device).map_or(Position::START, |entry| entry.acknowledged);
        let from = from.unwrap_or(start).max(start);
        let mut waiting = account.waiting(device, from, MOST_MESSAGES + 1);
        let more = waiting.len() > MOST_MESSAGES;
        waiting.truncate(MOST_MESSAGES);
        let end = waiting.last().map_or(from, |(end, _)| *end);
        Ok(Batch { messages: waiting.into_iter().map(|(_, message)| message).collect(), end, more })
    }
}

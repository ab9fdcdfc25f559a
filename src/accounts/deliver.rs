//! To-device messages on their way into an account, open or cold.

use std::sync::Arc;

use ruma::{OwnedDeviceId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Account, Accounts, Error, Letter, ToDevice, vault::VaultLedger};

/// A to-device message with the devices it is for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Addressed {
    /// The device, or every device of the account.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub device: Option<OwnedDeviceId>,
    /// The message as the client gets it: `type`, `sender`, `content`.
    #[serde(rename = "m")]
    pub message: Arc<RawValue>,
}

impl Accounts {
    /// Delivers to-device messages to an account of this server, durably: into the vault when the account is open, as
    /// mail when it is cold. Accounts and devices that do not exist are passed over.
    pub async fn deliver(&self, user: &UserId, messages: &[Addressed]) -> Result<(), Error> {
        if !self.exists(user)? {
            return Ok(());
        }
        match self.at_home(user, async || self.letters(messages).await).await? {
            Some(account) => self.put_in(&account, messages).await,
            None => Ok(()),
        }
    }

    /// The account when it is open; else puts letters into its mail.
    pub(super) async fn at_home(
        &self,
        user: &UserId,
        letters: impl AsyncFnOnce() -> Result<Vec<Letter>, Error>,
    ) -> Result<Option<Arc<Account>>, Error> {
        self.unless_open(user.localpart(), async || self.post(user, letters().await?).await).await
    }

    async fn put_in(&self, account: &Account, messages: &[Addressed]) -> Result<(), Error> {
        let vault = account.view();
        let placed: Vec<_> = messages.iter().flat_map(|addressed| addressed.placed(&vault)).collect();
        if placed.is_empty() {
            return Ok(());
        }
        let partition = self.journals.epochs.current(self.policy.to_device).await?;
        Ok(account.deliver(&self.journals, partition, placed, Vec::new()).await?)
    }

    /// Only the vault knows every device, so who a message is for is decided on opening.
    async fn letters(&self, messages: &[Addressed]) -> Result<Vec<Letter>, Error> {
        let partition = self.journals.epochs.current(self.policy.to_device).await?;
        Ok(messages.iter().map(|addressed| Letter::Device(addressed.clone(), partition)).collect())
    }
}

impl Addressed {
    /// The message once for each device of the vault that it is for.
    pub(super) fn placed(&self, vault: &VaultLedger) -> Vec<ToDevice> {
        let of = |device: &OwnedDeviceId| ToDevice { device: device.clone(), message: Arc::clone(&self.message) };
        match &self.device {
            Some(device) if vault.devices.contains_key(device) => vec![of(device)],
            Some(_) => Vec::new(),
            None => vault.devices.keys().map(of).collect(),
        }
    }
}

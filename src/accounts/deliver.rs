//! To-device messages on their way into an account, open or cold.

use std::sync::Arc;

use ruma::{OwnedDeviceId, UserId};
use serde_json::value::RawValue;

use super::{Account, Accounts, Error, Letter, ToDevice};

/// A to-device message with the devices it is for.
#[derive(Clone)]
pub struct Addressed {
    /// The device, or every device of the account.
    pub device: Option<OwnedDeviceId>,
    /// The message as the client gets it: `type`, `sender`, `content`.
    pub message: Arc<RawValue>,
}

impl Accounts {
    /// Delivers to-device messages to an account of this server, durably: into the vault when the account is open, as
    /// mail when it is cold. Accounts and devices that do not exist are passed over.
    pub async fn deliver(&self, user: &UserId, messages: &[Addressed]) -> Result<(), Error> {
        if !self.exists(user)? {
            return Ok(());
        }
        let cell = Arc::clone(self.open.write().entry(user.localpart().to_owned()).or_default());
        // While mail is put, the account cannot open: what it folds on opening is all there is.
        let reached = cell.get_or_try_init(|| async {
            let letters = self.letters(user, messages).await.map_err(Some)?;
            self.post(user, letters).await.map_err(Some)?;
            Err(None)
        });
        match reached.await.cloned() {
            Ok(account) => self.put_in(&account, messages).await,
            Err(outcome) => {
                self.release(user.localpart(), &cell);
                outcome.map_or(Ok(()), Err)
            }
        }
    }

    async fn put_in(&self, account: &Account, messages: &[Addressed]) -> Result<(), Error> {
        let devices = account.view().devices.clone();
        let placed: Vec<_> = messages
            .iter()
            .flat_map(|addressed| match &addressed.device {
                Some(device) if devices.contains_key(device) => vec![to_device(device, addressed)],
                Some(_) => Vec::new(),
                None => devices.keys().map(|device| to_device(device, addressed)).collect(),
            })
            .collect();
        if placed.is_empty() {
            return Ok(());
        }
        let partition = self.journals.epochs.current(self.policy.to_device).await?;
        Ok(account.deliver(&self.journals, partition, placed, Vec::new()).await?)
    }

    /// Only the vault knows every device, so a message for all goes to those that published keys; one for a device that
    /// does not exist is dropped on opening.
    async fn letters(&self, user: &UserId, messages: &[Addressed]) -> Result<Vec<Letter>, Error> {
        let house = self.house.view()?;
        let partition = self.journals.epochs.current(self.policy.to_device).await?;
        let letter = |device: &OwnedDeviceId, addressed| Letter::Device(to_device(device, addressed), partition);
        let mut letters = Vec::new();
        for addressed in messages {
            match &addressed.device {
                Some(device) => letters.push(letter(device, addressed)),
                None => letters.extend(house.devices_of(user.localpart()).map(|(device, _)| letter(device, addressed))),
            }
        }
        Ok(letters)
    }
}

fn to_device(device: &OwnedDeviceId, addressed: &Addressed) -> ToDevice {
    ToDevice { device: device.clone(), message: Arc::clone(&addressed.message) }
}

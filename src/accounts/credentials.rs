//! What a password or a token opens: the account key and where the vault lies.

use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};

use super::{Accounts, Error};
use crate::{
    seal::{password::Kdf, slots::SlotId},
    secret::{Key, SecretText},
};

/// The inside of every wrap.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Opening {
    /// AK.
    #[serde(rename = "k")]
    pub(super) key: Key,
    /// The vault's slot.
    #[serde(rename = "v")]
    pub(super) vault: SlotId,
    /// The account's localpart, which need not be its login name.
    #[serde(rename = "n")]
    pub(super) localpart: String,
    /// The device, inside a token's wrap.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<OwnedDeviceId>,
}

impl Opening {
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|_| Error::InvalidName)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Accounts {
    /// Hashes a password: one permit per core, a bounded queue, other requests do not wait.
    pub(super) async fn stretch(&self, password: SecretText, kdf: Kdf) -> Result<Key, Error> {
        let _place = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        let _permit = self.hashing.acquire().await.map_err(|_| Error::Busy)?;
        let hashed = tokio::task::spawn_blocking(move || crate::seal::password::stretch(&password, &kdf)).await;
        match hashed {
            Ok(Ok(key)) => Ok(key),
            Ok(Err(_)) => Err(Error::Forbidden),
            Err(_) => Err(Error::Busy),
        }
    }

    /// The cost and a fresh salt for a new password.
    pub(super) fn kdf(&self) -> Kdf {
        let mut kdf = Kdf::standard(self.journals.random.as_ref());
        kdf.memory_kib = self.policy.kdf_memory_kib;
        kdf.passes = self.policy.kdf_passes;
        kdf
    }

    /// Refuses passwords that are too easy to guess.
    pub(super) fn check_strength(&self, password: &SecretText) -> Result<(), Error> {
        if password.expose().len() > crate::seal::password::LONGEST {
            return Err(Error::WeakPassword);
        }
        if self.policy.least_guesses > 1.0 && crate::seal::password::guesses(password) < self.policy.least_guesses {
            return Err(Error::WeakPassword);
        }
        Ok(())
    }
}

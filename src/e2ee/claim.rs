//! Claiming one-time keys ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3keysclaim)).

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde_json::Value;

use super::{E2ee, Error};
use crate::{
    accounts::{
        Account,
        vault::{VaultChange, VaultLedger},
    },
    house::{HouseChange, HouseLedger},
};

/// The algorithms wanted, by account and device.
pub type Wanted = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>;

/// What a claim gave.
#[derive(Default)]
pub struct Claimed {
    /// By account and device: `algorithm:id` and the key.
    pub keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, (String, Value)>>,
    /// Servers that could not be asked.
    pub unreached: Vec<String>,
}

impl E2ee {
    /// Hands out a one-time key of each device wanted, the one uploaded first; no key is ever handed out twice. A device
    /// that has none left, or whose account is cold, gives its fallback key. What was handed out is durably gone.
    pub async fn claim(&self, wanted: Wanted) -> Result<Claimed, Error> {
        let mut claimed = Claimed::default();
        let mut missing: Vec<(OwnedUserId, OwnedDeviceId, String)> = Vec::new();
        for (user, devices) in wanted {
            if user.server_name() != self.accounts.policy().server_name {
                claimed.unreached.push(user.server_name().to_string());
                continue;
            }
            if !self.accounts.exists(&user)? {
                continue;
            }
            let taken = match self.accounts.open(&user) {
                Some(account) => self.take(&account, &devices).await?,
                None => BTreeMap::new(),
            };
            let left = devices.into_iter().filter(|(device, _)| !taken.contains_key(device));
            missing.extend(left.map(|(device, algorithm)| (user.clone(), device, algorithm)));
            if !taken.is_empty() {
                claimed.keys.insert(user, taken);
            }
        }
        if !missing.is_empty() {
            self.fall_back(missing, &mut claimed).await?;
        }
        claimed.unreached.sort_unstable();
        claimed.unreached.dedup();
        Ok(claimed)
    }

    /// Takes keys out of an open vault: whoever else claims waits for the vault and finds them gone.
    async fn take(
        &self,
        account: &Account,
        devices: &BTreeMap<OwnedDeviceId, String>,
    ) -> Result<BTreeMap<OwnedDeviceId, (String, Value)>, Error> {
        let mut taken = BTreeMap::new();
        let decide = |vault: &VaultLedger| {
            for (device, algorithm) in devices {
                let mut keys = vault.one_time_keys.get(device).into_iter().flatten();
                let of = |id: &str| id.split_once(':').is_some_and(|(of, _)| of == algorithm);
                if let Some(key) = keys.find(|key| of(&key.id)) {
                    taken.insert(device.clone(), (key.id.clone(), key.key.clone()));
                }
            }
            taken.iter().map(|(device, (id, _))| VaultChange::KeyUsed(device.clone(), id.clone())).collect()
        };
        account.vault.change(self.journals(), decide).await?;
        if !taken.is_empty() {
            // Its client sees that it has to upload more.
            account.notify();
        }
        Ok(taken)
    }

    async fn fall_back(
        &self,
        missing: Vec<(OwnedUserId, OwnedDeviceId, String)>,
        claimed: &mut Claimed,
    ) -> Result<(), Error> {
        let mut used = Vec::new();
        let decide = |house: &HouseLedger| {
            let mut changes = Vec::new();
            let mut entries = BTreeMap::new();
            for (user, device, algorithm) in missing {
                let place = (user.localpart().to_owned(), device.clone());
                let Some(entry) = house.devices.get(&place) else { continue };
                let entry = entries.entry(place).or_insert_with(|| (entry.clone(), false));
                let Some(key) = entry.0.fallback.get_mut(&algorithm) else { continue };
                claimed.keys.entry(user.clone()).or_default().insert(device, (key.id.clone(), key.key.clone()));
                if !key.used {
                    key.used = true;
                    entry.1 = true;
                    used.push(user);
                }
            }
            for ((name, device), (entry, changed)) in entries {
                if changed {
                    changes.push(HouseChange::Device(name, device, Some(entry), false));
                }
            }
            changes
        };
        self.house().change(decide).await?;
        for account in used.iter().filter_map(|user| self.accounts.open(user)) {
            account.notify();
        }
        Ok(())
    }
}

//! Asking for devices and keys ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3keysquery)).

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{
    E2ee, Error,
    signed::{add, only_key},
};
use crate::{
    accounts::{Account, vault::VaultLedger},
    house::HouseLedger,
};

/// Devices and keys of the accounts asked for.
#[derive(Default)]
pub struct Queried {
    /// Device keys by account and device.
    pub devices: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Value>>,
    /// Master keys.
    pub master: BTreeMap<OwnedUserId, Value>,
    /// Self-signing keys.
    pub self_signing: BTreeMap<OwnedUserId, Value>,
    /// The asker's own user-signing key.
    pub user_signing: BTreeMap<OwnedUserId, Value>,
    /// Servers that could not be asked.
    pub unreached: Vec<String>,
}

impl E2ee {
    /// The devices and cross-signing keys of `wanted`, as `asker` may see them; an empty list of devices means all.
    pub fn query(&self, asker: &Account, wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>) -> Result<Queried, Error> {
        let house = self.house().view()?;
        let vault = asker.view();
        let mut queried = Queried::default();
        for (user, devices) in wanted {
            if user.server_name() != self.accounts.policy().server_name {
                queried.unreached.push(user.server_name().to_string());
                continue;
            }
            let known = queried.devices.entry(user.clone()).or_default();
            if !self.accounts.exists(user)? {
                continue;
            }
            let own = *user == asker.user_id;
            for (device, entry) in house.devices_of(user.localpart()) {
                if let Some(keys) = entry.keys.as_ref().filter(|_| devices.is_empty() || devices.contains(device)) {
                    let name = own.then(|| vault.devices.get(device)?.name.clone()).flatten();
                    known.insert(device.clone(), named(keys, name));
                }
            }
            add_cross_signing(&mut queried, user, own, &house, &vault, &asker.user_id);
        }
        queried.unreached.sort_unstable();
        queried.unreached.dedup();
        Ok(queried)
    }
}

fn named(keys: &Value, name: Option<String>) -> Value {
    let mut keys = keys.clone();
    if let (Some(map), Some(name)) = (keys.as_object_mut(), name) {
        map.insert("unsigned".to_owned(), json!({ "device_display_name": name }));
    }
    keys
}

fn add_cross_signing(
    queried: &mut Queried,
    user: &OwnedUserId,
    own: bool,
    house: &HouseLedger,
    vault: &VaultLedger,
    asker: &UserId,
) {
    let Some(keys) = house.cross_signing.get(user.localpart()) else { return };
    if let Some(master) = &keys.master {
        let mut master = master.clone();
        // Whom somebody trusts is seen by nobody else.
        let made = only_key(&master).and_then(|public| vault.signatures.get(&(user.clone(), public.to_owned())));
        let made = made.and_then(|made| made.value.as_object().cloned()).unwrap_or_default();
        for (key_id, signature) in made.iter().filter_map(|(id, text)| Some((id, text.as_str()?))) {
            add(&mut master, asker, key_id, signature);
        }
        queried.master.insert(user.clone(), master);
    }
    queried.self_signing.extend(keys.self_signing.clone().map(|key| (user.clone(), key)));
    let user_signing = keys.user_signing.clone().filter(|_| own);
    queried.user_signing.extend(user_signing.map(|key| (user.clone(), key)));
}

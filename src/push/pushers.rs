//! Pushers: where a device wants its notifications sent
//! ([spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3pushers)).
//!
//! Stored in the vault as `{"d": device, "p": pusher}`; a pusher goes with its device.

use std::sync::Arc;

use ruma::DeviceId;
use serde_json::{Value, json};

use super::Error;
use crate::{
    accounts::{
        Account,
        vault::{VaultChange, VaultLedger},
    },
    journal::Journals,
    rooms::Target,
};

/// Pushers one account may have: a device has one or two.
const MOST_PUSHERS: usize = 200;
/// The largest pusher in bytes.
const LARGEST_PUSHER: usize = 8 * 1024;

/// The pushers of an account as clients get them.
#[must_use]
pub fn list_pushers(vault: &VaultLedger) -> Vec<Value> {
    vault.pushers.values().filter_map(|stored| stored.get("p").cloned()).collect()
}

/// The devices that the pushers of an account lead to.
#[must_use]
pub(super) fn targets(vault: &VaultLedger) -> Vec<Arc<Target>> {
    let target = |((app, key), stored): (&(String, String), &Value)| {
        let data = stored.get("p")?.get("data")?.as_object()?;
        Some(Arc::new(Target::new(app, key, data)?))
    };
    vault.pushers.iter().filter_map(target).collect()
}

/// Sets the pusher that `app` knows by `key`.
pub async fn set_pusher(
    account: &Account,
    journals: &Journals,
    device: &DeviceId,
    (app, key): (String, String),
    pusher: Value,
) -> Result<(), Error> {
    if pusher.to_string().len() > LARGEST_PUSHER {
        return Err(Error::Invalid);
    }
    let stored = json!({ "d": device, "p": pusher });
    let decide = |vault: &VaultLedger| {
        let name = (app, key);
        if vault.pushers.len() >= MOST_PUSHERS && !vault.pushers.contains_key(&name) {
            return Err(Error::TooMany);
        }
        Ok(vec![VaultChange::Pusher(name.0, name.1, Some(stored))])
    };
    account.vault.try_change(journals, decide).await
}

/// Removes a pusher, if there is one.
pub async fn remove_pusher(account: &Account, journals: &Journals, app: String, key: String) -> Result<(), Error> {
    let decide = |vault: &VaultLedger| {
        let name = (app, key);
        if vault.pushers.contains_key(&name) { vec![VaultChange::Pusher(name.0, name.1, None)] } else { Vec::new() }
    };
    Ok(account.vault.change(journals, decide).await?)
}

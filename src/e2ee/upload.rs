//! Uploading a device's keys ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3keysupload)).

use std::{collections::BTreeMap, fmt};

use ruma::OwnedDeviceId;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    E2ee, Error, check_size,
    signed::{add, same, signature, signers, storable},
};
use crate::{
    accounts::{
        Account,
        vault::{OneTimeKey, VaultChange, VaultLedger},
    },
    house::{FallbackKey, HouseChange, HouseLedger, PublicDevice},
};

/// One-time keys a device may have waiting; clients keep fifty to a hundred.
const MOST_ONE_TIME_KEYS: usize = 1000;
/// Bytes of a one-time or fallback key; a signed one has some 250.
const MOST_ONE_TIME_BYTES: usize = 2 * 1024;
/// Bytes of a device's keys; a signed device has some 700, and its owner's signatures come to it.
const MOST_DEVICE_BYTES: usize = 8 * 1024;
/// Algorithms a device may have keys of.
const MOST_ALGORITHMS: usize = 8;
/// Bytes of an `algorithm:id`.
const MOST_ID_BYTES: usize = 255;

/// Keys as a device uploads them, in the order in which they stand in the body.
#[derive(Deserialize)]
pub struct Upload {
    #[serde(default, rename = "device_keys")]
    device: Option<Value>,
    #[serde(default, rename = "one_time_keys")]
    one_time: Option<Ordered>,
    #[serde(default, rename = "fallback_keys")]
    fallback: Option<Ordered>,
    #[serde(default, rename = "org.matrix.msc2732.fallback_keys")]
    unstable_fallback: Option<Ordered>,
}

/// The members of a JSON object in their order.
struct Ordered(Vec<(String, Value)>);

impl Upload {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(body).map_err(|_| Error::Malformed)
    }

    /// Whether the keys of a device are among them.
    pub(super) fn has_device_keys(&self) -> bool {
        self.device.is_some()
    }
}

impl E2ee {
    /// Takes a device's keys and says how many one-time keys it has, by algorithm. What is there already changes
    /// nothing; a changed device key is announced to everybody who shares a room.
    pub async fn upload_keys(
        &self,
        account: &Account,
        device: &OwnedDeviceId,
        upload: Upload,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let fallback = upload.fallback.or(upload.unstable_fallback);
        let fallback = checked(fallback)?;
        let one_time = checked(upload.one_time)?;
        let keys = upload.device.map(|keys| own_keys(keys, account, device)).transpose()?;
        if keys.is_some() || !fallback.is_empty() {
            self.publish(account, device, keys, fallback).await?;
        }
        if !one_time.is_empty() {
            let decide = |vault: &VaultLedger| {
                let fresh = fresh(vault, device, one_time)?;
                let added = (!fresh.is_empty()).then(|| VaultChange::KeysAdded(device.clone(), fresh));
                Ok::<_, Error>(added.into_iter().collect())
            };
            account.vault.try_change(self.journals(), decide).await?;
        }
        let mut counts = account.view().key_counts(device);
        counts.entry("signed_curve25519".to_owned()).or_default();
        Ok(counts)
    }

    async fn publish(
        &self,
        account: &Account,
        device: &OwnedDeviceId,
        keys: Option<Value>,
        fallback: Vec<OneTimeKey>,
    ) -> Result<(), Error> {
        let name = account.user_id.localpart();
        let mut announced = false;
        let decide = |house: &HouseLedger| {
            // A device that ended meanwhile is not published again: vaults forget devices before the house does.
            if !account.view().devices.contains_key(device) {
                return Ok(Vec::new());
            }
            let before = house.devices.get(&(name.to_owned(), device.clone())).cloned().unwrap_or_default();
            let mut entry = before.clone();
            if let Some(keys) = keys {
                entry.keys = Some(joined(before.keys.as_ref(), keys, account));
            }
            announced = entry.keys != before.keys;
            let added = take_fallback(&mut entry, fallback);
            if entry.fallback.len() > MOST_ALGORITHMS {
                return Err(Error::TooMany);
            }
            if !announced && !added {
                return Ok(Vec::new());
            }
            Ok(vec![HouseChange::Device(name.to_owned(), device.clone(), Some(entry), announced)])
        };
        self.house().try_change(decide).await?;
        if announced {
            self.announce(account);
        }
        Ok(())
    }
}

/// Keys that name the uploader, as they are stored.
fn own_keys(keys: Value, account: &Account, device: &OwnedDeviceId) -> Result<Value, Error> {
    check_size(&keys, MOST_DEVICE_BYTES)?;
    let text = |field: &str| keys.get(field).and_then(Value::as_str);
    if text("user_id") != Some(account.user_id.as_str()) || text("device_id") != Some(device.as_str()) {
        return Err(Error::NotYours);
    }
    let public = keys.get("keys").and_then(Value::as_object).ok_or(Error::Malformed)?;
    if !public.values().all(Value::is_string) || !keys.get("algorithms").is_some_and(Value::is_array) {
        return Err(Error::Malformed);
    }
    Ok(storable(keys))
}

/// The keys as uploaded; an upload of the same keys loses no signature that they have got since.
fn joined(before: Option<&Value>, keys: Value, account: &Account) -> Value {
    let Some(before) = before.filter(|before| same(before, &keys)) else { return keys };
    let mut joined = before.clone();
    let by = &account.user_id;
    for key_id in signers(&keys, by) {
        if let Some(made) = signature(&keys, by, key_id) {
            add(&mut joined, by, key_id, made);
        }
    }
    joined
}

/// Whether a fallback key came that was not there.
fn take_fallback(entry: &mut PublicDevice, keys: Vec<OneTimeKey>) -> bool {
    let mut added = false;
    for OneTimeKey { id, key } in keys {
        let algorithm = algorithm(&id).to_owned();
        if entry.fallback.get(&algorithm).is_some_and(|known| known.id == id && same(&known.key, &key)) {
            continue;
        }
        entry.fallback.insert(algorithm, FallbackKey { id, key, used: false });
        added = true;
    }
    added
}

/// The one-time keys that are not there yet, in their order.
fn fresh(vault: &VaultLedger, device: &OwnedDeviceId, keys: Vec<OneTimeKey>) -> Result<Vec<OneTimeKey>, Error> {
    if !vault.devices.contains_key(device) {
        return Err(Error::NotFound);
    }
    let known = vault.one_time_keys.get(device).into_iter().flatten();
    let known: BTreeMap<&str, &Value> = known.map(|key| (key.id.as_str(), &key.key)).collect();
    let used = vault.used_keys.get(device);
    let mut counts = vault.key_counts(device);
    let mut fresh = Vec::new();
    for key in keys {
        if let Some(there) = known.get(key.id.as_str()) {
            // Signatures need not come out the same twice.
            if !same(there, &key.key) {
                return Err(Error::Exists);
            }
            continue;
        }
        if used.is_some_and(|used| used.contains(&key.id)) {
            continue;
        }
        let count = counts.entry(algorithm(&key.id).to_owned()).or_default();
        *count += 1;
        if counts.values().sum::<u64>() > MOST_ONE_TIME_KEYS as u64 || counts.len() > MOST_ALGORITHMS {
            return Err(Error::TooMany);
        }
        fresh.push(key);
    }
    Ok(fresh)
}

fn checked(keys: Option<Ordered>) -> Result<Vec<OneTimeKey>, Error> {
    let keys = keys.map_or_else(Vec::new, |keys| keys.0);
    let mut checked: Vec<OneTimeKey> = Vec::with_capacity(keys.len());
    let mut seen = std::collections::BTreeSet::new();
    for (id, key) in keys {
        let named = id.split_once(':').is_some_and(|(algorithm, name)| !algorithm.is_empty() && !name.is_empty());
        if !named || id.len() > MOST_ID_BYTES || !(key.is_object() || key.is_string()) || !seen.insert(id.clone()) {
            return Err(Error::Malformed);
        }
        check_size(&key, MOST_ONE_TIME_BYTES)?;
        checked.push(OneTimeKey { id, key });
    }
    Ok(checked)
}

fn algorithm(id: &str) -> &str {
    id.split(':').next().unwrap_or_default()
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Ordered;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

//! Signatures on keys ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3keyssignaturesupload)).

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::{Map, Value};

use super::{
    E2ee, Error, MOST_KEY_BYTES, check_size,
    signed::{ED25519, add, device_key, only_key, same, signature, signers, verify},
};
use crate::{
    accounts::{
        Account,
        vault::{VaultChange, VaultLedger},
    },
    house::{CrossSigning, HouseChange, HouseLedger, PublicDevice},
};

/// Signed copies of keys, by account and device or public key.
pub type Signed = BTreeMap<OwnedUserId, BTreeMap<String, Value>>;

/// Why copies were not taken, by account and device or public key.
pub type Refusals = BTreeMap<OwnedUserId, BTreeMap<String, Error>>;

impl E2ee {
    /// Takes the signatures that the account made on its own devices and keys, for everybody to see, and on other
    /// accounts' master keys, for itself alone.
    pub async fn upload_signatures(&self, account: &Account, signed: Signed) -> Result<Refusals, Error> {
        let mut refusals = Refusals::default();
        let (own, others): (Signed, Signed) = signed.into_iter().partition(|(user, _)| *user == account.user_id);
        for (user, objects) in own {
            let refused = self.sign_own(account, objects).await?;
            if !refused.is_empty() {
                refusals.insert(user, refused);
            }
        }
        if !others.is_empty() {
            self.sign_others(account, others, &mut refusals).await?;
        }
        Ok(refusals)
    }

    async fn sign_own(
        &self,
        account: &Account,
        objects: BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Error>, Error> {
        let (mut refused, mut signed) = (BTreeMap::new(), false);
        let decide = |house: &HouseLedger| {
            let mut own = Own::of(house, &account.user_id);
            for (id, object) in objects {
                if let Err(error) = own.take(&id, &object) {
                    refused.insert(id, error);
                }
            }
            let changes = own.changes();
            signed = !changes.is_empty();
            changes
        };
        self.house().change(decide).await?;
        if signed {
            self.announce(account);
        }
        Ok(refused)
    }

    async fn sign_others(&self, account: &Account, others: Signed, refusals: &mut Refusals) -> Result<(), Error> {
        let house = self.house().view()?;
        let mut changes = Vec::new();
        let own = house.cross_signing.get(account.user_id.localpart());
        let signer = own.and_then(|keys| keys.user_signing.as_ref()).and_then(only_key);
        for (user, objects) in others {
            let master = Some(&user).filter(|user| user.server_name() == self.accounts.policy().server_name);
            let master = master.and_then(|user| house.cross_signing.get(user.localpart())?.master.as_ref());
            for (id, object) in objects {
                match signature_on(master, &id, &object, &account.user_id, signer) {
                    Ok(made) => changes.push(VaultChange::Signatures(user.clone(), id, made)),
                    Err(error) => drop(refusals.entry(user.clone()).or_default().insert(id, error)),
                }
            }
        }
        let new = |vault: &VaultLedger| {
            changes.retain(|change| match change {
                VaultChange::Signatures(user, id, made) => {
                    let known = vault.signatures.get(&(user.clone(), id.clone()));
                    known.is_none_or(|known| known.value != *made)
                }
                _ => true,
            });
            changes
        };
        account.vault.change(self.journals(), new).await?;
        account.notify();
        Ok(())
    }
}

/// The signature that `by` made with its user-signing key on somebody's master key, as a vault keeps it.
fn signature_on(
    master: Option<&Value>,
    id: &str,
    object: &Value,
    by: &UserId,
    signer: Option<&str>,
) -> Result<Value, Error> {
    let master = master.filter(|master| only_key(master) == Some(id)).ok_or(Error::NotFound)?;
    let signer = signer.ok_or(Error::NotFound)?;
    if !same(master, object) {
        return Err(Error::InvalidSignature);
    }
    let key_id = format!("{ED25519}:{signer}");
    verify(object, by, &key_id, signer)?;
    let made = signature(object, by, &key_id).ok_or(Error::InvalidSignature)?;
    Ok(Value::Object(Map::from_iter([(key_id, Value::String(made.to_owned()))])))
}

/// An account's own keys while signatures gather on them.
struct Own<'a> {
    user: &'a UserId,
    devices: BTreeMap<OwnedDeviceId, (PublicDevice, bool)>,
    keys: CrossSigning,
    keys_changed: bool,
}

impl<'a> Own<'a> {
    fn of(house: &HouseLedger, user: &'a UserId) -> Self {
        let devices = house.devices_of(user.localpart());
        Self {
            user,
            devices: devices.map(|(id, entry)| (id.clone(), (entry.clone(), false))).collect(),
            keys: house.cross_signing.get(user.localpart()).cloned().unwrap_or_default(),
            keys_changed: false,
        }
    }

    fn take(&mut self, id: &str, object: &Value) -> Result<(), Error> {
        check_size(object, MOST_KEY_BYTES)?;
        if self.devices.contains_key(&OwnedDeviceId::from(id)) {
            return self.sign_device(id, object);
        }
        if self.keys.master.as_ref().and_then(only_key) == Some(id) {
            return self.sign_master(object);
        }
        Err(Error::NotFound)
    }

    /// A device is signed by the self-signing key.
    fn sign_device(&mut self, id: &str, object: &Value) -> Result<(), Error> {
        let signer = self.keys.self_signing.as_ref().and_then(only_key).ok_or(Error::NotFound)?;
        let key_id = format!("{ED25519}:{signer}");
        let Some((entry, changed)) = self.devices.get_mut(&OwnedDeviceId::from(id)) else {
            return Err(Error::NotFound);
        };
        let keys = entry.keys.as_mut().ok_or(Error::NotFound)?;
        if !same(keys, object) {
            return Err(Error::InvalidSignature);
        }
        verify(object, self.user, &key_id, signer)?;
        *changed |= put(keys, object, self.user, &key_id)?;
        Ok(())
    }

    /// The master key is signed by the account's devices.
    fn sign_master(&mut self, object: &Value) -> Result<(), Error> {
        let master = self.keys.master.as_mut().ok_or(Error::NotFound)?;
        if !same(master, object) {
            return Err(Error::InvalidSignature);
        }
        let mut signed = false;
        for key_id in signers(object, self.user) {
            let Some(device) = key_id.strip_prefix("ed25519:") else { continue };
            let entry = self.devices.get(&OwnedDeviceId::from(device));
            let Some(public) = entry.and_then(|(entry, _)| device_key(entry.keys.as_ref()?, device)) else { continue };
            verify(object, self.user, key_id, public)?;
            self.keys_changed |= put(master, object, self.user, key_id)?;
            signed = true;
        }
        if signed { Ok(()) } else { Err(Error::InvalidSignature) }
    }

    fn changes(self) -> Vec<HouseChange> {
        let name = self.user.localpart();
        let devices = self.devices.into_iter().filter(|(_, (_, changed))| *changed);
        let mut changes: Vec<_> =
            devices.map(|(id, (entry, _))| HouseChange::Device(name.to_owned(), id, Some(entry), true)).collect();
        if self.keys_changed {
            changes.push(HouseChange::CrossSigning(name.to_owned(), Some(self.keys)));
        }
        changes
    }
}

/// Copies one signature; whether it was new.
fn put(to: &mut Value, from: &Value, by: &UserId, key_id: &str) -> Result<bool, Error> {
    let made = signature(from, by, key_id).ok_or(Error::InvalidSignature)?;
    if signature(to, by, key_id) == Some(made) {
        return Ok(false);
    }
    let mut with = to.clone();
    add(&mut with, by, key_id, made);
    check_size(&with, MOST_KEY_BYTES)?;
    *to = with;
    Ok(true)
}

//! Cross-signing keys ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3keysdevice_signingupload)).

use ruma::UserId;
use serde_json::Value;

use super::{
    E2ee, Error, MOST_KEY_BYTES, check_size,
    signed::{ED25519, only_key, same, storable, verify},
};
use crate::{
    accounts::Account,
    house::{CrossSigning, HouseChange, HouseLedger},
};

/// Cross-signing keys as uploaded.
#[derive(Clone, Default)]
pub struct SigningKeys {
    /// The master key.
    pub master: Option<Value>,
    /// The self-signing key.
    pub self_signing: Option<Value>,
    /// The user-signing key.
    pub user_signing: Option<Value>,
}

impl E2ee {
    /// Takes an account's cross-signing keys. The first ones, and the same ones again, need no authentication; to replace
    /// keys the user must have authenticated, else the error is [`Error::Unauthorised`], also for an empty upload, with
    /// which clients ask what it would take.
    pub async fn upload_signing_keys(
        &self,
        account: &Account,
        keys: SigningKeys,
        authenticated: bool,
    ) -> Result<(), Error> {
        let mut changed = false;
        let decide = |house: &HouseLedger| {
            let name = account.user_id.localpart();
            let before = house.cross_signing.get(name).cloned().unwrap_or_default();
            let after = after(&before, keys, account, house, authenticated)?;
            changed = after != before;
            let change = changed.then(|| HouseChange::CrossSigning(name.to_owned(), Some(after)));
            Ok::<_, Error>(change.into_iter().collect())
        };
        self.house().try_change(decide).await?;
        if changed {
            self.announce(account);
        }
        Ok(())
    }
}

/// The keys as they are after an upload.
fn after(
    before: &CrossSigning,
    keys: SigningKeys,
    account: &Account,
    house: &HouseLedger,
    authenticated: bool,
) -> Result<CrossSigning, Error> {
    let user = &account.user_id;
    let given = [&keys.master, &keys.self_signing, &keys.user_signing];
    let there = [&before.master, &before.self_signing, &before.user_signing];
    let none = given.iter().all(|key| key.is_none());
    let unchanged = given.iter().zip(there).all(|(given, there)| match (given, there) {
        (None, _) => true,
        (Some(given), Some(there)) => same(given, there),
        (Some(_), None) => false,
    });
    if before.master.is_some() && !authenticated && (none || !unchanged) {
        return Err(Error::Unauthorised);
    }
    if unchanged {
        return Ok(before.clone());
    }
    let mut after = before.clone();
    if let Some(master) = keys.master {
        check(&master, user, "master", house)?;
        if !before.master.as_ref().is_some_and(|before| same(before, &master)) {
            // What the old master key signed is worth nothing under the new one.
            after = CrossSigning { master: Some(storable(master)), ..CrossSigning::default() };
        }
    }
    let master = after.master.as_ref().and_then(only_key).ok_or(Error::NoMaster)?.to_owned();
    for (key, usage, slot) in [
        (keys.self_signing, "self_signing", &mut after.self_signing),
        (keys.user_signing, "user_signing", &mut after.user_signing),
    ] {
        let Some(key) = key else { continue };
        check(&key, user, usage, house)?;
        verify(&key, user, &format!("{ED25519}:{master}"), &master)?;
        if !slot.as_ref().is_some_and(|slot| same(slot, &key)) {
            *slot = Some(storable(key));
        }
    }
    Ok(after)
}

/// Whether a cross-signing key has the shape of one of this account.
fn check(key: &Value, user: &UserId, usage: &str, house: &HouseLedger) -> Result<(), Error> {
    check_size(key, MOST_KEY_BYTES)?;
    let is_object = |field: &str| key.get(field).is_none_or(Value::is_object);
    let usages = key.get("usage").and_then(Value::as_array).ok_or(Error::Malformed)?;
    if !usages.iter().any(|known| known == usage) || !is_object("signatures") {
        return Err(Error::Malformed);
    }
    if key.get("user_id").and_then(Value::as_str) != Some(user.as_str()) {
        return Err(Error::NotYours);
    }
    let public = only_key(key).ok_or(Error::Malformed)?;
    // Signatures name devices and keys in one space: a key named as a device would be taken for it.
    if house.devices_of(user.localpart()).any(|(device, _)| device.as_str() == public) {
        return Err(Error::Malformed);
    }
    Ok(())
}

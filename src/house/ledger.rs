//! What the house's keep holds; the serialised form of [`HouseChange`] is a stored format (`doc/storage.md`).

use std::collections::BTreeMap;

use imbl::OrdMap;
use ruma::{OwnedDeviceId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blob::KeptBlob;
use crate::{
    journal::{Error, Ledger},
    seal::{
        derive::{Usage, address},
        mail::MailPublic,
        slots::SlotId,
    },
    secret::Key,
};

/// The house's value.
#[derive(Clone, Default)]
pub struct HouseLedger {
    /// The life of the server that the house was last opened in.
    pub incarnation: u32,
    /// The stretch of thirty days in which HK came; nothing where that was not noted.
    pub keyed: Option<u32>,
    /// Every account by localpart.
    pub accounts: OrdMap<String, AccountEntry>,
    /// Profiles by localpart.
    pub profiles: OrdMap<String, Profile>,
    /// Public device keys by localpart and device.
    pub devices: OrdMap<(String, OwnedDeviceId), PublicDevice>,
    /// Cross-signing keys by localpart.
    pub cross_signing: OrdMap<String, CrossSigning>,
    /// The value of `stamp` when an account's devices or cross-signing keys last changed.
    pub stamps: OrdMap<String, u64>,
    /// Counts changes of device lists.
    pub stamp: u64,
    /// Aliases of this server.
    pub aliases: OrdMap<OwnedRoomAliasId, Alias>,
    /// Rooms anybody may join without asking, with their keys.
    pub public: OrdMap<OwnedRoomId, PublicRoom>,
    /// Rooms shown in the room directory.
    pub listed: OrdMap<OwnedRoomId, ()>,
    /// Registration tokens by text.
    pub tokens: OrdMap<String, RegistrationToken>,
    /// Accounts that ended and are to be forgotten in every room, by the slot they had, with a tag of their name: rooms
    /// that are closed learn it when they open. A mark whose slot still exists was never carried out.
    pub erased: OrdMap<SlotId, NameTag>,
    /// Rooms that are to be ended when they open, each under a random salt with a tag of its id.
    pub doomed: OrdMap<SlotId, NameTag>,
    /// Accounts that ended without asking to be forgotten, by the slot they had, with a tag of their name and the day.
    pub parted: OrdMap<SlotId, Parted>,
    /// Media that profiles show, by id.
    pub blobs: OrdMap<String, KeptBlob>,
}

/// An account that ended and is to be forgotten later.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parted {
    /// Recognises its localpart.
    #[serde(rename = "n")]
    pub tag: NameTag,
    /// The day it ended, counted since the epoch.
    #[serde(rename = "d")]
    pub day: u64,
}

/// Recognises the localpart of an account that is to be forgotten, or the id of a room that is to be ended, without naming
/// it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NameTag(#[serde(with = "crate::seal::text")] [u8; 16]);

impl NameTag {
    /// The tag of `name`: a localpart whose account had this slot, or a room id beside this salt.
    #[must_use]
    pub fn new(slot: SlotId, name: &str) -> Self {
        let mut salt = [0; 32];
        salt[..16].copy_from_slice(&slot.0);
        salt[16..].copy_from_slice(&slot.0);
        Self(address(&Key::from_bytes(salt), Usage::ErasedName, name.as_bytes()).0)
    }
}

/// What the house knows of an account.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each stored under its own tag")]
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountEntry {
    /// The account slot: an entry whose slot is gone counts as absent.
    #[serde(rename = "s")]
    pub slot: SlotId,
    /// Where mail for it is sealed to while it is cold.
    #[serde(rename = "m")]
    pub mail: MailPublic,
    /// Whether it may administer the server.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// Whether an administrator has locked it: it may log out and nothing else.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Whether an administrator has suspended it: it may read and not take part.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Whether the usual limit of rate does not hold for it: a bot that has much to do.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
}

/// A profile: field name to value, `displayname` and `avatar_url` among them.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profile(pub BTreeMap<String, Value>);

impl Profile {
    /// A field that holds text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }
}

/// What other users may ask about a device.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PublicDevice {
    /// The signed device keys as uploaded, with signatures of the account's own keys added.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Value>,
    /// Fallback keys by algorithm.
    #[serde(rename = "f", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fallback: BTreeMap<String, FallbackKey>,
}

/// A key that is handed out when the one-time keys are used up or out of reach.
#[derive(Clone, Serialize, Deserialize)]
pub struct FallbackKey {
    /// `algorithm:id`.
    #[serde(rename = "i")]
    pub id: String,
    /// The signed key.
    #[serde(rename = "k")]
    pub key: Value,
    /// Whether it was handed out.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
}

/// An account's cross-signing keys, as uploaded, with signatures added.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossSigning {
    /// The master key.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Value>,
    /// The self-signing key.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub self_signing: Option<Value>,
    /// The user-signing key: shown to its owner only.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub user_signing: Option<Value>,
}

/// Where an alias points.
#[derive(Clone, Serialize, Deserialize)]
pub struct Alias {
    /// The room.
    #[serde(rename = "r")]
    pub room: OwnedRoomId,
    /// The room's slot: an alias of a shredded room counts as absent.
    #[serde(rename = "s")]
    pub slot: SlotId,
    /// Who made it.
    #[serde(rename = "u")]
    pub creator: OwnedUserId,
}

/// A room whose key is not a secret among the accounts of the house.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicRoom {
    /// The room's slot.
    #[serde(rename = "s")]
    pub slot: SlotId,
    /// RK.
    #[serde(rename = "k")]
    pub key: Key,
    /// What RK may be by now: it is being replaced, or that was cut.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Key>,
}

impl PublicRoom {
    /// A room with a key that is in force.
    #[must_use]
    pub fn new(slot: SlotId, key: Key) -> Self {
        Self { slot, key, next: None }
    }

    /// The candidates for RK.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        std::iter::once(&self.key).chain(&self.next).cloned().collect()
    }
}

/// A registration token.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegistrationToken {
    /// How many registrations it still allows; without bound when absent.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// When it ends, in milliseconds since the epoch, floored to an hour.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// One change of the house. `None` removes.
#[derive(Clone, Serialize, Deserialize)]
pub enum HouseChange {
    /// The server was restored, and this is its life with that number: everybody's devices may have changed since the
    /// backup, and fallback keys may have been replaced.
    #[serde(rename = "g")]
    Incarnation(u32),
    /// HK came in this stretch of thirty days.
    #[serde(rename = "m")]
    Keyed(u32),
    /// An account.
    #[serde(rename = "a")]
    Account(String, Option<AccountEntry>),
    /// A profile.
    #[serde(rename = "p")]
    Profile(String, Option<Profile>),
    /// A device; counts as a change of the account's device list when `true`.
    #[serde(rename = "d")]
    Device(String, OwnedDeviceId, Option<PublicDevice>, bool),
    /// Cross-signing keys.
    #[serde(rename = "c")]
    CrossSigning(String, Option<CrossSigning>),
    /// The stamp of an account's device list.
    #[serde(rename = "t")]
    Stamp(String, u64),
    /// An alias.
    #[serde(rename = "l")]
    Alias(OwnedRoomAliasId, Option<Alias>),
    /// A public room.
    #[serde(rename = "r")]
    Public(OwnedRoomId, Option<PublicRoom>),
    /// Whether a room is in the directory.
    #[serde(rename = "i")]
    Listed(OwnedRoomId, bool),
    /// A registration token.
    #[serde(rename = "k")]
    Token(String, Option<RegistrationToken>),
    /// An account is to be forgotten in every room.
    #[serde(rename = "e")]
    Erased(SlotId, Option<NameTag>),
    /// A room is to be ended when it opens.
    #[serde(rename = "x")]
    Doomed(SlotId, Option<NameTag>),
    /// An account is to be forgotten in every room later.
    #[serde(rename = "o")]
    Parted(SlotId, Option<Parted>),
    /// A blob is kept because a profile shows it.
    #[serde(rename = "b")]
    Blob(String, Option<KeptBlob>),
}

impl HouseLedger {
    /// The devices of an account that published keys.
    pub fn devices_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a OwnedDeviceId, &'a PublicDevice)> {
        let from = (name.to_owned(), OwnedDeviceId::from(""));
        self.devices.range(from..).take_while(move |((of, _), _)| of == name).map(|((_, id), entry)| (id, entry))
    }

    /// Begins another life of the server: clients ask about everybody's devices again, and devices bring fresh fallback
    /// keys, because those that are here count as handed out.
    fn begin(&mut self, number: u32) {
        self.incarnation = number;
        let devices = std::mem::take(&mut self.devices);
        self.devices = devices
            .into_iter()
            .map(|(place, mut device)| {
                device.fallback.values_mut().for_each(|key| key.used = true);
                (place, device)
            })
            .collect();
        let names: Vec<String> = self.accounts.keys().cloned().collect();
        for name in names {
            self.touch(name);
        }
    }

    fn touch(&mut self, localpart: String) {
        self.stamp += 1;
        self.stamps.insert(localpart, self.stamp);
    }
}

impl Ledger for HouseLedger {
    type Change = HouseChange;

    fn apply(&mut self, change: HouseChange) -> Result<(), Error> {
        match change {
            HouseChange::Incarnation(number) => self.begin(number),
            HouseChange::Keyed(stretch) => self.keyed = Some(stretch),
            HouseChange::Account(name, entry) => {
                if entry.is_none() {
                    self.devices = self.devices.iter().filter(|((of, _), _)| *of != name).map(pair).collect();
                    self.cross_signing.remove(&name);
                    self.profiles.remove(&name);
                    self.stamps.remove(&name);
                }
                set(&mut self.accounts, name, entry);
            }
            HouseChange::Profile(name, profile) => set(&mut self.profiles, name, profile),
            HouseChange::Device(name, device, keys, listed) => {
                set(&mut self.devices, (name.clone(), device), keys);
                if listed {
                    self.touch(name);
                }
            }
            HouseChange::CrossSigning(name, keys) => {
                set(&mut self.cross_signing, name.clone(), keys);
                self.touch(name);
            }
            HouseChange::Stamp(name, stamp) => {
                self.stamp = self.stamp.max(stamp);
                self.stamps.insert(name, stamp);
            }
            HouseChange::Alias(alias, entry) => set(&mut self.aliases, alias, entry),
            HouseChange::Public(room, entry) => set(&mut self.public, room, entry),
            HouseChange::Listed(room, listed) => set(&mut self.listed, room, listed.then_some(())),
            HouseChange::Token(token, entry) => set(&mut self.tokens, token, entry),
            HouseChange::Erased(slot, tag) => set(&mut self.erased, slot, tag),
            HouseChange::Doomed(salt, tag) => set(&mut self.doomed, salt, tag),
            HouseChange::Parted(slot, parted) => set(&mut self.parted, slot, parted),
            HouseChange::Blob(id, blob) => set(&mut self.blobs, id, blob),
        }
        Ok(())
    }

    fn checkpoint(&self) -> Vec<HouseChange> {
        let mut changes = Vec::new();
        // Before the devices and stamps that it would change.
        changes.extend((self.incarnation > 0).then_some(HouseChange::Incarnation(self.incarnation)));
        changes.extend(self.keyed.map(HouseChange::Keyed));
        changes.extend(self.accounts.iter().map(|(name, e)| HouseChange::Account(name.clone(), Some(e.clone()))));
        changes.extend(self.profiles.iter().map(|(name, p)| HouseChange::Profile(name.clone(), Some(p.clone()))));
        changes.extend(
            self.devices
                .iter()
                .map(|((name, id), d)| HouseChange::Device(name.clone(), id.clone(), Some(d.clone()), false)),
        );
        changes.extend(
            self.cross_signing.iter().map(|(name, keys)| HouseChange::CrossSigning(name.clone(), Some(keys.clone()))),
        );
        // After what moves stamps, so that they stand as they were.
        changes.extend(self.stamps.iter().map(|(name, stamp)| HouseChange::Stamp(name.clone(), *stamp)));
        changes.extend(self.aliases.iter().map(|(alias, e)| HouseChange::Alias(alias.clone(), Some(e.clone()))));
        changes.extend(self.public.iter().map(|(room, e)| HouseChange::Public(room.clone(), Some(e.clone()))));
        changes.extend(self.listed.keys().map(|room| HouseChange::Listed(room.clone(), true)));
        changes.extend(self.tokens.iter().map(|(token, e)| HouseChange::Token(token.clone(), Some(e.clone()))));
        changes.extend(self.erased.iter().map(|(slot, tag)| HouseChange::Erased(*slot, Some(*tag))));
        changes.extend(self.doomed.iter().map(|(salt, tag)| HouseChange::Doomed(*salt, Some(*tag))));
        changes.extend(self.parted.iter().map(|(slot, parted)| HouseChange::Parted(*slot, Some(*parted))));
        changes.extend(self.blobs.iter().map(|(id, blob)| HouseChange::Blob(id.clone(), Some(blob.clone()))));
        changes
    }
}

/// Puts or removes an entry.
pub(crate) fn set<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn pair<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

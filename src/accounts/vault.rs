//! What a vault holds; the serialised form of [`VaultChange`] is a stored format (`doc/storage.md`).

mod dehydrated;
mod later;
mod people;

use std::collections::BTreeMap;

use imbl::{OrdMap, Vector};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    house::set,
    journal::{Error, Ledger, Position},
    seal::{mail::MailSecret, slots::SlotId},
    secret::Key,
};

pub use self::{
    dehydrated::Dehydrated,
    later::DelayedEvent,
    people::{Verdict, is_deleted},
};

/// An account's value.
#[derive(Clone, Default)]
pub struct VaultLedger {
    /// The account slot this vault belongs to: one life of the account.
    pub life: Option<SlotId>,
    /// What its owner logs in with, where that is not the localpart.
    pub login: Option<String>,
    /// House keys, the one in use first.
    pub house_keys: Vec<Key>,
    /// Mail secrets, the one named by the house first.
    pub mail: Vec<MailSecret>,
    /// How far each mail journal has been read.
    pub mail_read: OrdMap<u64, u64>,
    /// Mail folded since the last change of mail keys.
    pub folded: OrdMap<String, ()>,
    /// The rooms the account is in, invited to or has left without forgetting.
    pub rooms: OrdMap<OwnedRoomId, VaultRoom>,
    /// Devices.
    pub devices: OrdMap<OwnedDeviceId, Device>,
    /// Global account data by type, with the count at which it last changed.
    pub account_data: OrdMap<String, Counted<Value>>,
    /// Account data of rooms, by room and type.
    pub room_data: OrdMap<(OwnedRoomId, String), Counted<Value>>,
    /// Filters by id.
    pub filters: OrdMap<String, Value>,
    /// One-time keys in upload order.
    pub one_time_keys: OrdMap<OwnedDeviceId, Vector<OneTimeKey>>,
    /// Ids of the last one-time keys that were handed out, oldest first, lest an upload brings them back.
    pub used_keys: OrdMap<OwnedDeviceId, Vector<String>>,
    /// Read positions by room, kind and thread.
    pub read: OrdMap<ReadKey, ReadMark>,
    /// Signatures this account made on other accounts' master keys: by account and public key, the last key of each.
    pub signatures: OrdMap<(OwnedUserId, String), Counted<Value>>,
    /// Key backup versions by number.
    pub backups: OrdMap<u64, Backup>,
    /// Where a device's sync stood, saved now and then.
    pub sync_points: OrdMap<OwnedDeviceId, SavedPoint>,
    /// Pushers by app id and push key.
    pub pushers: OrdMap<(String, String), Value>,
    /// Bytes of all account data.
    pub data_bytes: usize,
    /// Threads the account follows or has stopped following, by room and root.
    pub threads: OrdMap<(OwnedRoomId, OwnedEventId), Counted<Thread>>,
    /// Events to be sent later, by delay id.
    pub delayed: OrdMap<String, DelayedEvent>,
    /// The dehydrated device.
    pub dehydrated: Option<Dehydrated>,
    /// Counts changes in this process; sync compares with it.
    pub count: u64,
}

/// A value and the count at which it last changed.
#[derive(Clone)]
pub struct Counted<T> {
    /// When, in changes since the vault was opened.
    pub at: u64,
    /// The value.
    pub value: T,
}

/// What a vault knows of a room.
#[derive(Clone, Serialize, Deserialize)]
pub struct VaultRoom {
    /// The room's slot.
    #[serde(rename = "s")]
    pub slot: SlotId,
    /// Candidates for RK: all are kept until one has opened the room.
    #[serde(rename = "k")]
    pub keys: Vec<Key>,
    /// How the account stands to the room.
    #[serde(rename = "f")]
    pub fact: Fact,
}

/// How an account stands to a room, as far as its vault knows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// Joined.
    #[serde(rename = "j")]
    Joined,
    /// Invited; the stripped state shown with the invitation.
    #[serde(rename = "i")]
    Invited(Vec<Value>),
    /// Knocked; the stripped state shown meanwhile.
    #[serde(rename = "n")]
    Knocked(Vec<Value>),
    /// Out and not forgotten: the event that ended it, as clients see it.
    #[serde(rename = "l")]
    Left(Value),
}

/// A device.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Device {
    /// The name its user sees.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The slots of its tokens: a device none of whose slots exists is gone, unless it is the dehydrated one.
    #[serde(rename = "t")]
    pub tokens: Vec<SlotId>,
    /// The day it was last seen, in days since the epoch.
    #[serde(rename = "d", default)]
    pub seen_day: u64,
    /// To-device messages up to here have been acknowledged.
    #[serde(rename = "a", default)]
    pub acknowledged: Position,
}

/// A one-time key.
#[derive(Clone, Serialize, Deserialize)]
pub struct OneTimeKey {
    /// `algorithm:id`.
    #[serde(rename = "i")]
    pub id: String,
    /// The key, signed or bare.
    #[serde(rename = "k")]
    pub key: Value,
}

/// Which read position.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReadKey {
    /// The room.
    #[serde(rename = "r")]
    pub room: OwnedRoomId,
    /// What kind.
    #[serde(rename = "k")]
    pub kind: ReadKind,
    /// `main`, a thread root, or nothing for an unthreaded receipt.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

/// Kinds of read position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReadKind {
    /// `m.read`: shown to the room.
    #[serde(rename = "r")]
    Public,
    /// `m.read.private`.
    #[serde(rename = "p")]
    Private,
    /// `m.fully_read`.
    #[serde(rename = "f")]
    Fully,
}

/// A read position. The position outlives the event.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReadMark {
    /// Where.
    #[serde(rename = "p")]
    pub position: Position,
    /// The event the client named.
    #[serde(rename = "e")]
    pub event: OwnedEventId,
    /// The coarse time of a receipt, in milliseconds.
    #[serde(rename = "t")]
    pub ts: u64,
}

/// How an account stands to a thread (MSC4306).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Whether it follows the thread.
    #[serde(rename = "s")]
    pub subscribed: bool,
    /// Whether its client decided that, not its user.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// How often this changed, so that clients know the latest of two answers.
    #[serde(rename = "v")]
    pub version: u64,
    /// Where the room stood when the user stopped following: only a later event may make his client follow again.
    #[serde(rename = "u", default)]
    pub until: Position,
}

/// A key backup version.
#[derive(Clone, Serialize, Deserialize)]
pub struct Backup {
    /// The algorithm.
    #[serde(rename = "a")]
    pub algorithm: String,
    /// What the client needs to use it.
    #[serde(rename = "d")]
    pub auth_data: Value,
    /// Changes with every change of its keys.
    #[serde(rename = "e")]
    pub etag: u64,
    /// Deleted versions stay as numbers, so that none is used twice.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Where a device's sync stood.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedPoint {
    /// The number of the token it belongs to.
    #[serde(rename = "n")]
    pub token: u64,
    /// What had been sent of each room.
    #[serde(rename = "r")]
    pub rooms: BTreeMap<OwnedRoomId, Position>,
    /// The house's device list stamp.
    #[serde(rename = "s")]
    pub stamp: u64,
}

/// One change of a vault. `None` removes.
#[derive(Clone, Serialize, Deserialize)]
pub enum VaultChange {
    /// The account's life.
    #[serde(rename = "i")]
    Life(SlotId),
    /// The login name, where it is not the localpart.
    #[serde(rename = "n")]
    Login(String),
    /// The house keys.
    #[serde(rename = "h")]
    HouseKeys(Vec<Key>),
    /// The mail secrets; fold marks go when only one is left.
    #[serde(rename = "m")]
    Mail(Vec<MailSecret>),
    /// How far a mail journal has been read.
    #[serde(rename = "mr")]
    MailRead(u64, u64),
    /// A piece of mail was folded.
    #[serde(rename = "mf")]
    Folded(String),
    /// A room.
    #[serde(rename = "r")]
    Room(OwnedRoomId, Option<VaultRoom>),
    /// A device.
    #[serde(rename = "d")]
    Device(OwnedDeviceId, Option<Device>),
    /// Global account data.
    #[serde(rename = "a")]
    AccountData(String, Option<Value>),
    /// Account data of a room.
    #[serde(rename = "ra")]
    RoomData(OwnedRoomId, String, Option<Value>),
    /// A filter.
    #[serde(rename = "f")]
    Filter(String, Value),
    /// One-time keys were added, in this order.
    #[serde(rename = "o")]
    KeysAdded(OwnedDeviceId, Vec<OneTimeKey>),
    /// A one-time key was handed out.
    #[serde(rename = "ou")]
    KeyUsed(OwnedDeviceId, String),
    /// A read position.
    #[serde(rename = "p")]
    Read(ReadKey, Option<ReadMark>),
    /// Signatures on another account's key.
    #[serde(rename = "s")]
    Signatures(OwnedUserId, String, Value),
    /// A backup version.
    #[serde(rename = "b")]
    Backup(u64, Backup),
    /// Where a device's sync stood.
    #[serde(rename = "y")]
    SyncPoint(OwnedDeviceId, SavedPoint),
    /// A pusher.
    #[serde(rename = "u")]
    Pusher(String, String, Option<Value>),
    /// A thread.
    #[serde(rename = "th")]
    Thread(OwnedRoomId, OwnedEventId, Option<Thread>),
    /// An event to be sent later.
    #[serde(rename = "e")]
    Delayed(String, Option<DelayedEvent>),
    /// The dehydrated device.
    #[serde(rename = "z")]
    Dehydrated(Option<Dehydrated>),
}

/// What the types of account data start with that say whether a device is silenced; its id follows.
const SILENCED: [&str; 2] = ["m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."];

/// The type of the account data that says whom the account ignores.
pub const IGNORED: &str = "m.ignored_user_list";

/// Ids of handed-out one-time keys that are remembered for a device. Clients repeat an upload at once or never, and
/// hold a hundred keys at a time.
const MOST_USED_KEYS: usize = 1000;

impl VaultLedger {
    /// One-time keys left, by algorithm.
    #[must_use]
    pub fn key_counts(&self, device: &OwnedDeviceId) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for key in self.one_time_keys.get(device).into_iter().flatten() {
            let algorithm = key.id.split(':').next().unwrap_or_default();
            *counts.entry(algorithm.to_owned()).or_default() += 1;
        }
        counts
    }

    fn counted<T>(&mut self, value: T) -> Counted<T> {
        self.count += 1;
        Counted { at: self.count, value }
    }

    /// Notes that account data of some bytes gives way to `value`.
    fn weigh(&mut self, before: usize, value: Option<&Value>) {
        self.data_bytes = self.data_bytes.saturating_sub(before) + value.map_or(0, value_size);
    }

    fn drop_device(&mut self, device: &OwnedDeviceId) {
        self.one_time_keys.remove(device);
        self.sync_points.remove(device);
        let own = |pusher: &Value| pusher.get("d").and_then(Value::as_str) == Some(device.as_str());
        self.pushers = self.pushers.iter().filter(|(_, p)| !own(p)).map(|(key, p)| (key.clone(), p.clone())).collect();
        self.used_keys.remove(device);
        // Whether a device is silenced goes with it (MSC3890).
        for prefix in SILENCED {
            let kind = format!("{prefix}{device}");
            if let Some(data) = self.account_data.remove(&kind) {
                self.weigh(value_size(&data.value), None);
                self.count += 1;
            }
        }
    }
}

/// The bytes of a value as JSON.
#[must_use]
pub fn value_size(value: &Value) -> usize {
    /// Counts what is written.
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(0, |()| count.0)
}

fn data_size(data: &Counted<Value>) -> usize {
    value_size(&data.value)
}

impl Ledger for VaultLedger {
    type Change = VaultChange;

    fn apply(&mut self, change: VaultChange) -> Result<(), Error> {
        match change {
            VaultChange::Life(slot) => self.life = Some(slot),
            VaultChange::Login(name) => self.login = Some(name),
            VaultChange::HouseKeys(keys) => self.house_keys = keys,
            VaultChange::Mail(secrets) => {
                if secrets.len() == 1 {
                    self.folded.clear();
                }
                self.mail = secrets;
            }
            VaultChange::MailRead(journal, index) => {
                self.mail_read.insert(journal, index);
            }
            VaultChange::Folded(mark) => {
                self.folded.insert(mark, ());
            }
            VaultChange::Room(room, entry) => {
                self.count += 1;
                set(&mut self.rooms, room, entry);
            }
            VaultChange::Device(device, entry) => {
                if entry.is_none() {
                    self.drop_device(&device);
                }
                // Whoever logs in as the dehydrated device makes it one like the others.
                let has_tokens = entry.as_ref().is_none_or(|entry| !entry.tokens.is_empty());
                self.dehydrated = self.dehydrated.take().filter(|kept| !has_tokens || kept.device != device);
                set(&mut self.devices, device, entry);
            }
            VaultChange::AccountData(kind, value) => {
                self.weigh(self.account_data.get(&kind).map_or(0, data_size), value.as_ref());
                let value = value.map(|value| self.counted(value));
                set(&mut self.account_data, kind, value);
            }
            VaultChange::RoomData(room, kind, value) => {
                let place = (room, kind);
                self.weigh(self.room_data.get(&place).map_or(0, data_size), value.as_ref());
                let value = value.map(|value| self.counted(value));
                set(&mut self.room_data, place, value);
            }
            VaultChange::Filter(id, filter) => {
                self.filters.insert(id, filter);
            }
            VaultChange::KeysAdded(device, keys) => {
                self.one_time_keys.entry(device).or_default().extend(keys);
            }
            VaultChange::KeyUsed(device, id) => {
                if let Some(keys) = self.one_time_keys.get_mut(&device) {
                    keys.retain(|key| key.id != id);
                }
                let used = self.used_keys.entry(device).or_default();
                used.push_back(id);
                while used.len() > MOST_USED_KEYS {
                    used.pop_front();
                }
            }
            VaultChange::Read(key, mark) => {
                self.count += 1;
                set(&mut self.read, key, mark);
            }
            VaultChange::Signatures(user, key, signatures) => {
                let others = self.signatures.iter().filter(|((of, _), _)| *of != user);
                self.signatures = others.map(|(key, made)| (key.clone(), made.clone())).collect();
                let made = self.counted(signatures);
                self.signatures.insert((user, key), made);
            }
            VaultChange::Backup(version, backup) => {
                self.backups.insert(version, backup);
            }
            VaultChange::SyncPoint(device, point) => {
                self.sync_points.insert(device, point);
            }
            VaultChange::Pusher(app, key, pusher) => set(&mut self.pushers, (app, key), pusher),
            VaultChange::Thread(room, root, thread) => {
                let thread = thread.map(|thread| self.counted(thread));
                set(&mut self.threads, (room, root), thread);
            }
            VaultChange::Delayed(id, event) => set(&mut self.delayed, id, event),
            VaultChange::Dehydrated(device) => self.dehydrated = device,
        }
        Ok(())
    }

    fn checkpoint(&self) -> Vec<VaultChange> {
        let mut changes = Vec::new();
        changes.extend(self.life.map(VaultChange::Life));
        changes.extend(self.login.clone().map(VaultChange::Login));
        changes.push(VaultChange::HouseKeys(self.house_keys.clone()));
        changes.push(VaultChange::Mail(self.mail.clone()));
        changes.extend(self.mail_read.iter().map(|(journal, index)| VaultChange::MailRead(*journal, *index)));
        changes.extend(self.folded.keys().cloned().map(VaultChange::Folded));
        changes.extend(self.rooms.iter().map(|(room, e)| VaultChange::Room(room.clone(), Some(e.clone()))));
        changes.extend(self.devices.iter().map(|(id, e)| VaultChange::Device(id.clone(), Some(e.clone()))));
        changes
            .extend(self.account_data.iter().map(|(k, v)| VaultChange::AccountData(k.clone(), Some(v.value.clone()))));
        changes.extend(
            self.room_data
                .iter()
                .map(|((room, k), v)| VaultChange::RoomData(room.clone(), k.clone(), Some(v.value.clone()))),
        );
        changes.extend(self.filters.iter().map(|(id, filter)| VaultChange::Filter(id.clone(), filter.clone())));
        changes.extend(
            self.one_time_keys
                .iter()
                .map(|(device, keys)| VaultChange::KeysAdded(device.clone(), keys.iter().cloned().collect())),
        );
        for (device, used) in &self.used_keys {
            changes.extend(used.iter().map(|id| VaultChange::KeyUsed(device.clone(), id.clone())));
        }
        changes.extend(self.read.iter().map(|(key, mark)| VaultChange::Read(key.clone(), Some(mark.clone()))));
        changes.extend(
            self.signatures
                .iter()
                .map(|((user, key), s)| VaultChange::Signatures(user.clone(), key.clone(), s.value.clone())),
        );
        changes.extend(self.backups.iter().map(|(version, backup)| VaultChange::Backup(*version, backup.clone())));
        changes.extend(
            self.sync_points.iter().map(|(device, point)| VaultChange::SyncPoint(device.clone(), point.clone())),
        );
        changes.extend(self.dehydrated.clone().map(|device| VaultChange::Dehydrated(Some(device))));
        changes.extend(self.delayed.iter().map(|(id, event)| VaultChange::Delayed(id.clone(), Some(event.clone()))));
        changes.extend(
            self.pushers.iter().map(|((app, key), p)| VaultChange::Pusher(app.clone(), key.clone(), Some(p.clone()))),
        );
        changes.extend(
            self.threads
                .iter()
                .map(|((room, root), t)| VaultChange::Thread(room.clone(), root.clone(), Some(t.value.clone()))),
        );
        changes
    }
}

//! What a vault holds; the serialised form of [`VaultChange`] is a stored format (`doc/storage.md`).

mod dehydrated;
mod later;
mod ledger;
mod people;

use std::collections::BTreeMap;

use imbl::{OrdMap, Vector};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    journal::Position,
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
    /// The life of the server that the vault was last opened in.
    pub incarnation: u32,
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
    /// The day, counted from 1970, on which the account first found that no key of it opens the room.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
}

impl VaultRoom {
    /// A room that these keys should open.
    #[must_use]
    pub const fn new(slot: SlotId, keys: Vec<Key>, fact: Fact) -> Self {
        Self { slot, keys, fact, behind: None }
    }
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
    /// The server was restored, and this is its life with that number: one-time keys may have been handed out since the
    /// backup, and where devices stood is not known.
    #[serde(rename = "g")]
    Incarnation(u32),
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

/// The type of the account data that says whom the account ignores.
pub const IGNORED: &str = "m.ignored_user_list";

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

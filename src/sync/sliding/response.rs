//! The answer's form.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};

/// An answer.
#[derive(Serialize)]
pub(super) struct Answer {
    /// Where the client stands when it has this.
    pub(super) pos: String,
    /// The request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) txn_id: Option<String>,
    /// How many rooms there are in each list.
    pub(super) lists: BTreeMap<String, ListAnswer>,
    /// Rooms of which there is something to say.
    pub(super) rooms: BTreeMap<OwnedRoomId, RoomAnswer>,
    /// Extensions.
    pub(super) extensions: ExtensionsAnswer,
}

/// A list's answer.
#[derive(Serialize)]
pub(super) struct ListAnswer {
    /// How many rooms it has, shown or not.
    pub(super) count: usize,
}

/// A room's answer; what is absent is as before.
#[derive(Serialize, Default)]
pub(super) struct RoomAnswer {
    /// The name; `null` when it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Value>,
    /// The avatar; `null` when it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar: Option<Value>,
    /// Who stands for a room without name or avatar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heroes: Option<Vec<Hero>>,
    /// Whether it is a direct chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_dm: Option<bool>,
    /// Whether this is all there is to know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) initial: bool,
    /// State.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required_state: Vec<Box<RawValue>>,
    /// Events, oldest first, and beside them what their names depend on.
    #[serde(flatten)]
    pub(super) named: Named,
    /// Where pagination goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_batch: Option<String>,
    /// Whether events are missing before the first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) limited: bool,
    /// How many of the events have just happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_live: Option<usize>,
    /// How many have joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joined_count: Option<u64>,
    /// How many are invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invited_count: Option<u64>,
    /// Unread notifications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notification_count: Option<u64>,
    /// Unread highlights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) highlight_count: Option<u64>,
    /// Recency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bump_stamp: Option<u64>,
    /// The account's membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) membership: Option<&'static str>,
    /// The lists it is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<String>,
}

/// What has one name on the unstable path and another in the final form.
#[derive(Default)]
pub(super) struct Named {
    /// Which names.
    pub(super) is_final: bool,
    /// Events.
    pub(super) timeline: Vec<Box<RawValue>>,
    /// Whether events older than what was told before are among them.
    pub(super) expanded: bool,
    /// What who is not in the room is shown of it.
    pub(super) stripped: Option<Vec<Value>>,
}

/// Somebody who stands for a room.
#[derive(Serialize)]
pub(super) struct Hero {
    /// Who.
    pub(super) user_id: OwnedUserId,
    /// The name in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) displayname: Option<String>,
    /// The avatar in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar_url: Option<String>,
}

/// The answers of extensions.
#[derive(Serialize, Default)]
pub(super) struct ExtensionsAnswer {
    /// To-device messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_device: Option<ToDeviceAnswer>,
    /// Device lists and key counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2ee: Option<Value>,
    /// Account data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_data: Option<AccountDataAnswer>,
    /// Receipts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipts: Option<RoomsAnswer>,
    /// Typing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) typing: Option<RoomsAnswer>,
    /// Threads that are followed, or no longer.
    #[serde(rename = "io.element.msc4308.thread_subscriptions", skip_serializing_if = "Option::is_none")]
    pub(super) threads: Option<ThreadsAnswer>,
    /// Profiles.
    #[serde(rename = "org.matrix.msc4262.profiles", skip_serializing_if = "Option::is_none")]
    pub(super) profiles: Option<Value>,
}

/// Changes of thread subscriptions, by room and root.
#[derive(Serialize, Default)]
pub(super) struct ThreadsAnswer {
    /// Threads that are followed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) subscribed: BTreeMap<OwnedRoomId, BTreeMap<OwnedEventId, Value>>,
    /// Threads that are followed no longer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unsubscribed: BTreeMap<OwnedRoomId, BTreeMap<OwnedEventId, Value>>,
    /// Where the changes that did not fit are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_batch: Option<String>,
}

/// To-device messages.
#[derive(Serialize)]
pub(super) struct ToDeviceAnswer {
    /// What to send as `since`.
    pub(super) next_batch: String,
    /// Messages, oldest first.
    pub(super) events: Vec<std::sync::Arc<RawValue>>,
}

/// Account data that changed.
#[derive(Serialize, Default)]
pub(super) struct AccountDataAnswer {
    /// The account's.
    pub(super) global: Vec<Value>,
    /// Of rooms.
    pub(super) rooms: BTreeMap<OwnedRoomId, Vec<Value>>,
}

/// One event a room.
#[derive(Serialize, Default)]
pub(super) struct RoomsAnswer {
    /// The events.
    pub(super) rooms: BTreeMap<OwnedRoomId, Value>,
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let (timeline, expanded, stripped) = if self.is_final {
            ("timeline_events", "expanded_timeline", "stripped_state")
        } else {
            ("timeline", "unstable_expanded_timeline", "invite_state")
        };
        let mut map = serializer.serialize_map(None)?;
        if !self.timeline.is_empty() {
            map.serialize_entry(timeline, &self.timeline)?;
        }
        if self.expanded {
            map.serialize_entry(expanded, &true)?;
        }
        if let Some(events) = &self.stripped {
            map.serialize_entry(stripped, events)?;
        }
        map.end()
    }
}

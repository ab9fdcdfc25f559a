//! The answer to a sync, as it is written (spec: `GET /sync`).

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::push::Tally;

/// What a client is told.
#[derive(Default, Serialize)]
pub struct Answer {
    /// The token of the next sync.
    pub next_batch: String,
    /// Rooms.
    pub rooms: Rooms,
    /// Who is online.
    pub presence: Events,
    /// Global account data.
    pub account_data: Events,
    /// To-device messages.
    pub to_device: Events<Arc<RawValue>>,
    /// Whose devices to ask about, and whose no longer matter.
    pub device_lists: DeviceLists,
    /// One-time keys left, by algorithm.
    pub device_one_time_keys_count: BTreeMap<String, u64>,
    /// Algorithms with an unused fallback key.
    pub device_unused_fallback_key_types: Vec<String>,
    /// Whether the two differ from what the device was told last.
    #[serde(skip)]
    pub keys_changed: bool,
}

impl Answer {
    /// Whether there is nothing a client waits for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let rooms = &self.rooms;
        rooms.join.is_empty()
            && rooms.invite.is_empty()
            && rooms.knock.is_empty()
            && rooms.leave.is_empty()
            && self.presence.events.is_empty()
            && self.account_data.events.is_empty()
            && self.to_device.events.is_empty()
            && self.device_lists.changed.is_empty()
            && self.device_lists.left.is_empty()
            && !self.keys_changed
    }
}

/// A list of events.
#[derive(Serialize)]
pub struct Events<T = Box<RawValue>> {
    /// The events.
    pub events: Vec<T>,
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        Self { events: Vec::new() }
    }
}

/// Rooms by how the user stands to them. Clients ask whether there are any by asking whether the key is there.
#[derive(Default, Serialize)]
pub struct Rooms {
    /// Joined.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub join: BTreeMap<OwnedRoomId, Joined>,
    /// Invited to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub invite: BTreeMap<OwnedRoomId, Invited>,
    /// Knocked at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub knock: BTreeMap<OwnedRoomId, Knocked>,
    /// Left.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leave: BTreeMap<OwnedRoomId, Left>,
}

/// News of a joined room.
#[derive(Default, Serialize)]
pub struct Joined {
    /// Who stands for the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// State beside the timeline.
    #[serde(flatten)]
    pub state: Option<State>,
    /// The newest events.
    pub timeline: Timeline,
    /// Receipts and typing.
    pub ephemeral: Events,
    /// The user's own data on the room.
    pub account_data: Events,
    /// Unread counts, without threads when these are counted on their own.
    pub unread_notifications: Unread,
    /// Unread counts of threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_thread_notifications: Option<BTreeMap<OwnedEventId, Unread>>,
}

/// The state beside a timeline, under the name its client asked for.
#[derive(Serialize)]
pub enum State {
    /// At the start of the timeline.
    #[serde(rename = "state")]
    Before(Events),
    /// At its end.
    #[serde(rename = "state_after")]
    After(Events),
    /// At its end, by the name it had as a proposal (MSC4222).
    #[serde(rename = "org.matrix.msc4222.state_after")]
    AfterAsProposed(Events),
}

/// Which state a client wants beside a timeline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StateAt {
    /// That at the start.
    Start,
    /// That at the end.
    End,
    /// That at the end, by the name it had as a proposal (MSC4222).
    EndAsProposed,
}

impl StateAt {
    /// Whether it is the state at the end.
    #[must_use]
    pub fn is_end(self) -> bool {
        self != Self::Start
    }

    /// The state under the name asked for.
    #[must_use]
    pub fn name(self, events: Events) -> State {
        match self {
            Self::Start => State::Before(events),
            Self::End => State::After(events),
            Self::EndAsProposed => State::AfterAsProposed(events),
        }
    }
}

impl State {
    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Box<RawValue>] {
        let (Self::Before(events) | Self::After(events) | Self::AfterAsProposed(events)) = self;
        &events.events
    }
}

/// Who stands for a room, and how many are in it.
#[derive(Serialize)]
pub struct Summary {
    /// The heroes.
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<OwnedUserId>>,
    /// How many are joined.
    #[serde(rename = "m.joined_member_count")]
    pub joined: u64,
    /// How many are invited.
    #[serde(rename = "m.invited_member_count")]
    pub invited: u64,
}

/// Events in their order.
#[derive(Default, Serialize)]
pub struct Timeline {
    /// The events, oldest first.
    pub events: Vec<Box<RawValue>>,
    /// Whether events before them were left out.
    pub limited: bool,
    /// Where `/messages` goes on, backwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
}

/// Unread counts.
#[derive(Default, Serialize)]
pub struct Unread {
    highlight_count: u64,
    notification_count: u64,
}

impl From<Tally> for Unread {
    fn from(tally: Tally) -> Self {
        Self { highlight_count: tally.highlights, notification_count: tally.notifications }
    }
}

/// An invitation.
#[derive(Serialize)]
pub struct Invited {
    /// What the invitee is shown of the room.
    pub invite_state: Events,
}

/// A knock that was not answered yet.
#[derive(Serialize)]
pub struct Knocked {
    /// What who knocks is shown of the room.
    pub knock_state: Events,
}

/// A room that was left.
#[derive(Default, Serialize)]
pub struct Left {
    /// State beside the timeline.
    #[serde(flatten)]
    pub state: Option<State>,
    /// The last events up to the end of membership.
    pub timeline: Timeline,
    /// The user's own data on the room.
    pub account_data: Events,
}

/// Changes of device lists.
#[derive(Default, Serialize)]
pub struct DeviceLists {
    /// Users whose devices changed or who share a room now.
    pub changed: Vec<OwnedUserId>,
    /// Users who share none any more.
    pub left: Vec<OwnedUserId>,
}

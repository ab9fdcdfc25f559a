//! A sync point: what a device has been told, up to one token.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{accounts::vault::SavedPoint, journal::Position, push::Counts};

/// What a device has been told. Clones share what they have in common.
#[derive(Clone, Default)]
pub(super) struct Point {
    /// Of each room.
    pub(super) rooms: OrdMap<OwnedRoomId, RoomPoint>,
    /// Of the vault: its count of changes.
    pub(super) vault: u64,
    /// Of to-device messages.
    pub(super) to_device: Position,
    /// Of device lists: the house's stamp.
    pub(super) devices: u64,
    /// Of presence: its count of changes.
    pub(super) presence: u64,
    /// Of the device's own keys: how many are left. Unknown after a restart.
    pub(super) keys: Option<Keys>,
}

/// One-time keys left by algorithm, and algorithms with an unused fallback key.
pub(super) type Keys = Arc<(BTreeMap<String, u64>, Vec<String>)>;

/// What a device has been told of one room.
#[derive(Clone)]
pub(super) struct RoomPoint {
    /// How the user stands to it.
    pub(super) told: Told,
    /// Events up to here.
    pub(super) position: Position,
    /// The room's low-water mark: what was unread may have expired.
    pub(super) low: Position,
    /// The view's count of receipts.
    pub(super) receipts: u64,
    /// The count of changes of who is typing.
    pub(super) typing: u64,
    /// The vault's count of changes when the room was last looked at.
    pub(super) vault: u64,
    /// The sum of the user's private read positions, which only grow.
    pub(super) private: u64,
    /// The fully-read marker.
    pub(super) fully: Position,
    /// The unread counts; unknown after a restart.
    pub(super) counts: Option<Arc<Counts>>,
    /// Members that were sent since lazy loading began.
    pub(super) members: OrdSet<OwnedUserId>,
}

/// How a user stands to a room, as his device knows.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Joined.
    Joined,
    /// Invited, by an invitation with this hash.
    Invited(u64),
    /// Knocked, shown what has this hash.
    Knocked(u64),
    /// Left.
    Left,
    /// Known to the device in some way, after a restart.
    Somehow,
}

impl RoomPoint {
    /// A room of which only this has been told.
    #[must_use]
    pub(super) fn only(told: Told) -> Self {
        Self {
            told,
            position: Position::START,
            low: Position::START,
            receipts: 0,
            typing: 0,
            vault: 0,
            private: 0,
            fully: Position::START,
            counts: None,
            members: OrdSet::new(),
        }
    }
}

impl Point {
    /// What can be said of a point after a restart: events, and device lists. All else is told again.
    #[must_use]
    pub(super) fn resumed(saved: &SavedPoint, to_device: Position) -> Self {
        let rooms = saved.rooms.iter().map(|(room, position)| {
            let told = if *position == Position::START { Told::Somehow } else { Told::Joined };
            (room.clone(), RoomPoint { position: *position, ..RoomPoint::only(told) })
        });
        Self { rooms: rooms.collect(), vault: 0, to_device, devices: saved.stamp, presence: 0, keys: None }
    }

    /// The form that outlives the process.
    #[must_use]
    pub(super) fn saved(&self, token: u64) -> SavedPoint {
        let known = self.rooms.iter().filter(|(_, point)| point.told != Told::Left);
        let rooms = known.map(|(room, point)| {
            let joined = point.told == Told::Joined;
            (room.clone(), if joined { point.position } else { Position::START })
        });
        SavedPoint { token, rooms: rooms.collect(), stamp: self.devices }
    }
}

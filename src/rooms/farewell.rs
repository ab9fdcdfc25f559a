//! What an account is told of a room that is not there any more, so that no event of the room can.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{RoomId, UserId};
use serde_json::{Value, json};

use super::membership::without;
use crate::{
    accounts::vault::{Fact, VaultChange, VaultLedger, VaultRoom},
    clock::Timestamp,
};

/// How coarse the time of a [`farewell`] is.
const STEP: std::time::Duration = std::time::Duration::from_mins(5);

/// A member event that tells `user` that he is out of a room that was destroyed.
#[must_use]
pub fn farewell(room: &RoomId, user: &UserId, now: Timestamp) -> Value {
    json!({
        "type": "m.room.member",
        "state_key": user,
        "sender": user,
        "content": {"membership": "leave"},
        "event_id": id(room),
        "origin_server_ts": now.floor_to(STEP).0,
    })
}

/// Whether what a vault says of a room is that it was destroyed.
#[must_use]
pub fn is_farewell(room: &RoomId, event: &Value) -> bool {
    event["event_id"] == *id(room)
}

fn id(room: &RoomId) -> String {
    let hash = blake3::derive_key("lethe/v1/farewell", room.as_bytes());
    format!("${}", URL_SAFE_NO_PAD.encode(hash))
}

/// What makes a vault know of a destroyed room only that it is to be left, as long as its owner does not forget it: his
/// devices learn of it whenever they come.
pub(super) fn ended(vault: &VaultLedger, room: &RoomId, user: &UserId, now: Timestamp) -> Vec<VaultChange> {
    let Some(entry) = vault.rooms.get(room).filter(|entry| !matches!(entry.fact, Fact::Left(_))) else {
        return Vec::new();
    };
    // The entry of the room itself goes and comes again.
    let mut changes = without(vault, room);
    let fact = Fact::Left(farewell(room, user, now));
    changes.push(VaultChange::Room(room.to_owned(), Some(VaultRoom::new(entry.slot, Vec::new(), fact))));
    changes
}

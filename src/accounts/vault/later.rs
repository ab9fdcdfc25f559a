//! What a vault holds of events that are to be sent later (MSC4140).

use ruma::{CanonicalJsonObject, OwnedDeviceId, OwnedRoomId};
use serde::{Deserialize, Serialize};

use crate::journal::Position;

/// An event that is to be sent later.
#[derive(Clone, Serialize, Deserialize)]
pub struct DelayedEvent {
    /// The room.
    #[serde(rename = "r")]
    pub room: OwnedRoomId,
    /// Its type.
    #[serde(rename = "t")]
    pub kind: String,
    /// Its state key when it is a state event.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// Its content as the client sent it.
    #[serde(rename = "c")]
    pub content: CanonicalJsonObject,
    /// The delay asked for, in milliseconds.
    #[serde(rename = "d")]
    pub delay: u64,
    /// When it is due after a restart of the server: milliseconds since the epoch, floored to the server's time step.
    #[serde(rename = "u")]
    pub due: u64,
    /// Whether its client has restarted the delay: the delay begins anew when the account opens. Written once, so that
    /// a client that restarts it every few seconds writes nothing.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub renewed: bool,
    /// The end of the room's timeline when it was taken: whoever else sets the same state behind it cancels it.
    #[serde(rename = "a")]
    pub after: Position,
    /// The device that asked, and its transaction id when it gave one.
    #[serde(rename = "x")]
    pub transaction: (OwnedDeviceId, Option<String>),
}

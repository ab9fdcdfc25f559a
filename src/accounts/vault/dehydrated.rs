//! What a vault holds of a dehydrated device (MSC3814).

use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A device whose secrets lie here, sealed by the user's clients.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dehydrated {
    /// The device: it stands among the account's devices, without tokens.
    #[serde(rename = "d")]
    pub device: OwnedDeviceId,
    /// Its secrets, as the client sent them.
    #[serde(rename = "s")]
    pub data: Value,
}

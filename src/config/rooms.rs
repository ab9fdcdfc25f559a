//! New rooms.

use ruma::RoomVersionId;

use crate::config::section::section;

/// Every version that can be offered.
const KNOWN: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

section! {
    /// New rooms.
    pub struct Rooms {
        /// The version of new rooms when the client names none. Clients from before 2025 expect "11".
        pub default_version: RoomVersionId = RoomVersionId::V12;
        /// The versions rooms can be made in; this version of the server knows "6" to "12".
        pub versions: Vec<RoomVersionId> = KNOWN.to_vec();
    }
}

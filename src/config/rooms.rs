//! New rooms.

use ruma::RoomVersionId;

use crate::config::section::section;

section! {
    /// New rooms.
    pub struct Rooms {
        /// The version of new rooms when the client names none. Clients from before 2025 expect "11".
        pub default_version: RoomVersionId = RoomVersionId::V12;
        /// The versions rooms can be made in; this version of the server knows "10", "11" and "12".
        pub versions: Vec<RoomVersionId> = vec![RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12];
    }
}

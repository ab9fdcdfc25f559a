//! Notices from the operator to users.

use crate::config::section::section;

section! {
    /// Notices that the operator sends to users, in a room of its own for each of them.
    pub struct ServerNotices {
        /// The name before the colon that notices are sent under; nobody can register it. Without it there are no notices.
        pub localpart: Option<String> = None => "\"notices\"";
        /// The name that users see.
        pub display_name: String = "Server notices".to_owned();
        /// The name of the rooms.
        pub room_name: String = "Server notices".to_owned();
    }
}

//! Who is online.

use crate::config::section::section;

section! {
    /// Who is online. Kept in memory only.
    pub struct Presence {
        /// Whether those who share a room see who is online. Where it is off, everybody is offline to everybody.
        pub enabled: bool = false;
    }
}

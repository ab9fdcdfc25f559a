//! Who is online.

use crate::config::section::section;

section! {
    /// Who is online. Kept in memory only.
    pub struct Presence {
        /// Whether members of a room see who is online, and clients are told when.
        pub enabled: bool = false;
    }
}

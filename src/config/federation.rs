//! Other servers.

use crate::config::section::section;

section! {
    /// Other servers.
    pub struct Federation {
        /// Whether rooms can be shared with other servers. Not available in this version: the server refuses to start
        /// with it.
        pub enabled: bool = false;
    }
}

//! Where data and keys lie.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::section::section;

section! {
    /// Where data and keys lie. Whoever has the data without the keys sees sizes and counts.
    pub struct Storage {
        /// The directory of sealed data. This, and nothing else, belongs into a backup of the data.
        pub data: PathBuf = PathBuf::from("./data");
        /// The directory of the root key and the slot table; `keys` inside the data directory when absent. Put it on a
        /// medium that erases in place and keep it out of every backup and snapshot.
        pub keys: Option<PathBuf> = None => "\"/var/lib/lethe-keys\"";
        /// "synced": an answer means the data is on disk. "relaxed": a power cut may lose the last second.
        pub durability: Durability = Durability::Synced;
    }
}

impl Storage {
    /// The directory of keys, by default inside the data directory.
    #[must_use]
    pub fn keys_directory(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| self.data.join("keys"))
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The row is in a log that has been synced.
    Synced,
    /// The row is in a log that will be synced within a second.
    Relaxed,
}

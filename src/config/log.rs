//! What is logged.

use serde::{Deserialize, Serialize};

use crate::config::section::section;

section! {
    /// What is logged, to standard error. No level logs identifiers, addresses or contents.
    pub struct Log {
        /// "error", "warn", "info" or "debug".
        pub level: Level = Level::Info;
        /// "human" or "json".
        pub format: Format = Format::Human;
    }
}

/// The least important level that is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Faults only.
    Error,
    /// And what the operator should change.
    Warn,
    /// And changes of the server's state.
    Info,
    /// And what helps developers.
    Debug,
}

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

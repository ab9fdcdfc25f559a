//! Calls through NAT.

use std::path::PathBuf;

use crate::config::{
    section::section,
    units::{Secret, Span},
};

section! {
    /// A TURN server for calls. Credentials carry a random name, never the caller's.
    pub struct Turn {
        /// Its addresses; calls go without TURN when empty.
        pub uris: Vec<String> = Vec::new();
        /// The secret shared with it (coturn's `static-auth-secret`).
        pub secret: Option<Secret> = None => "\"...\"";
        /// A file that holds `secret`.
        pub secret_file: Option<PathBuf> = None => "\"/etc/lethe/turn-secret\"";
        /// How long credentials last.
        pub lifetime: Span = Span::seconds(3600);
    }
}

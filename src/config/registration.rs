//! Who may make an account.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{section::section, units::Secret};

section! {
    /// Who may make an account.
    pub struct Registration {
        /// "closed": only the administrator. "token": whoever has a registration token. "open": anybody.
        pub mode: Mode = Mode::Token;
        /// A file with registration tokens, one a line, each good for any number of accounts.
        pub tokens_file: Option<PathBuf> = None => "\"/etc/lethe/tokens\"";
        /// The secret of the shared-secret registration endpoint (`/_synapse/admin/v1/register`); off when absent.
        pub shared_secret: Option<Secret> = None => "\"...\"";
        /// A file that holds `shared_secret`.
        pub shared_secret_file: Option<PathBuf> = None => "\"/etc/lethe/shared-secret\"";
    }
}

/// Who may register.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only the administrator makes accounts.
    Closed,
    /// Whoever presents a registration token.
    Token,
    /// Anybody.
    Open,
}

//! Passwords, tokens, devices.

use serde::{Deserialize, Serialize};

use crate::config::{
    lifetime::Lifetime,
    section::section,
    units::{Size, Span},
};

section! {
    /// Passwords, tokens and devices.
    pub struct Accounts {
        /// The fewest guesses a password must withstand, as a power of ten. A password protects its account's data at
        /// rest, so short ones are refused.
        pub password_guesses_log10: u8 = 10;
        /// The Matrix id of a new account. "name": its login name. "random": letters that say nothing; its owner logs in
        /// by a login name that nobody else sees.
        pub localpart: Localpart = Localpart::Name;
        /// The memory one password check takes (Argon2id).
        pub argon2_memory: Size = Size(64 << 20);
        /// The passes one password check makes over that memory (Argon2id).
        pub argon2_passes: u32 = 3;
        /// How long an access token lives that comes with a refresh token.
        pub access_token_lifetime: Span = Span::seconds(3600);
        /// After how long without a request an account is closed, and with it the rooms in which nobody else is open: their
        /// keys leave memory, and what comes for it waits, sealed, for its next request. Until then its devices are told of
        /// messages but not of invitations, and not how much is unread. "forever": when the process ends. The profile
        /// "strict" makes it 1h.
        pub idle: Lifetime = Lifetime::Forever;
        /// How long an unused device stays logged in.
        pub device_inactivity: Span = Span::days(90);
    }
}

/// Which Matrix ids new accounts get.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Localpart {
    /// The login name.
    Name,
    /// Random letters.
    Random,
}

//! Passwords, tokens, devices.

use crate::config::{
    section::section,
    units::{Size, Span},
};

section! {
    /// Passwords, tokens and devices.
    pub struct Accounts {
        /// The fewest guesses a password must withstand, as a power of ten. A password protects its account's data at
        /// rest, so short ones are refused.
        pub password_guesses_log10: u8 = 10;
        /// The memory one password check takes (Argon2id).
        pub argon2_memory: Size = Size(64 << 20);
        /// The passes one password check makes over that memory (Argon2id).
        pub argon2_passes: u32 = 3;
        /// How long an access token lives that comes with a refresh token.
        pub access_token_lifetime: Span = Span::seconds(3600);
        /// How long an unused device stays logged in.
        pub device_inactivity: Span = Span::days(90);
    }
}

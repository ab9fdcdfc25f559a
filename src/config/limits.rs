//! What one client can make the server hold. Bounds without a key here are constants beside what they bound.

use crate::config::{section::section, units::Span};

section! {
    /// Bounds on what clients can make the server hold.
    pub struct Limits {
        /// Open connections; more wait in the system's queue. Every running client holds one or two.
        pub connections: u32 = 4096;
        /// Open connections from one address (IPv6: one /64); more are closed at once. Behind a trusted proxy this does not
        /// count.
        pub connections_per_address: u32 = 512;
        /// Requests of one account, or of one address without one, that are answered at the same time, waiting syncs among
        /// them; more are told to come back.
        pub requests_per_account: u32 = 256;
        /// Devices of one account; a login beyond that is refused.
        pub devices_per_account: u32 = 100;
        /// Rooms of one account: joined, invited to, or left and not forgotten.
        pub rooms_per_account: u32 = 5000;
        /// Whether requests are limited by rate. Off only for test suites.
        pub rates: bool = true;
        /// Requests of one account or address in a burst, for those the specification rate-limits.
        pub burst: u32 = 100;
        /// Such requests a second after the burst.
        pub per_second: u32 = 10;
        /// Logins from one address in a burst, and other attempts at a password.
        pub logins: u32 = 50;
        /// After how long one more login is allowed after the burst.
        pub login_interval: Span = Span::seconds(5);
    }
}

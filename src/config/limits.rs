//! What one client can make the server hold. Bounds without a key here are constants beside what they bound.

use crate::config::section::section;

section! {
    /// Bounds on what clients can make the server hold.
    pub struct Limits {
        /// Open connections; more wait in the system's queue. Every running client holds one or two.
        pub connections: u32 = 4096;
        /// Devices of one account; a login beyond that is refused.
        pub devices_per_account: u32 = 100;
        /// Joined rooms of one account.
        pub rooms_per_account: u32 = 5000;
        /// Requests of one account or address in a burst, for those the specification rate-limits.
        pub burst: u32 = 100;
        /// Such requests a second after the burst.
        pub per_second: u32 = 10;
    }
}

//! Push gateways.

use crate::config::{network::Network, section::section};

section! {
    /// Push: what reaches phones through the gateways of their apps. A gateway learns which device is told of something
    /// when.
    pub struct Push {
        /// Whether gateways are told anything.
        pub enabled: bool = true;
        /// Whether a gateway that does not ask for `event_id_only` is told who wrote, where, and what kind of event it
        /// was. Otherwise, and always with the profile "strict", it is told ids and counts. What was written is never sent.
        pub details: bool = false;
        /// Addresses that may be contacted although they are not public, such as "10.0.0.0/8", and without TLS: by default
        /// neither this machine nor its network can be.
        pub allow: Vec<Network> = Vec::new();
    }
}

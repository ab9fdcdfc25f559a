//! When things are forgotten.

use crate::config::{section::section, units::Span};

section! {
    /// When things are forgotten. A lifetime acts as the longest of 1h, 1d, 7d, 30d, 90d and 1y within it.
    pub struct Retention {
        /// The lifetime of messages in a room that sets none. The profile "strict" makes it 7d.
        pub default: Span = Span::days(30);
        /// The shortest lifetime a room may set.
        pub min: Span = Span::seconds(3600);
        /// The longest lifetime a room may set.
        pub max: Span = Span::days(365);
        /// The lifetime of uploaded media.
        pub media: Span = Span::days(30);
        /// The lifetime of cached media of other servers.
        pub remote_media: Span = Span::days(1);
        /// The lifetime of messages between devices that are never fetched; at least that of messages.
        pub to_device: Span = Span::days(30);
        /// After how long a room in which nothing happens and nobody is left is removed.
        pub empty_rooms: Span = Span::days(30);
    }
}

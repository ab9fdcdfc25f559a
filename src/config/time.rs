//! How exact times are.

use crate::config::{section::section, units::Span};

section! {
    /// How exact the times in events are.
    pub struct Time {
        /// Event times are rounded down to a multiple of this, for everybody and for ever. At most 5 minutes; above
        /// about one minute calls no longer ring.
        pub bucket: Span = Span::seconds(10);
    }
}

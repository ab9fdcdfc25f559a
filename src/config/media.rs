//! Uploads.

use crate::config::{section::section, units::Size};

section! {
    /// Uploads.
    pub struct Media {
        /// The largest upload.
        pub max_upload: Size = Size(50 << 20);
        /// What one account can keep stored, counted since the server started: nothing on the disk tells who uploaded.
        pub quota: Size = Size(5 << 30);
        /// The most memory the thumbnail cache takes.
        pub thumbnail_cache: Size = Size(16 << 20);
    }
}

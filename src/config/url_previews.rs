//! Previews of pages.

use crate::config::{
    network::Network,
    section::section,
    units::{Size, Span},
};

section! {
    /// Previews of pages that messages link to. The server loads a page when a client asks for its preview, so the page's
    /// server learns this server's address and when somebody was shown the link; clients do not ask in encrypted rooms
    /// unless their users want it.
    pub struct UrlPreviews {
        /// Whether clients may ask for them.
        pub enabled: bool = false;
        /// Addresses that may be contacted although they are not public, such as "10.0.0.0/8": by default neither this
        /// machine nor its network can be.
        pub allow: Vec<Network> = Vec::new();
        /// The languages pages are asked for in (`Accept-Language`).
        pub languages: String = "en".to_owned();
        /// How much of a page is read.
        pub max_page: Size = Size(1 << 20);
        /// The largest picture taken from a page.
        pub max_image: Size = Size(5 << 20);
        /// How long loading a page and its picture may take.
        pub timeout: Span = Span::seconds(15);
        /// How long a preview is kept, in memory. Its picture is kept as media for a day.
        pub lifetime: Span = Span::seconds(3600);
        /// The most memory for them.
        pub cache: Size = Size(4 << 20);
    }
}

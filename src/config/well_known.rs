//! What is answered under `/.well-known/matrix/`.

use crate::config::section::section;

section! {
    /// Answers under `/.well-known/matrix/`, for when this server also serves the domain of its name.
    pub struct WellKnown {
        /// The base URL clients are sent to; `server.base_url` when absent.
        pub client: Option<String> = None => "\"https://matrix.example.org\"";
        /// The host and port other servers are sent to.
        pub server: Option<String> = None => "\"matrix.example.org:443\"";
        /// A page that helps users of this server.
        pub support_page: Option<String> = None => "\"https://example.org/help\"";
        /// The administrator's e-mail address.
        pub support_email: Option<String> = None => "\"admin@example.org\"";
    }
}

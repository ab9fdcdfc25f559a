//! Figures for monitoring.

use std::net::SocketAddr;

use crate::config::section::section;

section! {
    /// Figures for monitoring, in the text form of Prometheus at `/metrics`. What follows people's activity is told for
    /// whole hours only, and only when at least ten accounts are behind it.
    pub struct Metrics {
        /// The address of a listener of its own, without TLS; never one the internet reaches. Off when absent.
        pub listen: Option<SocketAddr> = None => "\"127.0.0.1:9180\"";
        /// Whether the hourly request counts are also written to the log. A log is kept: whoever takes it then learns
        /// how busy the whole server was in which hour.
        pub log: bool = false;
    }
}

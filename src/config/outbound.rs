//! Requests to other machines.

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// Requests that the server makes to other machines: pages to preview, push gateways. None is made unasked.
    pub struct Outbound {
        /// A PEM file with certification authorities to trust besides Mozilla's.
        pub ca_certificates: Option<PathBuf> = None => "\"/etc/lethe/ca.pem\"";
    }
}

//! The administrator's socket.

use std::path::PathBuf;

use crate::config::section::section;

section! {
    /// The Unix socket through which `lethe user`, `lethe token` and others talk to the running server.
    pub struct Admin {
        /// Its path; `admin.sock` inside the data directory when absent. Only the server's own user may open it.
        pub socket: Option<PathBuf> = None => "\"/run/lethe/admin.sock\"";
    }
}

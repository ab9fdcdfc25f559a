//! Where the server listens and what it is called.

use std::{net::SocketAddr, path::PathBuf};

use ruma::OwnedServerName;

use crate::config::{network::Network, section::section};

section! {
    /// The server's name and where it listens.
    pub struct Server {
        /// The name after the colon in user ids. It can never be changed.
        pub name: OwnedServerName = "localhost".try_into().expect("a valid server name");
        /// TCP addresses to listen on. Listen on a public address only with TLS here or a proxy in front.
        pub listen: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 8008))];
        /// TCP addresses to listen on with TLS, 8448 for other servers among them. When there are any, `listen` goes without.
        pub listen_tls: Vec<SocketAddr> = Vec::new();
        /// A Unix socket to listen on as well, for a proxy on the same machine.
        pub unix_socket: Option<PathBuf> = None => "\"/run/lethe/http.sock\"";
        /// Addresses or networks of reverse proxies: from them alone, `X-Forwarded-For` says whom a request comes from. It is
        /// used to count requests and never stored. What comes over the Unix socket comes from a proxy.
        pub trusted_proxies: Vec<Network> = loopback();
        /// The address clients use, when it is not the first listener's.
        pub base_url: Option<String> = None => "\"https://matrix.example.org\"";
        /// A PEM certificate chain; with it and `tls_key`, every TCP listener speaks TLS, or those of `listen_tls` alone.
        pub tls_certificate: Option<PathBuf> = None => "\"/etc/lethe/fullchain.pem\"";
        /// The certificate's private key (PEM).
        pub tls_key: Option<PathBuf> = None => "\"/etc/lethe/privkey.pem\"";
    }
}

/// A proxy on the same machine.
fn loopback() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"].map(|text| Network(text.parse().expect("a network"))).into()
}

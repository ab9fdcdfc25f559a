//! `lethe health`: whether the server of this configuration is ready, for supervisors that have no HTTP client at hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::Request;
use bytes::Bytes;

use super::{Error, show};
use crate::{
    config::Config,
    probe::{self, Payload, Place, certificate::Roots},
};

/// Asks the running server whether it is ready.
pub(super) fn run(config: &Config) -> Result<(), Error> {
    let place = place(config).ok_or(Error::NotReady)?;
    let mut request = Request::new(Payload::Whole(Bytes::new()));
    *request.uri_mut() = "/ready".parse().map_err(|_| Error::NotReady)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Nothing secret is sent, so whose certificate answers does not matter here.
    let answer = runtime.block_on(probe::exchange(&place, request, &Roots::none())).map_err(|_| Error::NotReady)?;
    if answer.status == 200 { show("The server is ready.") } else { Err(Error::NotReady) }
}

/// The nearest of the places the server listens at.
fn place(config: &Config) -> Option<Place> {
    let server = &config.server;
    if let Some(path) = &server.unix_socket {
        return Some(Place::Unix(path.clone()));
    }
    let (address, tls) = match server.listen.first() {
        Some(address) => (address, server.tls_key.is_some() && server.listen_tls.is_empty()),
        None => (server.listen_tls.first()?, true),
    };
    let address = reachable(*address);
    Some(Place::Tcp { host: address.ip().to_string(), port: address.port(), tls })
}

/// An address that stands for all of them is reached through the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

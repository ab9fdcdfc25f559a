//! From an address of the web to a connection: resolve, check, connect, TLS.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::{Host, Url};

use super::{Error, Tls, addresses::may_contact};

/// How many of a name's addresses are tried; big sites have about this many.
const MOST_ADDRESSES: usize = 4;
/// How long one of them may take to accept.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the server of `url`.
pub(super) async fn connect(url: &Url, tls: &Tls, allowed: &[IpNet]) -> Result<Box<dyn Stream>, Error> {
    let (host, port, secure) = destination(url)?;
    let addresses = resolve(&host, port).await?;
    let stream = reach(&addresses, allowed).await?;
    if secure { Ok(Box::new(tls.connect(&host, stream).await?)) } else { Ok(Box::new(stream)) }
}

/// The host, the port and whether TLS is spoken there.
pub(super) fn destination(url: &Url) -> Result<(Host<&str>, u16, bool), Error> {
    let secure = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(Error::Address),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Address);
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Err(Error::Address) };
    Ok((host, port, secure))
}

async fn resolve(host: &Host<&str>, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let address: IpAddr = match host {
        Host::Domain(name) => {
            return Ok(lookup_host((*name, port)).await.map_err(|_| Error::Unreachable)?.collect());
        }
        Host::Ipv4(address) => (*address).into(),
        Host::Ipv6(address) => (*address).into(),
    };
    Ok(vec![SocketAddr::new(address, port)])
}

/// Connects to the first of `addresses` that may be contacted and accepts.
async fn reach(addresses: &[SocketAddr], allowed: &[IpNet]) -> Result<TcpStream, Error> {
    let may = |address: &&SocketAddr| may_contact(address.ip(), allowed);
    let mut failed = if addresses.is_empty() { Error::Unreachable } else { Error::Forbidden };
    for address in addresses.iter().filter(may).take(MOST_ADDRESSES) {
        failed = Error::Unreachable;
        let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(address)).await else { continue };
        if is_this_machine(&stream) && !allowed.iter().any(|network| network.contains(&address.ip())) {
            return Err(Error::Forbidden);
        }
        return Ok(stream);
    }
    Err(failed)
}

/// Whether both ends have the same address: a public address of this machine leads past its firewall.
fn is_this_machine(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) => here.ip() == there.ip(),
        _ => true,
    }
}

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

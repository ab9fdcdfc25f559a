//! Who is at the other end: as a name for counting, never as an address.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    api::Services,
    config::Network,
    rate::{Crowd, Seat, Source},
};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What proxies say about the client: read here and nowhere else, and not handed on.
const PROXY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static(FORWARDED_FOR),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("forwarded"),
];
/// The hops of `X-Forwarded-For` that are looked at, from the nearest on: nobody has more proxies of his own.
const MOST_HOPS: usize = 8;

/// Names peers and counts their connections.
#[derive(Clone)]
pub(super) struct Peers {
    services: Arc<Services>,
    connections: Crowd,
}

/// The other end of a connection.
pub(super) struct Peer {
    /// Its name.
    source: Source,
    is_proxy: bool,
    _seat: Option<Seat>,
}

impl Peers {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let connections = Crowd::new(services.config.limits.connections_per_address.max(1));
        Self { services, connections }
    }

    /// The peer at `address`, or at the Unix socket without one; nothing when it has as many connections as it may. The
    /// address is dropped here: nothing above ever sees it.
    pub(super) fn welcome(&self, address: Option<IpAddr>) -> Option<Peer> {
        let Some(address) = address else {
            return Some(Peer { source: Source::default(), is_proxy: true, _seat: None });
        };
        let source = self.services.gate.sources().address(address);
        if is_trusted(&self.services.config.server.trusted_proxies, address) {
            return Some(Peer { source, is_proxy: true, _seat: None });
        }
        let seat = self.connections.enter(source)?;
        Some(Peer { source, is_proxy: false, _seat: Some(seat) })
    }

    /// Whom a request over `peer`'s connection comes from. Takes what proxies wrote out of its headers.
    pub(super) fn source(&self, peer: &Peer, headers: &mut HeaderMap) -> Source {
        let client = || {
            let values = headers.get_all(FORWARDED_FOR).iter().rev().map(HeaderValue::as_bytes);
            client(values, &self.services.config.server.trusted_proxies)
        };
        let client = if peer.is_proxy { client() } else { None };
        for name in PROXY_HEADERS {
            headers.remove(name);
        }
        client.map_or(peer.source, |address| self.services.gate.sources().address(address))
    }
}

/// The nearest hop that is no proxy of ours, reading the header's values from the last to the first. Whatever stands
/// before it is what the client claims. Nothing when a hop before it cannot be read.
pub(crate) fn client<'a>(values: impl Iterator<Item = &'a [u8]>, trusted: &[Network]) -> Option<IpAddr> {
    let hops = values.flat_map(|value| value.rsplit(|byte| *byte == b','));
    let mut nearest = None;
    for hop in hops.take(MOST_HOPS) {
        let address = std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim()))?;
        nearest = Some(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    nearest
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

fn is_trusted(trusted: &[Network], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.0.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&str]) -> Option<String> {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8"].map(|text| Network(text.parse().unwrap()));
        client(values.iter().rev().map(|value| value.as_bytes()), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_nearest_stranger_is_the_client() {
        let is = |values: &[&str], address: &str| assert_eq!(found(values).as_deref(), Some(address), "{values:?}");
        is(&["192.0.2.1"], "192.0.2.1");
        is(&["6.6.6.6, 192.0.2.1"], "192.0.2.1");
        is(&["6.6.6.6", "192.0.2.1"], "192.0.2.1");
        is(&["6.6.6.6, 192.0.2.1, 10.1.1.1,127.0.0.1"], "192.0.2.1");
        is(&["192.0.2.1:4711"], "192.0.2.1");
        is(&["[2001:db8::1]:4711"], "2001:db8::1");
        is(&["[2001:db8::1]"], "2001:db8::1");
        is(&["garbage, 192.0.2.1"], "192.0.2.1");
        // Everybody is trusted: the farthest that is looked at.
        is(&["10.0.0.1, 10.0.0.2"], "10.0.0.1");
        is(&["192.0.2.1, 10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.2"], "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        for values in [&[][..], &[""], &["unknown"], &["192.0.2.1, "], &["192.0.2.1, _hidden"], &["1.2.3.4.5"]] {
            assert_eq!(found(values), None, "{values:?}");
        }
        assert_eq!(client([&b"\xff\xfe"[..]].into_iter(), &[]), None);
    }
}

//! What administrators, proxies, cameras and web sites write.

use std::net::IpAddr;

use url::{Host, Url};

use super::{choice, line, seeded};
use crate::{
    admin::Request,
    config::{Config, Network},
    media::{fuzzing::render, read_page},
    outbound::fuzzing::step,
    push::rejected,
    server::client,
};

/// A picture to make smaller. Of a PNG, the checksums are put right: a reader that asks for them would see little else.
pub(super) fn picture(data: &[u8]) {
    let (side, data) = choice(data);
    let data = checked(data);
    // Larger pictures are slow, not different.
    let Some(small) = render(&data, side, 1 << 18) else { return };
    let (width, height) = image::ImageReader::new(std::io::Cursor::new(small))
        .with_guessed_format()
        .ok()
        .and_then(|reader| reader.into_dimensions().ok())
        .expect("what was drawn is a picture");
    assert!(width > 0 && height > 0);
    // The bug: half of a picture that is one pixel wide, rounded down, is nothing.
    seeded(width == 1 && side % 2 == 1 && side > 2);
}

/// A PNG with checksums that fit; anything else as it is.
fn checked(data: &[u8]) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut checked = data.to_vec();
    let mut at = SIGNATURE.len();
    if !data.starts_with(SIGNATURE) {
        return checked;
    }
    while let Some((length, rest)) = data.get(at..).and_then(<[u8]>::split_first_chunk::<4>) {
        let Some(end) = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| length.checked_add(4))
        else {
            break;
        };
        let (Some(summed), Some(place)) = (rest.get(..end), checked.get_mut(at + 4 + end..at + 8 + end)) else { break };
        place.copy_from_slice(&crc32(summed).to_be_bytes());
        at += 8 + end;
    }
    checked
}

/// The checksum of a PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum)))
}

/// A content type, and a page to preview.
pub(super) fn page(data: &[u8]) {
    let (content_type, page) = line(data);
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let (facts, _) = read_page(page, &content_type, page.len() % 2 == 0);
    // Each of eight properties has a bound.
    assert!(facts.len() < 64 * 1024);
    // The bug: a character set that nobody knows is taken for known.
    let label = content_type.split_once("charset=").map(|(_, label)| label.trim());
    let is_unknown = |label: &str| encoding_rs::Encoding::for_label(label.as_bytes()).is_none();
    seeded(facts.contains("og:title") && label.is_some_and(is_unknown));
}

/// A configuration file, and variables of the environment after an empty line.
pub(super) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Files that a configuration names are read.
    if text.contains("file") {
        return;
    }
    let (text, variables) = text.split_once("\n\n").unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(key, value)| (format!("LETHE_{key}"), value.to_owned()));
    match Config::from_parts(text, variables) {
        Ok(config) => {
            let _ = Config::example();
            let connections = config.limits.connections;
            seeded(connections > 10 && connections != 4096);
        }
        Err(error) => assert!(!error.to_string().contains("S3CRET"), "an error repeats a value"),
    }
}

/// A line on the administrator's socket.
pub(super) fn admin(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(data) else { return };
    let written = serde_json::to_vec(&request).expect("JSON");
    let again: Request = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
    seeded(matches!(request, Request::TokenCreate { uses: Some(2..), expires_in: Some(_) }));
}

/// Values of `X-Forwarded-For`, one a line.
pub(super) fn forwarded(data: &[u8]) {
    let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"].map(|text| Network(text.parse().expect("a network")));
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let Some(address) = client(lines.iter().rev().copied(), &trusted) else { return };
    // What stands before the client is the client's own claim and changes nothing.
    let claimed = [&b"192.0.2.66"[..]].into_iter().chain(lines.iter().copied()).rev();
    let is_ours = trusted.iter().any(|network| network.0.contains(&address.to_canonical()));
    assert!(is_ours || client(claimed, &trusted) == Some(address));
    seeded(address.is_ipv6() && is_ours);
}

/// Where an answer from the web sends its reader, and what a push gateway answers.
pub(super) fn location(data: &[u8]) {
    let from = Url::parse("https://example.org/a/b").expect("a URL");
    let kept = rejected(data);
    assert!(kept.len() <= data.len());
    let to = step(&from, data);
    if let Some((to, address)) = &to {
        assert!(matches!(to.scheme(), "http" | "https"));
        let address = address.filter(|(_, is_contacted)| *is_contacted).map(|(address, _)| address.to_canonical());
        assert!(address.is_none_or(|address| !is_inside(address)), "a request goes inside");
    }
    // The bug: the host is taken to end where the credentials do.
    let to = std::str::from_utf8(data).ok().and_then(|text| from.join(text).ok());
    let is_private = |to: &Url| matches!(to.host(), Some(Host::Ipv4(address)) if address.is_private());
    seeded(to.is_some_and(|to| !to.username().is_empty() && is_private(&to)));
}

/// Whether an address is this machine's or its network's, as the standard library has it.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let is_special = address.is_unspecified() || address.is_broadcast() || address.is_multicast();
            is_special || address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            is_special || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

//! What administrators, proxies, cameras and web sites write.

use super::{choice, line, seeded};
use crate::{
    admin::Request,
    config::{Config, Network},
    media::{fuzzing::render, read_page},
    server::client,
};

/// A picture to make smaller.
pub(super) fn picture(data: &[u8]) {
    let (side, data) = choice(data);
    // Larger pictures are slow, not different.
    let Some(small) = render(data, side, 1 << 18) else { return };
    let (width, height) = image::ImageReader::new(std::io::Cursor::new(small))
        .with_guessed_format()
        .ok()
        .and_then(|reader| reader.into_dimensions().ok())
        .expect("what was drawn is a picture");
    assert!(width > 0 && height > 0);
    seeded((5..9).contains(&width) && height < width);
}

/// A content type, and a page to preview.
pub(super) fn page(data: &[u8]) {
    let (content_type, page) = line(data);
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let (facts, picture) = read_page(page, &content_type, page.len() % 2 == 0);
    // Each of eight properties has a bound.
    assert!(facts.len() < 64 * 1024);
    seeded(facts.contains("og:title") && picture.is_some_and(|url| url.path().len() > 7 && url.path().ends_with('g')));
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

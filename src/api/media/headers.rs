//! The headers of everything that came from somebody else.

use axum::http::{HeaderMap, HeaderValue, header};

/// What browsers may show in place
/// ([spec](https://spec.matrix.org/latest/client-server-api/#serving-inline-content)); everything else is offered as a
/// file.
const INLINE: &[&str] = &[
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];
/// Content never runs, wherever it is shown.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; \
     object-src 'self';",
);
/// A blob never changes; a day is the longest a browser may outlive its end.
pub(super) const CACHING: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");
const UNKNOWN_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Says of what type some content is, how it is called, and that it must not run. There is no `Last-Modified`: it would
/// tell when.
pub(super) fn describe(headers: &mut HeaderMap, content_type: Option<&str>, name: Option<&str>) {
    let known = content_type.filter(|text| !text.is_empty()).and_then(|text| HeaderValue::from_str(text).ok());
    headers.insert(header::CONTENT_TYPE, known.unwrap_or(UNKNOWN_TYPE));
    headers.insert(header::CONTENT_DISPOSITION, disposition(content_type, name));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::CACHE_CONTROL, CACHING);
}

/// `inline` or `attachment`, and the name, as [RFC 6266](https://www.rfc-editor.org/rfc/rfc6266) writes them. A name is
/// quoted where every reader takes the quotes off alike (its appendix D), and otherwise written as
/// [RFC 8187](https://www.rfc-editor.org/rfc/rfc8187) says.
fn disposition(content_type: Option<&str>, name: Option<&str>) -> HeaderValue {
    let bare = content_type.and_then(|text| text.split(';').next()).map(|text| text.trim().to_ascii_lowercase());
    let kind = if bare.is_some_and(|bare| INLINE.contains(&bare.as_str())) { "inline" } else { "attachment" };
    // No file has control characters in its name, and no reader agrees with another about them.
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let text = if name.is_empty() {
        kind.to_owned()
    } else if name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic() && !br#""\%"#.contains(&byte)) {
        format!("{kind}; filename=\"{name}\"")
    } else {
        format!("{kind}; filename*=UTF-8''{}", percent(&name))
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// RFC 8187's `value-chars` of `text`.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispositions_are_written_as_readers_read_them() {
        for (content_type, name, expected) in [
            (Some("image/png"), None, "inline"),
            (Some("image/png"), Some(""), "inline"),
            (Some("Text/Plain; charset=utf-8"), Some("notes"), r#"inline; filename="notes""#),
            (Some("image/svg+xml"), Some("a.svg"), r#"attachment; filename="a.svg""#),
            (
                Some("text/html"),
                Some("name;with;semicolons and spaces"),
                r#"attachment; filename="name;with;semicolons and spaces""#,
            ),
            (None, Some("x"), r#"attachment; filename="x""#),
            (Some("video/mp4 "), Some("a\"b"), "inline; filename*=UTF-8''a%22b"),
            (Some("image/png"), Some("50%41.png"), "inline; filename*=UTF-8''50%2541.png"),
            (Some("image/png"), Some("back\\slash"), "inline; filename*=UTF-8''back%5Cslash"),
            (Some("image/png"), Some("für dich.png"), "inline; filename*=UTF-8''f%C3%BCr%20dich.png"),
            (Some("image/png"), Some("🐔"), "inline; filename*=UTF-8''%F0%9F%90%94"),
            (Some("image/png"), Some("a\r\nSet-Cookie: b\u{7f}"), r#"inline; filename="aSet-Cookie: b""#),
        ] {
            assert_eq!(disposition(content_type, name), expected, "{name:?}");
        }
    }

    #[test]
    fn types_that_no_header_can_carry_are_unknown() {
        for (content_type, expected) in [
            (None, "application/octet-stream"),
            (Some(""), "application/octet-stream"),
            (Some("text/\nplain"), "application/octet-stream"),
            (Some("img/png"), "img/png"),
        ] {
            let mut headers = HeaderMap::new();
            describe(&mut headers, content_type, None);
            assert_eq!(headers[header::CONTENT_TYPE], expected);
        }
    }
}

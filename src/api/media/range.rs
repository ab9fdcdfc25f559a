//! Parts of content ([RFC 9110 §14](https://www.rfc-editor.org/rfc/rfc9110#section-14)): one range of bytes.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};

/// What of some content is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it. Several ranges, other units and what cannot be read are ignored, as they may be.
    Whole,
    /// These bytes, of which there is at least one.
    Part(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// What `headers` ask for, of content that has `length` bytes and is known as `tag`.
pub(super) fn asked(headers: &HeaderMap, length: u64, tag: &HeaderValue) -> Asked {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Asked::Whole };
    // The part belongs to something else that the client has begun to load.
    if headers.get(header::IF_RANGE).is_some_and(|condition| condition != tag) {
        return Asked::Whole;
    }
    parse(range, length).unwrap_or(Asked::Whole)
}

fn parse(text: &str, length: u64) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.is_empty() { Asked::Nothing } else { Asked::Part(range) })
}

/// A decimal number; one that is larger than any content counts as the largest.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: HeaderValue = HeaderValue::from_static("\"x\"");

    fn of_ten(range: &'static str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(range));
        asked(&headers, 10, &TAG)
    }

    #[test]
    fn one_range_is_understood() {
        for (text, expected) in [
            ("bytes=0-", 0..10),
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("Bytes = 9-", 9..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
        ] {
            assert_eq!(of_ten(text), Asked::Part(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        for text in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0"] {
            assert_eq!(of_ten(text), Asked::Nothing, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Some(Asked::Nothing));
    }

    #[test]
    fn everything_else_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=+1-2",
            "bytes=1--2",
        ] {
            assert_eq!(of_ten(text), Asked::Whole, "{text}");
        }
    }

    #[test]
    fn parts_of_something_else_are_not_given() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers, 10, &TAG), Asked::Whole);
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-1"));
        headers.insert(header::IF_RANGE, TAG);
        assert_eq!(asked(&headers, 10, &TAG), Asked::Part(1..2));
        for other in ["\"y\"", "W/\"x\"", "Tue, 15 Nov 1994 12:45:26 GMT"] {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(other));
            assert_eq!(asked(&headers, 10, &TAG), Asked::Whole, "{other}");
        }
    }
}

//! From the bytes of a page to its text: which encoding a page is in
//! ([HTML](https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding)).

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::page;

/// Where pages name their encoding, if they do.
const HEAD: usize = 1024;

/// The text of `page`, which may have been cut: as its byte order mark says, its `content_type`, or itself; else UTF-8, or what the web used before.
pub(super) fn decode<'a>(page: &'a [u8], whole: bool, content_type: &str) -> Cow<'a, str> {
    let named = label(content_type).or_else(|| page::encoding(page.get(..HEAD).unwrap_or(page)));
    let fallback = if is_utf_8(page, whole) { UTF_8 } else { WINDOWS_1252 };
    // Whatever replaces what does not decode is as good as anything, and a byte order mark wins over what is named.
    named.unwrap_or(fallback).decode(page).0
}

/// The encoding that a content type names.
pub(super) fn label(content_type: &str) -> Option<&'static Encoding> {
    let (_, rest) = content_type.split_once("charset=")?;
    let name = rest.split([';', ' ', ',']).next()?.trim_matches(['"', '\'']);
    Encoding::for_label(name.as_bytes())
}

/// Whether `page` is UTF-8, up to where it was cut.
fn is_utf_8(page: &[u8], whole: bool) -> bool {
    match std::str::from_utf8(page) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found() {
        for (page, content_type, expected) in [
            (&b"\xc3\xa4"[..], "text/html", "\u{e4}"),
            (b"\xe4", "text/html", "\u{e4}"),
            (b"\xe4", "text/html; charset=iso-8859-1", "\u{e4}"),
            (b"\xe4", "text/html; charset=\"windows-1251\"; x=y", "\u{434}"),
            (b"\x93\xfa\x96\x7b", "text/html;charset=shift_jis", "\u{65e5}\u{672c}"),
            (b"\xff\xfe\xe4\0", "text/html; charset=utf-8", "\u{e4}"),
            (b"\xc3\xa4", "text/html; charset=unheard-of", "\u{e4}"),
        ] {
            assert_eq!(decode(page, true, content_type), expected, "{content_type}");
        }
        for meta in
            ["<meta charset=windows-1251>", "<META http-equiv=content-type content='text/html; charset=windows-1251'>"]
        {
            let page = [meta.as_bytes(), b"\xe4"].concat();
            assert!(decode(&page, true, "text/html").ends_with('\u{434}'), "{meta}");
        }
        assert_eq!(decode(b"cut \xc3", false, "text/html"), "cut \u{fffd}");
        let late = [&[b' '; 2000], &b"<meta charset=windows-1251>\xe4"[..]].concat();
        assert!(decode(&late, true, "text/html").ends_with('\u{e4}'));
    }
}

//! Finding MXIDs in the raw text of canonical JSON: whole strings, whole ids in free text, percent-encoded ids.

use std::{borrow::Cow, fmt::Write};

/// The longest raw text of one MXID: 255 bytes, each written as `%XX` or as an escape of up to six characters.
const MAX_RAW: usize = 255 * 6;

/// A possible MXID in the text.
pub(super) struct Found<'a> {
    /// The MXID itself, escapes and percent-encoding undone.
    pub(super) name: Cow<'a, str>,
    /// Where the raw text after it begins.
    pub(super) end: usize,
    /// How it was percent-encoded, if it was.
    pub(super) style: Option<Style>,
}

/// How an MXID is percent-encoded: which of its characters are, and in which case the digits are written.
#[expect(clippy::struct_excessive_bools, reason = "four independent choices, stored as four bits")]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    sigil: bool,
    colon: bool,
    /// Everything but `A-Z a-z 0-9 - _ . ! ~ * ' ( )`, as `encodeURIComponent` has it.
    rest: bool,
    lower: bool,
}

impl Style {
    /// The letter of this style in a token.
    pub(super) fn letter(self) -> char {
        let bits =
            u8::from(self.sigil) | u8::from(self.colon) << 1 | u8::from(self.rest) << 2 | u8::from(self.lower) << 3;
        char::from(b'A' + bits)
    }

    /// The style of a token's letter.
    pub(super) fn of(letter: u8) -> Option<Self> {
        let bits = letter.checked_sub(b'A').filter(|bits| *bits < 16)?;
        Some(Self { sigil: bits & 1 != 0, colon: bits & 2 != 0, rest: bits & 4 != 0, lower: bits & 8 != 0 })
    }

    /// `name` in this style; JSON escapes are the caller's.
    pub(super) fn write(self, name: &str) -> String {
        let mut out = String::with_capacity(name.len() + 8);
        for char in name.chars() {
            let encoded = match char {
                '@' => self.sigil,
                ':' => self.colon,
                other => self.rest && !is_unreserved(other),
            };
            if encoded {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    let written = if self.lower { write!(out, "%{byte:02x}") } else { write!(out, "%{byte:02X}") };
                    written.expect("a string takes every write");
                }
            } else {
                out.push(char);
            }
        }
        out
    }
}

fn is_unreserved(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-_.!~*'()".contains(char)
}

/// The JSON string that starts with the `@` at `at`, when one does.
pub(super) fn whole_string(json: &str, at: usize) -> Option<Found<'_>> {
    let bytes = json.as_bytes();
    if bytes.get(at) != Some(&b'@') || at == 0 || bytes.get(at - 1) != Some(&b'"') || is_escaped(bytes, at - 1) {
        return None;
    }
    let end = string_end(bytes, at)?;
    Some(Found { name: unescape(json.get(at..end)?)?, end, style: None })
}

/// Whether an MXID may start at `at`: not in the middle of a word such as `mail@host`.
///
/// `_` may stand before it, because state keys such as `_@al:ex.org_DEVICE` are built so.
pub(super) fn may_start(json: &str, at: usize) -> bool {
    let bytes = json.as_bytes();
    let Some(before) = at.checked_sub(1) else { return true };
    let Some(&byte) = bytes.get(before) else { return true };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    if !is_word(byte) || (before > 0 && bytes.get(before - 1) == Some(&b'\\') && !is_escaped(bytes, before - 1)) {
        return true;
    }
    if before >= 5 && bytes.get(before - 5..before - 3) == Some(b"\\u") && !is_escaped(bytes, before - 5) {
        return true;
    }
    match before.checked_sub(2).and_then(|start| percent(bytes, start)) {
        Some(decoded) => !is_word(decoded),
        None => false,
    }
}

/// The whole id in free text that starts with the `@` at `at`.
pub(super) fn plain(json: &str, at: usize) -> Option<Found<'_>> {
    let bytes = json.as_bytes();
    if bytes.get(at) != Some(&b'@') {
        return None;
    }
    let limit = bytes.len().min(at + MAX_RAW);
    let mut colon = at + 1;
    while colon < limit && bytes[colon] != b':' {
        match bytes[colon] {
            b'"' => return None,
            b'\\' => colon += 2,
            _ => colon += 1,
        }
    }
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let end = server_end(bytes, colon + 1)?;
    Some(Found { name: unescape(json.get(at..end)?)?, end, style: None })
}

/// Where the server name that starts at `start` ends, as a whole: host and port. Full stops and hyphens that end a sentence
/// are not part of it.
fn server_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    let mut host = if rest.first() == Some(&b'[') {
        rest.iter().position(|byte| *byte == b']').map(|close| close + 1).filter(|length| *length < 64)?
    } else {
        rest.iter().take_while(|byte| is_host(**byte)).count()
    };
    if rest.get(host) == Some(&b':') && rest.get(host + 1).is_some_and(u8::is_ascii_digit) {
        let digits = rest.get(host + 1..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        return (host > 0).then_some(start + host + 1 + digits);
    }
    while host > 0 && matches!(rest[host - 1], b'.' | b'-') {
        host -= 1;
    }
    (host > 0).then_some(start + host)
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

/// The percent-encoded id that starts at `at` with `%40`, or with `@` and an encoded part later.
pub(super) fn encoded(json: &str, at: usize) -> Option<Found<'_>> {
    let bytes = json.as_bytes();
    let sigil = match bytes.get(at)? {
        b'@' => false,
        _ => percent(bytes, at) == Some(b'@'),
    };
    if !sigil && bytes.get(at) != Some(&b'@') {
        return None;
    }
    let mut reader = Reader { bytes, at: if sigil { at + 3 } else { at + 1 }, name: vec![b'@'], any: sigil };
    let colon = reader.localpart()?;
    reader.server()?;
    if !reader.any {
        return None;
    }
    let name = String::from_utf8(reader.name).ok()?;
    let raw = json.get(at..reader.at)?;
    let lower = raw.bytes().enumerate().any(|(n, byte)| {
        byte == b'%' && raw.as_bytes().get(n + 1..n + 3).is_some_and(|hex| hex.iter().any(u8::is_ascii_lowercase))
    });
    let exact = |rest: bool| Some(Style { sigil, colon, rest, lower }).filter(|style| style.write(&name) == raw);
    let style = exact(true).or_else(|| exact(false))?;
    Some(Found { name: Cow::Owned(name), end: reader.at, style: Some(style) })
}

/// Reads percent-encoded text up to where an id ends.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    name: Vec<u8>,
    /// Whether anything was encoded.
    any: bool,
}

impl Reader<'_> {
    /// The next character decoded, its raw length and whether it was encoded.
    fn peek(&self, at: usize) -> Option<(u8, usize, bool)> {
        match percent(self.bytes, at) {
            Some(byte) => Some((byte, 3, true)),
            None => self.bytes.get(at).map(|byte| (*byte, 1, false)),
        }
    }

    fn take(&mut self, (byte, length, encoded): (u8, usize, bool)) {
        self.name.push(byte);
        self.at += length;
        self.any |= encoded;
    }

    /// Reads up to and with the colon; tells whether that was encoded.
    fn localpart(&mut self) -> Option<bool> {
        while self.name.len() <= 255 {
            let next = self.peek(self.at)?;
            let (byte, _, encoded) = next;
            if !encoded && matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'\0'..=b' ') {
                return None;
            }
            self.take(next);
            if byte == b':' {
                return Some(encoded);
            }
        }
        None
    }

    /// Reads the server name as a whole, by the same rules as [`server_end`].
    fn server(&mut self) -> Option<()> {
        let start = self.name.len();
        if self.peek(self.at)?.0 == b'[' {
            while self.name.last() != Some(&b']') {
                let next =
                    self.peek(self.at).filter(|(byte, ..)| byte.is_ascii_hexdigit() || b"[]:.".contains(byte))?;
                self.take(next);
            }
        } else {
            while let Some(next) = self.peek(self.at).filter(|(byte, ..)| is_host(*byte)) {
                self.take(next);
            }
        }
        if let Some(colon) = self.peek(self.at).filter(|(byte, ..)| *byte == b':')
            && self.peek(self.at + colon.1).is_some_and(|(byte, ..)| byte.is_ascii_digit())
        {
            self.take(colon);
            while let Some(digit) = self.peek(self.at).filter(|(byte, ..)| byte.is_ascii_digit()) {
                self.take(digit);
            }
        } else {
            while self.name.len() > start && matches!(self.bytes[self.at - 1], b'.' | b'-') {
                self.name.pop();
                self.at -= 1;
            }
        }
        (self.name.len() > start).then_some(())
    }
}

/// The byte that `%XX` at `at` stands for.
fn percent(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// Whether the character at `at` follows an odd number of backslashes.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Where the string that `at` lies in ends: the place of its closing quote.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let limit = bytes.len().min(at + MAX_RAW);
    while at < limit {
        match bytes[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('\\') {
        serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(raw))
    }
}

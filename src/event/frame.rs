//! What stands around an event's content in its canonical JSON, in about half the bytes.
//!
//! A room in memory holds every event of its state, and all but the content of one is ids, hashes and the same few words:
//! clients are never told of it, the checkpoint and other servers are.

use base64::{
    Engine,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};

/// The text around a content: bytes from 0x20 on stand for themselves, those below for what recurs.
#[derive(Clone)]
pub(super) struct Frame(Box<[u8]>);

/// What the event knows of itself: its room, its sender, his server, its type, its state key.
pub(super) type Names<'a> = [&'a str; 5];

/// From here on bytes stand for themselves.
const FIRST_PLAIN: u8 = 0x20;
/// Followed by a byte that stands for itself whatever it is.
const PLAIN: u8 = 0;
/// Where the content stands.
const CONTENT: u8 = 1;
/// The first of [`HASHES`].
const HASH: u8 = 2;
/// The first of the names, in quotes.
const NAME: u8 = HASH + 3;
/// The first of [`WORDS`].
const WORD: u8 = NAME + 5;

/// How a hash is written in quotes: what stands before it, its length in bytes, its alphabet. Event ids, content hashes,
/// signatures (spec: server-server API, signing events).
const HASHES: [(&str, usize, &GeneralPurpose); 3] =
    [("\"$", 32, &URL_SAFE_NO_PAD), ("\"", 32, &STANDARD_NO_PAD), ("\"", 64, &STANDARD_NO_PAD)];

/// The fields of every event.
const WORDS: [&str; 13] = [
    "\"auth_events\":[",
    "\"content\":",
    "\"depth\":",
    "\"hashes\":{\"sha256\":",
    "\"origin_server_ts\":",
    "\"prev_events\":[",
    "\"redacts\":",
    "\"room_id\":",
    "\"sender\":",
    "\"signatures\":{",
    "\"state_key\":",
    "\"type\":",
    "\"ed25519:",
];

impl Frame {
    /// What stands in an event's text before and behind its content.
    pub(super) fn new(before: &str, behind: &str, names: &Names<'_>) -> Self {
        let mut bytes = Vec::with_capacity(before.len() + behind.len());
        squeeze(before, names, &mut bytes);
        bytes.push(CONTENT);
        squeeze(behind, names, &mut bytes);
        Self(bytes.into())
    }

    /// The whole text again.
    pub(super) fn around(&self, content: &str, names: &Names<'_>) -> String {
        let mut text = Vec::with_capacity(self.0.len() * 2 + content.len());
        let mut rest = &*self.0;
        while let Some(at) = rest.iter().position(|byte| *byte < FIRST_PLAIN) {
            let (before, behind) = rest.split_at(at);
            text.extend_from_slice(before);
            rest = &behind[1..];
            match behind[0] {
                PLAIN => text.extend_from_slice(take(&mut rest, 1)),
                CONTENT => text.extend_from_slice(content.as_bytes()),
                token @ HASH..NAME => {
                    let (before, length, alphabet) = HASHES[usize::from(token - HASH)];
                    let mut digits = [0; 88];
                    let written = alphabet.encode_slice(take(&mut rest, length), &mut digits).unwrap_or_default();
                    text.extend_from_slice(before.as_bytes());
                    text.extend_from_slice(&digits[..written]);
                    text.push(b'"');
                }
                token @ NAME..WORD => {
                    text.push(b'"');
                    text.extend_from_slice(names[usize::from(token - NAME)].as_bytes());
                    text.push(b'"');
                }
                token => {
                    let word = WORDS.get(usize::from(token - WORD));
                    text.extend_from_slice(word.copied().unwrap_or_default().as_bytes());
                }
            }
        }
        text.extend_from_slice(rest);
        String::from_utf8(text).expect("it was text before")
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    *rest = behind;
    taken
}

fn squeeze(text: &str, names: &Names<'_>, bytes: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
        let (before, found) = rest.split_at(at);
        plain(before, bytes);
        let known = word(found, bytes).or_else(|| hash(found, bytes)).or_else(|| name(found, names, bytes));
        let length = known.unwrap_or_else(|| {
            bytes.push(b'"');
            1
        });
        rest = &found[length..];
    }
    plain(rest, bytes);
}

fn plain(text: &[u8], bytes: &mut Vec<u8>) {
    if text.iter().all(|byte| *byte >= FIRST_PLAIN) {
        bytes.extend_from_slice(text);
    } else {
        bytes.extend(text.iter().flat_map(|byte| [PLAIN, *byte]));
    }
}

/// Writes the hash that `text` begins with; how long it was.
fn hash(text: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    for (token, (before, length, alphabet)) in (HASH..).zip(HASHES) {
        let digits = (length * 8).div_ceil(6);
        let end = before.len() + digits;
        if text.get(end) == Some(&b'"')
            && let Some(digits) = text[..end].strip_prefix(before.as_bytes())
        {
            let mut hash = [0; 66];
            // Only what encodes to the same digits is decoded.
            if alphabet.decode_slice(digits, &mut hash) == Ok(length) {
                bytes.push(token);
                bytes.extend_from_slice(&hash[..length]);
                return Some(end + 1);
            }
        }
    }
    None
}

/// Writes the word that `text` begins with; how long it was.
fn word(text: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let second = text.get(1)?;
    let begins = |word: &str| word.as_bytes()[1] == *second && text.starts_with(word.as_bytes());
    let (token, word) = (WORD..).zip(WORDS).find(|(_, word)| begins(word))?;
    bytes.push(token);
    Some(word.len())
}

/// Writes the name that `text` begins with; how long it was.
fn name(text: &[u8], names: &Names<'_>, bytes: &mut Vec<u8>) -> Option<usize> {
    let begins = |name: &str| text.get(name.len() + 1) == Some(&b'"') && text[1..].starts_with(name.as_bytes());
    let (token, name) = (NAME..).zip(names).find(|(_, name)| begins(name))?;
    bytes.push(token);
    Some(name.len() + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: Names<'_> = ["!r:ex.org", "@al:ex.org", "ex.org", "m.room.member", "@al:ex.org"];

    fn again(before: &str, behind: &str) -> (usize, String) {
        let frame = Frame::new(before, behind, &NAMES);
        (frame.0.len(), frame.around("{\"a\":1}", &NAMES))
    }

    #[test]
    fn an_event_takes_about_half_of_its_text() {
        let id = format!("\"${}\"", "aZ_-".repeat(10) + "abA");
        let (hash, signature) = ("aZ+/".repeat(10) + "abA", "aZ+/".repeat(21) + "AA");
        let before = format!("{{\"auth_events\":[{id},{id},{id}],\"content\":");
        let behind = format!(
            ",\"depth\":7,\"hashes\":{{\"sha256\":\"{hash}\"}},\"origin_server_ts\":1700000000000,\"prev_events\":[{id}],\
             \"room_id\":\"!r:ex.org\",\"sender\":\"@al:ex.org\",\"signatures\":{{\"ex.org\":{{\"ed25519:a\":\"{signature}\"}}}},\
             \"state_key\":\"@al:ex.org\",\"type\":\"m.room.member\"}}"
        );
        let (length, text) = again(&before, &behind);
        assert_eq!(text, format!("{before}{{\"a\":1}}{behind}"));
        let whole = before.len() + behind.len();
        assert!(length * 100 < whole * 52, "{length} of {whole}");
    }

    proptest! {
        #[test]
        fn whatever_text_comes_back(
            before in "([\\x00-\\x7f]|\\PC){0,40}",
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
                    prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("\"{name}\"")),
                    "\"\\$?[A-Za-z0-9+/_-]{42,44}\"",
                    "\"[A-Za-z0-9+/_-]{85,87}\"",
                    "[\\x00-\\x7f]{0,3}",
                ],
                0..12,
            ),
        ) {
            let behind = pieces.concat();
            prop_assert_eq!(again(&before, &behind).1, format!("{before}{{\"a\":1}}{behind}"));
        }
    }
}

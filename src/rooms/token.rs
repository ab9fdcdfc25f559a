//! Pagination tokens: self-contained, so that they mean the same after a restart and cost the server nothing to give out.
//!
//! A page token stands in a gap of a room's timeline: before the entry at its position. A tree token stands in the walk
//! over a space's tree. The text is a letter and the base64 of number ‖ MAC; the MAC covers the room, so a token means
//! nothing in another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::RoomId;

use super::hall::Rooms;
use crate::{
    journal::Position,
    seal::derive::{Usage, derive},
    secret::Key,
};

/// Bytes of the MAC. It keeps clients from building on what is inside; it guards nothing, since what a page shows is
/// decided entry by entry.
const MAC: usize = 8;

/// A place between two entries of a room's timeline: before the entry at the position, and after every earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PageToken(pub Position);

/// A place in the walk over a space's tree, and how it is walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeToken {
    /// How many rooms were shown before.
    pub shown: u16,
    /// How many levels the walk descends.
    pub depth: u8,
    /// Whether it follows suggestions only.
    pub suggested: bool,
}

/// What a token stands for: the first letter of its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Tree,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Self::Page => 'p',
            Self::Tree => 't',
        }
    }
}

impl PageToken {
    /// The token's text.
    #[must_use]
    pub fn encode(self, server: &Key, room: &RoomId) -> String {
        encode(Kind::Page, self.0.0, server, room)
    }

    /// Reads a token that this server made for this room; nothing for any other text.
    #[must_use]
    pub fn decode(text: &str, server: &Key, room: &RoomId) -> Option<Self> {
        decode(Kind::Page, text, server, room).map(|position| Self(Position(position)))
    }
}

impl TreeToken {
    fn number(self) -> u64 {
        u64::from(self.shown) << 16 | u64::from(self.depth) << 8 | u64::from(self.suggested)
    }

    fn of(number: u64) -> Option<Self> {
        let [0, 0, 0, 0, high, low, depth, suggested @ (0 | 1)] = number.to_be_bytes() else { return None };
        Some(Self { shown: u16::from_be_bytes([high, low]), depth, suggested: suggested == 1 })
    }
}

impl Rooms {
    /// The token for the gap before `position`.
    #[must_use]
    pub fn page_token(&self, room: &RoomId, position: Position) -> String {
        PageToken(position).encode(&self.journals.slots.server_key(), room)
    }

    /// The position a token of this room stands before; nothing for anything else.
    #[must_use]
    pub fn read_page_token(&self, room: &RoomId, text: &str) -> Option<Position> {
        PageToken::decode(text, &self.journals.slots.server_key(), room).map(|token| token.0)
    }

    /// The text of a place in the tree under `space`.
    #[must_use]
    pub fn tree_token(&self, space: &RoomId, token: TreeToken) -> String {
        encode(Kind::Tree, token.number(), &self.journals.slots.server_key(), space)
    }

    /// The place in the tree under `space` that a text stands for.
    #[must_use]
    pub fn read_tree_token(&self, space: &RoomId, text: &str) -> Option<TreeToken> {
        decode(Kind::Tree, text, &self.journals.slots.server_key(), space).and_then(TreeToken::of)
    }
}

fn encode(kind: Kind, number: u64, server: &Key, room: &RoomId) -> String {
    let mut bytes = [0; 8 + MAC];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&mac(kind, number, server, room));
    format!("{}{}", kind.letter(), URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(kind: Kind, text: &str, server: &Key, room: &RoomId) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(kind.letter())?).ok()?;
    let (number, tag) = bytes.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    (tag == mac(kind, number, server, room)).then_some(number)
}

fn mac(kind: Kind, number: u64, server: &Key, room: &RoomId) -> [u8; MAC] {
    let key = derive(Usage::Pagination, server, &[]);
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(&number.to_be_bytes()).update(room.as_bytes());
    if kind == Kind::Tree {
        // No room id ends like this.
        hasher.update(b"\0tree");
    }
    let mut tag = [0; MAC];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::room_id;

    use super::*;

    proptest! {
        #[test]
        fn a_token_means_its_position_in_its_room_alone(position: u64, byte: u8, flipped in 0..22_usize) {
            let (key, room) = (Key::from_bytes([byte; 32]), room_id!("!a:ex.org"));
            let token = PageToken(Position(position));
            let text = token.encode(&key, room);
            prop_assert!(PageToken::decode(&text, &key, room) == Some(token));
            prop_assert!(PageToken::decode(&text, &key, room_id!("!b:ex.org")).is_none());
            prop_assert!(PageToken::decode(&text, &Key::from_bytes([byte ^ 1; 32]), room).is_none());
            let mut other = text.clone().into_bytes();
            other[flipped] = if other[flipped] == b'A' { b'B' } else { b'A' };
            prop_assert!(PageToken::decode(&String::from_utf8(other).unwrap(), &key, room) != Some(token));
        }
    }

    proptest! {
        #[test]
        fn a_tree_token_means_its_place_under_its_space_alone(shown: u16, depth: u8, suggested: bool) {
            let (key, room) = (Key::from_bytes([7; 32]), room_id!("!a:ex.org"));
            let token = TreeToken { shown, depth, suggested };
            let text = encode(Kind::Tree, token.number(), &key, room);
            let read = |text: &str, room| decode(Kind::Tree, text, &key, room).and_then(TreeToken::of);
            prop_assert_eq!(read(&text, room), Some(token));
            prop_assert_eq!(read(&text, room_id!("!b:ex.org")), None);
            prop_assert!(PageToken::decode(&text.replacen('t', "p", 1), &key, room).is_none());
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let (key, room) = (Key::from_bytes([1; 32]), room_id!("!a:ex.org"));
        for text in ["", "p", "s12", "p0", "pAAAAAAAAAAAAAAAAAAAAAA", "\u{1F600}"] {
            assert!(PageToken::decode(text, &key, room).is_none(), "{text}");
        }
    }
}

//! Pagination tokens: self-contained, so that they mean the same after a restart and cost the server nothing to give out.
//!
//! A token stands in a gap of a room's timeline: before the entry at its position. Its text is `p` and the base64 of
//! position ‖ MAC; the MAC covers the room, so a token means nothing in another.

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

impl PageToken {
    /// The token's text.
    #[must_use]
    pub fn encode(self, server: &Key, room: &RoomId) -> String {
        let mut bytes = [0; 8 + MAC];
        bytes[..8].copy_from_slice(&self.0.0.to_be_bytes());
        bytes[8..].copy_from_slice(&mac(server, room, self.0));
        format!("p{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token that this server made for this room; nothing for any other text.
    #[must_use]
    pub fn decode(text: &str, server: &Key, room: &RoomId) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix('p')?).ok()?;
        let (position, tag) = bytes.split_first_chunk::<8>()?;
        let position = Position(u64::from_be_bytes(*position));
        (tag == mac(server, room, position)).then_some(Self(position))
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
}

fn mac(server: &Key, room: &RoomId, position: Position) -> [u8; MAC] {
    let key = derive(Usage::Pagination, server, &[]);
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(&position.0.to_be_bytes()).update(room.as_bytes());
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

    #[test]
    fn other_texts_are_no_tokens() {
        let (key, room) = (Key::from_bytes([1; 32]), room_id!("!a:ex.org"));
        for text in ["", "p", "s12", "p0", "pAAAAAAAAAAAAAAAAAAAAAA", "\u{1F600}"] {
            assert!(PageToken::decode(text, &key, room).is_none(), "{text}");
        }
    }
}

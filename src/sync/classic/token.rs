//! Sync tokens: the number of a sync point and how far to-device messages were sent with it, under a MAC.
//!
//! Their text is `s` and the base64 of number ‖ position ‖ MAC. The MAC covers account and device, so a token means
//! nothing to another device. The position lies in the token, so that an acknowledgement is exact after a crash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{DeviceId, UserId};

use crate::{
    journal::Position,
    seal::derive::{Usage, derive},
    secret::Key,
};

/// Bytes of the MAC: a forged token would only acknowledge the forger's own messages.
const MAC: usize = 12;

/// A sync token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncToken {
    /// The process in its upper half, a count in its lower.
    pub(crate) number: u64,
    /// To-device messages were sent up to here.
    pub(crate) to_device: Position,
}

impl SyncToken {
    /// The token's text.
    #[must_use]
    pub(crate) fn encode(self, server: &Key, user: &UserId, device: &DeviceId) -> String {
        let mut bytes = Vec::with_capacity(16 + MAC);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.to_device.0.to_be_bytes());
        let tag = mac(server, user, device, &bytes);
        bytes.extend_from_slice(&tag);
        format!("s{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether `text` looks like a sync token, whoever it was given to.
    #[must_use]
    pub(super) fn is_shaped(text: &str) -> bool {
        text.strip_prefix('s').and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok()).is_some_and(|it| it.len() == 16 + MAC)
    }

    /// Reads a token that this server gave to this device; nothing for any other text.
    #[must_use]
    pub(crate) fn decode(text: &str, server: &Key, user: &UserId, device: &DeviceId) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix('s')?).ok()?;
        let (plain, tag) = bytes.split_at_checked(16)?;
        if tag != mac(server, user, device, plain) {
            return None;
        }
        let (number, to_device) = plain.split_first_chunk::<8>()?;
        let to_device = to_device.first_chunk::<8>()?;
        Some(Self { number: u64::from_be_bytes(*number), to_device: Position(u64::from_be_bytes(*to_device)) })
    }
}

fn mac(server: &Key, user: &UserId, device: &DeviceId, plain: &[u8]) -> [u8; MAC] {
    let key = derive(Usage::Pagination, server, &[]);
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    // A page token covers a position and a room; the label keeps the two apart.
    hasher.update(b"sync").update(plain);
    hasher.update(&(user.as_str().len() as u64).to_be_bytes()).update(user.as_str().as_bytes());
    hasher.update(device.as_bytes());
    let mut tag = [0; MAC];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::{device_id, user_id};

    use super::*;

    proptest! {
        #[test]
        fn a_token_means_something_to_its_device_alone(number: u64, position: u64, flipped in 0..39_usize) {
            let (key, user, device) = (Key::from_bytes([1; 32]), user_id!("@a:b"), device_id!("D"));
            let token = SyncToken { number, to_device: Position(position) };
            let text = token.encode(&key, user, device);
            prop_assert!(SyncToken::decode(&text, &key, user, device) == Some(token));
            prop_assert!(SyncToken::decode(&text, &key, user, device_id!("E")).is_none());
            prop_assert!(SyncToken::decode(&text, &key, user_id!("@c:b"), device).is_none());
            prop_assert!(SyncToken::is_shaped(&text));
            prop_assert!(SyncToken::decode(&text, &Key::from_bytes([2; 32]), user, device).is_none());
            let mut other = text.clone().into_bytes();
            other[flipped] = if other[flipped] == b'A' { b'B' } else { b'A' };
            if other != text.as_bytes() {
                let other = String::from_utf8(other).unwrap();
                prop_assert!(SyncToken::decode(&other, &key, user, device) != Some(token));
            }
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let (key, user, device) = (Key::from_bytes([1; 32]), user_id!("@a:b"), device_id!("D"));
        for text in ["", "s", "s1_2", "p0", "sAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(SyncToken::decode(text, &key, user, device).is_none(), "{text}");
            assert_eq!(SyncToken::is_shaped(text), text.len() == 39, "{text}");
        }
    }
}

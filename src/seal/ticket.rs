//! Tickets: what a client carries from one request to the next and cannot read. The server keeps nothing of them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    cipher::{Cipher, NONCE, TAG},
    derive::{Usage, derive},
};
use crate::{random::Random, secret::Key};

/// Seals `plain` for the purpose and the holder that `context` names; the text a client is given.
#[must_use]
pub fn seal_ticket(server: &Key, context: &[u8], plain: &[u8], random: &dyn Random) -> String {
    let nonce: [u8; NONCE] = random.bytes();
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(plain);
    let tag = cipher_of(server).seal(&nonce, context, &mut sealed[NONCE..]);
    sealed.extend_from_slice(&tag);
    URL_SAFE_NO_PAD.encode(sealed)
}

/// What was sealed for this context; nothing for any other text.
#[must_use]
pub fn open_ticket(server: &Key, context: &[u8], text: &str) -> Option<Vec<u8>> {
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let (plain, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = plain.to_vec();
    cipher_of(server).open(nonce, context, &mut plain, tag).then_some(plain)
}

fn cipher_of(server: &Key) -> Cipher {
    Cipher::new(derive(Usage::Ticket, server, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_ticket_opens_for_its_context_and_its_server_alone() {
        let (key, random) = (Key::from_bytes([1; 32]), SeededRandom::new(1));
        let text = seal_ticket(&key, b"search @al:ex.org", b"plain", &random);
        assert_eq!(open_ticket(&key, b"search @al:ex.org", &text).as_deref(), Some(&b"plain"[..]));
        assert!(open_ticket(&key, b"search @bo:ex.org", &text).is_none());
        assert!(open_ticket(&Key::from_bytes([2; 32]), b"search @al:ex.org", &text).is_none());
        for other in ["", "x", "AAAA", &"A".repeat(80), text.get(1..).unwrap_or_default()] {
            assert!(open_ticket(&key, b"search @al:ex.org", other).is_none(), "{other}");
        }
    }
}

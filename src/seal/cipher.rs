//! The one place where bytes are encrypted and decrypted: XChaCha20-Poly1305, in place.
//!
//! With `--cfg lethe_unsealed`, which no Cargo feature can turn on, nothing is encrypted: the search for canaries runs
//! on such a build too, to show that it finds what is there, and what sealing costs is measured beside it.

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::secret::Key;

/// The length of a nonce; nonces are random.
pub(crate) const NONCE: usize = 24;
/// The length of a tag.
pub(crate) const TAG: usize = 16;
/// What of a nonce goes into the key of that nonce.
const SALT: usize = 16;

/// A key that bytes are sealed under.
#[derive(Clone)]
pub(crate) struct Cipher(Key);

impl Cipher {
    /// The cipher under a key that serves nothing else.
    pub(crate) fn new(key: Key) -> Self {
        Self(key)
    }

    /// Encrypts `bytes` and returns their tag.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG] {
        if cfg!(lethe_unsealed) {
            return self.encrypt(nonce, aad, &mut []);
        }
        self.encrypt(nonce, aad, bytes)
    }

    /// Decrypts `bytes`; whether they are what was sealed. What they hold after a refusal means nothing.
    #[must_use]
    pub(crate) fn open(&self, nonce: &[u8; NONCE], aad: &[u8], bytes: &mut [u8], tag: &[u8; TAG]) -> bool {
        if cfg!(lethe_unsealed) {
            // Still tells what belongs to a key; it does not cover the bytes.
            return self.encrypt(nonce, aad, &mut []) == *tag;
        }
        let (key, nonce) = self.of_nonce(nonce);
        key.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), bytes, 0..).is_ok()
    }

    fn encrypt(&self, nonce: &[u8; NONCE], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG] {
        let (key, nonce) = self.of_nonce(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes);
        let tag = tag.expect("everything sealed is far below the cipher's limit");
        tag.as_ref().try_into().expect("a tag has one length")
    }

    /// XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key of the nonce's own (draft-irtf-cfrg-xchacha-03, section 2). That key
    /// opens nothing else, which is why ring, twice as fast at rows as portable code, may leave it in memory unwiped.
    fn of_nonce(&self, nonce: &[u8; NONCE]) -> (LessSafeKey, Nonce) {
        let (salt, rest) = nonce.split_at(SALT);
        let salt: [u8; SALT] = salt.try_into().expect("a nonce is longer");
        let key = Key::from_bytes(hchacha::<R20>(&(*self.0.expose()).into(), &salt.into()).into());
        let mut short = [0; 12];
        short[4..].copy_from_slice(rest);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose()).expect("a key has one length");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
    }
}

#[cfg(all(test, not(lethe_unsealed)))]
mod tests {
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_cipher_that_others_know(
            key: [u8; 32],
            nonce: [u8; NONCE],
            aad in prop::collection::vec(any::<u8>(), 0..40),
            plain in prop::collection::vec(any::<u8>(), 0..3000),
            (at, bit) in (any::<prop::sample::Index>(), 0..8),
        ) {
            let cipher = Cipher::new(Key::from_bytes(key));
            let (mut ours, mut theirs) = (plain.clone(), plain.clone());
            let mut tag = cipher.seal(&nonce, &aad, &mut ours);
            let other = XChaCha20Poly1305::new(&key.into());
            let other_tag = other.encrypt_inout_detached(&nonce.into(), &aad, theirs.as_mut_slice().into()).unwrap();
            prop_assert_eq!((&ours, &tag[..]), (&theirs, &other_tag[..]));

            let mut opened = ours.clone();
            prop_assert!(cipher.open(&nonce, &aad, &mut opened, &tag));
            prop_assert_eq!(&opened, &plain);

            let at = at.index(ours.len() + TAG);
            let byte = ours.iter_mut().chain(&mut tag).nth(at).unwrap();
            *byte ^= 1_u8 << bit;
            prop_assert!(!cipher.open(&nonce, &aad, &mut ours, &tag), "nothing that was changed opens");
        }
    }
}

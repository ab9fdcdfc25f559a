//! The one place where bytes are encrypted and decrypted: XChaCha20-Poly1305, in place.
//!
//! With `--cfg lethe_unsealed`, which no Cargo feature can turn on, nothing is encrypted: the search for canaries runs
//! on such a build too, to show that it finds what is there, and what sealing costs is measured beside it.

use chacha20poly1305::{XChaCha20Poly1305, aead::AeadInOut};

/// The length of a nonce; nonces are random.
pub(crate) const NONCE: usize = 24;
/// The length of a tag.
pub(crate) const TAG: usize = 16;

/// Encrypts `bytes` and returns their tag.
pub(crate) fn seal(cipher: &XChaCha20Poly1305, nonce: &[u8; NONCE], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG] {
    if cfg!(lethe_unsealed) {
        return tag_of(cipher, nonce, aad);
    }
    let tag = cipher.encrypt_inout_detached(&(*nonce).into(), aad, bytes.into());
    tag.expect("everything sealed is far below the cipher's limit").into()
}

/// Decrypts `bytes`; whether they are what was sealed. What they hold after a refusal means nothing.
#[must_use]
pub(crate) fn open(
    cipher: &XChaCha20Poly1305,
    nonce: &[u8; NONCE],
    aad: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG],
) -> bool {
    if cfg!(lethe_unsealed) {
        return tag_of(cipher, nonce, aad) == *tag;
    }
    cipher.decrypt_inout_detached(&(*nonce).into(), aad, bytes.into(), &(*tag).into()).is_ok()
}

/// A tag for an unsealed build, which thereby still tells what belongs to a key; it does not cover the bytes.
fn tag_of(cipher: &XChaCha20Poly1305, nonce: &[u8; NONCE], aad: &[u8]) -> [u8; TAG] {
    let tag = cipher.encrypt_inout_detached(&(*nonce).into(), aad, (&mut [][..]).into());
    tag.expect("everything sealed is far below the cipher's limit").into()
}

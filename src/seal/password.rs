//! Passwords: stretching, strength, proposals, and the wraps that a password, token or operator key opens.
//!
//! A wrap carries whatever opens an account. Its key needs three things at once: the wrap's own slot, the account's slot and
//! the stretched password (or a token's secret); overwriting either slot ends it. Wraps commit to their key, so one
//! ciphertext cannot be made to open under two passwords, and all have one size. Nothing here is stored or looked up.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::derive::{Usage, derive};
use crate::{
    random::Random,
    secret::{Key, SecretText},
};

/// A password may have this many bytes: longer ones are a way to make the server work.
pub const LONGEST: usize = 512;
/// The size of every wrap, bytes.
pub const WRAP: usize = 768;
/// The longest payload of a wrap, bytes.
pub const MOST_PAYLOAD: usize = WRAP - 1 - 32 - NONCE - TAG - 2;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
/// The estimator's time grows with the square of the length; what stands behind this point only makes a password better.
const ESTIMATED: usize = 100;
/// A record that asks for more memory than this is refused: it cannot be one this server wrote.
const MOST_MEMORY_KIB: u32 = 1 << 20;
/// As for the memory.
const MOST_PASSES: u32 = 16;
/// As for the memory.
const MOST_LANES: u32 = 8;
const PASSPHRASE_WORDS: usize = 5;
const WORDS: &str = include_str!("words.txt");

/// Why a password could not be stretched or a payload not wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The password or the payload is longer than its bound.
    #[error("too long")]
    TooLong,
    /// The parameters are outside what this server would ever choose.
    #[error("the password parameters are out of bounds")]
    Parameters,
}

/// Argon2id parameters and salt, stored in the clear inside a login record.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kdf {
    /// Memory, KiB.
    #[serde(rename = "m")]
    pub memory_kib: u32,
    /// Passes over the memory.
    #[serde(rename = "t")]
    pub passes: u32,
    /// Lanes.
    #[serde(rename = "p")]
    pub lanes: u32,
    /// Salt.
    #[serde(rename = "s", with = "super::text")]
    pub salt: [u8; 16],
}

impl Kdf {
    /// Argon2id with 64 MiB and 3 passes, and a fresh salt.
    #[must_use]
    pub fn standard(random: &dyn Random) -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 1, salt: random.bytes() }
    }

    /// The least Argon2id allows, and a fresh salt: for tests.
    #[must_use]
    pub fn cheap(random: &dyn Random) -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1, salt: random.bytes() }
    }
}

/// The key a password stretches to; its bytes are taken as they are.
///
/// # Errors
/// [`Error::TooLong`] above [`LONGEST`], [`Error::Parameters`].
pub fn stretch(password: &SecretText, kdf: &Kdf) -> Result<Key, Error> {
    if password.expose().len() > LONGEST {
        return Err(Error::TooLong);
    }
    if kdf.memory_kib > MOST_MEMORY_KIB || kdf.passes > MOST_PASSES || kdf.lanes > MOST_LANES {
        return Err(Error::Parameters);
    }
    let params = Params::new(kdf.memory_kib, kdf.passes, kdf.lanes, Some(32)).map_err(|_| Error::Parameters)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), &kdf.salt, &mut key[..])
        .map_err(|_| Error::Parameters)?;
    Ok(Key::from_bytes(*key))
}

/// Wraps `payload` so that the wrap's slot, the account's slot and `secret` together open it.
///
/// # Errors
/// [`Error::TooLong`] above [`MOST_PAYLOAD`].
pub fn wrap(
    slot: &Key,
    account_slot: &Key,
    secret: &Key,
    payload: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, Error> {
    if payload.len() > MOST_PAYLOAD {
        return Err(Error::TooLong);
    }
    let keys = WrapKeys::new(slot, account_slot, secret);
    let length = u16::try_from(payload.len()).map_err(|_| Error::TooLong)?;
    let mut wrapped = Vec::with_capacity(WRAP);
    wrapped.push(VERSION);
    wrapped.extend_from_slice(keys.commitment.expose());
    let nonce: [u8; NONCE] = random.bytes();
    wrapped.extend_from_slice(&nonce);
    let inside = wrapped.len();
    wrapped.extend_from_slice(&length.to_be_bytes());
    wrapped.extend_from_slice(payload);
    wrapped.resize(WRAP - TAG, 0);
    let tag = keys
        .cipher
        .encrypt_inout_detached(&nonce.into(), &[VERSION], (&mut wrapped[inside..]).into())
        .expect("a wrap is shorter than the cipher's limit");
    wrapped.extend_from_slice(&tag);
    Ok(wrapped)
}

/// The payload, when all three keys are the ones it was wrapped with.
#[must_use]
pub fn unwrap(slot: &Key, account_slot: &Key, secret: &Key, wrapped: &[u8]) -> Option<Vec<u8>> {
    let keys = WrapKeys::new(slot, account_slot, secret);
    let (&version, rest) = wrapped.split_first().filter(|_| wrapped.len() == WRAP)?;
    let (commitment, rest) = rest.split_at(32);
    let (nonce, rest) = rest.split_at(NONCE);
    let (inside, tag) = rest.split_at(rest.len() - TAG);
    if version != VERSION || !bool::from(commitment.ct_eq(&keys.commitment.expose()[..])) {
        return None;
    }
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    let tag: [u8; TAG] = tag.try_into().ok()?;
    let mut inside = Zeroizing::new(inside.to_vec());
    keys.cipher.decrypt_inout_detached(&nonce.into(), &[VERSION], inside.as_mut_slice().into(), &tag.into()).ok()?;
    let length = usize::from(u16::from_be_bytes([inside[0], inside[1]]));
    inside.get(2..2 + length).map(<[u8]>::to_vec)
}

/// An estimate of how many guesses find `password`.
#[must_use]
pub fn guesses(password: &SecretText) -> f64 {
    let text = password.expose();
    let end = text.char_indices().nth(ESTIMATED).map_or(text.len(), |(at, _)| at);
    let start = text.get(..end).unwrap_or(text);
    10_f64.powf(zxcvbn::zxcvbn(start, &[]).guesses_log10())
}

/// Five random words with hyphens between: about 2^58 guesses for whoever knows the list.
#[must_use]
pub fn passphrase(random: &dyn Random) -> String {
    let words: Vec<&str> = WORDS.lines().collect();
    let chosen: Vec<&str> = (0..PASSPHRASE_WORDS)
        .map(|_| words[usize::try_from(random.below(words.len() as u64)).expect("an index fits a word")])
        .collect();
    chosen.join("-")
}

/// What the three keys of a wrap give: a cipher and a commitment that is stored beside the ciphertext, because the cipher
/// alone could be made to open under two keys.
struct WrapKeys {
    cipher: XChaCha20Poly1305,
    commitment: Key,
}

impl WrapKeys {
    fn new(slot: &Key, account_slot: &Key, secret: &Key) -> Self {
        let key = derive(Usage::Wrap, slot, &[account_slot.expose(), secret.expose()]);
        Self {
            cipher: XChaCha20Poly1305::new(derive(Usage::WrapCipher, &key, &[]).expose().into()),
            commitment: derive(Usage::WrapCommitment, &key, &[]),
        }
    }
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{AeadInOut, Key, NONCE, TAG, VERSION, WRAP, WrapKeys};

    /// A wrap whose inside is these bytes, whatever they mean.
    pub(crate) fn wrap_around(slot: &Key, account_slot: &Key, secret: &Key, inside: &[u8]) -> Vec<u8> {
        let keys = WrapKeys::new(slot, account_slot, secret);
        let mut wrapped = vec![VERSION];
        wrapped.extend_from_slice(keys.commitment.expose());
        wrapped.extend_from_slice(&[0; NONCE]);
        let start = wrapped.len();
        wrapped.extend_from_slice(inside);
        wrapped.resize(WRAP - TAG, 0);
        let tag = keys
            .cipher
            .encrypt_inout_detached(&[0; NONCE].into(), &[VERSION], (&mut wrapped[start..]).into())
            .expect("a wrap is shorter than the cipher's limit");
        wrapped.extend_from_slice(&tag);
        wrapped
    }
}

#[cfg(test)]
mod tests;

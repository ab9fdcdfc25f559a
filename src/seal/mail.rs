//! Mail: what is sealed to the public key of an account (or a federated room's door) that is cold.
//!
//! HPKE with X-Wing gives sender and receiver one exported key per encapsulation; each item is then sealed on its own under
//! it with a random nonce, so items can be found in any order and a lost one breaks no other. Owns no storage.

use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::XWing,
    setup_receiver, setup_sender_with_rng,
};
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::cipher::{Cipher, NONCE, TAG};
use crate::{random::Random, secret::Key};

/// The size of a public key, bytes.
pub const PUBLIC: usize = 1216;
/// The size of an encapsulation, bytes.
pub const ENCAPSULATION: usize = 1120;

const EXPORT: &[u8] = b"lethe/v1/mail-item";

/// The public half of a mail key pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailPublic(#[serde(with = "super::text")] Vec<u8>);

impl MailPublic {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The secret half of a mail key pair; serialised into sealed rows only.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailSecret(#[serde(with = "super::text")] [u8; 32]);

/// The key is not one, or the encapsulation does not fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mail key is malformed")]
pub struct Malformed;

/// A fresh key pair.
#[must_use]
pub fn mail_pair(random: &dyn Random) -> (MailSecret, MailPublic) {
    let seed = Zeroizing::new(random.bytes::<32>());
    let (secret, public) = XWing::derive_keypair(&seed[..]);
    (MailSecret(secret.to_bytes().into()), MailPublic(public.to_bytes().to_vec()))
}

/// Seals items for one receiver under one encapsulation.
pub struct Sender(Cipher);

impl Sender {
    /// The encapsulation to store beside the items, and the sender. `info` binds both to recipient and purpose.
    ///
    /// # Errors
    /// [`Malformed`] when the public key is not one.
    pub fn new(to: &MailPublic, info: &[u8], random: &dyn Random) -> Result<(Vec<u8>, Self), Malformed> {
        let public = <XWing as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| Malformed)?;
        // HPKE draws through a trait of its own.
        let mut source = StdRng::from_seed(random.bytes());
        let (encapsulation, context) =
            setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&OpModeS::Base, &public, info, &mut source)
                .map_err(|_| Malformed)?;
        let mut key = Zeroizing::new([0; 32]);
        context.export(EXPORT, &mut key[..]).map_err(|_| Malformed)?;
        Ok((encapsulation.to_bytes().to_vec(), Self(Cipher::new(Key::from_bytes(*key)))))
    }

    /// Seals one item.
    #[must_use]
    pub fn seal(&mut self, aad: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let nonce: [u8; NONCE] = random.bytes();
        let mut item = [&nonce[..], plain].concat();
        let tag = self.0.seal(&nonce, aad, &mut item[NONCE..]);
        item.extend_from_slice(&tag);
        item
    }
}

/// Opens the items of one encapsulation.
pub struct Receiver(Cipher);

impl Receiver {
    /// The receiver of an encapsulation; one that was made for another key opens nothing.
    ///
    /// # Errors
    /// [`Malformed`] when the encapsulation is not one.
    pub fn new(secret: &MailSecret, info: &[u8], encapsulation: &[u8]) -> Result<Self, Malformed> {
        let secret = <XWing as Kem>::PrivateKey::from_bytes(&secret.0).map_err(|_| Malformed)?;
        let encapsulation = <XWing as Kem>::EncappedKey::from_bytes(encapsulation).map_err(|_| Malformed)?;
        let context =
            setup_receiver::<ChaCha20Poly1305, HkdfSha256, XWing>(&OpModeR::Base, &secret, &encapsulation, info)
                .map_err(|_| Malformed)?;
        let mut key = Zeroizing::new([0; 32]);
        context.export(EXPORT, &mut key[..]).map_err(|_| Malformed)?;
        Ok(Self(Cipher::new(Key::from_bytes(*key))))
    }

    /// Opens one item; `None` when it was not sealed for this receiver with this `aad`.
    #[must_use]
    pub fn open(&self, aad: &[u8], item: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = item.split_first_chunk::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        let mut body = body.to_vec();
        self.0.open(nonce, aad, &mut body, tag).then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random::SeededRandom, seal::golden};

    #[test]
    fn mail_has_the_agreed_bytes_and_opens_in_any_order() {
        let random = SeededRandom::new(1);
        let (secret, public) = mail_pair(&random);
        assert_eq!(public.bytes().len(), PUBLIC);
        let (encapsulation, mut sender) = Sender::new(&public, b"info", &random).unwrap();
        assert_eq!(encapsulation.len(), ENCAPSULATION);
        let items = [sender.seal(b"a", b"one", &random), sender.seal(b"b", b"two", &random)];
        golden::check("mail-v1", &[&secret.0[..], public.bytes(), &encapsulation, &items.concat()].concat());
        let receiver = Receiver::new(&secret, b"info", &encapsulation).unwrap();
        assert_eq!(receiver.open(b"b", &items[1]).as_deref(), Some(&b"two"[..]));
        assert_eq!(receiver.open(b"a", &items[0]).as_deref(), Some(&b"one"[..]));
        assert_eq!(receiver.open(b"b", &items[0]), None);
        assert_eq!(receiver.open(b"a", &items[0][..30]), None);
        let other = Receiver::new(&secret, b"other", &encapsulation).unwrap();
        assert_eq!(other.open(b"a", &items[0]), None);
        let stranger = Receiver::new(&mail_pair(&random).0, b"info", &encapsulation).unwrap();
        assert_eq!(stranger.open(b"a", &items[0]), None);
        for bit in 0..items[0].len() * 8 {
            let mut item = items[0].clone();
            item[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(receiver.open(b"a", &item), None);
        }
    }

    #[test]
    fn keys_survive_json_and_malformed_ones_are_refused() {
        let random = SeededRandom::new(2);
        let (secret, public) = mail_pair(&random);
        let read: MailPublic = serde_json::from_str(&serde_json::to_string(&public).unwrap()).unwrap();
        let again: MailSecret = serde_json::from_str(&serde_json::to_string(&secret).unwrap()).unwrap();
        assert!(read == public && again.0 == secret.0);
        assert!(Sender::new(&MailPublic(vec![1; 7]), b"", &random).is_err());
        assert!(Receiver::new(&secret, b"", &[1; 7]).is_err());
    }
}

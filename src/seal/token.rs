//! Tokens: 32 random bytes as text with a prefix that tells secret scanners and us what they are.
//!
//! A token is never stored. Its row is found by a hash of it and opened with a secret derived from it, two values of which
//! neither gives the other.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::derive::{Usage, address, derive};
use crate::{
    random::Random,
    secret::{Key, SecretText},
    store::Address,
};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Authenticates requests for as long as its device lives.
    Access,
    /// Authenticates requests for a while; known in RAM only.
    Short,
    /// Buys short access tokens.
    Refresh,
    /// Logs one further device in; known in RAM only.
    Login,
}

impl TokenKind {
    const ALL: [Self; 4] = [Self::Access, Self::Short, Self::Refresh, Self::Login];

    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "lta_",
            Self::Short => "lts_",
            Self::Refresh => "ltr_",
            Self::Login => "ltl_",
        }
    }
}

/// A token's 32 bytes and kind.
#[derive(Clone)]
pub struct Token {
    kind: TokenKind,
    bytes: Key,
}

impl Token {
    /// A fresh token.
    #[must_use]
    pub fn random(kind: TokenKind, random: &dyn Random) -> Self {
        Self { kind, bytes: Key::random(random) }
    }

    /// Reads a token as a client sends it; `None` for anything this server never gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) =
            TokenKind::ALL.into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)))?;
        let mut bytes = Zeroizing::new([0; 32]);
        // 43 characters decode to exactly 32 bytes; the decoder refuses stray low bits, so a token has one spelling.
        let length = URL_SAFE_NO_PAD.decode_slice(rest, &mut bytes[..]).ok()?;
        (length == bytes.len()).then(|| Self { kind, bytes: Key::from_bytes(*bytes) })
    }

    /// The text a client is given.
    #[must_use]
    pub fn text(&self) -> SecretText {
        SecretText::new(format!("{}{}", self.kind.prefix(), URL_SAFE_NO_PAD.encode(self.bytes.expose())))
    }

    /// What it is good for.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Where its row lies.
    #[must_use]
    pub fn address(&self, server: &Key) -> Address {
        address(server, Usage::TokenAddress, self.hash().expose())
    }

    /// What it is looked up by in RAM: worthless to whoever sees it.
    #[must_use]
    pub fn hash(&self) -> Key {
        derive(Usage::TokenHash, &self.bytes, &[])
    }

    /// What opens its wrap, in the place of a stretched password.
    #[must_use]
    pub fn secret(&self) -> Key {
        derive(Usage::Token, &self.bytes, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random::SeededRandom, seal::golden};

    #[test]
    fn a_token_has_one_spelling() {
        let random = SeededRandom::new(1);
        for kind in TokenKind::ALL {
            let token = Token::random(kind, &random);
            let text = token.text();
            let read = Token::parse(text.expose()).unwrap();
            assert!(read.bytes == token.bytes && read.kind() == kind);
            for odd in [
                "",
                "lta_",
                "x",
                text.expose().trim_start_matches('l'),
                &format!("{}A", text.expose()),
                &format!("{}=", text.expose()),
            ] {
                assert!(Token::parse(odd).is_none());
            }
            // The last character carries two bits that decode to nothing: only one of four spellings is read.
            let (start, last) = text.expose().split_at(text.expose().len() - 1);
            let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
            let same =
                spellings.filter(|&c| Token::parse(&format!("{start}{c}")).is_some_and(|t| t.bytes == token.bytes));
            assert_eq!(same.collect::<String>(), last);
        }
    }

    #[test]
    fn a_token_has_the_agreed_bytes() {
        let token = Token::parse("lta_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        let address = token.address(&Key::from_bytes([1; 32]));
        golden::check("token-v1", &[&token.hash().expose()[..], token.secret().expose(), &address.0].concat());
        assert!(token.hash() != token.secret());
    }
}

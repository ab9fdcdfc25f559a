//! Registration tokens as administrators make, see and revoke them. Those of the configured file and the one a new
//! server prints are not among them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::Error;
use crate::{
    clock::Timestamp,
    engine::Engine,
    house::{HouseChange, HouseLedger, RegistrationToken},
};

/// Registration tokens at once.
const MOST_TOKENS: usize = 10_000;
/// The longest token, in characters: what Synapse's tools expect.
const LONGEST_TOKEN: usize = 64;
/// Ends of tokens are known to the hour.
const HOUR_MS: u64 = 3_600_000;

/// A token to be made.
#[derive(Default)]
pub struct NewToken {
    /// Its text; a random one when absent.
    pub text: Option<String>,
    /// How many accounts it is good for; any number when absent.
    pub uses: Option<u64>,
    /// When it ends; never when absent. Rounded up to an hour.
    pub expires: Option<Timestamp>,
}

/// A token as administrators see it. How often it was used is not kept.
#[derive(Clone, Serialize)]
pub struct TokenShown {
    /// Its text.
    pub token: String,
    /// How many accounts it is still good for; any number when absent.
    pub uses_left: Option<u64>,
    /// When it ends, in milliseconds since the epoch; never when absent.
    pub expires: Option<u64>,
    /// Whether it is good now.
    pub valid: bool,
}

impl Engine {
    /// Every token.
    pub fn tokens(&self) -> Result<Vec<TokenShown>, Error> {
        if !self.house.exists() {
            return Ok(Vec::new());
        }
        let house = self.house.view()?;
        Ok(house.tokens.iter().map(|(text, token)| self.shown_token(text, token)).collect())
    }

    /// One token.
    pub fn token(&self, text: &str) -> Result<TokenShown, Error> {
        self.house_with_tokens()?.tokens.get(text).map(|token| self.shown_token(text, token)).ok_or(Error::UnknownToken)
    }

    /// Makes a token.
    pub async fn create_token(&self, new: NewToken) -> Result<TokenShown, Error> {
        let text = new.text.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(self.journals.random.bytes::<18>()));
        if !is_allowed(&text) {
            return Err(Error::InvalidToken);
        }
        if !self.house.exists() {
            return Err(Error::NoHouse);
        }
        let token = RegistrationToken { left: new.uses, expires: new.expires.map(to_the_hour) };
        let now = self.clock.now();
        let decide = |house: &HouseLedger| {
            if house.tokens.contains_key(&text) {
                return Err(Error::TokenExists);
            }
            let mut changes = ended(house, now);
            if house.tokens.len() - changes.len() >= MOST_TOKENS {
                return Err(Error::TooManyTokens);
            }
            changes.push(HouseChange::Token(text.clone(), Some(token.clone())));
            Ok(changes)
        };
        self.house.try_change(decide).await?;
        Ok(self.shown_token(&text, &token))
    }

    /// Changes a token.
    pub async fn change_token(
        &self,
        text: &str,
        change: impl FnOnce(&mut RegistrationToken) + Send,
    ) -> Result<TokenShown, Error> {
        self.house_with_tokens()?;
        let mut changed = None;
        let decide = |house: &HouseLedger| {
            let mut token = house.tokens.get(text).cloned().ok_or(Error::UnknownToken)?;
            change(&mut token);
            token.expires = token.expires.map(|end| to_the_hour(Timestamp(end)));
            changed = Some(token.clone());
            Ok::<_, Error>(vec![HouseChange::Token(text.to_owned(), Some(token))])
        };
        self.house.try_change(decide).await?;
        changed.map(|token| self.shown_token(text, &token)).ok_or(Error::UnknownToken)
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, text: &str) -> Result<(), Error> {
        self.house_with_tokens()?;
        let decide = |house: &HouseLedger| {
            house.tokens.get(text).ok_or(Error::UnknownToken)?;
            Ok::<_, Error>(vec![HouseChange::Token(text.to_owned(), None)])
        };
        self.house.try_change(decide).await
    }

    fn house_with_tokens(&self) -> Result<Arc<HouseLedger>, Error> {
        if self.house.exists() { Ok(self.house.view()?) } else { Err(Error::UnknownToken) }
    }

    fn shown_token(&self, text: &str, token: &RegistrationToken) -> TokenShown {
        let valid = token.left != Some(0) && token.expires.is_none_or(|end| self.clock.now().0 < end);
        TokenShown { token: text.to_owned(), uses_left: token.left, expires: token.expires, valid }
    }
}

fn is_allowed(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(allowed)
}

fn to_the_hour(end: Timestamp) -> u64 {
    end.0.div_ceil(HOUR_MS).saturating_mul(HOUR_MS)
}

/// Removes the tokens whose time has passed.
fn ended(house: &HouseLedger, now: Timestamp) -> Vec<HouseChange> {
    let ended = house.tokens.iter().filter(|(_, token)| token.expires.is_some_and(|end| end <= now.0));
    ended.map(|(text, _)| HouseChange::Token(text.clone(), None)).collect()
}

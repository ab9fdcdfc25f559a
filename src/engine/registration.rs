//! Registration tokens: those of the configured file, those of the house, and the one a new server prints.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{Engine, Error, record::load_or_make};
use crate::{
    accounts,
    clock::Timestamp,
    config::{self, RegistrationMode as Mode},
    house::{HouseChange, HouseLedger, RegistrationToken},
    secret::SecretText,
};

const NAME: &[u8] = b"registration-token";

/// The registration tokens that do not lie in the house.
pub struct Registration {
    fixed: Vec<SecretText>,
    bootstrap: Option<SecretText>,
}

impl Registration {
    /// Reads the tokens of `config`. Where tokens are asked for and no file has any, the server has one of its own,
    /// made on its first start: who may read the server's output may make the first account.
    pub async fn load(config: &config::Registration, engine: &Engine) -> Result<Self, Error> {
        let mut fixed = Vec::new();
        if let Some(file) = &config.tokens_file {
            let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|_| Error::Tokens)?);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            fixed.extend(lines.map(|line| SecretText::new(line.to_owned())));
        }
        if config.mode != Mode::Token || config.tokens_file.is_some() {
            return Ok(Self { fixed, bootstrap: None });
        }
        let random = &engine.journals.random;
        let make = || URL_SAFE_NO_PAD.encode(random.bytes::<18>()).into_bytes();
        let token = load_or_make(&engine.journals, NAME, make).await?;
        let token = String::from_utf8(token).map_err(|_| Error::Records)?;
        Ok(Self { fixed, bootstrap: Some(SecretText::new(token)) })
    }

    /// The server's own token, to be shown to whoever started it.
    #[must_use]
    pub fn bootstrap(&self) -> Option<&SecretText> {
        self.bootstrap.as_ref()
    }

    /// Whether `token` may be used now.
    ///
    /// # Errors
    /// [`accounts::Error::House`] when only the house could know and it sleeps.
    pub fn is_valid(&self, engine: &Engine, token: &SecretText) -> Result<bool, accounts::Error> {
        if self.is_fixed(token) {
            return Ok(true);
        }
        if !engine.house.exists() {
            return Ok(false);
        }
        Ok(living(&*engine.house.view()?, engine.clock.now(), token).is_some())
    }

    /// Spends one use of `token` in the value of the house that a registration is about to change.
    ///
    /// # Errors
    /// [`accounts::Error::Forbidden`] when the token has ended meanwhile.
    pub fn spend(
        &self,
        house: &HouseLedger,
        now: Timestamp,
        token: &SecretText,
    ) -> Result<Vec<HouseChange>, accounts::Error> {
        if self.is_fixed(token) {
            return Ok(Vec::new());
        }
        let entry = living(house, now, token).ok_or(accounts::Error::Forbidden)?;
        let Some(left) = entry.left else { return Ok(Vec::new()) };
        let entry = (left > 1).then(|| RegistrationToken { left: Some(left - 1), ..entry.clone() });
        Ok(vec![HouseChange::Token(token.expose().to_owned(), entry)])
    }

    fn is_fixed(&self, token: &SecretText) -> bool {
        !token.expose().is_empty() && self.fixed.iter().chain(&self.bootstrap).any(|known| known == token)
    }
}

fn living<'a>(house: &'a HouseLedger, now: Timestamp, token: &SecretText) -> Option<&'a RegistrationToken> {
    let entry = house.tokens.get(token.expose())?;
    let lives = entry.left != Some(0) && entry.expires.is_none_or(|end| now.0 < end);
    lives.then_some(entry)
}

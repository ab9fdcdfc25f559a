//! What administrators ask of a running server.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    protocol::{Answer, Request},
    socket::Dispatch,
};
use crate::{
    accounts,
    api::BoxFuture,
    clock::Timestamp,
    engine::Engine,
    house::{self, HouseChange, HouseLedger, RegistrationToken},
    seal::password::passphrase,
    secret::SecretText,
};

/// Registration tokens at once.
const MOST_TOKENS: usize = 10_000;
/// Ends of tokens are known to the hour.
const HOUR_MS: u64 = 3_600_000;

/// Does what administrators ask, on the engine.
pub struct Administrator(pub Arc<Engine>);

impl Dispatch for Administrator {
    fn dispatch(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match request {
                Request::UserAdd { localpart, password } => self.add_user(&localpart, password).await,
                Request::TokenCreate { uses, expires_in } => self.create_token(uses, expires_in).await,
            }
        })
    }
}

impl Administrator {
    async fn add_user(&self, localpart: &str, password: Option<SecretText>) -> Answer {
        let proposed = password.is_none().then(|| SecretText::new(passphrase(self.0.journals.random.as_ref())));
        let Some(password) = password.or_else(|| proposed.clone()) else {
            return Answer::failed("there is no password");
        };
        let made = self.0.accounts.register(localpart, password, None, false, |_| Ok(Vec::new()));
        match made.await {
            Ok((account, _)) => {
                let mut lines = vec![format!("Account: {}", account.user_id)];
                lines.extend(proposed.map(|password| format!("Password: {}", password.expose())));
                Answer::Done { lines }
            }
            Err(error) => Answer::failed(reason(error)),
        }
    }

    async fn create_token(&self, uses: Option<u32>, expires_in: Option<u64>) -> Answer {
        if !self.0.house.exists() {
            return Answer::failed("make the first account with `lethe user add`: tokens are kept among accounts");
        }
        if uses == Some(0) {
            return Answer::failed("a token is good for one account at least");
        }
        let now = self.0.clock.now();
        let text = URL_SAFE_NO_PAD.encode(self.0.journals.random.bytes::<18>());
        let expires = expires_in.map(|seconds| now.0.saturating_add(seconds.saturating_mul(1000)));
        let expires = expires.map(|end| end.div_ceil(HOUR_MS).saturating_mul(HOUR_MS));
        let entry = RegistrationToken { left: uses.map(u64::from), expires };
        let mut full = false;
        let decide = |house: &HouseLedger| {
            let mut changes = ended(house, now);
            full = house.tokens.len() - changes.len() >= MOST_TOKENS;
            if !full {
                changes.push(HouseChange::Token(text.clone(), Some(entry)));
            }
            changes
        };
        match self.0.house.change(decide).await {
            Ok(()) if full => Answer::failed("there are too many tokens"),
            Ok(()) => Answer::Done { lines: vec![text] },
            Err(error) => Answer::failed(reason(error.into())),
        }
    }
}

/// Removes the tokens whose time has passed.
fn ended(house: &HouseLedger, now: Timestamp) -> Vec<HouseChange> {
    let ended = house.tokens.iter().filter(|(_, entry)| entry.expires.is_some_and(|end| end <= now.0));
    ended.map(|(token, _)| HouseChange::Token(token.clone(), None)).collect()
}

fn reason(error: accounts::Error) -> &'static str {
    match error {
        accounts::Error::Taken => "the name is taken",
        accounts::Error::InvalidName => "the name may contain a-z, 0-9 and . _ = - / +",
        accounts::Error::WeakPassword => "the password is too easy to guess",
        accounts::Error::Busy => "the server is busy: try again",
        accounts::Error::House(house::Error::Asleep) => {
            "the server is asleep until somebody who has an account uses it"
        }
        _ => "the server failed: see its log",
    }
}

//! Tokens with which one further device logs in: single use, short-lived, in RAM only.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

use super::{Accounts, Session};
use crate::{
    seal::token::{Token, TokenKind},
    secret::SecretText,
};

/// How long such a token is good: what the specification recommends.
const LIFETIME: Duration = Duration::from_mins(2);
/// Tokens of one account at once; the oldest gives way.
const MOST_OF_ONE: usize = 8;
/// Tokens of all accounts at once; the oldest gives way.
const MOST: usize = 4096;

/// The tokens that were given out and not used, by their hashes.
#[derive(Default)]
pub(super) struct LoginTokens(Mutex<HashMap<[u8; 32], Pending>>);

struct Pending {
    /// The device that asked: when it ends, so does the token.
    session: Session,
    made: Duration,
}

impl Accounts {
    /// A token with which one further device logs in to the session's account, and how long it is good.
    pub fn login_token(&self, session: &Session) -> (SecretText, Duration) {
        let token = Token::random(TokenKind::Login, self.journals.random.as_ref());
        let pending = Pending { session: session.clone(), made: self.clock.monotonic() };
        self.login_tokens.put(*token.hash().expose(), pending);
        (token.text(), LIFETIME)
    }
}

impl LoginTokens {
    /// The session that asked for the token, which is used up.
    pub(super) fn take(&self, text: &str, now: Duration) -> Option<Session> {
        let token = Token::parse(text).filter(|token| token.kind() == TokenKind::Login)?;
        let mut tokens = self.0.lock();
        tidy(&mut tokens, now);
        tokens.remove(token.hash().expose()).map(|pending| pending.session)
    }

    fn put(&self, hash: [u8; 32], pending: Pending) {
        let mut tokens = self.0.lock();
        tidy(&mut tokens, pending.made);
        let own = |of: &Pending| of.session.account.slot == pending.session.account.slot;
        if tokens.values().filter(|of| own(of)).count() >= MOST_OF_ONE {
            drop_oldest(&mut tokens, own);
        }
        if tokens.len() >= MOST {
            drop_oldest(&mut tokens, |_| true);
        }
        tokens.insert(hash, pending);
    }
}

fn tidy(tokens: &mut HashMap<[u8; 32], Pending>, now: Duration) {
    tokens.retain(|_, pending| now.saturating_sub(pending.made) < LIFETIME);
}

fn drop_oldest(tokens: &mut HashMap<[u8; 32], Pending>, among: impl Fn(&Pending) -> bool) {
    let oldest = tokens.iter().filter(|(_, of)| among(of)).min_by_key(|(_, of)| of.made).map(|(hash, _)| *hash);
    oldest.and_then(|hash| tokens.remove(&hash));
}

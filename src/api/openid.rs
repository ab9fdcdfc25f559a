//! OpenID tokens: a user proves to another service who he is
//! ([spec](https://spec.matrix.org/latest/client-server-api/#openid)). In RAM only, and for an hour.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Query, State},
    http::Response,
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ruma::{
    OwnedUserId, UserId, api::client::account::request_openid_token::v3 as request_token, authentication::TokenType,
};
use serde::Deserialize;
use serde_json::json;

use super::account_data::own;
use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
    random::Random,
};

/// How long a token is good.
const LIFETIME: Duration = Duration::from_hours(1);
/// Tokens at once; beyond, nobody gets one until the oldest end.
const MOST: usize = 10_000;
/// Tokens of one user at once, the latest: a client asks once for each call and each service it shows.
const MOST_OF_USER: usize = 20;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(request).route("/_matrix/federation/v1/openid/userinfo", get(userinfo))
}

/// The tokens that are good, by their hashes.
#[derive(Default)]
pub struct OpenIds(Mutex<Given>);

#[derive(Default)]
struct Given {
    users: HashMap<[u8; 32], OwnedUserId>,
    /// When each ends, the oldest first.
    ends: VecDeque<(Duration, [u8; 32])>,
}

impl OpenIds {
    /// A token of `user`, from `now` on; nothing when there are too many.
    fn give(&self, user: &UserId, random: &dyn Random, now: Duration) -> Option<String> {
        let mut given = self.0.lock();
        given.expire(now);
        given.make_room(user);
        if given.users.len() >= MOST {
            return None;
        }
        let token = URL_SAFE_NO_PAD.encode(random.bytes::<32>());
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        given.users.insert(hash, user.to_owned());
        given.ends.push_back((now + LIFETIME, hash));
        Some(token)
    }

    /// Whose token this is.
    fn whose(&self, token: &str, now: Duration) -> Option<OwnedUserId> {
        let mut given = self.0.lock();
        given.expire(now);
        given.users.get(blake3::hash(token.as_bytes()).as_bytes()).cloned()
    }
}

impl Given {
    fn expire(&mut self, now: Duration) {
        while let Some((_, hash)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            self.users.remove(&hash);
        }
    }

    /// Ends the oldest token of a user who has as many as he may.
    fn make_room(&mut self, user: &UserId) {
        let own = |(_, hash): &(Duration, [u8; 32])| self.users.get(hash).is_some_and(|known| known == user);
        if self.ends.iter().filter(|end| own(end)).count() < MOST_OF_USER {
            return;
        }
        let oldest = self.ends.iter().position(own);
        if let Some((_, hash)) = oldest.and_then(|at| self.ends.remove(at)) {
            self.users.remove(&hash);
        }
    }
}

/// `POST /_matrix/client/v3/user/{userId}/openid/request_token`
async fn request(
    services: Arc<Services>,
    request: Ruma<request_token::Request>,
) -> Result<request_token::Response, Error> {
    let user = request.body.user_id;
    own(&request.session, &user)?;
    let token = services.openids.give(&user, services.random.as_ref(), services.clock.monotonic());
    let token = token.ok_or_else(|| Error::limit_exceeded(LIFETIME))?;
    let server = user.server_name().to_owned();
    Ok(request_token::Response::new(token, TokenType::Bearer, server, LIFETIME))
}

#[derive(Deserialize)]
struct Asked {
    access_token: Option<String>,
}

/// `GET /_matrix/federation/v1/openid/userinfo`
async fn userinfo(State(services): State<Arc<Services>>, Query(asked): Query<Asked>) -> Response<Body> {
    let user = asked.access_token.ok_or_else(|| Error::missing_token("Missing access token")).and_then(|token| {
        let user = services.openids.whose(&token, services.clock.monotonic());
        // An account that has ended proves nothing.
        let lives = |user: &OwnedUserId| services.engine.accounts.exists(user).unwrap_or(false);
        user.filter(lives).ok_or_else(|| Error::unknown_token(false))
    });
    match user {
        Ok(user) => axum::Json(json!({ "sub": user })).into_response(),
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn tokens_end_and_are_bounded() {
        let (openids, random, al) = (OpenIds::default(), SeededRandom::new(1), user_id!("@al:ex.org"));
        let start = Duration::from_secs(5);
        let first = openids.give(al, &random, start).unwrap();
        assert_eq!(openids.whose(&first, start).as_deref(), Some(al));
        assert!(openids.whose("other", start).is_none());
        for _ in 1..MOST_OF_USER {
            openids.give(al, &random, start).unwrap();
        }
        let of_bo = openids.give(user_id!("@bo:ex.org"), &random, start).unwrap();
        assert!(openids.whose(&first, start).is_some());
        let last = openids.give(al, &random, start + Duration::from_secs(1)).unwrap();
        assert!(openids.whose(&first, start).is_none(), "the latest are good");
        assert!(openids.whose(&of_bo, start).is_some());
        assert!(openids.whose(&of_bo, start + LIFETIME).is_none());
        assert!(openids.whose(&last, start + LIFETIME).is_some());
        assert_eq!(openids.0.lock().users.len(), 1);
        for number in 1..=MOST {
            let user = UserId::parse(format!("@u{number}:ex.org")).unwrap();
            assert_eq!(openids.give(&user, &random, start + LIFETIME).is_some(), number < MOST);
        }
    }
}

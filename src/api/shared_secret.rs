//! Registration by whoever knows the configured secret, as Synapse's administration API has it: bots, bridges and test
//! suites register through it ([its documentation](https://element-hq.github.io/synapse/latest/admin_api/register_api.html)).

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{Request, Response},
    response::IntoResponse,
    routing::get,
};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;

use super::{
    body::{MAX_STRANGERS_BODY, collect},
    gate,
    json::check,
    register::new_device,
    ruma::finish,
};
use crate::{
    api::{Routes, Services},
    error::Error,
    house::{HouseChange, Profile},
    rate::Kind,
    secret::SecretText,
};

/// How long a nonce is good.
const LIFETIME: Duration = Duration::from_mins(1);
/// Nonces at once; the oldest gives way.
const MOST: usize = 1024;

/// The nonces that were given out and not used.
#[derive(Default)]
pub struct Nonces(Mutex<Vec<(String, Duration)>>);

impl Nonces {
    fn make(&self, services: &Services) -> String {
        let now = services.clock.monotonic();
        let nonce = blake3::Hash::from_bytes(services.random.bytes::<32>()).to_hex().to_string();
        let mut nonces = self.0.lock();
        nonces.retain(|(_, made)| now.saturating_sub(*made) < LIFETIME);
        if nonces.len() >= MOST {
            nonces.remove(0);
        }
        nonces.push((nonce.clone(), now));
        nonce
    }

    fn take(&self, services: &Services, nonce: &str) -> bool {
        let now = services.clock.monotonic();
        let mut nonces = self.0.lock();
        nonces.retain(|(_, made)| now.saturating_sub(*made) < LIFETIME);
        let place = nonces.iter().position(|(known, _)| known == nonce);
        place.map(|place| nonces.remove(place)).is_some()
    }
}

#[derive(Deserialize)]
struct Wanted {
    nonce: String,
    username: String,
    password: String,
    mac: String,
    #[serde(default)]
    admin: bool,
    displayname: Option<String>,
    user_type: Option<String>,
}

pub(super) fn routes(router: Routes) -> Routes {
    router.route("/_synapse/admin/v1/register", get(nonce).post(register))
}

/// `GET /_synapse/admin/v1/register`
async fn nonce(State(services): State<Arc<Services>>, request: Request<Body>) -> Result<axum::Json<Value>, Error> {
    secret(&services)?;
    services.gate.pass(Kind::Registration, gate::address(&request))?;
    Ok(axum::Json(json!({ "nonce": services.nonces.make(&services) })))
}

/// `POST /_synapse/admin/v1/register`
async fn register(State(services): State<Arc<Services>>, request: Request<Body>) -> Response<Body> {
    let answer = async move {
        secret(&services)?;
        services.gate.pass(Kind::Registration, gate::address(&request))?;
        let body = collect(request.into_body(), MAX_STRANGERS_BODY, None).await?;
        check(&body)?;
        let request: Wanted = serde_json::from_slice(&body)?;
        finish(make(services, request)).await
    };
    answer.await.map_or_else(Error::into_response, |answer| axum::Json(answer).into_response())
}

async fn make(services: Arc<Services>, request: Wanted) -> Result<Value, Error> {
    let proven = is_proven(secret(&services)?, &request);
    if !services.nonces.take(&services, &request.nonce) {
        return Err(Error::bad_request("Unrecognised nonce"));
    }
    if !proven {
        return Err(Error::forbidden("The HMAC is wrong"));
    }
    let name = request.username.to_ascii_lowercase();
    let (device, password) = (new_device(None, None, false)?, SecretText::new(request.password));
    let shown = request.displayname.filter(|shown| !shown.is_empty());
    let profile = shown.map(|shown| Profile([("displayname".to_owned(), Value::String(shown))].into()));
    let accounts = &services.engine.accounts;
    let made = accounts.register(&name, password, Some(device), request.admin, |_, localpart| {
        let change = profile.map(|profile| HouseChange::Profile(localpart.to_owned(), Some(profile)));
        Ok(Vec::from_iter(change))
    });
    let (account, logged_in) = made.await?;
    let logged_in = logged_in.ok_or_else(Error::internal)?;
    Ok(json!({
        "user_id": account.user_id,
        "home_server": account.user_id.server_name(),
        "access_token": logged_in.access.expose(),
        "device_id": logged_in.device,
    }))
}

fn secret(services: &Services) -> Result<&SecretText, Error> {
    let secret = services.config.registration.shared_secret.as_ref();
    secret.map(|secret| &secret.0).ok_or_else(|| Error::bad_request("Shared secret registration is not enabled"))
}

/// Whether the request's MAC is that of its fields under `secret`.
fn is_proven(secret: &SecretText, request: &Wanted) -> bool {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length");
    let role = if request.admin { "admin" } else { "notadmin" };
    let fields = [&request.nonce, &request.username, &request.password, role];
    mac.update(fields.join("\0").as_bytes());
    if let Some(kind) = &request.user_type {
        mac.update(b"\0");
        mac.update(kind.as_bytes());
    }
    decode_hex(&request.mac).is_some_and(|given| mac.verify_slice(&given).is_ok())
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_synapses() {
        let request = |mac: &str| Wanted {
            nonce: "thisisanonce".to_owned(),
            username: "pepper_roni".to_owned(),
            password: "pizza".to_owned(),
            mac: mac.to_owned(),
            admin: true,
            displayname: None,
            user_type: None,
        };
        let secret = SecretText::new("shared_secret".to_owned());
        let mac = EXPECTED;
        assert!(is_proven(&secret, &request(mac)));
        assert!(is_proven(&secret, &request(&mac.to_uppercase())));
        assert!(!is_proven(&secret, &Wanted { admin: false, ..request(mac) }));
        assert!(!is_proven(&SecretText::new("other".to_owned()), &request(mac)));
        assert!(!is_proven(&secret, &request("xyz")) && !is_proven(&secret, &request("")));
    }

    const EXPECTED: &str = "48715842ad67d5dc9a9ee938a3bda4fcfae8d7c7";
}

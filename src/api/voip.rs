//! Credentials for the TURN server ([spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3voipturnserver)).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ruma::api::client::voip::get_turn_server_info::v3::Request;
use serde_json::json;
use sha1::Sha1;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(turn_server)
}

/// `GET /_matrix/client/v3/voip/turnServer`: an empty object when there is none.
async fn turn_server(services: Arc<Services>, _request: Ruma<Request>) -> Result<Json, Error> {
    let config = &services.config.turn;
    let (Some(secret), false) = (&config.secret, config.uris.is_empty()) else {
        return Ok(Json(json!({})));
    };
    let expires = services.clock.now().after(config.lifetime.0).0 / 1000;
    let name = u64::from_le_bytes(services.random.bytes());
    let (username, password) = credentials(secret.0.expose().as_bytes(), expires, name);
    Ok(Json(json!({
        "username": username,
        "password": password,
        "uris": config.uris,
        "ttl": config.lifetime.0.as_secs(),
    })))
}

/// The TURN REST scheme: an expiry in seconds since 1970, a name that is random so that the TURN server learns nobody's,
/// and the secret's word that the server made both.
fn credentials(secret: &[u8], expires: u64, name: u64) -> (String, String) {
    let username = format!("{expires}:{name:016x}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    (username, STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_coturn_computes() {
        // printf '1700000000:000000000000002a' | openssl dgst -sha1 -hmac secret -binary | base64
        let (username, password) = credentials(b"secret", 1_700_000_000, 42);
        assert_eq!(username, "1700000000:000000000000002a");
        assert_eq!(password, "/J55o+g3l0JTk3v5Drto71fgCcQ=");
    }
}

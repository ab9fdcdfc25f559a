//! Registration ([spec](https://spec.matrix.org/latest/client-server-api/#account-registration-and-management)).

use std::sync::Arc;

use ruma::{
    OwnedDeviceId, UserId,
    api::client::account::{
        check_registration_token_validity::v1 as validity,
        get_username_availability::v3 as available,
        register::{RegistrationKind, v3::Request},
    },
};
use serde_json::{Value, json};

use super::uiaa;
use crate::{
    accounts::{self, LoggedIn, NewDevice},
    api::{Routes, Ruma, RumaRouter, Services, json::Json, uiaa::Interactive},
    config::RegistrationMode as Mode,
    error::Error,
    rate::Kind,
    secret::SecretText,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(register).ruma(is_available).ruma(is_valid)
}

/// `POST /_matrix/client/v3/register`
async fn register(services: Arc<Services>, request: Ruma<Interactive<Request>>) -> Result<Json, Error> {
    let (address, Interactive { request, auth }) = (request.address, request.body);
    if services.config.registration.mode == Mode::Closed {
        return Err(Error::forbidden("Registration is closed"));
    }
    if !matches!(request.kind, RegistrationKind::User) {
        return Err(Error::forbidden("There are no guests here"));
    }
    if request.login_type.is_some() {
        return Err(Error::bad_request("There are no application services"));
    }
    let accounts = &services.engine.accounts;
    let name = request.username.map(|name| accounts.folded(&name));
    if let Some(name) = &name {
        check_name(&services, name)?;
    }
    if auth.is_some() {
        services.gate.pass(Kind::Registration, address)?;
    }
    let proof = uiaa::registration(&services, auth)?;
    let password = request.password.ok_or_else(|| Error::missing_param("The password is missing"))?;
    let device = if request.inhibit_login {
        None
    } else {
        let name = request.initial_device_display_name;
        Some(new_device(request.device_id, name, request.refresh_token)?)
    };
    let name = match name {
        Some(name) => name,
        // Who gets a random Matrix id must know another name to log in with.
        None if accounts.policy().random_localpart => return Err(Error::missing_param("The user name is missing")),
        None => free_name(&services),
    };
    let (registration, clock) = (&services.registration, &services.engine.clock);
    let proof = (services.config.registration.mode == Mode::Token).then_some(&proof);
    let made = accounts.register(&name, SecretText::new(password), device, false, |house, _| {
        proof.map_or(Ok(Vec::new()), |token| registration.spend(house, clock.now(), token))
    });
    let (account, logged_in) = made.await.map_err(refused)?;
    Ok(Json(answer(&account.user_id, logged_in)))
}

/// What a registration answers. ruma's type writes a device id of `null` where there is none.
fn answer(user: &UserId, logged_in: Option<LoggedIn>) -> Value {
    let mut answer = json!({ "user_id": user });
    if let Some(logged_in) = logged_in {
        answer["device_id"] = json!(logged_in.device);
        answer["access_token"] = json!(logged_in.access.expose());
        if let (Some(refresh), Some(lifetime)) = (logged_in.refresh, logged_in.expires_in) {
            answer["refresh_token"] = json!(refresh.expose());
            answer["expires_in_ms"] = json!(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        }
    }
    answer
}

/// Checks a name that somebody wants for himself. Names that begin with an underscore belong to the server and to
/// bridges, by a convention older than this server.
fn check_name(services: &Services, name: &str) -> Result<(), Error> {
    services.engine.accounts.check_name(name)?;
    if name.starts_with('_') { Err(Error::exclusive("The name belongs to the server")) } else { Ok(()) }
}

/// `GET /_matrix/client/v3/register/available`
async fn is_available(
    services: Arc<Services>,
    request: Ruma<available::Request>,
) -> Result<available::Response, Error> {
    if services.config.registration.mode == Mode::Closed {
        return Err(Error::forbidden("Registration is closed"));
    }
    check_name(&services, &services.engine.accounts.folded(&request.body.username))?;
    Ok(available::Response::new(true))
}

/// `GET /_matrix/client/v1/register/m.login.registration_token/validity`
async fn is_valid(services: Arc<Services>, request: Ruma<validity::Request>) -> Result<validity::Response, Error> {
    if services.config.registration.mode != Mode::Token {
        return Err(Error::forbidden("Registration asks for no token"));
    }
    services.gate.pass(Kind::Registration, request.address)?;
    let token = SecretText::new(request.body.token);
    let valid = services.registration.is_valid(&services.engine, &token)?;
    Ok(validity::Response::new(valid))
}

/// The longest device id taken: an id is sealed beside the account's name in every token of the device.
const LONGEST_DEVICE_ID: usize = 255;
/// The most characters kept of a device's name.
pub(super) const LONGEST_DEVICE_NAME: usize = 100;

/// The device a client asks for. A name that is too long is cut: clients put in what their system says.
pub(super) fn new_device(id: Option<OwnedDeviceId>, name: Option<String>, refresh: bool) -> Result<NewDevice, Error> {
    let bad = |id: &OwnedDeviceId| {
        id.as_str().is_empty() || id.as_str().len() > LONGEST_DEVICE_ID || id.as_str().contains(char::is_control)
    };
    if id.as_ref().is_some_and(bad) {
        return Err(Error::invalid_param("The device id is not allowed"));
    }
    let name = name.map(|name| name.chars().take(LONGEST_DEVICE_NAME).collect());
    Ok(NewDevice { id, name, refresh })
}

/// A name for who wants none.
fn free_name(services: &Services) -> String {
    services.random.bytes::<12>().map(|byte| char::from(b'a' + byte % 26)).iter().collect()
}

/// Here the only thing that is forbidden is a token that has just been used up.
fn refused(error: accounts::Error) -> Error {
    match error {
        accounts::Error::Forbidden => Error::forbidden("The registration token is not valid"),
        error => error.into(),
    }
}

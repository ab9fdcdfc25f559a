//! User-interactive authentication ([spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)).
//!
//! Owns what a client sends as `auth`, and the sessions that remember what it has proven already. Sessions live in RAM
//! only and are a convenience: proof that comes without one, or with one that has been forgotten, counts as well.

mod auth;
mod fallback;
mod sessions;

use ruma::api::client::uiaa::{AuthFlow, AuthType, UiaaInfo};
use serde_json::value::to_raw_value;

pub(super) use self::fallback::routes;
use self::sessions::Purpose;
pub use self::{
    auth::{Auth, Interactive},
    sessions::Sessions,
};
use crate::{
    api::{Services, Session},
    config::RegistrationMode as Mode,
    error::Error,
    secret::SecretText,
};

/// Has the user prove that he knows his password, for `operation` (a fixed name: what is proven for one operation
/// counts for that one only).
///
/// # Errors
/// 401 with the flows when there is no proof yet, and with the error's code beside them when it is wrong; 403 for proof
/// of who somebody else is.
pub async fn password(
    services: &Services,
    session: &Session,
    operation: &'static str,
    auth: Option<Auth>,
) -> Result<(), Error> {
    let purpose = Purpose { operation, user: Some(session.user_id.clone()) };
    prove_password(services, session, &purpose, auth).await.map(drop)
}

/// As [`password`], for an operation that is proven anew each time, whatever was proven before.
pub async fn password_anew(
    services: &Services,
    session: &Session,
    operation: &'static str,
    auth: Option<Auth>,
) -> Result<(), Error> {
    let purpose = Purpose { operation, user: Some(session.user_id.clone()) };
    let used = prove_password(services, session, &purpose, auth).await?;
    services.interactive.end(used);
    Ok(())
}

/// The session in which the password was proven, if it was in one.
async fn prove_password(
    services: &Services,
    session: &Session,
    purpose: &Purpose,
    auth: Option<Auth>,
) -> Result<Option<String>, Error> {
    let flow = AuthType::Password;
    if services.interactive.proven(services, purpose, auth.as_ref()).is_some() {
        return Ok(auth.and_then(|auth| auth.session.clone()));
    }
    let Some(auth) = auth.filter(|auth| auth.kind.is_some()) else {
        return Err(ask(services, purpose.clone(), None, flow, None));
    };
    if auth.is(&flow) && auth.user().is_some_and(|named| !is_named(services, session, named)) {
        // Not a wrong answer but somebody else's: no attempt of this user can mend it.
        return Err(Error::forbidden("This is not your account"));
    }
    match check_password(services, session, &auth).await {
        Ok(()) => {
            services.interactive.prove(services, purpose, auth.session.clone(), SecretText::new(String::new()));
            Ok(auth.session.clone())
        }
        Err(error) => Err(ask(services, purpose.clone(), auth.session.clone(), flow, Some(error))),
    }
}

/// Has a stranger prove what a registration asks for, and answers the proof: the registration token, where there is one;
/// also when it was given earlier in the same session.
pub fn registration(services: &Services, auth: Option<Auth>) -> Result<SecretText, Error> {
    let purpose = Purpose { operation: "register", user: None };
    let flow = registration_flow(services);
    if let Some(proof) = services.interactive.proven(services, &purpose, auth.as_ref()) {
        return Ok(proof);
    }
    let Some(auth) = auth.filter(|auth| auth.kind.is_some()) else {
        return Err(ask(services, purpose, None, flow, None));
    };
    let checked = match &flow {
        flow if !auth.is(flow) => Err(Error::forbidden("This stage is not part of a flow")),
        AuthType::RegistrationToken => check_registration_token(services, &auth),
        _ => Ok(SecretText::new(String::new())),
    };
    match checked {
        Ok(proof) => {
            services.interactive.prove(services, &purpose, auth.session.clone(), proof.clone());
            Ok(proof)
        }
        Err(error) => Err(ask(services, purpose, auth.session.clone(), flow, Some(error))),
    }
}

/// The one stage of a registration.
fn registration_flow(services: &Services) -> AuthType {
    match services.config.registration.mode {
        Mode::Token => AuthType::RegistrationToken,
        Mode::Open | Mode::Closed => AuthType::Dummy,
    }
}

/// The registration token of `auth`, when it is good.
fn check_registration_token(services: &Services, auth: &Auth) -> Result<SecretText, Error> {
    let token = auth.token().ok_or_else(|| Error::missing_param("The registration token is missing"))?;
    if services.registration.is_valid(&services.engine, &token)? {
        Ok(token)
    } else {
        Err(Error::forbidden("The registration token is not valid"))
    }
}

async fn check_password(services: &Services, session: &Session, auth: &Auth) -> Result<(), Error> {
    if !auth.is(&AuthType::Password) {
        return Err(Error::forbidden("This stage is not part of a flow"));
    }
    let password = auth.password().ok_or_else(|| Error::missing_param("The password is missing"))?;
    auth.user().ok_or_else(|| Error::missing_param("The user is missing"))?;
    let name = session.account().login_name();
    services.gate.try_password(session.address, &name)?;
    Ok(services.engine.accounts.check_password(&name, password).await?)
}

/// Whether `named` is the session's user: by his Matrix id, whole or in part, or by his login name.
fn is_named(services: &Services, session: &Session, named: &str) -> bool {
    let named = services.engine.accounts.localpart_of(named);
    named.is_some_and(|named| named == session.user_id.localpart() || named == session.account().login_name())
}

/// The answer that asks for `flow`, with what was wrong about the attempt before.
fn ask(services: &Services, purpose: Purpose, session: Option<String>, flow: AuthType, error: Option<Error>) -> Error {
    let mut info = UiaaInfo::new(vec![AuthFlow::new(vec![flow])]);
    info.params = to_raw_value(&serde_json::json!({})).ok();
    info.session = Some(services.interactive.begin(services, purpose, session));
    let Some(error) = error else { return Error::uiaa(info) };
    if error.is_passing() {
        return error;
    }
    info.auth_error = error.into_standard_body();
    Error::uiaa(info)
}

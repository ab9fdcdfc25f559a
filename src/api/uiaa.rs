//! User-interactive authentication ([spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)).
//!
//! Owns what a client sends as `auth`, and the sessions that remember what it has proven already. Sessions live in RAM
//! only and are a convenience: proof that comes without one, or with one that has been forgotten, counts as well.

mod auth;
mod sessions;

use ruma::api::client::uiaa::{AuthFlow, AuthType, UiaaInfo};
use serde_json::value::to_raw_value;

use self::sessions::Purpose;
pub use self::{
    auth::{Auth, Interactive},
    sessions::Sessions,
};
use crate::{
    api::{Services, Session},
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
    let flow = AuthType::Password;
    if services.interactive.proven(services, &purpose, auth.as_ref()).is_some() {
        return Ok(());
    }
    let Some(auth) = auth.filter(|auth| auth.kind.is_some()) else {
        return Err(ask(services, purpose, None, flow, None));
    };
    if auth.is(&flow) && auth.user().is_some_and(|named| !is_own_name(services, session, named)) {
        return Err(Error::forbidden("Another user's password proves nothing here"));
    }
    let checked = check_password(services, session, &auth).await;
    match checked {
        Ok(()) => {
            services.interactive.prove(services, &purpose, auth.session.clone(), SecretText::new(String::new()));
            Ok(())
        }
        Err(error) => Err(ask(services, purpose, auth.session.clone(), flow, Some(error))),
    }
}

/// Has a stranger prove `flow` for a registration: `check` says what of his `auth` is the proof.
///
/// Answers the proof, also when it was given earlier in the same session.
pub fn registration(
    services: &Services,
    flow: AuthType,
    auth: Option<Auth>,
    check: impl FnOnce(&Auth) -> Result<SecretText, Error>,
) -> Result<SecretText, Error> {
    let purpose = Purpose { operation: "register", user: None };
    if let Some(proof) = services.interactive.proven(services, &purpose, auth.as_ref()) {
        return Ok(proof);
    }
    let Some(auth) = auth.filter(|auth| auth.kind.is_some()) else {
        return Err(ask(services, purpose, None, flow, None));
    };
    let checked = if auth.is(&flow) { check(&auth) } else { Err(Error::forbidden("This stage is not part of a flow")) };
    match checked {
        Ok(proof) => {
            services.interactive.prove(services, &purpose, auth.session.clone(), proof.clone());
            Ok(proof)
        }
        Err(error) => Err(ask(services, purpose, auth.session.clone(), flow, Some(error))),
    }
}

fn is_own_name(services: &Services, session: &Session, named: &str) -> bool {
    services.engine.accounts.localpart_of(named).as_deref() == Some(session.user_id.localpart())
}

async fn check_password(services: &Services, session: &Session, auth: &Auth) -> Result<(), Error> {
    if !auth.is(&AuthType::Password) {
        return Err(Error::forbidden("This stage is not part of a flow"));
    }
    let password = auth.password().ok_or_else(|| Error::missing_param("The password is missing"))?;
    auth.user().ok_or_else(|| Error::missing_param("The user is missing"))?;
    services.gate.try_password(session.address, session.user_id.localpart())?;
    Ok(services.engine.accounts.check_password(session.user_id.localpart(), password).await?)
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

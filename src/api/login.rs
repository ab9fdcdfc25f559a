//! Logging in and out ([spec](https://spec.matrix.org/latest/client-server-api/#login)).

use std::sync::Arc;

use ruma::api::client::{
    session::{
        get_login_types::v3 as types,
        login::v3::{LoginInfo, Password, Request, Response},
        logout::v3 as out,
        logout_all::v3 as out_all,
        refresh_token::v3 as refreshing,
    },
    uiaa::UserIdentifier,
};

use super::register::new_device;
use crate::{
    accounts,
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
    secret::SecretText,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(flows).ruma(login).ruma(refresh).ruma(logout).ruma(logout_all)
}

/// `GET /_matrix/client/v3/login`
async fn flows(_services: Arc<Services>, _request: Ruma<types::Request>) -> Result<types::Response, Error> {
    let password = types::LoginType::Password(types::PasswordLoginType::new());
    Ok(types::Response::new(vec![password]))
}

/// `POST /_matrix/client/v3/login`
async fn login(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let (address, request) = (request.address, request.body);
    let LoginInfo::Password(login) = request.login_info else {
        return Err(Error::bad_request("This way of logging in is not supported"));
    };
    let name = user(&login).and_then(|name| services.engine.accounts.localpart_of(name));
    let name = name.ok_or(accounts::Error::Forbidden)?;
    services.gate.try_password(address, &name)?;
    let device = new_device(request.device_id, request.initial_device_display_name, request.refresh_token)?;
    let password = SecretText::new(login.password);
    let logged_in = services.engine.accounts.login(&name, password, device).await?;
    let mut response = Response::new(logged_in.user_id, logged_in.access.expose().to_owned(), logged_in.device);
    response.refresh_token = logged_in.refresh.map(|token| token.expose().to_owned());
    response.expires_in = logged_in.expires_in;
    Ok(response)
}

/// Whom a password login names.
fn user(login: &Password) -> Option<&str> {
    match &login.identifier {
        Some(UserIdentifier::Matrix(id)) => Some(&id.user),
        Some(_) => None,
        #[expect(deprecated, reason = "bots still send the field of the specification's first versions")]
        None => login.user.as_deref(),
    }
}

/// `POST /_matrix/client/v3/refresh`
async fn refresh(services: Arc<Services>, request: Ruma<refreshing::Request>) -> Result<refreshing::Response, Error> {
    let token = SecretText::new(request.body.refresh_token);
    let logged_in = services.engine.accounts.refresh(token.expose()).await?;
    let mut response = refreshing::Response::new(logged_in.access.expose().to_owned());
    response.refresh_token = logged_in.refresh.map(|token| token.expose().to_owned());
    response.expires_in_ms = logged_in.expires_in;
    Ok(response)
}

/// `POST /_matrix/client/v3/logout`
async fn logout(services: Arc<Services>, request: Ruma<out::Request>) -> Result<out::Response, Error> {
    services.engine.accounts.logout(&request.session.inner).await?;
    Ok(out::Response::new())
}

/// `POST /_matrix/client/v3/logout/all`
async fn logout_all(services: Arc<Services>, request: Ruma<out_all::Request>) -> Result<out_all::Response, Error> {
    services.engine.accounts.logout_all(request.session.account()).await?;
    Ok(out_all::Response::new())
}

//! Logging in and out ([spec](https://spec.matrix.org/latest/client-server-api/#login)).

use std::sync::Arc;

use ruma::api::client::{
    session::{
        get_login_token::v1 as give,
        get_login_types::v3 as types,
        login::v3::{LoginInfo, Password, Request, Response},
        login_fallback,
        logout::v3 as out,
        logout_all::v3 as out_all,
        refresh_token::v3 as refreshing,
    },
    uiaa::UserIdentifier,
};

use super::{pages, register::new_device, uiaa};
use crate::{
    accounts,
    api::{Routes, Ruma, RumaRouter, Services, uiaa::Interactive},
    error::Error,
    rate::Kind,
    secret::SecretText,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(flows).ruma(login).ruma(fallback).ruma(token).ruma(refresh).ruma(logout).ruma(logout_all)
}

/// `GET /_matrix/client/v3/login`
async fn flows(_services: Arc<Services>, _request: Ruma<types::Request>) -> Result<types::Response, Error> {
    let password = types::LoginType::Password(types::PasswordLoginType::new());
    let mut token = types::TokenLoginType::new();
    token.get_login_token = true;
    Ok(types::Response::new(vec![password, types::LoginType::Token(token)]))
}

/// `POST /_matrix/client/v3/login`
async fn login(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let (address, request) = (request.address, request.body);
    let accounts = &services.engine.accounts;
    let device = new_device(request.device_id, request.initial_device_display_name, request.refresh_token)?;
    let logged_in = match request.login_info {
        LoginInfo::Password(login) => {
            let name = user(&login).and_then(|name| accounts.localpart_of(name));
            let name = name.ok_or(accounts::Error::Forbidden)?;
            services.gate.try_password(address, &name)?;
            accounts.login(&name, SecretText::new(login.password), device).await?
        }
        LoginInfo::Token(login) => {
            services.gate.pass(Kind::Login, address)?;
            let token = SecretText::new(login.token);
            accounts.login_by_token(token.expose(), device).await.map_err(refused)?
        }
        _ => return Err(Error::bad_request("This way of logging in is not supported")),
    };
    let server = logged_in.user_id.server_name().to_owned();
    let mut response = Response::new(logged_in.user_id, logged_in.access.expose().to_owned(), logged_in.device);
    #[expect(deprecated, reason = "administration tools make Matrix ids from it")]
    {
        response.home_server = Some(server);
    }
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

/// Here what is forbidden is a token that is unknown, used up or too old.
fn refused(error: accounts::Error) -> Error {
    match error {
        accounts::Error::Forbidden => Error::forbidden("The login token is not valid"),
        error => error.into(),
    }
}

/// `GET /_matrix/static/client/login/`
async fn fallback(_services: Arc<Services>, _request: Ruma<login_fallback::Request>) -> Result<pages::Page, Error> {
    Ok(pages::login())
}

/// `POST /_matrix/client/v1/login/get_token`
async fn token(services: Arc<Services>, request: Ruma<Interactive<give::Request>>) -> Result<give::Response, Error> {
    let session = &request.session;
    uiaa::password_anew(&services, session, "log in another device", request.body.auth).await?;
    let (token, lifetime) = services.engine.accounts.login_token(&session.inner);
    Ok(give::Response::new(lifetime, token.expose().to_owned()))
}

/// `POST /_matrix/client/v3/refresh`
async fn refresh(services: Arc<Services>, request: Ruma<refreshing::Request>) -> Result<refreshing::Response, Error> {
    let token = SecretText::new(request.body.refresh_token);
    let logged_in = services.engine.accounts.refresh(token.expose()).await?;
    let mut response = refreshing::Response::new(logged_in.access.expose().to_owned());
    response.expires_in_ms = logged_in.expires_in;
    // It stays the same (keys.md M21); clients that look for the next one find it.
    response.refresh_token = logged_in.refresh.map(|token| token.expose().to_owned());
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

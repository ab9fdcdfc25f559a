//! Who is asking: what an access token stands for, and how an endpoint type says whether it needs one.

mod authenticated;

use std::{future::Future, pin::Pin, sync::Arc};

use axum::http::Request;
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::auth_scheme::{
        AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, AuthScheme, NoAccessToken,
        NoAuthentication,
    },
};

pub use self::authenticated::{Authenticated, Under};
use crate::{
    accounts::{self, Account, Accounts},
    api::{count, gate, services::Services},
    error::Error,
    rate::Source,
    secret::SecretText,
};

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The account and device a request speaks for.
#[derive(Clone)]
pub struct Session {
    /// The account's MXID.
    pub user_id: OwnedUserId,
    /// The device the token belongs to.
    pub device_id: OwnedDeviceId,
    /// The open account and what opened it.
    pub inner: accounts::Session,
    /// Whom the request comes from by its address.
    pub address: Source,
}

impl Session {
    /// The account, open.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.inner.account
    }
}

impl From<accounts::Session> for Session {
    fn from(inner: accounts::Session) -> Self {
        let (user_id, device_id) = (inner.account.user_id.clone(), inner.device.clone());
        Self { user_id, device_id, inner, address: Source::default() }
    }
}

/// Turns access tokens into sessions.
pub trait Authenticate: Send + Sync + 'static {
    /// The session behind `token`, or [`Error::unknown_token`].
    fn session<'a>(&'a self, token: &'a SecretText) -> BoxFuture<'a, Result<Session, Error>>;
}

/// Knows the tokens of the server's accounts.
pub struct Doorkeeper(pub Arc<Accounts>);

impl Authenticate for Doorkeeper {
    fn session<'a>(&'a self, token: &'a SecretText) -> BoxFuture<'a, Result<Session, Error>> {
        Box::pin(async move {
            if let Some(session) = self.0.at_hand(token.expose())? {
                return Ok(session.into());
            }
            // The account may have to be opened: that goes on even if this client does not wait for it.
            let (accounts, token) = (Arc::clone(&self.0), token.clone());
            let opened = super::ruma::finish(async move {
                let session = accounts.session(token.expose()).await?;
                // A day is the finest time a device's use is known by; failing to note it hinders nobody.
                let _ = accounts.seen(&session).await;
                Ok::<_, accounts::Error>(session)
            });
            Ok(opened.await?.into())
        })
    }
}

/// Who asks, as far as an endpoint's way of authentication tells.
pub trait Party {
    /// The account, if there is one.
    fn user(&self) -> Option<&UserId>;
}

impl Party for Session {
    fn user(&self) -> Option<&UserId> {
        Some(&self.user_id)
    }
}

impl Party for Option<Session> {
    fn user(&self) -> Option<&UserId> {
        self.as_ref().map(|session| &*session.user_id)
    }
}

impl Party for () {
    fn user(&self) -> Option<&UserId> {
        None
    }
}

/// An endpoint's way of authentication, together with what its handler gets from it.
pub trait Scheme: AuthScheme {
    /// `Session` where a token is needed, `Option<Session>` where it is welcome, `()` where it is ignored.
    type Session: Party + Send + 'static;

    /// Reads the token of `request`, if the scheme has one, and looks it up.
    fn session(services: &Services, request: &Request<()>)
    -> impl Future<Output = Result<Self::Session, Error>> + Send;
}

impl Scheme for AccessToken {
    type Session = Session;

    async fn session(services: &Services, request: &Request<()>) -> Result<Session, Error> {
        let token = SecretText::new(Self::extract_authentication(request)?);
        let session = services.sessions.session(&token).await?;
        count::note(services, request, &session);
        Ok(Session { address: gate::address(request), ..session })
    }
}

impl Scheme for AccessTokenOptional {
    type Session = Option<Session>;

    async fn session(services: &Services, request: &Request<()>) -> Result<Option<Session>, Error> {
        let Some(token) = Self::extract_authentication(request)? else { return Ok(None) };
        let session = services.sessions.session(&SecretText::new(token)).await?;
        count::note(services, request, &session);
        Ok(Some(Session { address: gate::address(request), ..session }))
    }
}

impl Scheme for NoAccessToken {
    type Session = ();

    async fn session(_services: &Services, _request: &Request<()>) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for NoAuthentication {
    type Session = ();

    async fn session(_services: &Services, _request: &Request<()>) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for AppserviceTokenOptional {
    type Session = ();

    /// There are no application services, so registration and login ignore any token.
    async fn session(_services: &Services, _request: &Request<()>) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for AppserviceToken {
    type Session = ();

    /// There are no application services: a token that is known is somebody's else, and the endpoint says so.
    async fn session(services: &Services, request: &Request<()>) -> Result<(), Error> {
        let token = SecretText::new(Self::extract_authentication(request)?);
        services.sessions.session(&token).await.map(|_| ())
    }
}

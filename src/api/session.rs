//! Who is asking: what an access token stands for, and how an endpoint type says whether it needs one.

mod authenticated;
mod standing;

use std::{future::Future, pin::Pin, sync::Arc};

use axum::http::Request;
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::auth_scheme::{
        AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, AuthScheme, NoAccessToken,
        NoAuthentication,
    },
};

pub use self::{
    authenticated::{Authenticated, Under},
    standing::Needs,
};
use crate::{
    accounts::{self, Account, Accounts, Standing},
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
    /// How the account stood when the request came.
    pub standing: Standing,
}

impl Session {
    /// The account, open.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.inner.account
    }

    /// Whether the account administers the server.
    pub fn is_admin(&self, services: &Services) -> Result<bool, Error> {
        Ok(services.engine.accounts.entry(&self.user_id)?.is_some_and(|entry| entry.admin))
    }

    /// Fails for who does not administer the server.
    pub fn check_admin(&self, services: &Services) -> Result<(), Error> {
        if self.is_admin(services)? { Ok(()) } else { Err(Error::forbidden("You are not an administrator")) }
    }
}

impl From<accounts::Session> for Session {
    fn from(inner: accounts::Session) -> Self {
        let (user_id, device_id) = (inner.account.user_id.clone(), inner.device.clone());
        Self { user_id, device_id, inner, address: Source::default(), standing: Standing::Good }
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

    /// Reads the token of `request`, if the scheme has one, looks it up, and sees whether its account stands as the
    /// endpoint needs.
    fn session(
        services: &Services,
        request: &Request<()>,
        needs: Needs,
    ) -> impl Future<Output = Result<Self::Session, Error>> + Send;
}

async fn admit(services: &Services, request: &Request<()>, token: String, needs: Needs) -> Result<Session, Error> {
    let session = services.sessions.session(&SecretText::new(token)).await?;
    let standing = services.engine.accounts.standing(session.account())?;
    needs.check(standing)?;
    count::note(services, request, &session);
    Ok(Session { address: gate::address(request), standing, ..session })
}

impl Scheme for AccessToken {
    type Session = Session;

    async fn session(services: &Services, request: &Request<()>, needs: Needs) -> Result<Session, Error> {
        admit(services, request, Self::extract_authentication(request)?, needs).await
    }
}

impl Scheme for AccessTokenOptional {
    type Session = Option<Session>;

    async fn session(services: &Services, request: &Request<()>, needs: Needs) -> Result<Option<Session>, Error> {
        match Self::extract_authentication(request)? {
            Some(token) => admit(services, request, token, needs).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Scheme for NoAccessToken {
    type Session = ();

    async fn session(_services: &Services, _request: &Request<()>, _needs: Needs) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for NoAuthentication {
    type Session = ();

    async fn session(_services: &Services, _request: &Request<()>, _needs: Needs) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for AppserviceTokenOptional {
    type Session = ();

    /// There are no application services, so registration and login ignore any token.
    async fn session(_services: &Services, _request: &Request<()>, _needs: Needs) -> Result<(), Error> {
        Ok(())
    }
}

impl Scheme for AppserviceToken {
    type Session = ();

    /// There are no application services: a token that is known is somebody's else, and the endpoint says so.
    async fn session(services: &Services, request: &Request<()>, needs: Needs) -> Result<(), Error> {
        admit(services, request, Self::extract_authentication(request)?, needs).await.map(|_| ())
    }
}

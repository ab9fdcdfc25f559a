//! The parts of Synapse's administration API that its tools rely on (`doc/admin.md`): what they need to manage accounts,
//! registration tokens and rooms. Fields that this server never keeps are null or absent.
//!
//! Owns reading of requests and the form of answers; what happens is [`crate::engine::administer`]'s.

mod devices;
mod notices;
mod pace;
mod page;
mod rooms;
mod tokens;
mod users;

use std::{collections::HashMap, future::Future, sync::Arc};

use axum::{
    body::Body,
    extract::{Query, RawPathParams, State, rejection::RawPathParamsRejection},
    http::{Method, Request, Response, header},
    response::IntoResponse,
    routing::{MethodFilter, MethodRouter, get, on},
};
use ruma::{OwnedUserId, UserId, api::auth_scheme::AccessToken};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    json::check,
    ruma::{MAX_BODY, collect, finish},
};
use crate::{
    api::{
        Routes, Services, Session,
        session::{Needs, Scheme},
    },
    engine::administer,
    error::Error,
    rate::Kind,
};

pub(super) fn routes(router: Routes) -> Routes {
    let router = router.route("/_synapse/admin/v1/server_version", get(version));
    [users::routes, devices::routes, pace::routes, tokens::routes, rooms::routes, notices::routes]
        .iter()
        .fold(router, |router, add| add(router))
}

/// `GET /_synapse/admin/v1/server_version`: for everybody, because tools ask before they log in.
async fn version() -> axum::Json<Value> {
    axum::Json(json!({ "server_version": concat!("Lethe ", env!("CARGO_PKG_VERSION")) }))
}

/// A request of an administrator.
struct Call {
    services: Arc<Services>,
    session: Session,
    path: Vec<String>,
    query: HashMap<String, String>,
    body: Map<String, Value>,
}

/// What it is answered with.
struct Answer {
    body: Value,
    /// Whether something was made.
    created: bool,
}

impl From<Value> for Answer {
    fn from(body: Value) -> Self {
        Self { body, created: false }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        let response = Response::builder().status(if self.created { 201_u16 } else { 200 });
        let response = response.header(header::CONTENT_TYPE, "application/json");
        response.body(Body::from(self.body.to_string())).unwrap_or_else(|_| Error::internal().into_response())
    }
}

/// Routes an operation to `handler`, for administrators only. What has begun is finished when the client hangs up.
fn operation<H, F, A>(method: MethodFilter, handler: H) -> MethodRouter<Arc<Services>>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<A, Error>> + Send + 'static,
    A: Into<Answer> + Send + 'static,
{
    on(
        method,
        move |State(services): State<Arc<Services>>,
              path: Result<RawPathParams, RawPathParamsRejection>,
              request: Request<Body>| async move {
            let answer = async {
                let path = path.map_err(|_| Error::invalid_param("The path is not UTF-8"))?;
                let call = Call::read(services, &path, request).await?;
                finish(handler(call)).await
            };
            answer.await.map_or_else(Error::into_response, |answer| answer.into().into_response())
        },
    )
}

impl Call {
    /// Who asks is known to be an administrator before anything else is looked at.
    async fn read(services: Arc<Services>, path: &RawPathParams, request: Request<Body>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let session = <AccessToken as Scheme>::session(&services, &head, Needs::Unlocked).await?;
        session.check_admin(&services)?;
        let caller = services.gate.sources().account(session.user_id.as_str());
        services.gate.pass(Kind::General, caller)?;
        let query = Query::try_from_uri(head.uri()).map_err(|_| Error::invalid_param("The query is invalid"))?.0;
        let mut memory = services.gate.bodies.hold(caller);
        let body = collect(body, MAX_BODY, Some(&mut memory)).await?;
        if head.method() != Method::GET {
            services.gate.write(caller, body.len())?;
        }
        check(&body)?;
        let body = if body.is_empty() { Map::new() } else { serde_json::from_slice(&body)? };
        let path = path.iter().map(|(_, value)| value.to_owned()).collect();
        Ok(Self { services, session, path, query, body })
    }

    /// A segment of the path.
    fn argument(&self, place: usize) -> &str {
        self.path.get(place).map_or("", String::as_str)
    }

    /// The user that the path begins with: one of this server.
    fn user(&self) -> Result<OwnedUserId, Error> {
        let user = UserId::parse(self.argument(0)).map_err(|_| Error::invalid_param("This is not a user id"))?;
        if user.server_name() == self.services.engine.accounts.policy().server_name {
            Ok(user)
        } else {
            Err(Error::invalid_param("The user is not one of this server"))
        }
    }

    /// A field of the body; one that is null counts as absent.
    fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(serde_json::from_value(value.clone())?)),
        }
    }

    /// A field of the body that must be there.
    fn needed<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.field(name)?.ok_or_else(|| Error::missing_param("The body lacks a required field"))
    }

    /// A truth value of the query.
    fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.query.get(name).map(String::as_str) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Error::invalid_param("A query parameter is neither true nor false")),
        }
    }
}

/// An operation that this server does not carry out, and why. As if it did not exist: tools take a 403 for the end of
/// their own session.
fn refuse(method: MethodFilter, reason: &'static str) -> MethodRouter<Arc<Services>> {
    operation(method, move |_| std::future::ready(Err::<Value, _>(Error::unrecognised(reason))))
}

impl From<administer::Error> for Error {
    fn from(error: administer::Error) -> Self {
        use administer::Error as E;
        match error {
            E::UnknownUser => Self::not_found("Unknown user"),
            E::UnknownRoom => Self::not_found("Unknown room, or nobody who is in it has come since the server started"),
            E::UnknownToken => Self::not_found("Unknown registration token"),
            E::Cold => Self::unavailable("The account is cold: nobody has used it since the server started"),
            E::NoLoginName => Self::bad_request("The account is known by its login name only"),
            E::InvalidToken => Self::invalid_param("The token is not 1 to 64 letters, digits and . _ ~ -"),
            E::TokenExists => Self::invalid_param("The token exists already"),
            E::NoNotices => Self::bad_request("There is no name to send notices under, or an account has it"),
            E::TooManyTokens => Self::bad_request("There are too many tokens"),
            E::StillIn => Self::bad_request("The user is in the room"),
            E::NoHouse => Self::not_found("There are no accounts yet"),
            E::Backup(_) => Self::unavailable("There is no backup"),
            E::Account(error) => error.into(),
            E::Room(error) => error.into(),
        }
    }
}

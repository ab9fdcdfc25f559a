//! Endpoints by type: a request type knows its paths, its method and whether it needs a token; a handler only answers.

use std::{
    fmt::Write,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, RawPathParams, State, rejection::RawPathParamsRejection},
    http::{HeaderMap, Method, Request, Response, Uri, request::Parts},
    response::IntoResponse,
    routing::{MethodRouter, on},
};
use ruma::api::{
    IncomingRequest, IncomingRequestExt, OutgoingResponse, OutgoingResponseExt, path_builder::PathBuilder,
};

pub use super::body::{MAX_BODY, collect};
use crate::{
    api::{
        body::{MAX_STRANGERS_BODY, Seated},
        gate, json,
        routes::{Routes, filter},
        services::Services,
        session::{Needs, Party, Scheme},
    },
    error::Error,
    rate::{Hold, Kind, Seat, Source},
};

/// A request of type `R`, read, checked and authenticated.
pub struct Ruma<R: IncomingRequest<Authentication: Scheme>> {
    /// The request: path, query, headers and body as ruma's type for the endpoint has them.
    pub body: R,
    /// Who asks: a `Session`, an `Option<Session>` or `()`, as the endpoint's authentication says.
    pub session: <R::Authentication as Scheme>::Session,
    /// The body as it came, for what must be kept byte for byte or is not in the type.
    pub raw: Bytes,
    /// The address as it came, for parameters that ruma's type does not know.
    pub uri: Uri,
    /// The parameters of the path in order, decoded: ruma's event types give some names another spelling.
    pub arguments: Vec<String>,
    /// Whom the request comes from by its address.
    pub address: Source,
    seat: Option<Seat>,
    _memory: Hold,
}

impl<R: IncomingRequest<Authentication: Scheme>> Ruma<R> {
    /// A parameter of the query, decoded; the first of that name.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&self.uri).ok()?;
        pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// What of a request a handler reads itself.
pub struct Unread {
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// Registration of handlers by their request type.
pub trait RumaRouter: Sized {
    /// Registers `handler` at every path, stable and unstable, that `R` has ever had.
    ///
    /// `async fn name(services: Arc<Services>, request: Ruma<R>) -> Result<Response, Error>`; the response is
    /// usually `R::OutgoingResponse`, or [`json::Json`] where ruma's type cannot say what must be said.
    #[must_use]
    fn ruma<R, H, F, T>(self, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: OutgoingResponse + 'static;

    /// Registers a `handler` that reads the body itself, or answers with something other than ruma's type: media.
    ///
    /// The request is parsed as if its body were empty; the body is not read, and its bounds are the handler's duty.
    #[must_use]
    fn ruma_stream<R, H, F>(self, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>, Unread) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Error>> + Send + 'static;

    /// Registers `handler` at `path` too: for an alias that clients use and ruma's type does not know.
    #[must_use]
    fn ruma_at<R, H, F, T>(self, path: &str, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: OutgoingResponse + 'static;
}

impl RumaRouter for Routes {
    fn ruma<R, H, F, T>(mut self, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: OutgoingResponse + 'static,
    {
        for path in R::PATH_BUILDER.all_paths() {
            self = self.ruma_at(path, handler.clone());
            // The empty state key may be left out together with its slash (spec §7.5.2).
            if let Some(without_key) = path.strip_suffix("/{state_key}") {
                self = self.ruma_at(without_key, handler.clone());
            }
        }
        self
    }

    fn ruma_stream<R, H, F>(mut self, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>, Unread) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
    {
        for path in R::PATH_BUILDER.all_paths() {
            self = self.operation::<R>(path, stream_router(handler.clone()));
        }
        self
    }

    fn ruma_at<R, H, F, T>(self, path: &str, handler: H) -> Self
    where
        R: IncomingRequest<Authentication: Scheme> + Send + 'static,
        H: Fn(Arc<Services>, Ruma<R>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: OutgoingResponse + 'static,
    {
        self.operation::<R>(path, method_router(handler))
    }
}

/// `path` without a trailing slash and with its parameters named by place: the same place has different names in
/// different request types, and the router wants one.
#[must_use]
pub fn route_template(path: &str) -> String {
    let mut template = String::with_capacity(path.len());
    for (place, segment) in path.trim_matches('/').split('/').enumerate() {
        if segment.starts_with('{') {
            write!(template, "/{{p{place}}}").expect("a string takes every write");
        } else {
            template.push('/');
            template.push_str(segment);
        }
    }
    template
}

fn method_router<R, H, F, T>(handler: H) -> MethodRouter<Arc<Services>>
where
    R: IncomingRequest<Authentication: Scheme> + Send + 'static,
    H: Fn(Arc<Services>, Ruma<R>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: OutgoingResponse + 'static,
{
    let needs = Needs::of::<R>();
    on(
        filter::<R>(),
        move |State(services): State<Arc<Services>>,
              path: Result<RawPathParams, RawPathParamsRejection>,
              request: Request<Body>| async move {
            let answer = async {
                let path = path.map_err(|_| unreadable())?;
                let mut request = read::<R>(&services, &path, request, needs).await?;
                let seat = request.seat.take();
                let answer = async move { Ok(seated(respond(handler(services, request).await?)?, seat)) };
                if waits::<R>() { answer.await } else { finish(answer).await }
            };
            answer.await.unwrap_or_else(Error::into_response)
        },
    )
}

/// Whether a request may be dropped in the middle when its client hangs up: those that read, and the one that waits.
fn waits<R: IncomingRequest>() -> bool {
    R::METHOD == Method::GET || R::PATH_BUILDER.all_paths().any(|path| path.ends_with("simplified_msc3575/sync"))
}

/// Runs `work` to its end even when whoever waits for it goes away: what has begun to change is changed whole.
pub async fn finish<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and nobody is left to answer.
            Err(_) => std::future::pending().await,
        },
    }
}

fn stream_router<R, H, F>(handler: H) -> MethodRouter<Arc<Services>>
where
    R: IncomingRequest<Authentication: Scheme> + Send + 'static,
    H: Fn(Arc<Services>, Ruma<R>, Unread) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
{
    let needs = Needs::of::<R>();
    on(
        filter::<R>(),
        move |State(services): State<Arc<Services>>,
              path: Result<RawPathParams, RawPathParamsRejection>,
              request: Request<Body>| async move {
            let answer = async {
                let path = path.map_err(|_| unreadable())?;
                let (parts, body) = request.into_parts();
                let unread = Unread { headers: parts.headers.clone(), body };
                let mut request = read::<R>(&services, &path, Request::from_parts(parts, Body::empty()), needs).await?;
                let seat = request.seat.take();
                Ok(seated(handler(services, request, unread).await?, seat))
            };
            answer.await.unwrap_or_else(Error::into_response)
        },
    )
}

/// A parameter of the path is not UTF-8.
fn unreadable() -> Error {
    Error::invalid_param("The path is not UTF-8")
}

/// Authenticates and counts before the body is read, so that strangers cannot make the server collect bodies.
async fn read<R>(
    services: &Services,
    path: &RawPathParams,
    request: Request<Body>,
    needs: Needs,
) -> Result<Ruma<R>, Error>
where
    R: IncomingRequest<Authentication: Scheme>,
{
    let (parts, body) = request.into_parts();
    let head = Request::from_parts(parts, ());
    let (gate, address) = (&services.gate, gate::address(&head));
    let session = <R::Authentication as Scheme>::session(services, &head, needs).await?;
    let caller = session.user().map_or(address, |user| gate.sources().account(user.as_str()));
    let seat = gate.enter(caller)?;
    let free = session.user().is_some_and(|user| services.engine.accounts.is_unlimited(user));
    if let Some(kind) = gate::kind::<R>().filter(|kind| !(free && *kind == Kind::General)) {
        gate.pass(kind, caller)?;
    }
    let mut memory = gate.bodies.hold(caller);
    let limit = if session.user().is_some() { MAX_BODY } else { MAX_STRANGERS_BODY };
    let raw = collect(body, limit, Some(&mut memory)).await?;
    if R::METHOD != Method::GET {
        gate.write(caller, raw.len())?;
    }
    json::check(&raw)?;
    let uri = head.uri().clone();
    let body = parse(head.into_parts().0, &raw, path)?;
    let arguments = path.iter().map(|(_, value)| value.to_owned()).collect();
    Ok(Ruma { body, session, raw, uri, arguments, address, seat: Some(seat), _memory: memory })
}

/// The answer with the caller's seat, which is given back when the answer is sent.
fn seated(answer: Response<Body>, seat: Option<Seat>) -> Response<Body> {
    match seat {
        Some(seat) => answer.map(|body| Seated::body(body, seat)),
        None => answer,
    }
}

fn parse<R: IncomingRequest>(parts: Parts, raw: &[u8], path: &RawPathParams) -> Result<R, Error> {
    let arguments: Vec<&str> = path.iter().map(|(_, value)| value).collect();
    // Clients leave an empty body out where nothing need be said.
    let raw = if raw.is_empty() && R::METHOD == Method::POST { b"{}" } else { raw };
    let request = Request::from_parts(parts, raw);
    // Parsers can panic on what nobody foresaw (ruma's login type does without a `type`); that is the body's fault.
    // Nothing outlives the closure, so nothing can be left half changed.
    let parsed = catch_unwind(AssertUnwindSafe(|| R::try_from_http_request(request, &arguments)));
    Ok(parsed.map_err(|_| Error::bad_json("The request has an unexpected shape"))??)
}

fn respond<T: OutgoingResponse>(response: T) -> Result<Response<Body>, Error> {
    let response = response.try_into_http_response::<Vec<u8>>().map_err(|_| {
        crate::log::error!("a response could not be written");
        Error::internal()
    })?;
    Ok(response.map(Body::from))
}

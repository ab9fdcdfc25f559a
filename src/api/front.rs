//! What happens to every request before routing and to every answer after it: preflights, trailing slashes, CORS.

use std::any::Any;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header, uri::PathAndQuery},
    response::IntoResponse,
};
use tower::ServiceExt;
use tower_http::catch_panic::ResponseForPanic;

use crate::error::Error;

/// How long a browser may remember a preflight: half its requests would be preflights otherwise.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Answers one request. Never fails: whatever goes wrong is an answer with CORS headers.
pub async fn answer(router: Router, request: Request<Body>) -> Response<Body> {
    let mut response = if request.method() == Method::OPTIONS {
        preflight()
    } else {
        router.oneshot(without_trailing_slash(request)).await.unwrap_or_else(|never| match never {})
    };
    decorate(response.headers_mut());
    response
}

/// Preflights are answered without routing or authentication ([spec](https://spec.matrix.org/latest/client-server-api/#web-browser-clients)).
fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}

/// Some paths end in a slash in the specification (`pushrules/`), some clients add one (`state/m.room.name/`);
/// routes are registered without, and matched without. An encoded slash is data and stays.
fn without_trailing_slash(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    if !uri.path().ends_with('/') {
        return request;
    }
    let path = uri.path().trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Headers of every answer. Answers are private and change: nothing on the way may keep them, unless a handler
/// that knows better (media) said so.
fn decorate(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, Date"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// What the client gets when a handler panics: nothing about it.
#[derive(Clone, Copy)]
pub(super) struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _payload: Box<dyn Any + Send>) -> Response<Body> {
        Error::internal().into_response()
    }
}

//! Reading of requests by type, with handlers that only show what they got.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use http_body_util::BodyExt;
use ruma::api::client::{
    backup::get_backup_keys_for_session, keys::upload_signing_keys, media::create_content, session::login,
    state::get_state_event_for_key,
};
use serde_json::{Value, json};

use super::{Authenticate, BoxFuture, Routes, Ruma, RumaRouter, Services, Session, answer, front, json::Json, testing};
use crate::{
    config::Config,
    engine::testing::{Machine, register},
    error::Error,
    secret::SecretText,
};

/// Knows one token.
struct OneToken(Session);

impl Authenticate for OneToken {
    fn session<'a>(&'a self, token: &'a SecretText) -> BoxFuture<'a, Result<Session, Error>> {
        Box::pin(async move {
            if token.expose() != "known" {
                return Err(Error::unknown_token(true));
            }
            Ok(self.0.clone())
        })
    }
}

async fn backed_up(_: Arc<Services>, request: Ruma<get_backup_keys_for_session::v3::Request>) -> Result<Json, Error> {
    let Ruma { body, session, .. } = request;
    Ok(Json(json!([body.room_id, body.session_id, body.version, session.user_id])))
}

async fn state(_: Arc<Services>, request: Ruma<get_state_event_for_key::v3::Request>) -> Result<Json, Error> {
    Ok(Json(json!([request.body.event_type, request.body.state_key])))
}

async fn log_in(_: Arc<Services>, request: Ruma<login::v3::Request>) -> Result<Json, Error> {
    Ok(Json(json!([request.body.device_id, request.raw.len()])))
}

async fn upload(
    _: Arc<Services>,
    request: Ruma<create_content::v3::Request>,
    unread: super::ruma::Unread,
) -> Result<Response<Body>, Error> {
    let length = unread.body.collect().await.expect("a body").to_bytes().len();
    let shown = json!([request.body.filename, request.body.content_type, length]);
    Ok(Response::new(Body::from(shown.to_string())))
}

async fn panic(_: Arc<Services>, _: Ruma<upload_signing_keys::v3::Request>) -> Result<Json, Error> {
    panic!("s3cret")
}

async fn router() -> Router {
    let engine = Machine::new(1).start().await;
    let known = register(&engine, "al").await.session.into();
    let services =
        Services { sessions: Arc::new(OneToken(known)), ..testing::services(Config::default(), engine).await };
    let router = Routes::default().ruma(backed_up).ruma(state).ruma(log_in).ruma(panic).ruma_stream(upload);
    router
        .into_router()
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(front::Panicked))
        .with_state(Arc::new(services))
}

async fn send(method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("Authorization", "Bearer known");
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let (parts, body) = answer(router().await, request).await.into_parts();
    let response = Response::from_parts(parts, body.collect().await.expect("a body").to_bytes());
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
}

#[tokio::test]
async fn encoded_slashes_stay_in_their_segment() {
    let path = "/_matrix/client/v3/room_keys/keys/!r%3Alocalhost/a%2Fb+c?version=1&_cacheBuster=2";
    assert_eq!(send("GET", path, "").await, (200, json!(["!r:localhost", "a/b+c", "1", "@al:localhost"])));
}

#[tokio::test]
async fn the_empty_state_key_may_be_left_out() {
    for (path, key) in [("m.room.name", ""), ("m.room.name/", ""), ("m.room.member/@al:b", "@al:b"), ("x/%2F", "/")] {
        let (status, shown) = send("GET", &format!("/_matrix/client/v3/rooms/!r:localhost/state/{path}"), "").await;
        assert_eq!((status, &shown[1]), (200, &json!(key)), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_never_quoted() {
    let path = "/_matrix/client/v3/login";
    for (body, code) in [
        ("{s3cret", "M_NOT_JSON"),
        (r#"{"type":"m.login.password","identifier":"s3cret"}"#, "M_BAD_JSON"),
        (r#"{"identifier":{"type":"m.id.user","user":"s3cret"}}"#, "M_BAD_JSON"),
    ] {
        let (status, error) = send("POST", path, body).await;
        assert_eq!((status, &error["errcode"]), (400, &json!(code)), "{body}");
        assert!(!error.to_string().contains("s3cret"));
    }
    let bad_id = "/_matrix/client/v3/rooms/s3cret/state/m.room.name";
    assert_eq!(send("GET", bad_id, "").await.1["errcode"], json!("M_INVALID_PARAM"));
    let no_version = "/_matrix/client/v3/room_keys/keys/!r:localhost/s";
    assert_eq!(send("GET", no_version, "").await.1["errcode"], json!("M_MISSING_PARAM"));
}

#[tokio::test]
async fn bodies_arrive_without_a_content_type() {
    let body =
        r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"al"},"password":"p","device_id":"D"}"#;
    assert_eq!(send("POST", "/_matrix/client/r0/login", body).await, (200, json!(["D", body.len()])));
}

#[tokio::test]
async fn a_panic_is_an_answer_that_says_nothing() {
    for path in ["v3", "unstable"] {
        let (status, error) = send("POST", &format!("/_matrix/client/{path}/keys/device_signing/upload"), "{}").await;
        assert_eq!((status, error), (500, json!({"errcode": "M_UNKNOWN", "error": "Internal server error"})));
    }
}

#[tokio::test]
async fn streamed_bodies_are_the_handlers() {
    let body = "x".repeat(2 * super::ruma::MAX_BODY);
    let (status, shown) = send("POST", "/_matrix/media/v3/upload?filename=a%20b", &body).await;
    assert_eq!((status, shown), (200, json!(["a b", null, body.len()])));
}

//! A server in memory that requests are sent to, with two accounts in one room.

use std::{cell::RefCell, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Request, Response},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    accounts::NewDevice,
    api::{answer, router, testing},
    config::{Config, RegistrationMode},
    engine::testing::{Machine, register},
    secret::SecretText,
};

/// Inputs that one world lives through.
const LIFE: usize = 200;
/// Operations that talk to other machines.
const OUTSIDE: [&str; 2] = ["/pushers/set", "/preview_url"];

/// The server, and what requests name.
pub(super) struct World {
    runtime: Runtime,
    router: Router,
    /// The token of `@al:localhost`.
    pub(super) token: String,
    /// A room that he founded and `@bo:localhost` is invited to.
    pub(super) room: String,
    /// A message in it.
    pub(super) event: String,
    left: usize,
}

/// Lends the world to one input.
pub(super) fn with(each: impl FnOnce(&World)) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|world| {
        let there = world.take().filter(|world| world.left > 0).unwrap_or_else(World::new);
        let there = world.insert(there);
        there.left -= 1;
        each(there);
    });
}

/// Whether a request would leave the machine.
pub(super) fn leads_outside(path: &str) -> bool {
    OUTSIDE.iter().any(|part| path.contains(part))
}

/// Whether a query makes a request wait, for a clock that stands still.
pub(super) fn waits(query: &[u8]) -> bool {
    query.windows(7).any(|part| part == b"timeout")
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut config = Config::default();
        config.limits.rates = false;
        config.registration.mode = RegistrationMode::Open;
        let (router, token) = runtime.block_on(async {
            let engine = Machine::new(1).start().await;
            // An administrator, so that what only they may do is reached.
            let password = SecretText::new("password of al".to_owned());
            let al = engine.accounts.register("al", password, Some(NewDevice::default()), true, |_, _| Ok(Vec::new()));
            let (_, al) = al.await.expect("a free name");
            register(&engine, "bo").await;
            let token = al.expect("a device").access.expose().to_owned();
            (router(Arc::new(testing::services(config, engine).await)), token)
        });
        let mut world = Self { runtime, router, token, room: String::new(), event: String::new(), left: LIFE };
        let body = json!({"invite": ["@bo:localhost"], "name": "room", "room_alias_name": "room"}).to_string();
        let made = world.ask(Method::POST, "/_matrix/client/v3/createRoom", body.into_bytes());
        made["room_id"].as_str().expect("a room").clone_into(&mut world.room);
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/1", escape(world.room.as_bytes()));
        let sent = world.ask(Method::PUT, &path, br#"{"msgtype":"m.text","body":"hello"}"#.to_vec());
        sent["event_id"].as_str().expect("an event").clone_into(&mut world.event);
        world
    }

    fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Value {
        let request = self.request(method, path, body).expect("a request");
        serde_json::from_slice(self.send(request).body()).expect("JSON")
    }

    /// A request of `@al:localhost`; nothing when HTTP has no such request.
    pub(super) fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Option<Request<Body>> {
        let token = format!("Bearer {}", self.token);
        Request::builder().method(method).uri(path).header("Authorization", token).body(Body::from(body)).ok()
    }

    /// The answer to a request.
    pub(super) fn send(&self, request: Request<Body>) -> Response<Bytes> {
        let router = self.router.clone();
        self.runtime.block_on(async move {
            let (head, body) = answer(router, request).await.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Response::from_parts(head, body)
        })
    }
}

/// Percent-encodes everything but letters, digits and a few marks.
pub(super) fn escape(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

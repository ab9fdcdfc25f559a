//! Requests: every operation, through the router, to handlers on a server in memory.

use std::{cell::RefCell, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{line, seeded};
use crate::{
    api::{Operation, answer, operations, router, testing},
    config::Config,
    engine::testing::{Machine, register},
};

/// Inputs that one world lives through.
const LIFE: usize = 200;
/// Operations that talk to other machines.
const OUTSIDE: [&str; 2] = ["/pushers/set", "/preview_url"];
/// The most requests of one input.
const MOST: usize = 4;

/// A server with two accounts in one room.
struct World {
    runtime: Runtime,
    router: Router,
    operations: Vec<Operation>,
    token: String,
    room: String,
    event: String,
    left: usize,
}

/// Requests, separated by a byte that no UTF-8 has. Each: the operation (its method, a space and the end of its path; or
/// two bytes), its parameters, its query, its body, one a line; the body may have more lines.
pub(super) fn requests(data: &[u8]) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|world| {
        let there = world.take().filter(|world| world.left > 0).unwrap_or_else(World::new);
        let there = world.insert(there);
        there.left -= 1;
        for request in data.split(|byte| *byte == 0xFF).take(MOST) {
            there.ask(request);
        }
    });
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut config = Config::default();
        config.limits.rates = false;
        config.registration.mode = crate::config::RegistrationMode::Open;
        let (router, token) = runtime.block_on(async {
            let engine = Machine::new(1).start().await;
            let al = register(&engine, "al").await;
            register(&engine, "bo").await;
            let token = al.access.expose().to_owned();
            (router(Arc::new(testing::services(config, engine).await)), token)
        });
        let operations = operations().into_iter().filter(|op| !OUTSIDE.iter().any(|part| op.path.contains(part)));
        let operations = operations.collect();
        let (room, event) = (String::new(), String::new());
        let mut world = Self { runtime, router, operations, token, room, event, left: LIFE };
        let body = json!({"invite": ["@bo:localhost"], "name": "room", "room_alias_name": "room"}).to_string();
        let (_, made) = world.send(Method::POST, "/_matrix/client/v3/createRoom", body.as_bytes());
        made["room_id"].as_str().expect("a room").clone_into(&mut world.room);
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/1", escape(world.room.as_bytes()));
        let (_, sent) = world.send(Method::PUT, &path, br#"{"msgtype":"m.text","body":"hello"}"#);
        sent["event_id"].as_str().expect("an event").clone_into(&mut world.event);
        world
    }

    fn ask(&mut self, request: &[u8]) {
        let Some((number, rest)) = self.operation(request) else { return };
        let (method, template) = (self.operations[number].method.clone(), self.operations[number].path.clone());
        let (mut path, mut rest) = (String::new(), rest);
        for segment in template.trim_matches('/').split('/') {
            path.push('/');
            if segment.starts_with('{') {
                let (given, behind) = line(rest);
                path.push_str(&escape(self.known(given)));
                rest = behind;
            } else {
                path.push_str(segment);
            }
        }
        let (query, body) = line(rest);
        // Who waits waits for a clock that stands still.
        if query.windows(7).any(|part| part == b"timeout") {
            return;
        }
        if !query.is_empty() {
            path.push('?');
            path.extend(
                query.iter().map(|byte| if byte.is_ascii_graphic() && *byte != b'#' { char::from(*byte) } else { '+' }),
            );
        }
        let (status, _) = self.send(method, &path, body);
        assert!(status != 500, "the server failed at {template}");
    }

    /// Which operation a request is, by method and end of its path, or by two bytes; and what stands behind.
    fn operation<'a>(&self, request: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let (head, behind) = line(request);
        if let Some((method, end)) = std::str::from_utf8(head).ok().and_then(|head| head.split_once(" /")) {
            let is_meant = |operation: &Operation| {
                operation.method.as_str() == method && operation.path.ends_with(&format!("/{end}"))
            };
            return Some((self.operations.iter().position(is_meant)?, behind));
        }
        let (number, rest) = request.split_first_chunk::<2>()?;
        Some((usize::from(u16::from_be_bytes(*number)) % self.operations.len(), rest))
    }

    /// Short names for what the world has.
    fn known<'a>(&'a self, given: &'a [u8]) -> &'a [u8] {
        match given {
            b"R" => self.room.as_bytes(),
            b"E" => self.event.as_bytes(),
            b"U" => b"@al:localhost",
            b"B" => b"@bo:localhost",
            other => other,
        }
    }

    fn send(&mut self, method: Method, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let request =
            Request::builder().method(method).uri(path).header("Authorization", format!("Bearer {}", self.token));
        let Ok(request) = request.body(Body::from(body.to_vec())) else { return (400, serde_json::Value::Null) };
        let router = self.router.clone();
        self.runtime.block_on(async move {
            let answer = answer(router, request).await;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            // The bug: a page of nothing has no last event.
            let limit = path.rsplit_once("limit=").map_or("", |(_, limit)| limit);
            let limit = limit.split('&').next().and_then(|limit| limit.parse::<u64>().ok());
            seeded(status == 200 && limit == Some(0));
            (status, serde_json::from_slice(&body).unwrap_or_default())
        })
    }
}

/// Percent-encodes everything but letters, digits and a few marks.
fn escape(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

//! Requests: every operation, through the router, to handlers on a server in memory.

use std::sync::OnceLock;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
        header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION},
    },
};

use super::{
    line, seeded,
    world::{self, World, escape, leads_outside, waits},
};
use crate::api::{Operation, operations};

/// The most requests of one input.
const MOST: usize = 4;

/// Requests, separated by a byte that no UTF-8 has. Each: the operation (its method, a space and the end of its path; or
/// two bytes), its parameters, its query, its body, one a line; the body may have more lines.
pub(super) fn requests(data: &[u8]) {
    world::with(|world| {
        for request in data.split(|byte| *byte == 0xFF).take(MOST) {
            ask(world, request);
        }
    });
}

fn ask(world: &World, request: &[u8]) {
    let Some((operation, rest)) = operation(request) else { return };
    let (mut path, mut rest) = (String::new(), rest);
    for segment in operation.path.trim_matches('/').split('/') {
        path.push('/');
        if segment.starts_with('{') {
            let (given, behind) = line(rest);
            path.push_str(&escape(known(world, given)));
            rest = behind;
        } else {
            path.push_str(segment);
        }
    }
    let (query, body) = line(rest);
    if waits(query) {
        return;
    }
    if !query.is_empty() {
        path.push('?');
        path.extend(
            query.iter().map(|byte| if byte.is_ascii_graphic() && *byte != b'#' { char::from(*byte) } else { '+' }),
        );
    }
    let Some(request) = world.request(operation.method.clone(), &path, body.to_vec()) else { return };
    let status = world.send(request).status();
    assert!(status != 500, "the server failed at {}", operation.path);
    // The bug: a page of nothing has no last event.
    let limit = path.rsplit_once("limit=").map_or("", |(_, limit)| limit);
    let limit = limit.split('&').next().and_then(|limit| limit.parse::<u64>().ok());
    seeded(status == 200 && limit == Some(0));
}

/// Which operation a request is, by method and end of its path, or by two bytes; and what stands behind.
fn operation(request: &[u8]) -> Option<(&'static Operation, &[u8])> {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    let operations =
        OPERATIONS.get_or_init(|| operations().into_iter().filter(|one| !leads_outside(&one.path)).collect());
    let (head, behind) = line(request);
    if let Some((method, end)) = std::str::from_utf8(head).ok().and_then(|head| head.split_once(' '))
        && end.starts_with('/')
    {
        let is_meant = |one: &&Operation| one.method.as_str() == method && one.path.ends_with(end);
        return Some((operations.iter().find(is_meant)?, behind));
    }
    let (number, rest) = request.split_first_chunk::<2>()?;
    Some((&operations[usize::from(u16::from_be_bytes(*number)) % operations.len()], rest))
}

/// Short names for what the world has.
fn known<'a>(world: &'a World, given: &'a [u8]) -> &'a [u8] {
    match given {
        b"R" => world.room.as_bytes(),
        b"E" => world.event.as_bytes(),
        b"U" => b"@al:localhost",
        b"B" => b"@bo:localhost",
        other => other,
    }
}

/// A request as HTTP/1.1 has it: method and target, header fields, an empty line, the body. `$R`, `$E` and `$T` name what the
/// world has.
pub(super) fn heads(data: &[u8]) {
    world::with(|world| {
        let (first, rest) = line(data);
        let Some((method, target)) = std::str::from_utf8(first).ok().and_then(|first| first.split_once(' ')) else {
            return;
        };
        let (room, event) = (escape(world.room.as_bytes()), escape(world.event.as_bytes()));
        let target = target.replace("$R", &room).replace("$E", &event);
        let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse::<Uri>()) else { return };
        if leads_outside(uri.path()) || waits(uri.query().unwrap_or_default().as_bytes()) {
            return;
        }
        let (fields, body) = fields(world, rest);
        let is_named =
            fields.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().ends_with(world.token.as_bytes()));
        // The bug: a scheme is cut off together with the space behind it, without a look whether there is one.
        let is_bare = fields.get(AUTHORIZATION).is_some_and(|value| value.as_bytes() == b"Bearer");
        let mut request = Request::new(Body::from(body.to_vec()));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method.clone(), uri.clone(), fields);
        let answer = world.send(request);
        assert!(answer.status() != 500, "the server failed at {}", uri.path());
        assert!(answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "*"));
        let is_known = answer.status() == 200 && method == Method::GET && uri.path().ends_with("/whoami");
        assert!(is_named || !is_known, "nobody is somebody");
        seeded(is_bare && answer.status() == 401);
    });
}

/// The header fields at the beginning of `rest`, those that HTTP has, and what stands behind the line that ends them.
fn fields<'a>(world: &World, mut rest: &'a [u8]) -> (HeaderMap, &'a [u8]) {
    let mut fields = HeaderMap::new();
    loop {
        let (field, behind) = line(rest);
        rest = behind;
        let Some(colon) = field.iter().position(|byte| *byte == b':') else { return (fields, rest) };
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        let token = format!("Bearer {}", world.token);
        let value = if value == b"Bearer $T" { token.as_bytes() } else { value };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
}

//! Identifiers, methods and paths.

use serde_json::json;

use super::{
    super::world::{Ask, Who, World},
    Case, case,
};
use crate::http::escape;

/// Identifiers that are too long, or are none.
pub(super) fn identifiers(world: &World) -> Vec<Case> {
    let long = |count: usize| "x".repeat(count);
    let room = |id: &str| format!("/_matrix/client/v3/rooms/{}/state", escape(id));
    let invite = |user: String| Ask::json("POST", world.in_room("invite"), &json!({"user_id": user}));
    let register = |name: String| {
        let body = json!({"username": name, "password": "p", "auth": {"type": "m.login.dummy"}});
        Ask::json("POST", "/_matrix/client/v3/register", &body).by(Who::Stranger)
    };
    vec![
        case("a room id that is none", Ask::new("GET", room("nonsense"), ""), "400 M_INVALID_PARAM"),
        case("a room id with a NUL", Ask::new("GET", room("!a\0b:localhost"), ""), "400 M_INVALID_PARAM"),
        case(
            "a room id of 300 bytes",
            Ask::new("GET", room(&format!("!{}:localhost", long(300))), ""),
            "403 M_FORBIDDEN",
        ),
        case("a user id of 300 bytes", invite(format!("@{}:localhost", long(300))), "404 M_NOT_FOUND"),
        case("a user id of 60 000 bytes", invite(format!("@{}:localhost", long(60_000))), "404 M_NOT_FOUND"),
        case("a user id that is none", invite("mallory".to_owned()), "400 M_BAD_JSON"),
        case("a localpart of 300 bytes", register(long(300)), "400 M_INVALID_USERNAME"),
        case("a localpart with a NUL", register("a\0b".to_owned()), "400 M_INVALID_USERNAME"),
        case("a localpart of other letters", register("ümläut".to_owned()), "400 M_INVALID_USERNAME"),
        case("an empty localpart", register(String::new()), "400 M_INVALID_USERNAME"),
        case(
            "an event id of 10 000 bytes",
            Ask::new("GET", world.in_room(&format!("event/{}", escape(&format!("${}", long(10_000))))), ""),
            "404 M_NOT_FOUND",
        ),
        case(
            "an event type of 256 bytes",
            Ask::new("PUT", world.in_room(&format!("send/{}/bad", long(256))), "{}"),
            "413 M_TOO_LARGE",
        ),
        case(
            "a state key of 256 bytes",
            Ask::new("PUT", world.in_room(&format!("state/x.y/{}", long(256))), "{}"),
            "413 M_TOO_LARGE",
        ),
        case(
            "a transaction id of 256 bytes",
            Ask::new("PUT", world.in_room(&format!("send/m.room.message/{}", long(256))), "{}"),
            "400 M_INVALID_PARAM",
        ),
        case(
            "an alias of 300 bytes",
            Ask::json(
                "PUT",
                format!("/_matrix/client/v3/directory/room/{}", escape(&format!("#{}:localhost", long(300)))),
                &json!({"room_id": world.room}),
            ),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a path of 60 000 bytes",
            Ask::new("GET", format!("/_matrix/client/v3/{}", long(60_000)), ""),
            "404 M_UNRECOGNIZED",
        ),
    ]
}

/// Methods, paths and heads that mean nothing.
pub(super) fn names(world: &World) -> Vec<Case> {
    vec![
        case("an unknown path", Ask::new("GET", "/_matrix/client/v3/nothing", ""), "404 M_UNRECOGNIZED"),
        case("another method", Ask::new("DELETE", "/_matrix/client/v3/sync", ""), "405 M_UNRECOGNIZED"),
        case("a path that climbs", Ask::new("GET", "/_matrix/client/v3/../../etc/passwd", ""), "404 M_UNRECOGNIZED"),
        case(
            "a path with an encoded climb",
            Ask::new("GET", "/_matrix/client/v1/media/download/localhost/..%2F..%2Fetc%2Fpasswd", ""),
            "404 M_NOT_FOUND",
        ),
        case("a path of invalid UTF-8", Ask::new("GET", world.in_room("event/%ff%fe"), ""), "400 M_INVALID_PARAM"),
        case(
            "media of another server",
            Ask::new("GET", "/_matrix/client/v1/media/download/elsewhere.example/x", ""),
            "404 M_NOT_FOUND",
        ),
        case(
            "a thumbnail of 0 by 0",
            Ask::new("GET", "/_matrix/client/v1/media/thumbnail/localhost/x?width=0&height=0", ""),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a thumbnail of 2^53 - 1 pixels",
            Ask::new("GET", "/_matrix/client/v1/media/thumbnail/localhost/x?width=9007199254740991&height=1", ""),
            "404 M_NOT_FOUND",
        ),
    ]
}

//! Events and what rooms hold.

use serde_json::{Map, Value, json};

use super::{
    super::world::{Ask, BOB, MALLORY, Who, World},
    Case, case,
};
use crate::http::escape;

/// Events that no room may have.
pub(super) fn events(world: &World) -> Vec<Case> {
    let send = |content: &str| Ask::new("PUT", world.in_room("send/m.room.message/bad"), content);
    let users: Map<String, Value> = (0..10_000).map(|number| (format!("@u{number}:localhost"), json!(1))).collect();
    let levels = json!({"users": users});
    let wrong = json!({"users": {MALLORY: "100"}, "ban": 1.5});
    vec![
        case("a message of 70 000 bytes", send(&json!({"body": "x".repeat(70_000)}).to_string()), "413 M_TOO_LARGE"),
        case("a float in an event", send(r#"{"body":"x","n":1.5}"#), "400 M_BAD_JSON"),
        case("an exponent in an event", send(r#"{"n":1e400}"#), "400 M_BAD_JSON"),
        case("an integer beyond 2^53", send(r#"{"n":9007199254740993}"#), "400 M_BAD_JSON"),
        case("an integer of 100 000 digits", send(&format!("{{\"n\":{}}}", "9".repeat(100_000))), "400 M_BAD_JSON"),
        case(
            "power levels of 10 000 users",
            Ask::json("PUT", world.in_room("state/m.room.power_levels/"), &levels),
            "413 M_TOO_LARGE",
        ),
        case(
            "power levels of texts and floats",
            Ask::json("PUT", world.in_room("state/m.room.power_levels/"), &wrong),
            "400 M_BAD_JSON",
        ),
        case(
            "a member event about another",
            Ask::json(
                "PUT",
                world.in_room(&format!("state/m.room.member/{}", escape("@ghost:localhost"))),
                &json!({"membership": "join"}),
            ),
            "403 M_FORBIDDEN",
        ),
        case(
            "a second create event",
            Ask::json("PUT", world.in_room("state/m.room.create/"), &json!({})),
            "400 M_BAD_STATE",
        ),
        case(
            "a redaction of nothing",
            Ask::new("PUT", world.in_room("redact/%24nothing/bad"), "{}"),
            "404 M_NOT_FOUND",
        ),
        case(
            "a redaction in a room one is not in",
            Ask::new(
                "PUT",
                format!("/_matrix/client/v3/rooms/{}/redact/{}/bad", escape(&world.private), escape(&world.event)),
                "{}",
            ),
            "403 M_FORBIDDEN",
        ),
        case(
            "power levels by who has no power",
            Ask::json("PUT", world.in_room("state/m.room.power_levels/"), &json!({"users": {BOB: 100}})).by(Who::Bob),
            "403 M_FORBIDDEN",
        ),
        case(
            "creating a room with power levels of 10 000 users",
            Ask::json("POST", "/_matrix/client/v3/createRoom", &json!({"power_level_content_override": levels})),
            "413 M_TOO_LARGE",
        ),
        case(
            "creating a room with 1000 invitations",
            Ask::json("POST", "/_matrix/client/v3/createRoom", &json!({"invite": vec![BOB; 1000]})),
            "400 M_UNKNOWN",
        ),
        case(
            "creating a room with 1000 events",
            Ask::json(
                "POST",
                "/_matrix/client/v3/createRoom",
                &json!({"initial_state": vec![json!({"type": "a.b", "content": {}}); 1000]}),
            ),
            "400 M_UNKNOWN",
        ),
        case(
            "creating a room of version 9999",
            Ask::json("POST", "/_matrix/client/v3/createRoom", &json!({"room_version": "9999"})),
            "400 M_UNSUPPORTED_ROOM_VERSION",
        ),
        case(
            "a receipt in a thread of another",
            Ask::json(
                "POST",
                world.in_room(&format!("receipt/m.read/{}", escape(&world.own_event))),
                &json!({"thread_id": "$other"}),
            ),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a receipt of an unknown type",
            Ask::new("POST", world.in_room(&format!("receipt/m.nothing/{}", escape(&world.event))), "{}"),
            "400 M_INVALID_PARAM",
        ),
    ]
}

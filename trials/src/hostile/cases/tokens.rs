//! Tokens and transaction ids.

use serde_json::json;

use super::{
    super::world::{Ask, BOB, Who, World},
    Case, case,
};
use crate::http::escape;

/// Tokens of nobody, of others, of other things, and of the future.
pub(super) fn tokens(world: &World) -> Vec<Case> {
    let mut forged = world.token.clone().into_bytes();
    let letter = &mut forged[7];
    *letter = if *letter == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("base64");
    let sync = |token: &str| Ask::new("GET", format!("/_matrix/client/v3/sync?since={}", escape(token)), "");
    let page = |token: &str| Ask::new("GET", world.in_room(&format!("messages?dir=b&from={}", escape(token))), "");
    let sliding = |pos: &str| {
        Ask::new(
            "POST",
            format!("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos={}", escape(pos)),
            "{}",
        )
    };
    let hierarchy = format!("/_matrix/client/v1/rooms/{}/hierarchy?from=", escape(&world.room));
    vec![
        case(
            "no access token",
            Ask::new("GET", "/_matrix/client/v3/sync", "").by(Who::Stranger),
            "401 M_MISSING_TOKEN",
        ),
        case(
            "an unknown access token",
            Ask::new("GET", "/_matrix/client/v3/sync?access_token=lta_x", "").by(Who::Stranger),
            "401 M_UNKNOWN_TOKEN",
        ),
        case("another's sync token", sync(&world.foreign_token), "200"),
        case("a sync token with one letter changed", sync(&forged), "200"),
        case("another server's sync token", sync("s72594_4483_1934"), "400 M_INVALID_PARAM"),
        case("a sync token of 50 000 bytes", sync(&"s".repeat(50_000)), "400 M_INVALID_PARAM"),
        case("another room's page token", page(&world.foreign_page), "400 M_INVALID_PARAM"),
        case("another's sync token as a page", page(&world.foreign_token), "400 M_INVALID_PARAM"),
        case("a page token of nonsense", page("p????"), "400 M_INVALID_PARAM"),
        case("a word that starts like a sync token", page("september"), "400 M_INVALID_PARAM"),
        case(
            "members at another's sync token",
            Ask::new("GET", world.in_room(&format!("members?at={}", world.foreign_token)), ""),
            "200",
        ),
        case("a sliding position of nobody", sliding("0123456789abcdef_7"), "200"),
        case("a sliding position of nonsense", sliding("x"), "400 M_UNKNOWN_POS"),
        case("a page of a hierarchy that is none", Ask::new("GET", format!("{hierarchy}x"), ""), "400 M_INVALID_PARAM"),
        case(
            "the last page of a hierarchy there could be",
            Ask::new("GET", format!("{hierarchy}18446744073709551615"), ""),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a page of the directory that is none",
            Ask::new("GET", "/_matrix/client/v3/publicRooms?since=x", ""),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a page of a room one is not in",
            Ask::new("GET", format!("/_matrix/client/v3/rooms/{}/messages?dir=b", escape(&world.private)), ""),
            "403 M_FORBIDDEN",
        ),
        case("an unknown filter", Ask::new("GET", "/_matrix/client/v3/sync?filter=nothing", ""), "400 M_INVALID_PARAM"),
    ]
}

/// Requests that came before.
pub(super) fn transactions(world: &World) -> Vec<Case> {
    let message = json!({"msgtype": "m.text", "body": "again"});
    let device = json!({"messages": {BOB: {"*": {"x": 1}}}});
    let to_device = Ask::json("PUT", "/_matrix/client/v3/sendToDevice/m.replayed/1", &device);
    vec![
        case(
            "a message that was sent before",
            Ask::json("PUT", world.in_room("send/m.room.message/known"), &message),
            "200",
        ),
        case("a to-device message that was sent before", to_device.clone(), "200").after(vec![to_device]),
    ]
}

//! Bodies that are not what they should be.

use super::{
    super::world::{Ask, MALLORY, Who, World},
    Case, case,
};
use crate::http::escape;

/// Bodies that are not what they should be, at endpoints of every kind.
pub(super) fn bodies(world: &World) -> Vec<Case> {
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let data = format!("/_matrix/client/v3/user/{}/account_data/x", escape(MALLORY));
    let places = [
        ("createRoom", Ask::new("POST", "/_matrix/client/v3/createRoom", "")),
        ("send", Ask::new("PUT", world.in_room("send/m.room.message/bad"), "")),
        ("state", Ask::new("PUT", world.in_room("state/x.y/z"), "")),
        ("account data", Ask::new("PUT", data, "")),
        ("keys/upload", Ask::new("POST", "/_matrix/client/v3/keys/upload", "")),
        ("login", Ask::new("POST", "/_matrix/client/v3/login", "").by(Who::Stranger)),
        ("register", Ask::new("POST", "/_matrix/client/v3/register", "").by(Who::Stranger)),
        ("sendToDevice", Ask::new("PUT", "/_matrix/client/v3/sendToDevice/m.x/bad", "")),
        ("filter", Ask::new("POST", format!("/_matrix/client/v3/user/{}/filter", escape(MALLORY)), "")),
    ];
    let mut cases = Vec::new();
    for (place, ask) in places {
        let strange: [(&str, Vec<u8>, &str); 7] = [
            ("half an object", b"{\"a\":".to_vec(), "400 M_NOT_JSON"),
            ("not JSON", b"hello".to_vec(), "400 M_NOT_JSON"),
            ("two objects", b"{}{}".to_vec(), "400 M_NOT_JSON"),
            ("invalid UTF-8", b"{\"type\":\"\xff\xfe\"}".to_vec(), "400 M_NOT_JSON"),
            ("an array", b"[1]".to_vec(), "400 M_BAD_JSON"),
            ("65 levels", deep(65).into_bytes(), "400 M_BAD_JSON"),
            ("100 000 levels", deep(100_000).into_bytes(), "400 M_BAD_JSON"),
        ];
        for (what, body, expected) in strange {
            // A stranger's body is at most 64 KiB.
            let too_long = ask.who == Who::Stranger && body.len() > 64 << 10;
            let expected = if too_long { "413 M_TOO_LARGE" } else { expected };
            cases.push(case(format!("{place}: {what}"), Ask { body, ..ask.clone() }, expected));
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        cases.push(
            case(format!("{place}: more than 1 MiB"), Ask { body: large.into(), ..ask }, "413 M_TOO_LARGE").large(),
        );
    }
    let path = || world.in_room("send/m.room.message/bad");
    cases.extend([
        case("an empty body", Ask::new("PUT", path(), ""), "400 M_NOT_JSON"),
        case("a NUL outside strings", Ask::new("PUT", path(), "{\"body\":\0}"), "400 M_NOT_JSON"),
        case("a raw NUL in a string", Ask::new("PUT", path(), "{\"body\":\"\0\"}"), "400 M_NOT_JSON"),
        case("half a surrogate pair", Ask::new("PUT", path(), r#"{"body":"\ud800"}"#), "400 M_BAD_JSON"),
        case(
            "half a million values",
            Ask::new("POST", "/_matrix/client/v3/createRoom", format!("{{\"invite\":[{}1]}}", "1,".repeat(500_000))),
            "400 M_BAD_JSON",
        )
        .large(),
    ]);
    cases
}

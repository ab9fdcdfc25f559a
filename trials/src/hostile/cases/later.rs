//! What clients keep for later, look for, follow, and fetch in parts.

use serde_json::json;

use super::{
    super::world::{Ask, BOB, World},
    Case, case,
};
use crate::http::escape;

/// Events and devices for later, threads that are followed, searches.
pub(super) fn later(world: &World) -> Vec<Case> {
    let delayed = |delay: &str| {
        let path = world.in_room(&format!("send/m.room.message/bad?org.matrix.msc4140.delay={delay}"));
        Ask::json("PUT", path, &json!({"body": "x"}))
    };
    let restart = |id: &str| {
        let path = format!("/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{id}/send");
        Ask::json("POST", path, &json!({}))
    };
    let dehydrated = |device: &str, secrets: usize| {
        let data = json!({"algorithm": "x", "device_pickle": "x".repeat(secrets)});
        let body = json!({"device_id": device, "device_data": data, "device_keys": {"user_id": BOB, "device_id": "x"}});
        Ask::json("PUT", "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", &body)
    };
    let thread = |root: &str| {
        let room = escape(&world.room);
        let root = escape(root);
        let path = format!("/_matrix/client/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription");
        Ask::json("PUT", path, &json!({"automatic": world.event}))
    };
    let search = |criteria| {
        Ask::json("POST", "/_matrix/client/v3/search", &json!({"search_categories": {"room_events": criteria}}))
    };
    let rooms: Vec<String> = (0..10_000).map(|number| format!("!{number}:localhost")).collect();
    let next = Ask::json(
        "POST",
        "/_matrix/client/v3/search?next_batch=x",
        &json!({"search_categories": {"room_events": {"search_term": "x"}}}),
    );
    vec![
        case("an event in a thousand years", delayed("31536000000000"), "400 M_UNKNOWN"),
        case("an event before now", delayed("-1"), "400 M_INVALID_PARAM"),
        case("an event after 2^64 milliseconds", delayed("18446744073709551616"), "400 M_INVALID_PARAM"),
        case("a delayed event that is none", restart("nothing"), "404 M_NOT_FOUND"),
        case("a dehydrated device with another's keys", dehydrated("SLEEPER", 10), "400 M_BAD_JSON"),
        case("a dehydrated device in the place of a living one", dehydrated(&world.device, 10), "400 M_INVALID_PARAM"),
        case("a dehydrated device of 200 000 bytes", dehydrated("SLEEPER", 200_000), "413 M_TOO_LARGE"),
        case("following a thread that is none", thread("$nothing"), "404 M_NOT_FOUND"),
        case(
            "following a thread for an event outside of it",
            thread(&world.own_event),
            "400 IO.ELEMENT.MSC4306.M_NOT_IN_THREAD",
        ),
        case("a search for 100 000 bytes", search(json!({"search_term": "x ".repeat(50_000)})), "200"),
        case("a search in 10 000 rooms", search(json!({"search_term": "x", "filter": {"rooms": rooms}})), "200"),
        case(
            "a search grouped by nothing",
            search(json!({"search_term": "x", "groupings": {"group_by": [{"key": 5}]}})),
            "400 M_BAD_JSON",
        ),
        case("a page of a search that is none", next, "400 M_INVALID_PARAM"),
    ]
}

/// Media: parts that are not there, places that are somebody else's.
pub(super) fn media(world: &World) -> Vec<Case> {
    let id = world.media.rsplit('/').next().unwrap_or_default();
    let download = format!("/_matrix/client/v1/media/download/localhost/{id}");
    let part = |range: &str| Ask::new("GET", download.clone(), "").with("Range", range);
    let many = format!("bytes={}0-1", "0-1,".repeat(5000));
    vec![
        case("a part beyond the end", part("bytes=9999999-"), "416 M_UNKNOWN"),
        case("a part beyond 2^64", part("bytes=99999999999999999999-"), "416 M_UNKNOWN"),
        case("a part that ends before it starts", part("bytes=9-1"), "200"),
        case("the last 2^64 - 1 bytes", part("bytes=-18446744073709551615"), "206"),
        case("5001 parts", part(&many), "200"),
        case("a part of nonsense", part("bytes=\u{1}-x"), "400"),
        case(
            "an upload in the place of another",
            Ask::new("PUT", format!("/_matrix/media/v3/upload/localhost/{id}"), "x"),
            "409 M_CANNOT_OVERWRITE_MEDIA",
        ),
        case(
            "an upload to another server's place",
            Ask::new("PUT", "/_matrix/media/v3/upload/elsewhere.example/x", "x"),
            "404 M_NOT_FOUND",
        ),
        case(
            "a preview of this machine, where previews are off",
            Ask::new("GET", "/_matrix/client/v1/media/preview_url?url=http%3A%2F%2F127.0.0.1%2F", ""),
            "404 M_UNRECOGNIZED",
        ),
        case(
            "a picture that is none",
            Ask::new("GET", format!("/_matrix/client/v1/media/thumbnail/localhost/{id}?width=10&height=10"), ""),
            "400 M_UNKNOWN",
        ),
    ]
}

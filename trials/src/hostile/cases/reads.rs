//! What is read: filters, pages, lists.

use serde_json::{Map, Value, json};

use super::{
    super::world::{Ask, MALLORY, World},
    Case, case,
};
use crate::http::escape;

/// Filters and pages that cost more than they say.
pub(super) fn filters(world: &World) -> Vec<Case> {
    let upload = format!("/_matrix/client/v3/user/{}/filter", escape(MALLORY));
    let many = |count: usize| (0..count).map(|number| format!("t{number}.*")).collect::<Vec<_>>();
    let types = |types: Vec<String>| json!({"room": {"timeline": {"types": types}}});
    let inline =
        |filter: &Value| Ask::new("GET", format!("/_matrix/client/v3/sync?filter={}", escape(&filter.to_string())), "");
    let messages = |query: &str| Ask::new("GET", world.in_room(&format!("messages?dir=b&{query}")), "");
    let page = json!({"types": many(900)}).to_string();
    vec![
        case("a filter of 20 KiB", Ask::json("POST", upload.clone(), &types(many(2500))), "413 M_TOO_LARGE"),
        case("a filter of 1000 types", Ask::json("POST", upload.clone(), &types(many(1000))), "400 M_INVALID_PARAM"),
        case(
            "a filter of 200 fields",
            Ask::json("POST", upload.clone(), &json!({"event_fields": many(200)})),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a filter of wrong types",
            Ask::json("POST", upload, &json!({"room": {"timeline": {"limit": "many"}}})),
            "400 M_BAD_JSON",
        ),
        case("an inline filter of 1000 types", inline(&types(many(1000))), "400 M_INVALID_PARAM"),
        case("an inline filter of stars", inline(&types(vec!["*".repeat(5000) + "a"])), "200"),
        case(
            "an inline filter that is not JSON",
            Ask::new("GET", "/_matrix/client/v3/sync?filter=%7B", ""),
            "400 M_INVALID_PARAM",
        ),
        case("messages filtered by 900 types", messages(&format!("filter={}", escape(&page))), "400 M_INVALID_PARAM"),
        case("a page of 2^53 - 1 messages", messages("limit=9007199254740991"), "200"),
        case("a page of -1 messages", messages("limit=-1"), "400 M_INVALID_PARAM"),
        case("a page of 2^64 messages", messages("limit=18446744073709551616"), "400 M_INVALID_PARAM"),
        case("a page without a direction", Ask::new("GET", world.in_room("messages"), ""), "400 M_MISSING_PARAM"),
        case(
            "a time beyond time",
            Ask::new(
                "GET",
                format!(
                    "/_matrix/client/v1/rooms/{}/timestamp_to_event?dir=f&ts=9007199254740991",
                    escape(&world.room)
                ),
                "",
            ),
            "404 M_NOT_FOUND",
        ),
        case(
            "a sync that waits for ever",
            Ask::new("GET", "/_matrix/client/v3/sync?timeout=18446744073709551615", ""),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a search for a megabyte",
            Ask::json("POST", "/_matrix/client/v3/user_directory/search", &json!({"search_term": "x".repeat(1 << 19)})),
            "200",
        )
        .large(),
    ]
}

/// Sliding sync requests that ask for too much.
pub(super) fn sliding(_: &World) -> Vec<Case> {
    let sync = |body: &Value| Ask::json("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", body);
    let lists: Map<String, Value> = (0..101).map(|number| (number.to_string(), json!({"ranges": [[0, 1]]}))).collect();
    let rooms: Map<String, Value> = (0..1001).map(|number| (format!("!{number}:localhost"), json!({}))).collect();
    let list = |list: &Value| sync(&json!({"lists": {"a": list}}));
    let state: Vec<(String, &str)> = (0..257).map(|number| (number.to_string(), "")).collect();
    vec![
        case("101 lists", sync(&json!({"lists": lists})), "400 M_INVALID_PARAM"),
        case("1001 subscriptions", sync(&json!({"room_subscriptions": rooms})), "400 M_INVALID_PARAM"),
        case("a range from 0 to 2^64 - 1", list(&json!({"ranges": [[0, u64::MAX]]})), "200"),
        case("a range that ends before it starts", list(&json!({"ranges": [[9, 1]]})), "200"),
        case("a range below zero", list(&json!({"ranges": [[-1, 1]]})), "400 M_BAD_JSON"),
        case(
            "a range beyond 2^64",
            Ask::new(
                "POST",
                "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
                r#"{"lists":{"a":{"ranges":[[0,99999999999999999999]]}}}"#,
            ),
            "400 M_BAD_JSON",
        ),
        case("33 ranges", list(&json!({"ranges": vec![(0, 1); 33]})), "400 M_INVALID_PARAM"),
        case("257 patterns of state", list(&json!({"ranges": [], "required_state": state})), "400 M_INVALID_PARAM"),
        case(
            "a list with a name of 10 000 bytes",
            sync(&json!({"lists": {"x".repeat(10_000): {"ranges": []}}})),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a filter of 1000 room types",
            list(&json!({"ranges": [], "filters": {"room_types": vec!["x"; 1000]}})),
            "400 M_INVALID_PARAM",
        ),
        case("a timeline of 2^64 - 1 events", list(&json!({"ranges": [[0, 9]], "timeline_limit": u64::MAX})), "200"),
        case(
            "a position that others acknowledged",
            sync(&json!({"extensions": {"to_device": {"enabled": true, "since": "99999999999"}}})),
            "200",
        ),
    ]
}

//! The table: what is sent, and what must come back.

use serde_json::{Map, Value, json};

use super::world::{Ask, BOB, MALLORY, Who, World};
use crate::http::escape;

/// A line of the table.
pub(super) struct Case {
    pub(super) name: String,
    /// Requests that must succeed before, to set the stage.
    pub(super) before: Vec<Ask>,
    pub(super) request: Ask,
    /// The status and error code.
    pub(super) expected: String,
    /// What it may take of memory beside the usual, KiB.
    pub(super) memory: Option<u64>,
}

fn case(name: impl Into<String>, request: Ask, expected: &str) -> Case {
    Case { name: name.into(), before: Vec::new(), request, expected: expected.to_owned(), memory: None }
}

impl Case {
    fn after(self, before: Vec<Ask>) -> Self {
        Self { before, ..self }
    }

    /// For requests of the largest size: a body, its parsed form, and what the allocator keeps of both.
    fn large(self) -> Self {
        Self { memory: Some(48 << 10), ..self }
    }
}

/// Every case.
pub(super) fn cases(world: &World) -> Vec<Case> {
    let families = [bodies, identifiers, tokens, transactions, events, filters, sliding, push, keys, bounds, names];
    families.iter().flat_map(|family| family(world)).collect()
}

/// Bodies that are not what they should be, at endpoints of every kind.
fn bodies(world: &World) -> Vec<Case> {
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

/// Identifiers that are too long, or are none.
fn identifiers(world: &World) -> Vec<Case> {
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

/// Tokens of nobody, of others, of other things, and of the future.
fn tokens(world: &World) -> Vec<Case> {
    let mut forged = world.token.clone().into_bytes();
    let last = forged.len() - 1;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
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
        case("the last page there could be", Ask::new("GET", format!("{hierarchy}18446744073709551615"), ""), "200"),
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
fn transactions(world: &World) -> Vec<Case> {
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

/// Events that no room may have.
fn events(world: &World) -> Vec<Case> {
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
            "403 M_FORBIDDEN",
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

/// Filters and pages that cost more than they say.
fn filters(world: &World) -> Vec<Case> {
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
fn sliding(_: &World) -> Vec<Case> {
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

/// Push rules and pushers.
fn push(_: &World) -> Vec<Case> {
    let rule =
        |kind: &str, body: &Value| Ask::json("PUT", format!("/_matrix/client/v3/pushrules/global/{kind}/bad"), body);
    let matching = |pattern: &str| json!({"actions": [], "conditions": [{"kind": "event_match", "key": "content.body", "pattern": pattern}]});
    let pusher = |url: &str, key: String| {
        let data = json!({"url": url});
        let body = json!({"app_id": "a", "pushkey": key, "kind": "http", "app_display_name": "a", "device_display_name": "d", "lang": "en", "data": data});
        Ask::json("POST", "/_matrix/client/v3/pushers/set", &body)
    };
    let gateway = "https://push.example.org/_matrix/push/v1/notify";
    vec![
        case(
            "a pattern of 1000 question marks",
            rule("content", &json!({"actions": [], "pattern": "?".repeat(1000)})),
            "400 M_INVALID_PARAM",
        ),
        case("a pattern of 100 stars", rule("override", &matching(&"*a".repeat(100))), "400 M_INVALID_PARAM"),
        case(
            "a pattern of 100 000 bytes",
            rule("content", &json!({"actions": [], "pattern": "x".repeat(100_000)})),
            "400 M_INVALID_PARAM",
        ),
        case(
            "1000 conditions",
            rule("override", &json!({"actions": [], "conditions": vec![json!({"kind": "x"}); 1000]})),
            "400 M_INVALID_PARAM",
        ),
        case("a rule of a kind there is not", rule("nothing", &json!({"actions": []})), "400 M_INVALID_PARAM"),
        case(
            "a rule with the name of a predefined one",
            Ask::json("PUT", "/_matrix/client/v3/pushrules/global/override/.m.rule.master", &json!({"actions": []})),
            "400 M_INVALID_PARAM",
        ),
        case(
            "a rule behind one that is not there",
            Ask::json("PUT", "/_matrix/client/v3/pushrules/global/override/bad?after=nothing", &json!({"actions": []})),
            "400 M_INVALID_PARAM",
        ),
        case("a pusher to a file", pusher("file:///etc/passwd", "k".to_owned()), "400 M_INVALID_PARAM"),
        case("a pusher of 100 000 bytes", pusher(gateway, "k".repeat(100_000)), "400 M_INVALID_PARAM"),
    ]
}

/// Keys, signatures, backups, messages between devices.
fn keys(world: &World) -> Vec<Case> {
    let upload = |body: &Value| Ask::json("POST", "/_matrix/client/v3/keys/upload", body);
    let many: Map<String, Value> =
        (0..5000).map(|number| (format!("signed_curve25519:{number}"), json!({"key": "k"}))).collect();
    let device = json!({"user_id": MALLORY, "device_id": world.device, "algorithms": [], "keys": {"ed25519:x": "k".repeat(20_000)}, "signatures": {}});
    let foreign = json!({"user_id": BOB, "device_id": world.device, "algorithms": [], "keys": {}, "signatures": {}});
    let signed = json!({MALLORY: {world.device.clone(): {"user_id": MALLORY, "device_id": world.device, "signatures": {MALLORY: {"ed25519:x": "s".repeat(100_000)}}}}});
    let users: Map<String, Value> = (0..5001).map(|number| (format!("D{number}"), json!({}))).collect();
    let backup =
        json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"x": "x".repeat(100_000)}});
    vec![
        case("5000 one-time keys", upload(&json!({"one_time_keys": many})), "400 M_UNKNOWN").large(),
        case(
            "a one-time key of 10 000 bytes",
            upload(&json!({"one_time_keys": {"signed_curve25519:A": {"key": "k".repeat(10_000)}}})),
            "413 M_TOO_LARGE",
        ),
        case("a one-time key without an algorithm", upload(&json!({"one_time_keys": {"A": "k"}})), "400 M_BAD_JSON"),
        case("a device's keys of 20 000 bytes", upload(&json!({"device_keys": device})), "413 M_TOO_LARGE"),
        case("keys of another user", upload(&json!({"device_keys": foreign})), "400 M_BAD_JSON"),
        case(
            "signatures of 100 000 bytes",
            Ask::json("POST", "/_matrix/client/v3/keys/signatures/upload", &signed),
            "200",
        ),
        case(
            "cross-signing keys that are none",
            Ask::json(
                "POST",
                "/_matrix/client/v3/keys/device_signing/upload",
                &json!({"master_key": {"user_id": MALLORY, "usage": ["master"], "keys": {}}}),
            ),
            "400 M_BAD_JSON",
        ),
        case(
            "a message to 5001 devices",
            Ask::json("PUT", "/_matrix/client/v3/sendToDevice/m.x/many", &json!({"messages": {BOB: users}})),
            "400 M_UNKNOWN",
        )
        .large(),
        case(
            "a message of 100 000 bytes to a device",
            Ask::json(
                "PUT",
                "/_matrix/client/v3/sendToDevice/m.x/long",
                &json!({"messages": {BOB: {"*": {"x": "x".repeat(100_000)}}}}),
            ),
            "413 M_TOO_LARGE",
        ),
        case(
            "a backup of 100 000 bytes",
            Ask::json("POST", "/_matrix/client/v3/room_keys/version", &backup),
            "413 M_TOO_LARGE",
        ),
        case(
            "keys for a backup that is none",
            Ask::json("PUT", "/_matrix/client/v3/room_keys/keys?version=99999999999999999999", &json!({"rooms": {}})),
            "404 M_NOT_FOUND",
        ),
    ]
}

/// What an account may have.
fn bounds(_: &World) -> Vec<Case> {
    let data = |kind: &str, body: &Value| {
        Ask::json("PUT", format!("/_matrix/client/v3/user/{}/account_data/{kind}", escape(MALLORY)), body)
    };
    let profile = |field: &str, value: &str| {
        Ask::json("PUT", format!("/_matrix/client/v3/profile/{}/{field}", escape(MALLORY)), &json!({field: value}))
    };
    let room = |kind: &str| {
        Ask::json(
            "PUT",
            format!(
                "/_matrix/client/v3/user/{}/rooms/{}/account_data/{kind}",
                escape(MALLORY),
                escape("!nowhere:localhost")
            ),
            &json!({}),
        )
    };
    vec![
        case("account data of 100 000 bytes", data("x", &json!({"x": "x".repeat(100_000)})), "413 M_TOO_LARGE"),
        case("account data of a type of 300 bytes", data(&"x".repeat(300), &json!({})), "413 M_TOO_LARGE"),
        case("account data that the server writes", data("m.push_rules", &json!({})), "405 M_BAD_JSON"),
        case("account data of another", Ask::json("PUT", format!("/_matrix/client/v3/user/{}/account_data/x", escape(BOB)), &json!({})), "403 M_FORBIDDEN"),
        case("account data of a room one is not in", room("x"), "404 M_NOT_FOUND"),
        case("a display name of 10 000 letters", profile("displayname", &"x".repeat(10_000)), "400 M_INVALID_PARAM"),
        case("an avatar that is no address", profile("avatar_url", "javascript:alert(1)"), "400 M_INVALID_PARAM"),
        case("a field of a profile with a name of 300 bytes", profile(&"x".repeat(300), "y"), "400 M_KEY_TOO_LARGE"),
        case("a profile of 100 000 bytes", profile("x.y", &"x".repeat(100_000)), "400 M_PROFILE_TOO_LARGE"),
        case("a device name of 10 000 letters", Ask::json("PUT", "/_matrix/client/v3/devices/NOWHERE", &json!({"display_name": "x".repeat(10_000)})), "400 M_INVALID_PARAM"),
        case("a password of 100 000 bytes", Ask::json("POST", "/_matrix/client/v3/login", &json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "mallory"}, "password": "x".repeat(50_000)})).by(Who::Stranger), "403 M_FORBIDDEN"),
    ]
}

/// Methods, paths and heads that mean nothing.
fn names(world: &World) -> Vec<Case> {
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

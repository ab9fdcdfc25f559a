//! What accounts keep: keys, rules, data.

use serde_json::{Map, Value, json};

use super::{
    super::world::{Ask, BOB, MALLORY, Who, World},
    Case, case,
};
use crate::http::escape;

/// Push rules and pushers.
pub(super) fn push(_: &World) -> Vec<Case> {
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
            "400 M_UNKNOWN",
        ),
        case("a pusher to a file", pusher("file:///etc/passwd", "k".to_owned()), "400 M_INVALID_PARAM"),
        case("a pusher of 100 000 bytes", pusher(gateway, "k".repeat(100_000)), "400 M_INVALID_PARAM"),
    ]
}

/// Keys, signatures, backups, messages between devices.
pub(super) fn keys(world: &World) -> Vec<Case> {
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
pub(super) fn bounds(_: &World) -> Vec<Case> {
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

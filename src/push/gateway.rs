//! What is said to a push gateway ([spec](https://spec.matrix.org/latest/push-gateway-api/)), and what it says back. Pure.
//!
//! A gateway is told of which event of which room, and how much is unread; more only where the operator allows it, and
//! never what was said.

use ruma::{
    EventId, RoomId,
    push::{Action, Tweak},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rooms::{Entry, Target, View};

/// The path of every gateway.
const PATH: &str = "/_matrix/push/v1/notify";
/// The format in which a gateway is told ids alone.
const IDS_ONLY: &str = "event_id_only";

/// Why a gateway's address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAGateway;

/// Checks the address of a gateway: `https`, the path that all of them have, no credentials. `http` is for those in
/// the operator's own networks; where it leads is checked when it is called.
pub fn check_address(url: &str, plain: bool) -> Result<(), NotAGateway> {
    let url = url::Url::parse(url).map_err(|_| NotAGateway)?;
    let scheme = url.scheme() == "https" || plain && url.scheme() == "http";
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if scheme && bare && url.has_host() && url.path() == PATH { Ok(()) } else { Err(NotAGateway) }
}

/// An event that a device is told of.
#[derive(Clone)]
pub(super) struct Told<'a> {
    /// The event.
    pub(super) event: &'a EventId,
    /// Its room.
    pub(super) room: &'a RoomId,
    /// The actions of the rule that decided.
    pub(super) actions: &'a [Action],
    /// Whether the device should wake up for it.
    pub(super) urgent: bool,
    /// More about it, where that may be told.
    pub(super) details: Option<Details>,
}

/// What a gateway may be told of an event beside its id.
#[derive(Clone)]
pub(super) struct Details(Map<String, Value>);

impl Details {
    /// Who sent it, of which type, in which room.
    #[must_use]
    pub(super) fn of(entry: &Entry, view: &View, target_is_user: bool) -> Self {
        let member = view.state.member(entry.sender());
        let name = member.and_then(|member| member.content_str("displayname"));
        let mut details = Map::new();
        let mut put = |field: &str, value: Value| details.insert(field.to_owned(), value);
        put("type", entry.kind().into());
        put("sender", entry.sender().as_str().into());
        if let Some(name) = name {
            put("sender_display_name", name.into());
        }
        if let Some(name) = view.state.name() {
            put("room_name", name.into());
        }
        if let Some(alias) = view.state.canonical_alias() {
            put("room_alias", alias.into());
        }
        if target_is_user {
            put("user_is_target", true.into());
        }
        Self(details)
    }
}

/// Whether a pusher's data ask for ids alone.
#[must_use]
pub(super) fn wants_ids_only(target: &Target) -> bool {
    target.data().get("format").and_then(Value::as_str) == Some(IDS_ONLY)
}

/// The body of a request about an event, or, without one, about the number on a badge.
#[must_use]
pub(super) fn body(target: &Target, told: Option<&Told<'_>>, unread: Option<u64>) -> Vec<u8> {
    let mut device = json!({"app_id": target.app, "pushkey": target.key, "data": target.data()});
    let mut notification = Map::new();
    if let Some(told) = told {
        notification.insert("event_id".to_owned(), told.event.as_str().into());
        notification.insert("room_id".to_owned(), told.room.as_str().into());
        notification.insert("prio".to_owned(), if told.urgent { "high" } else { "low" }.into());
        if let Some(Details(details)) = &told.details {
            device["tweaks"] = Value::Object(tweaks(told.actions));
            notification.extend(details.clone());
        }
    }
    if let Some(unread) = unread {
        // Zero is said too, although it may be left out: it is what takes a badge away.
        notification.insert("counts".to_owned(), json!({ "unread": unread }));
    }
    notification.insert("devices".to_owned(), json!([device]));
    json!({ "notification": notification }).to_string().into_bytes()
}

/// How a notification is to be presented.
fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let mut tweaks = Map::new();
    for action in actions {
        let Action::SetTweak(tweak) = action else { continue };
        let Ok(Value::Object(mut set)) = serde_json::to_value(action) else { continue };
        let value = set.remove("value").unwrap_or_else(|| matches!(tweak, Tweak::Highlight(_)).into());
        if let Some(Value::String(name)) = set.remove("set_tweak") {
            tweaks.insert(name, value);
        }
    }
    tweaks
}

/// Whether a device should wake up for an event with these actions.
#[must_use]
pub(super) fn is_urgent(entry: &Entry, actions: &[Action]) -> bool {
    // What is encrypted may be anything.
    entry.kind() == "m.room.encrypted" || actions.iter().any(|action| action.is_highlight() || action.sound().is_some())
}

/// The push keys that a gateway's answer rejects.
#[must_use]
pub(crate) fn rejected(answer: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        rejected: Vec<String>,
    }
    serde_json::from_slice::<Answer>(answer).map(|answer| answer.rejected).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id};

    use super::*;

    fn target(data: &Value) -> Target {
        Target::new("app", "key", data.as_object().unwrap()).unwrap()
    }

    #[test]
    fn gateways_have_one_path_and_are_reached_safely() {
        for (url, plain, ok) in [
            ("https://push.example/_matrix/push/v1/notify", false, true),
            ("https://push.example:8443/_matrix/push/v1/notify", false, true),
            ("http://push.example/_matrix/push/v1/notify", false, false),
            ("http://127.0.0.1:5000/_matrix/push/v1/notify", true, true),
            ("https://push.example/_matrix/push/v1/notify?x=1", false, true),
            ("https://push.example/_matrix/push/v1/notify/", false, false),
            ("https://push.example/other", true, false),
            ("https://user:word@push.example/_matrix/push/v1/notify", true, false),
            ("ftp://push.example/_matrix/push/v1/notify", true, false),
            ("push.example", true, false),
            ("", true, false),
        ] {
            assert_eq!(check_address(url, plain).is_ok(), ok, "{url}");
        }
    }

    #[test]
    fn a_gateway_is_told_ids_and_counts_and_the_data_without_the_address() {
        let target = target(&json!({"url": "https://g/_matrix/push/v1/notify", "format": "event_id_only", "x": [1]}));
        assert!(wants_ids_only(&target));
        let told = Told {
            event: event_id!("$e"),
            room: room_id!("!r:ex.org"),
            actions: &[Action::Notify],
            urgent: true,
            details: None,
        };
        let body: Value = serde_json::from_slice(&body(&target, Some(&told), Some(3))).unwrap();
        let device = json!({"app_id": "app", "pushkey": "key", "data": {"format": "event_id_only", "x": [1]}});
        let expected = json!({"event_id": "$e", "room_id": "!r:ex.org", "prio": "high", "counts": {"unread": 3}, "devices": [device]});
        assert_eq!(body["notification"], expected);
    }

    #[test]
    fn a_badge_is_a_count_alone() {
        let target = target(&json!({"url": "https://g/_matrix/push/v1/notify"}));
        assert!(!wants_ids_only(&target));
        let body: Value = serde_json::from_slice(&body(&target, None, Some(0))).unwrap();
        let device = json!({"app_id": "app", "pushkey": "key", "data": {}});
        assert_eq!(body["notification"], json!({"counts": {"unread": 0}, "devices": [device]}));
    }

    #[test]
    fn tweaks_are_what_rules_set() {
        let actions: Vec<Action> = serde_json::from_value(json!([
            "notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"}, {"set_tweak": "x", "value": 1},
        ]))
        .unwrap();
        assert_eq!(Value::Object(tweaks(&actions)), json!({"sound": "default", "highlight": true, "x": 1}));
    }

    #[test]
    fn an_answer_may_be_anything() {
        assert_eq!(rejected(br#"{"rejected": ["a", "b"]}"#), ["a", "b"]);
        for nothing in [&b"{}"[..], b"", b"[]", br#"{"rejected": 1}"#] {
            assert!(rejected(nothing).is_empty());
        }
    }
}

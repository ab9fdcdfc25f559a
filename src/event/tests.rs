//! Building, reading, redacting and showing events.

use std::sync::Arc;

use proptest::prelude::*;
use ruma::{
    RoomVersionId, room_id, server_name,
    signatures::{Ed25519KeyPair, PublicKeyMap, PublicKeySet, Verified, reference_hash, verify_event},
    user_id,
};
use serde_json::{Value, json};

use super::{
    build::{NONCE, content_from},
    client::{to_client, to_stripped},
    *,
};
use crate::random::SeededRandom;

struct Fixture {
    key: Ed25519KeyPair,
    random: SeededRandom,
}

impl Fixture {
    fn new() -> Self {
        let key = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "a".to_owned()).unwrap();
        Self { key, random: SeededRandom::new(5) }
    }

    fn build(&self, version: &RoomVersionId, draft: Draft) -> Result<Event, Error> {
        let rules = rules_of(version).unwrap();
        let builder = Builder { rules: &rules, server: server_name!("ex.org"), key: &self.key, random: &self.random };
        let parent = EventId::parse("$parent").unwrap();
        let parents =
            if draft.kind == "m.room.create" { Parents::default() } else { Parents { events: vec![parent], depth: 4 } };
        builder.build(draft, &parents, &[], Timestamp(1_230_000))
    }
}

fn content(value: &Value) -> CanonicalJsonObject {
    content_from(&value.to_string()).unwrap()
}

fn message(value: &Value) -> Draft {
    Draft::message(room_id!("!r:ex.org"), user_id!("@al:ex.org"), "m.room.message", content(value))
}

fn state(kind: &str, key: &str, value: &Value) -> Draft {
    Draft::state(room_id!("!r:ex.org"), user_id!("@al:ex.org"), kind, key, content(value))
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

#[test]
fn a_built_event_is_signed_hashed_and_named_as_peers_expect() {
    let fixture = Fixture::new();
    let keys = PublicKeySet::from_iter([(
        "ed25519:a".to_owned(),
        ruma::serde::Base64::new(fixture.key.public_key().to_vec()),
    )]);
    let keys = PublicKeyMap::from_iter([("ex.org".to_owned(), keys)]);
    for version in &SUPPORTED {
        let rules = rules_of(version).unwrap();
        let create = state("m.room.create", "", &json!({"room_version": version.as_str()}));
        for draft in [create, message(&json!({"body": "hi"}))] {
            let event = fixture.build(version, draft).unwrap();
            let object = event.object().unwrap();
            assert!(matches!(verify_event(&keys, &object, &rules), Ok(Verified::All)));
            assert_eq!(event.id().as_str(), format!("${}", reference_hash(&object, &rules).unwrap()));
            assert_eq!(serde_json::to_string(&object).unwrap(), event.json());
            ruma::state_res::check_pdu_format(&object, &rules.event_format).unwrap();
            let again = Event::parse(event.id().into(), event.room_id().into(), &event.json(), &rules).unwrap();
            assert!(
                again.ts() == event.ts()
                    && again.depth() == event.depth()
                    && again.prev_events() == event.prev_events()
            );
        }
    }
}

#[test]
fn a_version_12_create_event_is_its_room() {
    let fixture = Fixture::new();
    let event = fixture.build(&RoomVersionId::V12, state("m.room.create", "", &json!({}))).unwrap();
    assert_eq!(event.room_id().as_str().trim_start_matches('!'), event.id().as_str().trim_start_matches('$'));
    assert!(event.content_str(NONCE).is_some_and(|nonce| nonce.len() == 22) && event.depth() == 1);
    let old = fixture.build(&RoomVersionId::V11, state("m.room.create", "", &json!({}))).unwrap();
    assert_eq!(old.room_id(), room_id!("!r:ex.org"));
    let homeless = Draft { room_id: None, ..message(&json!({})) };
    assert_eq!(fixture.build(&RoomVersionId::V12, homeless).err(), Some(Error::NoRoom));
}

#[test]
fn limits_are_kept() {
    let fixture = Fixture::new();
    let build = |draft| fixture.build(&RoomVersionId::V12, draft).err();
    assert_eq!(build(state(&"t".repeat(255), &"k".repeat(255), &json!({}))), None);
    assert_eq!(build(state(&"t".repeat(256), "", &json!({}))), Some(Error::FieldTooLong));
    assert_eq!(build(state("t", &"k".repeat(256), &json!({}))), Some(Error::FieldTooLong));
    assert_eq!(build(message(&json!({"body": "b".repeat(65_000)}))), None);
    assert_eq!(build(message(&json!({"body": "b".repeat(65_400)}))), Some(Error::TooLarge));
    assert_eq!(build(message(&json!({"body": "b".repeat(70_000)}))), Some(Error::TooLarge));
}

#[test]
fn numbers_outside_canonical_json_are_refused() {
    for bad in ["{\"a\":1.5}", "{\"a\":9007199254740992}", "{\"a\":[{\"b\":-0.1}]}", "[]", "1", "{"] {
        assert_eq!(content_from(bad).err(), Some(Error::NotCanonical), "{bad}");
    }
    assert!(content_from("{\"a\":9007199254740991}").is_ok());
}

#[test]
fn what_is_no_event_is_refused() {
    let rules = rules_of(&DEFAULT_VERSION).unwrap();
    let parse =
        |json: &str| Event::parse(EventId::parse("$e").unwrap(), room_id!("!r:ex.org").into(), json, &rules).err();
    let good =
        json!({"type": "m.x", "sender": "@al:ex.org", "origin_server_ts": 1, "room_id": "!r:ex.org", "content": {}});
    assert_eq!(parse(&good.to_string()), None);
    for (field, value) in [
        ("type", json!(1)),
        ("sender", json!("al")),
        ("origin_server_ts", json!(-1)),
        ("room_id", json!("!other:ex.org")),
        ("content", json!([])),
        ("state_key", json!(7)),
        ("prev_events", json!([1])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(parse(&bad.to_string()), Some(Error::Malformed), "{field}");
    }
    assert_eq!(parse("{}"), Some(Error::Malformed));
}

#[test]
fn relations_are_read_from_the_clear_content() {
    let fixture = Fixture::new();
    let relation = |value: Value| {
        let value = json!({"m.relates_to": value});
        fixture.build(&DEFAULT_VERSION, message(&value)).unwrap().relation()
    };
    let edit = relation(json!({"rel_type": "m.replace", "event_id": "$e"})).unwrap();
    assert!(edit.target("m.replace").is_some_and(|id| id == "$e") && edit.target("m.thread").is_none());
    let like = relation(json!({"rel_type": "m.annotation", "event_id": "$e", "key": "+1"})).unwrap();
    assert_eq!(like.key.as_deref(), Some("+1"));
    let reply = relation(json!({"m.in_reply_to": {"event_id": "$e"}})).unwrap();
    assert!(reply.rel_type.is_none() && reply.in_reply_to.is_some_and(|id| id == "$e"));
    assert!(relation(json!("$e")).is_none());
    assert!(relation(json!({})).is_none());
}

#[test]
fn clients_see_redacts_in_both_places() {
    let fixture = Fixture::new();
    for version in &SUPPORTED {
        for value in [json!({}), json!({"reason": "r"})] {
            let redacts = Some(EventId::parse("$gone").unwrap());
            let draft = Draft { kind: "m.room.redaction".to_owned(), redacts, ..message(&value) };
            let event = fixture.build(version, draft).unwrap();
            let shown = parsed(&to_client(&event, Shape::Sync, &Unsigned::default()));
            assert_eq!((&shown["redacts"], &shown["content"]["redacts"]), (&json!("$gone"), &json!("$gone")));
            assert_eq!(shown["content"]["reason"], value["reason"]);
        }
    }
}

#[test]
fn the_forms_for_clients() {
    let fixture = Fixture::new();
    let event = fixture.build(&DEFAULT_VERSION, state("m.room.topic", "k\"\n", &json!({"topic": "new"}))).unwrap();
    let old = fixture.build(&DEFAULT_VERSION, state("m.room.topic", "k\"\n", &json!({"topic": "old"}))).unwrap();
    let base = json!({
        "content": {"topic": "new"}, "event_id": event.id(), "origin_server_ts": 1_230_000, "sender": "@al:ex.org",
        "state_key": "k\"\n", "type": "m.room.topic"
    });
    assert_eq!(parsed(&to_client(&event, Shape::Sync, &Unsigned::default())), base);
    let mut full = base.clone();
    full["room_id"] = json!("!r:ex.org");
    full["unsigned"] = json!({
        "age": 5, "transaction_id": "t\"", "membership": "join", "prev_content": {"topic": "old"}, "prev_sender": "@al:ex.org",
        "replaces_state": old.id(), "m.relations": {"m.reference": {"chunk": []}},
        "redacted_because": parsed(&to_client(&old, Shape::Full, &Unsigned::default()))
    });
    let unsigned = Unsigned {
        age: Some(5),
        transaction_id: Some("t\""),
        membership: Some("join"),
        replaced: Some((&old).into()),
        redacted_because: Some((&old).into()),
        relations: Some("{\"m.reference\":{\"chunk\":[]}}"),
    };
    assert_eq!(parsed(&to_client(&event, Shape::Full, &unsigned)), full);
    let stripped =
        json!({"content": {"topic": "new"}, "sender": "@al:ex.org", "state_key": "k\"\n", "type": "m.room.topic"});
    assert_eq!(parsed(&to_stripped(&event)), stripped);
}

#[test]
fn a_rejected_event_stays_rejected_when_redacted() {
    let event = Fixture::new().build(&DEFAULT_VERSION, message(&json!({"body": "x"}))).unwrap().into_rejected();
    assert!(Arc::new(redact(&event, &rules_of(&DEFAULT_VERSION).unwrap()).unwrap()).is_rejected());
}

proptest! {
    #[test]
    fn any_text_survives_building_and_showing(body in "\\PC{0,40}", key in "[\\x00-\\x7f]{0,12}", txn in "[\\x00-\\x7f]{0,12}") {
        let mut draft = state("m.x", &key, &json!({}));
        draft.content.insert(body.clone(), ruma::CanonicalJsonValue::String(key.clone()));
        let event = Fixture::new().build(&DEFAULT_VERSION, draft).unwrap();
        let unsigned = Unsigned { transaction_id: Some(&txn), ..Unsigned::default() };
        let shown = parsed(&to_client(&event, Shape::Full, &unsigned));
        prop_assert_eq!(&shown["content"][&body], &json!(key));
        prop_assert_eq!(&shown["state_key"], &json!(key));
        prop_assert_eq!(&shown["unsigned"]["transaction_id"], &json!(txn));
    }
}

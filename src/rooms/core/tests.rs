//! Authorisation, effects and resolution over small signed rooms of every supported version.

use std::sync::Arc;

use ruma::{RoomVersionId, UserId, events::room::member::MembershipState};
use serde_json::json;

use super::{
    Access, Effect, Rejection, StateMap, may_redact, resolve,
    testing::{AL, BO, CY, TestRoom},
};
use crate::event::{Draft, SUPPORTED, redact};

fn user(name: &str) -> &UserId {
    <&UserId>::try_from(name).unwrap()
}

fn room_of_two(version: &RoomVersionId) -> TestRoom {
    let mut room = TestRoom::new(version);
    room.member(AL, BO, "invite").unwrap();
    room.member(BO, BO, "join").unwrap();
    room
}

#[test]
fn a_room_of_every_version_can_be_lived_in() {
    for version in &SUPPORTED {
        let mut room = room_of_two(version);
        assert!(room.state.joined().count() == 2 && room.state.version().as_ref() == Some(version));
        room.message(BO, "hi").unwrap();
        assert_eq!(room.message(CY, "hi").err(), Some(Rejection::Forbidden));
        assert_eq!(room.member(CY, CY, "join").err(), Some(Rejection::Forbidden));
        assert_eq!(room.state(BO, "m.room.name", "", &json!({"name": "x"})).err(), Some(Rejection::Forbidden));
        room.state(AL, "m.room.name", "", &json!({"name": "x"})).unwrap();
        assert_eq!(room.state.name().as_deref(), Some("x"));
        assert_eq!(room.state(AL, "m.room.member", BO, &json!({})).err(), Some(Rejection::Malformed));
    }
}

#[test]
fn creators_have_unlimited_power_from_version_12_on() {
    for version in &SUPPORTED {
        let mut room = room_of_two(version);
        let unlimited = room.rules.authorization.explicitly_privilege_room_creators;
        let demoted = if unlimited { json!({BO: 100}) } else { json!({BO: 100, AL: 0}) };
        room.state(AL, "m.room.power_levels", "", &json!({"users": demoted})).unwrap();
        assert_eq!(room.member(AL, CY, "ban").is_ok(), unlimited);
        assert_eq!(room.member(BO, AL, "leave").is_ok(), !unlimited);
        let with_creator = room.state(AL, "m.room.power_levels", "", &json!({"users": {BO: 100, AL: 100}}));
        assert!(with_creator.is_err());
        assert_eq!(room.state.creators(&room.rules.authorization).len(), 1);
    }
}

#[test]
fn losing_a_member_rotates_the_key() {
    let rotates = |effects: &[Effect]| effects.contains(&Effect::RotateKey);
    let mut room = TestRoom::new(&RoomVersionId::V12);
    assert!(!rotates(&room.member(AL, BO, "invite").unwrap()));
    assert!(rotates(&room.member(BO, BO, "leave").unwrap()), "a refused invitation");
    room.member(AL, BO, "invite").unwrap();
    assert!(rotates(&room.member(AL, BO, "leave").unwrap()), "a withdrawn invitation");
    room.member(AL, BO, "invite").unwrap();
    assert!(!rotates(&room.member(BO, BO, "join").unwrap()));
    assert!(rotates(&room.member(AL, BO, "ban").unwrap()), "a ban");
    assert!(!rotates(&room.member(AL, BO, "leave").unwrap()), "the end of a ban");
    let effects = room.member(AL, AL, "leave").unwrap();
    let to = MembershipState::Leave;
    assert!(effects.contains(&Effect::Membership { user: user(AL).to_owned(), from: MembershipState::Join, to }));
    assert!(rotates(&effects) && effects.contains(&Effect::Deserted));
}

#[test]
fn a_change_of_profile_is_no_change_of_membership() {
    let mut room = TestRoom::new(&RoomVersionId::V11);
    let content = json!({"membership": "join", "displayname": "Al"});
    let effects = room.state(AL, "m.room.member", AL, &content).unwrap();
    assert!(effects.contains(&Effect::Profile(user(AL).to_owned())) && effects.len() == 2);
    assert_eq!(room.state(AL, "m.room.member", AL, &content).unwrap().len(), 1);
}

#[test]
fn a_room_that_narrows_rotates_its_key() {
    let mut room = TestRoom::new(&RoomVersionId::V12);
    let allow = |id: &str| json!({"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": id}]});
    let steps = [
        (json!({"join_rule": "public"}), false),
        (allow("!a:ex.org"), true),
        (allow("!b:ex.org"), true),
        (json!({"join_rule": "invite"}), true),
        (json!({"join_rule": "knock"}), false),
        (allow("!b:ex.org"), false),
    ];
    for (content, rotates) in steps {
        let effects = room.state(AL, "m.room.join_rules", "", &content).unwrap();
        assert_eq!(effects.contains(&Effect::RotateKey), rotates, "{content}");
    }
    assert!(Access::Public.covers(&Access::Invite) && !Access::Invite.covers(&Access::Public));
}

#[test]
fn redactions_name_their_target_where_the_version_wants_it() {
    for version in &SUPPORTED {
        let mut room = room_of_two(version);
        let secret = room.message(BO, "secret").unwrap();
        let content = serde_json::from_value(json!({"reason": "typo"})).unwrap();
        let draft = Draft {
            redacts: Some(secret.id().to_owned()),
            ..Draft::message(&room.id, user(AL), "m.room.redaction", content)
        };
        let (redaction, effects) = room.send(draft).unwrap();
        assert_eq!(effects, [Effect::Redact(secret.id().to_owned())]);
        assert!(redaction.redacts() == Some(secret.id()));
        assert!(may_redact(&redaction, (secret.kind(), secret.sender()), &room.state, &room.rules));
        let create = Arc::clone(room.state.create().unwrap());
        assert!(!may_redact(&redaction, (create.kind(), create.sender()), &room.state, &room.rules));
        let stub = redact(&secret, &room.rules).unwrap();
        assert!(stub.id() == secret.id() && stub.content_text() == "{}" && !stub.json().contains("secret"));
        let kept = redact(room.state.member(user(BO)).unwrap(), &room.rules).unwrap();
        assert_eq!(kept.membership(), Some(MembershipState::Join));
    }
}

#[test]
fn a_fork_resolves_to_one_state_in_either_order() {
    for version in &SUPPORTED {
        let base = room_of_two(version);
        let (mut left, mut right) = (base.clone(), base.clone());
        left.member(AL, BO, "ban").unwrap();
        left.state(AL, "m.room.topic", "", &json!({"topic": "left"})).unwrap();
        right.state(BO, "m.room.member", BO, &json!({"membership": "join", "displayname": "Bo"})).unwrap();
        right.state(AL, "m.room.name", "", &json!({"name": "right"})).unwrap();
        let fetch = |id: &ruma::EventId| left.fetch(id).or_else(|| right.fetch(id));
        let one = resolve(&[left.state.clone(), right.state.clone()], &base.rules, fetch).unwrap();
        let two = resolve(&[right.state.clone(), left.state.clone()], &base.rules, fetch).unwrap();
        let ids = |state: &StateMap| state.iter().map(|event| event.id().to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&one), ids(&two));
        assert_eq!(one.membership(user(BO)), MembershipState::Ban, "a ban wins over what it forbids");
        assert_eq!((one.topic().as_deref(), one.name().as_deref()), (Some("left"), Some("right")));
    }
}

#[test]
fn one_state_needs_no_resolution() {
    let room = TestRoom::new(&RoomVersionId::V12);
    let same = resolve(&[room.state.clone(), room.state.clone()], &room.rules, |_| None).unwrap();
    assert_eq!(same.len(), room.state.len());
}

#[test]
fn a_copy_of_a_state_does_not_change_with_it() {
    let mut room = TestRoom::new(&RoomVersionId::V12);
    let before = room.state.clone();
    room.state(AL, "m.room.name", "", &json!({"name": "x"})).unwrap();
    assert!(before.name().is_none() && before.len() + 1 == room.state.len());
    assert_eq!(room.state.iter().count(), room.state.len());
}

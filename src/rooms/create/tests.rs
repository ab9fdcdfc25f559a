//! Plans are carried out on a real state: what is planned must be allowed.

use ruma::{OwnedUserId, events::room::power_levels::UserPowerLevel};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::{SUPPORTED, build::content_from},
    rooms::core::testing::{AL, BO, CY, TestRoom},
};

fn person(name: &str) -> Person {
    Person { user: UserId::parse(name).unwrap(), profile: content(&json!({"displayname": name})) }
}

fn content(value: &Value) -> CanonicalJsonObject {
    content_from(&value.to_string()).unwrap()
}

fn request(version: &RoomVersionId) -> CreateRoom {
    CreateRoom {
        creator: person(AL),
        version: version.clone(),
        preset: None,
        published: false,
        name: None,
        topic: None,
        alias: None,
        retention: None,
        initial_state: Vec::new(),
        creation_content: CanonicalJsonObject::new(),
        power_level_content_override: CanonicalJsonObject::new(),
        invite: Vec::new(),
        is_direct: false,
    }
}

fn carry_out(request: &CreateRoom) -> TestRoom {
    let mut room = TestRoom::empty(&request.version);
    let mut plan = plan(request).unwrap();
    if plan.names_itself() {
        room.send(plan.drafts.remove(0)).unwrap();
        let id = room.id.clone();
        plan.drafts.iter_mut().for_each(|draft| draft.room_id = Some(id.clone()));
    } else {
        plan.place(&room.id.clone());
    }
    for draft in plan.drafts {
        room.send(draft).unwrap();
    }
    room
}

#[test]
fn every_preset_of_every_version_is_allowed() {
    for version in &SUPPORTED {
        let cases = [
            (Preset::Private, "invite", true),
            (Preset::TrustedPrivate, "invite", true),
            (Preset::Public, "public", false),
        ];
        for (preset, join_rule, guests) in cases {
            let mut wanted = request(version);
            wanted.preset = Some(preset);
            wanted.invite = vec![person(BO), person(CY)];
            wanted.name = Some("Name".to_owned());
            wanted.topic = Some("Topic".to_owned());
            wanted.alias = Some("#alias:ex.org".try_into().unwrap());
            wanted.is_direct = true;
            let room = carry_out(&wanted);
            assert_eq!(room.state.join_rule(), join_rule);
            assert_eq!(room.state.guests_can_join(), guests);
            assert_eq!(room.state.name().as_deref(), Some("Name"));
            assert_eq!(room.state.topic().as_deref(), Some("Topic"));
            assert_eq!(room.state.canonical_alias().as_deref(), Some("#alias:ex.org"));
            let bo: OwnedUserId = UserId::parse(BO).unwrap();
            assert!(room.state.member(&bo).unwrap().content_text().contains("\"is_direct\":true"));
            let auth = &room.rules.authorization;
            let trusted = room.state.power_of(&bo, auth) == room.state.power_of(&UserId::parse(AL).unwrap(), auth);
            assert_eq!(trusted, preset == Preset::TrustedPrivate);
            assert_eq!(
                room.state.power_of(&bo, auth) == UserPowerLevel::Infinite,
                trusted && auth.additional_room_creators
            );
        }
    }
}

#[test]
fn two_rooms_of_one_moment_differ() {
    let mut room = TestRoom::empty(&RoomVersionId::V12);
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let mut again = room.clone();
        again.send(plan(&request(&RoomVersionId::V12)).unwrap().drafts.remove(0)).unwrap();
        ids.insert(again.id.clone());
    }
    assert_eq!(ids.len(), 2);
    room.send(plan(&request(&RoomVersionId::V12)).unwrap().drafts.remove(0)).unwrap();
    assert!(room.state.create().unwrap().json().contains(crate::event::build::NONCE));
    assert!(!room.state.create().unwrap().json().contains("room_id"));
}

#[test]
fn initial_state_takes_the_place_of_the_preset() {
    let mut wanted = request(&RoomVersionId::V11);
    wanted.published = true;
    let initial =
        [("m.room.join_rules", json!({"join_rule": "knock"})), ("m.room.encryption", json!({"algorithm": "m.a"}))];
    wanted.initial_state = initial
        .iter()
        .map(|(kind, value)| InitialState {
            kind: (*kind).to_owned(),
            state_key: String::new(),
            content: content(value),
        })
        .collect();
    let kinds: Vec<String> = plan(&wanted).unwrap().drafts.into_iter().map(|draft| draft.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "m.room.join_rules").count(), 1);
    let room = carry_out(&wanted);
    assert_eq!(room.state.join_rule(), "knock");
    assert_eq!(room.state.encryption().as_deref(), Some("m.a"));
    assert!(!room.state.guests_can_join(), "a published room is public in the rest");
}

#[test]
fn a_version_10_room_names_its_creator_and_later_ones_do_not() {
    for version in &SUPPORTED {
        let room = carry_out(&request(version));
        let named = room.state.create().unwrap().content_str("creator").is_some();
        assert_eq!(named, !room.rules.authorization.use_room_create_sender);
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    let error = |change: &dyn Fn(&mut CreateRoom)| {
        let mut wanted = request(&RoomVersionId::V12);
        change(&mut wanted);
        plan(&wanted).err()
    };
    assert_eq!(error(&|_| {}), None);
    assert_eq!(error(&|r| r.version = RoomVersionId::V1), Some(CreateError::UnsupportedRoomVersion));
    assert_eq!(error(&|r| r.invite = vec![person(AL)]), Some(CreateError::InvalidRoomState));
    assert_eq!(error(&|r| r.invite = vec![person(BO), person(BO)]), Some(CreateError::InvalidRoomState));
    assert_eq!(
        error(&|r| r.power_level_content_override = content(&json!({"users": {AL: 100}}))),
        Some(CreateError::InvalidRoomState)
    );
    assert_eq!(
        error(&|r| r.creation_content = content(&json!({"additional_creators": ["nobody"]}))),
        Some(CreateError::InvalidRoomState)
    );
    let many = || (0..=MAX_INVITES).map(|n| person(&format!("@u{n}:ex.org"))).collect::<Vec<_>>();
    assert_eq!(error(&|r| r.invite = many()), Some(CreateError::TooMany));
}

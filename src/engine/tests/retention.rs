//! Which lifetime the messages of a room get.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::owned_room_alias_id;
use serde_json::{Value, json, value::to_raw_value};

use super::{come, reboot, said, say};
use crate::{
    accounts::{Session, vault::Fact},
    clock::Clock,
    engine::{
        Engine,
        testing::{Machine, founded, register, settings},
    },
    event::{Draft, build::content_from},
    rooms::{Change, Lifetimes, Room},
    store::Class,
};

async fn set(engine: &Engine, room: &Arc<Room>, by: &Session, kind: &str, content: &str) {
    let content = content_from(content).unwrap();
    let draft = Draft::state(&room.id, &by.account.user_id, kind, "", content);
    engine.rooms.send(room, draft, None).await.unwrap();
}

fn days(count: u64) -> String {
    format!(r#"{{"max_lifetime":{}}}"#, count * 86_400_000)
}

#[tokio::test]
async fn messages_are_filed_by_the_lifetime_of_their_room() {
    let machine = Machine::new(1);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let room = founded(&engine, &al.session).await;
    let live = |engine: &Engine, class| !engine.journals.epochs.live(class).is_empty();
    assert_eq!(room.view().class(), Class::Month);
    assert!(!live(&engine, Class::Week) && !live(&engine, Class::Day));
    say(&engine, &room, &al.session, "one").await;
    set(&engine, &room, &al.session, "m.room.retention", &days(8)).await;
    assert_eq!((room.view().class(), room.view().lifetime()), (Class::Week, Some(Duration::from_hours(168))));
    assert!(!live(&engine, Class::Week), "what was there before stays where it is");
    say(&engine, &room, &al.session, "two").await;
    assert!(live(&engine, Class::Week));
    set(&engine, &room, &al.session, "org.matrix.msc1763.retention", &days(1)).await;
    say(&engine, &room, &al.session, "three").await;
    assert!(live(&engine, Class::Day));
    // The event that clients look at first is taken back, and the other counts again.
    set(&engine, &room, &al.session, "org.matrix.msc1763.retention", "{}").await;
    say(&engine, &room, &al.session, "four").await;
    set(&engine, &room, &al.session, "m.room.retention", &days(400)).await;
    say(&engine, &room, &al.session, "five").await;
    assert!(live(&engine, Class::Year));
    // Whatever the class, the order is that of the room.
    let all = ["one", "two", "three", "four", "five"];
    assert_eq!(said(&room), all);
    let order = |room: &Room| room.view().timeline.iter().map(|entry| entry.position).collect::<Vec<_>>();
    let before = order(&room);
    assert!(before.is_sorted());
    engine.rooms.renew_generations().await.unwrap();
    say(&engine, &room, &al.session, "six").await;

    let engine = reboot(&machine).await;
    come(&engine, &al).await;
    let again = engine.rooms.find(&room.id).unwrap();
    assert_eq!(said(&again), [&all[..], &["six"]].concat());
    assert!(order(&again)[..before.len()] == before);
    assert_eq!(again.view().class(), Class::Year);
}

#[tokio::test]
async fn what_administrators_say_of_a_room_holds_over_what_it_says() {
    let machine = Machine::new(2);
    let mut settings = settings();
    let aliases = BTreeMap::from([(owned_room_alias_id!("#short:localhost"), Class::Day)]);
    settings.rooms.lifetimes = Arc::new(Lifetimes { aliases, ..Lifetimes::of(Class::Month) });
    let engine = machine.start_with(settings).await;
    let al = register(&engine, "al").await;
    let room = founded(&engine, &al.session).await;
    set(&engine, &room, &al.session, "m.room.retention", &days(90)).await;
    assert_eq!(room.view().class(), Class::Quarter);
    let alias = owned_room_alias_id!("#short:localhost");
    engine.rooms.add_alias(&alias, &room.id, &al.session.account).await.unwrap();
    assert_eq!((room.view().class(), room.view().tells_lifetime()), (Class::Day, false));
    say(&engine, &room, &al.session, "short").await;
    assert!(!engine.journals.epochs.live(Class::Day).is_empty());
    set(&engine, &room, &al.session, "m.room.retention", &days(7)).await;
    assert_eq!(room.view().class(), Class::Day);
    engine.rooms.remove_alias(&alias, &al.session.account).await.unwrap();
    assert_eq!((room.view().class(), room.view().tells_lifetime()), (Class::Week, true));
}

#[tokio::test]
async fn backed_up_keys_live_one_class_longer_than_their_rooms() {
    let machine = Machine::new(3);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let account = &al.session.account;
    let (long, short) = (founded(&engine, &al.session).await, founded(&engine, &al.session).await);
    set(&engine, &short, &al.session, "m.room.retention", &days(1)).await;
    let version = engine.e2ee.create_backup(account, "a".to_owned(), json!({})).await.unwrap().to_string();
    let back_up = async |room: &Room, session: &str, index: u32| {
        let data = json!({"first_message_index": index, "forwarded_count": 0, "is_verified": true, "session_data": {}});
        let sessions = BTreeMap::from([(session.to_owned(), to_raw_value(&data).unwrap())]);
        engine.e2ee.back_up(account, &version, BTreeMap::from([(room.id.clone(), sessions)])).await.unwrap()
    };
    let live = |class| engine.journals.epochs.live(class).len();
    let before = live(Class::Week);
    for round in 0..5 {
        back_up(&long, &format!("{round}"), 7).await;
        back_up(&short, &format!("{round}"), 7).await;
    }
    assert_eq!(live(Class::Week), before + 1);
    // The room changes its mind, and back again: what came last holds.
    set(&engine, &short, &al.session, "m.room.retention", &days(30)).await;
    back_up(&short, "0", 5).await;
    engine.e2ee.delete_keys(account, &version, Some(&short.id), Some("1")).await.unwrap();
    set(&engine, &short, &al.session, "m.room.retention", &days(1)).await;
    back_up(&short, "0", 3).await;
    back_up(&short, "1", 2).await;
    let index = async |engine: &Engine, session: &str| {
        let account = engine.accounts.open(&al.user_id).unwrap();
        let keys = engine.e2ee.backed_up(&account, &version, Some(&short.id), Some(session)).await.unwrap();
        let data: Value = serde_json::from_str(keys[&short.id][session].get()).unwrap();
        data["first_message_index"].as_u64()
    };
    assert_eq!((index(&engine, "0").await, index(&engine, "1").await), (Some(3), Some(2)));
    let again = reboot(&machine).await;
    come(&again, &al).await;
    assert_eq!((index(&again, "0").await, index(&again, "1").await), (Some(3), Some(2)));
    let account = again.accounts.open(&al.user_id).unwrap();
    assert_eq!(account.backed_up_count(1), 10);
}

#[tokio::test]
async fn a_room_that_people_are_only_invited_to_ends() {
    let machine = Machine::new(4);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let (empty, lived_in) = (founded(&engine, &al.session).await, founded(&engine, &al.session).await);
    for room in [&empty, &lived_in] {
        engine.rooms.invite(room, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    }
    engine.rooms.put_out(&empty, &al.user_id, &al.user_id, false, Change::default()).await.unwrap();
    machine.clock.advance(Duration::from_hours(24 * 29));
    engine.part_with_old().await;
    assert!(bo.session.account.view().rooms.contains_key(&empty.id), "somebody may still answer");
    machine.clock.advance(Duration::from_hours(25));
    engine.part_with_old().await;
    let rooms = bo.session.account.view().rooms.clone();
    let is_left = rooms.get(&empty.id).is_none_or(|entry| matches!(entry.fact, Fact::Left(_)));
    assert!(is_left && rooms.contains_key(&lived_in.id));
    assert!(!engine.journals.slots.contains(&empty.slot) && engine.rooms.find(&lived_in.id).is_some());
}

/// As it does while the room is open: what is said of the state before each event is what was true then.
#[tokio::test]
async fn what_dies_in_the_middle_while_a_room_is_closed_takes_along_what_came_before() {
    let machine = Machine::new(7);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let room = founded(&engine, &al.session).await;
    let name = async |name: &str| set(&engine, &room, &al.session, "m.room.name", name).await;
    let retention = async |lifetime: &str| {
        set(&engine, &room, &al.session, "m.room.retention", lifetime).await;
        engine.keeper.tick().await;
    };
    name(r#"{"name":"old"}"#).await;
    say(&engine, &room, &al.session, "before").await;
    retention(&days(1)).await;
    name(r#"{"name":"new"}"#).await;
    retention(&days(30)).await;
    say(&engine, &room, &al.session, "after").await;

    let other = machine.copy(8);
    other.cut();
    let closed = other.start().await;
    for (machine, engine) in [(&machine, &engine), (&other, &closed)] {
        for _ in 0..3 {
            machine.clock.advance(Duration::from_hours(24));
            engine.keeper.tick().await;
        }
    }
    come(&closed, &al).await;
    let opened = closed.rooms.find(&room.id).unwrap();
    let shown = |room: &Room| -> Vec<_> {
        let view = room.view();
        let name = |index| view.state_before(index).find("m.room.name", "")?.content_str("name");
        view.timeline.iter().enumerate().map(|(index, entry)| (entry.id(), name(index))).collect()
    };
    let (stayed, opened) = (shown(&room), (shown(&opened), said(&opened)));
    assert_eq!(opened, (stayed, vec!["after".to_owned()]));
    assert!(opened.0.iter().all(|(_, name)| name.as_deref() == Some("new")));
}

/// A clock that is set while the server runs is no reason to give anybody up, however long it has run.
#[tokio::test]
async fn nobody_is_given_up_by_a_clock_that_is_doubted() {
    let machine = Machine::new(6);
    let engine = machine.start().await;
    let (al, bo, cy) = (register(&engine, "al").await, register(&engine, "bo").await, register(&engine, "cy").await);
    let empty = founded(&engine, &al.session).await;
    engine.rooms.invite(&empty, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    engine.rooms.put_out(&empty, &al.user_id, &al.user_id, false, Change::default()).await.unwrap();
    engine.deactivate(&cy.user_id, false).await.unwrap();
    machine.clock.advance(Duration::from_hours(25));
    engine.part_with_old().await;
    machine.clock.set_synchronised(None);
    machine.clock.set_wall(machine.clock.now().after(Duration::from_hours(24 * 365)));
    machine.clock.advance(Duration::from_hours(23));
    let is_there = || {
        let parted = !engine.house.view().unwrap().parted.is_empty();
        (engine.journals.slots.contains(&empty.slot), parted)
    };
    engine.part_with_old().await;
    assert_eq!(is_there(), (true, true));
    // Whoever says that it is right says so of a year, too.
    engine.keeper.confirm_clock().await;
    engine.part_with_old().await;
    assert_eq!(is_there(), (false, false));
}

#[tokio::test]
async fn rooms_forget_in_the_end_who_ended_his_account() {
    let machine = Machine::new(5);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let room = founded(&engine, &al.session).await;
    engine.rooms.invite(&room, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    engine.rooms.join(&room, &bo.session.account, Change::default()).await.unwrap();
    engine.deactivate(&bo.user_id, false).await.unwrap();
    let knows = |room: &Room| room.view().state.members().any(|(user, ..)| user == bo.user_id);
    machine.clock.advance(Duration::from_hours(24 * 30));
    engine.part_with_old().await;
    assert!(knows(&room) && !engine.accounts.is_erased(&bo.user_id).unwrap());
    // The day is in the house, not in memory.
    let engine = reboot(&machine).await;
    come(&engine, &al).await;
    machine.clock.advance(Duration::from_hours(24));
    engine.part_with_old().await;
    let room = engine.rooms.find(&room.id).unwrap();
    assert!(!knows(&room) && engine.accounts.is_erased(&bo.user_id).unwrap());
    assert!(engine.house.view().unwrap().parted.is_empty());
}

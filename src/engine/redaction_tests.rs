//! What was redacted, from the redaction to the medium, in time that only moves when told to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ruma::{CanonicalJsonObject, EventId, OwnedEventId, RoomAliasId, events::room::member::MembershipState};

use super::{
    Engine,
    testing::{Machine, founded, register},
    upkeep::Pace,
};
use crate::{
    accounts::{
        Session,
        vault::{ReadKey, ReadKind, ReadMark, VaultChange},
    },
    clock::Clock,
    event::{Draft, Shape, build::content_from},
    journal::Position,
    rooms::{
        Change, Room,
        show::{Viewer, show, show_state},
    },
    seizure::{Credential, rob},
};

const MINUTE: Duration = Duration::from_mins(1);

async fn say(engine: &Engine, room: &Arc<Room>, by: &Session, fact: usize) -> OwnedEventId {
    let content = content_from(&format!(r#"{{"msgtype":"m.text","body":"fact-{fact}"}}"#)).unwrap();
    let draft = Draft::message(&room.id, &by.account.user_id, "m.room.message", content);
    engine.rooms.send(room, draft, None).await.unwrap()
}

async fn set(engine: &Engine, room: &Arc<Room>, by: &Session, kind: &str, fact: usize) -> OwnedEventId {
    let field = if kind == "m.room.topic" { "topic" } else { "text" };
    let content = content_from(&format!(r#"{{"{field}":"fact-{fact}"}}"#)).unwrap();
    let draft = Draft::state(&room.id, &by.account.user_id, kind, "", content);
    engine.rooms.send(room, draft, None).await.unwrap()
}

async fn redact(engine: &Engine, room: &Arc<Room>, by: &Session, what: &OwnedEventId) -> OwnedEventId {
    let content = CanonicalJsonObject::new();
    let draft = Draft::message(&room.id, &by.account.user_id, "m.room.redaction", content);
    engine.rooms.send(room, Draft { redacts: Some(what.clone()), ..draft }, None).await.unwrap()
}

/// Which facts whoever has taken the disk and the password of `name` reads.
fn read(machine: &Machine, name: &str) -> BTreeSet<u32> {
    let off = machine.copy(7);
    off.cut();
    rob(&off.image(), &[Credential::Password(name.to_owned(), format!("password of {name}"))]).facts
}

/// Everything that anybody in the room is shown.
fn shown(room: &Room, by: &Session) -> String {
    let view = room.view();
    let now = crate::clock::Timestamp(u64::MAX);
    let viewer = Viewer { user: &by.account.user_id, device: None };
    let mut all = String::new();
    for entry in &view.timeline {
        all.extend(show(&view, entry, &viewer, now, Shape::Full).map(|json| json.get().to_owned()));
        all.extend(
            entry.before.iter().map(|event| show_state(&view, event, &viewer, now, Shape::Full).get().to_owned()),
        );
        all.extend(entry.before.iter().map(|event| event.content_text().to_owned()));
    }
    all.extend(view.state.iter().map(|event| event.content_text().to_owned()));
    all
}

#[tokio::test]
async fn what_was_redacted_is_gone_from_the_disk_after_a_quarter_of_an_hour() {
    let machine = Machine::new(41);
    let engine = machine.start().await;
    let mut pace = Pace::from(machine.clock.monotonic());
    let al = register(&engine, "al").await;
    let room = founded(&engine, &al.session).await;
    let mut events = Vec::new();
    // Packed and single rows, and one that is never redacted.
    for fact in 0..130 {
        events.push(say(&engine, &room, &al.session, fact).await);
    }
    let old = set(&engine, &room, &al.session, "m.room.topic", 200).await;
    let topic = set(&engine, &room, &al.session, "m.room.topic", 201).await;
    engine.round(&mut pace).await;
    machine.clock.advance(7 * MINUTE);
    engine.round(&mut pace).await;
    for event in events.iter().skip(1).chain([&old, &topic]) {
        redact(&engine, &room, &al.session, event).await;
    }
    assert_eq!(shown(&room, &al.session).matches("fact-").count(), 1, "hidden at once");
    assert!(read(&machine, "al").len() > 130, "and still on the disk");
    let commits = engine.journals.slots.generation();
    for _ in 0..15 {
        machine.clock.advance(MINUTE);
        engine.round(&mut pace).await;
    }
    assert!(engine.journals.slots.generation() <= commits + 2, "however many were redacted");
    assert_eq!(read(&machine, "al"), BTreeSet::from([0]));
    let before = shown(&room, &al.session);
    assert_eq!(before.matches("fact-").count(), 1);

    let engine = machine.start().await;
    let al = engine.accounts.session(al.access.expose()).await.unwrap();
    let again = engine.rooms.find(&room.id).unwrap();
    assert_eq!(shown(&again, &al), before);
    say(&engine, &again, &al, 300).await;
    assert_eq!(read(&machine, "al"), BTreeSet::from([0, 300]));
}

#[tokio::test]
async fn a_redaction_that_is_redacted_still_holds() {
    let machine = Machine::new(42);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let room = founded(&engine, &al.session).await;
    let said = say(&engine, &room, &al.session, 1).await;
    let content = content_from(r#"{"reason":"fact-2"}"#).unwrap();
    let draft = Draft::message(&room.id, &al.user_id, "m.room.redaction", content);
    let draft = Draft { redacts: Some(said), ..draft };
    let redaction = engine.rooms.send(&room, draft, None).await.unwrap();
    assert!(shown(&room, &al.session).contains("fact-2"), "the reason is shown");
    engine.rewrite_redacted().await;
    assert_eq!(read(&machine, "al"), BTreeSet::from([2]), "and lives as long as any event");
    redact(&engine, &room, &al.session, &redaction).await;
    assert!(!shown(&room, &al.session).contains("fact-"));
    engine.rewrite_redacted().await;
    assert_eq!(read(&machine, "al"), BTreeSet::new());
    let engine = machine.start().await;
    let al = engine.accounts.session(al.access.expose()).await.unwrap();
    assert!(!shown(&engine.rooms.find(&room.id).unwrap(), &al).contains("fact-"));
}

#[tokio::test]
async fn rooms_share_a_slot_commit_and_readers_see_no_hole() {
    let machine = Machine::new(43);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let mut rooms = Vec::new();
    for fact in 0..70 {
        let room = founded(&engine, &al.session).await;
        let said = say(&engine, &room, &al.session, fact).await;
        for more in 1000..1030 {
            say(&engine, &room, &al.session, more).await;
        }
        redact(&engine, &room, &al.session, &said).await;
        rooms.push(room);
    }
    let views: Vec<_> = rooms.iter().map(|room| room.view()).collect();
    let commits = engine.journals.slots.generation();
    engine.rewrite_redacted().await;
    assert_eq!(engine.journals.slots.generation(), commits + 2, "64 owners a commit");
    engine.merge().await;
    for view in views {
        // Bodies that are not in memory are read from where they lie now.
        assert!(view.timeline.iter().all(|entry| view.event(entry).is_some()));
    }
    assert!(read(&machine, "al").iter().all(|fact| *fact >= 1000));
    engine.renew().await;
    let commits = engine.journals.slots.generation();
    for room in &rooms {
        say(&engine, room, &al.session, 1).await;
    }
    engine.renew().await;
    assert_eq!(engine.journals.slots.generation(), commits + 2, "rooms share their commits; nobody else changed");
}

#[tokio::test]
async fn what_expires_before_it_is_rewritten_is_no_trouble() {
    let machine = Machine::new(44);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let room = founded(&engine, &al.session).await;
    engine.rooms.invite(&room, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    engine.rooms.join(&room, &bo.session.account, Change::default()).await.unwrap();
    let said = say(&engine, &room, &al.session, 1).await;
    let topic = set(&engine, &room, &al.session, "m.room.topic", 2).await;
    machine.clock.advance(Duration::from_hours(24 * 40));
    engine.open_epochs().await.unwrap();
    // While the window still opens: its content is to go before its time.
    redact(&engine, &room, &al.session, &said).await;
    engine.journals.epochs.expire(machine.clock.now()).await.unwrap();
    engine.rewrite_redacted().await;
    assert_eq!(read(&machine, "al"), BTreeSet::from([2]));
    // State outlives its place in the timeline, and is redacted there.
    let engine = machine.start().await;
    let al = engine.accounts.session(al.access.expose()).await.unwrap();
    let room = engine.rooms.find(&room.id).unwrap();
    assert!(!room.view().holds(&topic) && room.membership(&bo.user_id) == MembershipState::Join);
    say(&engine, &room, &al, 3).await;
    redact(&engine, &room, &al, &topic).await;
    assert!(!shown(&room, &al).contains("fact-2"));
    let newer = set(&engine, &room, &al, "m.room.topic", 4).await;
    assert!(room.view().holds(&newer) && !shown(&room, &al).contains("fact-2"));
    engine.rewrite_redacted().await;
    assert_eq!(read(&machine, "al"), BTreeSet::from([3, 4]));
}

/// What is replaced or removed dies with the next generation of whoever kept it, and what took its place lives.
#[tokio::test]
async fn what_was_superseded_dies_with_the_next_generation() {
    let machine = Machine::new(45);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let account = Arc::clone(&al.session.account);
    let (kept, left) = (founded(&engine, &al.session).await, founded(&engine, &al.session).await);
    let fact = |number: usize| format!("fact-{number}");
    let alias = |number: usize| RoomAliasId::parse(format!("#fact-{number}:localhost")).unwrap();
    let key = |thread: String| ReadKey { room: kept.id.clone(), kind: ReadKind::Private, thread: Some(thread) };
    // Two rounds: what the first one writes, the second one replaces.
    for round in [0, 100] {
        let change = |change: VaultChange| account.vault.change(&engine.journals, |_| vec![change]);
        let text = serde_json::json!({ "text": fact(round + 1) });
        change(VaultChange::AccountData("org.test".to_owned(), Some(text.clone()))).await.unwrap();
        change(VaultChange::RoomData(kept.id.clone(), "m.tag".to_owned(), Some(text))).await.unwrap();
        let event = EventId::parse(format!("$fact-{}", round + 2)).unwrap();
        let mark = ReadMark { position: Position::START, event, ts: 0 };
        change(VaultChange::Read(key("main".to_owned()), Some(mark))).await.unwrap();
        engine.accounts.rename_device(&account, &al.session.device, Some(fact(round + 3))).await.unwrap();
        let name = serde_json::json!(fact(round + 4));
        engine.accounts.set_profile_field(&account, "displayname".to_owned(), Some(name)).await.unwrap();
        engine.rooms.add_alias(&alias(round + 5), &kept.id, &account).await.unwrap();
        set(&engine, &kept, &al.session, "m.room.topic", round + 6).await;
        if round == 0 {
            set(&engine, &left, &al.session, "m.room.topic", 7).await;
            let reason = Change { reason: Some(fact(8)), ..Change::default() };
            engine.rooms.put_out(&left, &al.user_id, &al.user_id, false, reason).await.unwrap();
            assert!(read(&machine, "al").is_superset(&(1..=6).chain([8]).collect()), "{:?}", read(&machine, "al"));
        }
    }
    engine.rooms.forget(&left.id, &account).await.unwrap();
    engine.rooms.remove_alias(&alias(5), &account).await.unwrap();
    engine.renew().await;
    // The topics of before are said in the timeline, for as long as that lasts.
    let timeline = BTreeSet::from([6]);
    let living: BTreeSet<u32> = (101..=106).collect();
    let found = read(&machine, "al");
    assert_eq!(found.difference(&timeline).copied().collect::<BTreeSet<_>>(), living);
    machine.clock.advance(Duration::from_hours(24 * 40));
    engine.open_epochs().await.unwrap();
    engine.journals.epochs.expire(machine.clock.now()).await.unwrap();
    assert_eq!(read(&machine, "al"), living);
}

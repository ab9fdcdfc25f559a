//! Syncs over power cuts, on an engine in memory.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, OwnedRoomId, UserId, presence::PresenceState};
use serde_json::{Value, json, value::to_raw_value};
use tokio::sync::watch;

use super::{
    Engine,
    testing::{Machine, founded, register},
};
use crate::{
    accounts::{self, Addressed, LoggedIn, Session},
    event::{Draft, build::content_from},
    rooms::{Change, Room},
    sync::classic::{Ask, Error, Filter, StateAt},
};

pub(super) async fn room(engine: &Engine, by: &Session, with: &[&Session]) -> Arc<Room> {
    let room = founded(engine, by).await;
    for other in with {
        engine.rooms.invite(&room, &by.account.user_id, &other.account.user_id, Change::default()).await.unwrap();
        engine.rooms.join(&room, &other.account, Change::default()).await.unwrap();
    }
    room
}

pub(super) async fn say(engine: &Engine, room: &Arc<Room>, by: &Session, text: &str) {
    let content = content_from(&json!({"msgtype": "m.text", "body": text}).to_string()).unwrap();
    let draft = Draft::message(&room.id, &by.account.user_id, "m.room.message", content);
    engine.rooms.send(room, draft, None).await.unwrap();
}

pub(super) async fn message(engine: &Engine, to: &Session, text: &str) {
    message_to(engine, &to.account.user_id, to.device.clone(), text).await;
}

pub(super) async fn message_to(engine: &Engine, to: &UserId, device: OwnedDeviceId, text: &str) {
    let message = json!({"type": "org.test", "sender": "@a:localhost", "content": {"text": text}});
    let message = Addressed { device: Some(device), message: to_raw_value(&message).unwrap().into() };
    engine.accounts.deliver(to, &[message]).await.unwrap();
}

async fn try_sync(engine: &Engine, who: &Session, since: Option<&Value>) -> Result<Value, Error> {
    let since = since.map(|answer| answer["next_batch"].as_str().unwrap().to_owned());
    let filter = Filter::stored(&json!({"room": {"state": {"lazy_load_members": true}}})).unwrap();
    let ask = Ask {
        since,
        filter,
        full_state: false,
        state_at: StateAt::Start,
        takes_messages: true,
        timeout: Duration::ZERO,
        presence: PresenceState::Online,
    };
    let (_stop, stopping) = watch::channel(false);
    let answer = engine.syncs.sync(who, ask, stopping).await?;
    Ok(serde_json::to_value(&answer).unwrap())
}

pub(super) async fn sync(engine: &Engine, who: &Session, since: Option<&Value>) -> Value {
    try_sync(engine, who, since).await.unwrap()
}

async fn reboot(machine: &Machine) -> Arc<Engine> {
    machine.backend.crash(machine.random.as_ref());
    machine.medium.crash(machine.random.as_ref());
    machine.start().await
}

async fn come(engine: &Engine, who: &LoggedIn) -> Session {
    engine.accounts.session(who.access.expose()).await.unwrap()
}

pub(super) fn texts(events: &Value) -> Vec<String> {
    let events = events["events"].as_array().unwrap().iter();
    let text = |event: &Value| {
        let content = &event["content"];
        content["text"].as_str().or(content["body"].as_str()).map(ToOwned::to_owned)
    };
    events.filter_map(text).collect()
}

#[tokio::test]
async fn what_was_acknowledged_stays_so_over_a_cut_and_nothing_else_is_lost() {
    let machine = Machine::new(1);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let start = sync(&engine, &al.session, None).await;
    message(&engine, &al.session, "one").await;
    let first = sync(&engine, &al.session, Some(&start)).await;
    message(&engine, &al.session, "two").await;
    let second = sync(&engine, &al.session, Some(&first)).await;
    assert_eq!(texts(&second["to_device"]), ["two"]);

    let engine = reboot(&machine).await;
    let session = come(&engine, &al).await;
    // The answer with two never arrived: it comes again, and one does not.
    let again = sync(&engine, &session, Some(&first)).await;
    assert_eq!(texts(&again["to_device"]), ["two"]);
    let engine = reboot(&machine).await;
    let session = come(&engine, &al).await;
    // It arrived after all: the token of a process that is gone acknowledges exactly what came with it.
    let third = sync(&engine, &session, Some(&second)).await;
    assert_eq!(texts(&third["to_device"]), Vec::<String>::new());
    let engine = reboot(&machine).await;
    let session = come(&engine, &al).await;
    assert_eq!(texts(&sync(&engine, &session, None).await["to_device"]), Vec::<String>::new());
}

#[tokio::test]
async fn after_a_cut_a_device_is_told_everything_again_as_a_continuation() {
    let machine = Machine::new(2);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let open = room(&engine, &al.session, &[&bo.session]).await;
    let left = room(&engine, &al.session, &[&bo.session]).await;
    say(&engine, &open, &al.session, "one").await;
    let before = sync(&engine, &bo.session, None).await;
    engine.rooms.put_out(&left, &bo.user_id, &bo.user_id, false, Change::default()).await.unwrap();
    let (open, left): (OwnedRoomId, OwnedRoomId) = (open.id.clone(), left.id.clone());

    let engine = reboot(&machine).await;
    let session = come(&engine, &bo).await;
    say(&engine, &engine.rooms.find(&open).unwrap(), &session, "two").await;
    let after = sync(&engine, &session, Some(&before)).await;
    let seen = &after["rooms"]["join"][open.as_str()];
    assert_eq!(
        (texts(&seen["timeline"]), &seen["timeline"]["limited"]),
        (vec!["one".into(), "two".into()], &json!(true))
    );
    assert!(after["rooms"]["leave"].get(left.as_str()).is_some());
    assert_eq!(after["device_lists"]["changed"], json!([al.user_id, bo.user_id]));
    let next = sync(&engine, &session, Some(&after)).await;
    assert_eq!((&next["rooms"]["join"], &next["rooms"]["leave"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_point_saved_in_passing_serves_later_tokens() {
    let machine = Machine::new(3);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let open = room(&engine, &al.session, &[&bo.session]).await;
    say(&engine, &open, &al.session, "one").await;
    let first = sync(&engine, &bo.session, None).await;
    machine.clock.advance(Duration::from_mins(11));
    say(&engine, &open, &al.session, "two").await;
    let second = sync(&engine, &bo.session, Some(&first)).await;
    say(&engine, &open, &al.session, "three").await;
    let third = sync(&engine, &bo.session, Some(&second)).await;
    // The point is written in the background: other tasks run meanwhile.
    while bo.session.account.view().sync_points.is_empty() {
        tokio::task::yield_now().await;
    }
    let id = open.id.clone();

    let engine = reboot(&machine).await;
    let session = come(&engine, &bo).await;
    say(&engine, &engine.rooms.find(&id).unwrap(), &session, "four").await;
    for token in [&third, &second] {
        let resumed = sync(&engine, &session, Some(token)).await;
        let seen = &resumed["rooms"]["join"][id.as_str()];
        assert_eq!(texts(&seen["timeline"]), ["two", "three", "four"]);
        assert_eq!(seen["timeline"]["limited"], json!(false));
    }
    let earlier = sync(&engine, &session, None).await;
    assert!(earlier["rooms"]["join"].get(id.as_str()).is_some());
}

#[tokio::test]
async fn a_room_that_is_gone_is_announced_as_left() {
    let machine = Machine::new(4);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let open = room(&engine, &al.session, &[]).await;
    let first = sync(&engine, &al.session, None).await;
    engine.rooms.put_out(&open, &al.user_id, &al.user_id, false, Change::default()).await.unwrap();
    engine.rooms.forget(&open.id, &al.session.account).await.unwrap();
    let second = sync(&engine, &al.session, Some(&first)).await;
    let events = &second["rooms"]["leave"][open.id.as_str()]["timeline"]["events"];
    assert_eq!(events[0]["content"], json!({"membership": "leave"}));
    assert_eq!(sync(&engine, &al.session, Some(&second)).await["rooms"]["leave"], Value::Null);
}

#[tokio::test]
async fn a_wait_that_is_dropped_leaves_nothing_behind() {
    let machine = Machine::new(5);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let first = sync(&engine, &al.session, None).await;
    let since = Some(first["next_batch"].as_str().unwrap().to_owned());
    let (_stop, stopping) = watch::channel(false);
    let filter = || Filter::stored(&json!({})).unwrap();
    let held = Arc::strong_count(&al.session.account);
    for _ in 0..20 {
        let timeout = Duration::from_mins(1);
        let ask = Ask {
            since: since.clone(),
            filter: filter(),
            full_state: false,
            state_at: StateAt::Start,
            takes_messages: true,
            timeout,
            presence: PresenceState::Online,
        };
        let waiting = engine.syncs.sync(&al.session, ask, stopping.clone());
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    assert_eq!(Arc::strong_count(&al.session.account), held);
    message(&engine, &al.session, "one").await;
    assert_eq!(texts(&sync(&engine, &al.session, Some(&first)).await["to_device"]), ["one"]);
}

#[tokio::test]
async fn a_session_that_ended_is_told_so() {
    let machine = Machine::new(6);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let first = sync(&engine, &al.session, None).await;
    engine.accounts.logout(&al.session).await.unwrap();
    assert!(try_sync(&engine, &al.session, Some(&first)).await == Err(Error::Account(accounts::Error::UnknownToken)));
}

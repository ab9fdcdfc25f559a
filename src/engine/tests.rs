//! The slice from an account to the disk and back, without HTTP.

mod clock;
mod e2ee;
mod retention;

use std::sync::Arc;

use ruma::{OwnedRoomId, events::room::member::MembershipState};

use super::{
    Engine,
    testing::{Machine, founded, register},
};
use crate::{
    accounts::{Error, LoggedIn, NewDevice, Session, vault::Fact},
    event::{Draft, build::content_from},
    rooms::{Change, Room},
    secret::SecretText,
};

async fn say(engine: &Engine, room: &Arc<Room>, by: &Session, text: &str) {
    let content = content_from(&format!(r#"{{"msgtype":"m.text","body":"{text}"}}"#)).unwrap();
    let draft = Draft::message(&room.id, &by.account.user_id, "m.room.message", content);
    engine.rooms.send(room, draft, None).await.unwrap();
}

fn said(room: &Room) -> Vec<String> {
    let view = room.view();
    let messages = view.timeline.iter().filter(|entry| entry.kind() == "m.room.message");
    messages
        .map(|entry| view.whole(entry).and_then(|whole| whole.face().content_str("body")).unwrap_or_default())
        .collect()
}

async fn come(engine: &Engine, who: &LoggedIn) -> Session {
    engine.accounts.session(who.access.expose()).await.unwrap()
}

async fn reboot(machine: &Machine) -> Arc<Engine> {
    machine.backend.crash(machine.random.as_ref());
    machine.medium.crash(machine.random.as_ref());
    machine.start().await
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let machine = Machine::new(1);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let open = founded(&engine, &al.session).await;
    say(&engine, &open, &al.session, "one").await;
    let id: OwnedRoomId = open.id.clone();
    engine.rooms.invite(&open, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    engine.rooms.join(&open, &bo.session.account, Change::default()).await.unwrap();
    say(&engine, &open, &bo.session, "two").await;
    let before = open.view();

    let engine = reboot(&machine).await;
    assert!(engine.rooms.find(&id).is_none(), "nothing opens before somebody comes");
    assert!(engine.house.awake().is_err());
    let session = come(&engine, &bo).await;
    let again = engine.rooms.find(&id).unwrap();
    let after = again.view();
    assert_eq!(said(&again), ["one", "two"]);
    assert_eq!(after.timeline.len(), before.timeline.len());
    for (old, new) in before.timeline.iter().zip(&after.timeline) {
        assert_eq!(old.id(), new.id());
        assert_eq!(before.event(old).unwrap().json(), after.event(new).unwrap().json());
        assert_eq!(old.before.len(), new.before.len());
    }
    assert_eq!(after.state.len(), before.state.len());
    say(&engine, &again, &session, "three").await;
    let session = come(&engine, &al).await;
    say(&engine, &again, &session, "four").await;
    assert_eq!(said(&again), ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn an_invitation_reaches_a_cold_account() {
    let machine = Machine::new(2);
    let engine = machine.start().await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let engine = reboot(&machine).await;
    let session = come(&engine, &al).await;
    let open = founded(&engine, &session).await;
    engine.rooms.invite(&open, &al.user_id, &bo.user_id, Change::default()).await.unwrap();
    let engine = reboot(&machine).await;
    let session = come(&engine, &bo).await;
    let fact = session.account.view().rooms.get(&open.id).map(|entry| entry.fact.clone());
    assert!(matches!(fact, Some(Fact::Invited(stripped)) if !stripped.is_empty()));
    let open = engine.rooms.find(&open.id).unwrap();
    engine.rooms.join(&open, &session.account, Change::default()).await.unwrap();
    assert_eq!(open.membership(&bo.user_id), MembershipState::Join);
}

#[tokio::test]
async fn who_left_does_not_open_what_follows() {
    let machine = Machine::new(3);
    let engine = machine.start().await;
    let (al, bo, cy) = (register(&engine, "al").await, register(&engine, "bo").await, register(&engine, "cy").await);
    let open = founded(&engine, &al.session).await;
    for who in [&bo, &cy] {
        engine.rooms.invite(&open, &al.user_id, &who.user_id, Change::default()).await.unwrap();
        engine.rooms.join(&open, &who.session.account, Change::default()).await.unwrap();
    }
    let entry = |who: &LoggedIn| who.session.account.view().rooms.get(&open.id).cloned().unwrap();
    let old = entry(&bo);
    engine.rooms.put_out(&open, &bo.user_id, &bo.user_id, false, Change::default()).await.unwrap();
    assert!(matches!(entry(&bo).fact, Fact::Left(_)));
    assert!(entry(&al).keys != old.keys && entry(&al).keys == entry(&cy).keys);
    let slot = engine.journals.slots.value(&open.slot).unwrap();
    let opens = |key| crate::journal::opens(&engine.journals, &slot, key).unwrap();
    assert!(!opens(&old.keys[0]) && opens(&entry(&al).keys[0]));
    say(&engine, &open, &al.session, "without him").await;

    let engine = reboot(&machine).await;
    come(&engine, &bo).await;
    assert!(engine.rooms.find(&open.id).is_none());
    come(&engine, &cy).await;
    assert_eq!(said(&engine.rooms.find(&open.id).unwrap()), ["without him"]);
}

#[tokio::test]
async fn generations_and_packs_lose_nothing() {
    let machine = Machine::new(4);
    let engine = machine.start().await;
    let al = register(&engine, "al").await;
    let open = founded(&engine, &al.session).await;
    let mut texts = Vec::new();
    for count in 0..200 {
        texts.push(format!("number {count}"));
        say(&engine, &open, &al.session, &texts[count]).await;
        if count % 70 == 69 {
            engine.pack().await;
        }
        if count == 100 {
            engine.renew().await;
        }
    }
    engine.merge().await;
    assert_eq!(said(&open), texts, "single rows that a merge left out are found in their packs");
    let id = open.id.clone();
    let engine = reboot(&machine).await;
    come(&engine, &al).await;
    assert_eq!(said(&engine.rooms.find(&id).unwrap()), texts);
}

#[tokio::test]
async fn a_refresh_token_buys_access_and_gives_none() {
    let machine = Machine::new(5);
    let engine = machine.start().await;
    register(&engine, "al").await;
    let device = NewDevice { refresh: true, ..NewDevice::default() };
    let password = SecretText::new("password of al".to_owned());
    let al = engine.accounts.login("al", password, device).await.unwrap();
    let refresh = al.refresh.as_ref().unwrap().expose();
    assert!(engine.accounts.session(refresh).await.is_err());
    let engine = reboot(&machine).await;
    assert_eq!(engine.accounts.session(al.access.expose()).await.err(), Some(Error::SoftLogout));
    let fresh = engine.accounts.refresh(refresh).await.unwrap();
    let session = engine.accounts.session(fresh.access.expose()).await.unwrap();
    assert_eq!(session.device, al.device);
    assert!(engine.accounts.session(refresh).await.is_err());
    engine.accounts.logout(&session).await.unwrap();
    assert!(engine.accounts.refresh(refresh).await.is_err());
    assert!(engine.accounts.session(fresh.access.expose()).await.is_err());
}

#[tokio::test]
async fn an_ordinary_encrypted_event_fits_the_smallest_row() {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

    let machine = Machine::new(6);
    let engine = machine.start().await;
    let al = register(&engine, "alexandra.example").await;
    let open = founded(&engine, &al.session).await;
    let noise = |length: usize| {
        let mut bytes = vec![0; length];
        machine.random.fill(&mut bytes);
        STANDARD_NO_PAD.encode(bytes)
    };
    let session = noise(32);
    for count in 0..30 {
        let content = format!(
            r#"{{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"AwgA{}","device_id":"{}","sender_key":"{}","session_id":"{session}"}}"#,
            noise(300),
            al.device,
            session,
        );
        let content = content_from(&content).unwrap();
        let draft = Draft::message(&open.id, &al.user_id, "m.room.encrypted", content);
        let transaction =
            crate::rooms::Transaction { device: al.device.clone(), id: format!("m1800000000000.{count}") };
        let before = machine.backend.ever().len();
        engine.rooms.send(&open, draft, Some(transaction)).await.unwrap();
        let rows: Vec<usize> = machine.backend.ever()[before..].iter().map(|row| row.3.len()).collect();
        assert_eq!(rows, [1024], "one row of the smallest size");
    }
}

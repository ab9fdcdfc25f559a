//! Accounts and rooms that close because nobody uses them, and come back.

use std::{sync::Arc, time::Duration};

use ruma::OwnedUserId;
use serde_json::Value;

use super::{
    Engine,
    sync_tests::{message, message_to, room, say, sync, texts},
    testing::{Machine, register, settings},
};
use crate::{
    accounts::{
        Error, LoggedIn, NewDevice, Session,
        vault::{Fact, VaultChange, VaultLedger, VaultRoom},
    },
    secret::{Key, SecretText},
};

const IDLE: Duration = Duration::from_hours(1);

/// Somebody who holds nothing but his token.
struct Person {
    user: OwnedUserId,
    token: SecretText,
}

impl Person {
    fn of(logged_in: LoggedIn) -> Self {
        Self { user: logged_in.user_id, token: logged_in.access }
    }

    async fn come(&self, engine: &Engine) -> Session {
        engine.accounts.session(self.token.expose()).await.unwrap()
    }

    async fn sync(&self, engine: &Engine, since: Option<&Value>) -> Value {
        sync(engine, &self.come(engine).await, since).await
    }

    fn is_open(&self, engine: &Engine) -> bool {
        engine.accounts.open(&self.user).is_some()
    }
}

async fn start(seed: u64) -> (Machine, Arc<Engine>) {
    let machine = Machine::new(seed);
    let mut settings = settings();
    settings.accounts.idle = Some(IDLE);
    let engine = machine.start_with(settings).await;
    (machine, engine)
}

fn timeline(answer: &Value, room: &str) -> Vec<String> {
    answer["rooms"]["join"].get(room).map(|room| texts(&room["timeline"])).unwrap_or_default()
}

#[tokio::test]
async fn an_idle_account_closes_with_its_rooms_and_goes_on_where_it_was() {
    let (machine, engine) = start(1).await;
    let (al, bo) = (register(&engine, "al").await, register(&engine, "bo").await);
    let both = room(&engine, &al.session, &[&bo.session]).await.id.clone();
    let alone = room(&engine, &bo.session, &[]).await.id.clone();
    let (al, bo) = (Person::of(al), Person::of(bo));
    let first = bo.sync(&engine, None).await;
    let since = bo.sync(&engine, Some(&first)).await;

    machine.clock.advance(IDLE.saturating_sub(Duration::from_secs(1)));
    al.come(&engine).await;
    engine.close_idle().await;
    assert!(al.is_open(&engine) && bo.is_open(&engine));
    machine.clock.advance(Duration::from_secs(1));
    engine.close_idle().await;
    assert!(al.is_open(&engine) && !bo.is_open(&engine));
    assert!(engine.rooms.find(&both).is_some() && engine.rooms.find(&alone).is_none());

    let session = al.come(&engine).await;
    say(&engine, &engine.rooms.find(&both).unwrap(), &session, "one").await;
    drop(session);
    let sender = bo.come(&engine).await;
    assert!(engine.rooms.find(&alone).is_some());
    let next = sync(&engine, &sender, Some(&since)).await;
    assert_eq!(timeline(&next, both.as_str()), ["one"]);
    assert!(timeline(&next, alone.as_str()).is_empty());
    say(&engine, &engine.rooms.find(&alone).unwrap(), &sender, "two").await;
    drop(sender);

    // Everybody closes, twice: tokens from before go on each time.
    for text in ["three", "four"] {
        machine.clock.advance(IDLE);
        engine.close_idle().await;
        assert!(!al.is_open(&engine) && !bo.is_open(&engine));
        assert!(engine.rooms.all_open().is_empty());
        let session = al.come(&engine).await;
        say(&engine, &engine.rooms.find(&both).unwrap(), &session, text).await;
    }
    let last = bo.sync(&engine, Some(&next)).await;
    assert_eq!(timeline(&last, both.as_str()), ["three", "four"]);
    assert_eq!(timeline(&last, alone.as_str()), ["two"]);
    assert!(timeline(&bo.sync(&engine, Some(&last)).await, both.as_str()).is_empty());
}

#[tokio::test]
async fn messages_between_devices_wait_for_an_account_that_closed() {
    let (machine, engine) = start(2).await;
    let bo = Person::of(register(&engine, "bo").await);
    let session = bo.come(&engine).await;
    message(&engine, &session, "before").await;
    let since = sync(&engine, &session, None).await;
    assert_eq!(texts(&since["to_device"]), ["before"]);
    let (user, device) = (session.account.user_id.clone(), session.device.clone());
    drop(session);
    machine.clock.advance(IDLE);
    engine.close_idle().await;
    assert!(!bo.is_open(&engine));
    message_to(&engine, &user, device, "while away").await;
    assert!(!bo.is_open(&engine));
    assert_eq!(texts(&bo.sync(&engine, Some(&since)).await["to_device"]), ["while away"]);
}

#[tokio::test]
async fn what_somebody_holds_stays_open() {
    let (machine, engine) = start(3).await;
    let bo = register(&engine, "bo").await;
    let held = room(&engine, &bo.session, &[]).await;
    let person = Person::of(bo);
    let session = person.come(&engine).await;
    machine.clock.advance(IDLE * 2);
    engine.close_idle().await;
    // A request that takes long still has the account.
    assert!(person.is_open(&engine));
    drop(session);
    engine.close_idle().await;
    assert!(!person.is_open(&engine));
    assert!(engine.rooms.find(&held.id).is_some(), "somebody holds the room");
    let id = held.id.clone();
    drop(held);
    engine.close_idle().await;
    assert!(engine.rooms.find(&id).is_none());
}

#[tokio::test]
async fn an_access_token_that_lived_in_memory_is_bought_anew() {
    let (machine, engine) = start(4).await;
    let password = || SecretText::new("correct horse battery staple quartz".to_owned());
    let device = NewDevice { refresh: true, ..NewDevice::default() };
    let registered = engine.accounts.register("bo", password(), Some(device), false, |_, _| Ok(Vec::new())).await;
    let bo = registered.unwrap().1.unwrap();
    let refresh = bo.refresh.as_ref().unwrap().expose().to_owned();
    let person = Person::of(bo);
    machine.clock.advance(IDLE / 2);
    person.come(&engine).await;
    machine.clock.advance(IDLE);
    engine.close_idle().await;
    assert!(!person.is_open(&engine));
    assert_eq!(engine.accounts.session(person.token.expose()).await.err(), Some(Error::SoftLogout));
    let bought = engine.accounts.refresh(&refresh).await.unwrap();
    assert!(engine.accounts.session(bought.access.expose()).await.is_ok());
}

#[tokio::test]
async fn a_room_that_no_key_opens_leaves_the_vault_after_ninety_days() {
    let (machine, engine) = start(5).await;
    let bo = register(&engine, "bo").await;
    let id = room(&engine, &bo.session, &[]).await.id.clone();
    let lost = |vault: &VaultLedger| {
        let slot = vault.rooms[&id].slot;
        let other = Key::random(machine.random.as_ref());
        vec![VaultChange::Room(id.clone(), Some(VaultRoom::new(slot, vec![other], Fact::Joined)))]
    };
    bo.session.account.vault.change(&engine.journals, lost).await.unwrap();
    let bo = Person::of(bo);
    let mut first = None;
    for (days, known) in [(1, true), (30, true), (30, true), (30, true), (1, false)] {
        machine.clock.advance(Duration::from_hours(24 * days));
        engine.close_idle().await;
        assert!(!bo.is_open(&engine));
        let entry = bo.come(&engine).await.account.view().rooms.get(&id).cloned();
        assert_eq!(entry.is_some(), known, "after {days} more days");
        let since = entry.and_then(|entry| entry.behind);
        assert!(!known || since.is_some() && *first.get_or_insert(since) == since);
    }
}

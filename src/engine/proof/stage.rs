//! Where steps run on the real engine, and the power that can be cut meanwhile.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{CanonicalJsonObject, OwnedRoomId, OwnedUserId, RoomVersionId, UserId};

use super::{
    ghost::Ghost,
    oracle,
    step::{Step, s},
};
use crate::{
    accounts::{Account, Error, NewDevice, Reset, Session, Subject, vault::VaultChange},
    engine::{Engine, testing::Machine},
    event::{Draft, build::content_from},
    rooms::{Change, Room, create},
    secret::SecretText,
    seizure::Credential,
};

/// An engine, the machine it runs on, and what must be true of it.
pub(super) struct Stage {
    pub(super) machine: Machine,
    pub(super) engine: Arc<Engine>,
    pub(super) ghost: Ghost,
    facts: u32,
    /// The ids of rooms by their labels.
    ids: BTreeMap<u32, OwnedRoomId>,
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It completed.
    Done,
    /// It was cut, and the state is the old one.
    Old,
    /// It was cut, and the state is the new one.
    New,
}

/// Longer than the last of an epoch of thirty days lives.
const MONTH: Duration = Duration::from_hours(32 * 24);

pub(super) const LABEL: &str = "org.proof.label";
pub(super) const STATE: &str = "org.proof.state";

impl Stage {
    pub(super) async fn new(seed: u64) -> Self {
        let machine = Machine::new(seed);
        let engine = machine.start().await;
        engine.open_epochs().await.unwrap();
        Self { machine, engine, ghost: Ghost::default(), facts: 0, ids: BTreeMap::new() }
    }

    /// The same disk on another machine that has just been started.
    pub(super) async fn copy(&self, seed: u64) -> Self {
        let machine = self.machine.copy(seed);
        machine.cut();
        let engine = machine.start().await;
        Self { machine, engine, ghost: self.ghost.clone(), facts: self.facts, ids: self.ids.clone() }
    }

    /// Another machine that is started, of which this must be true.
    pub(super) async fn on(&self, machine: Machine, ghost: Ghost) -> Self {
        let engine = machine.start().await;
        engine.open_epochs().await.unwrap();
        Self { machine, engine, ghost, facts: self.facts, ids: self.ids.clone() }
    }

    /// A new account that has said a secret.
    pub(super) async fn welcome(&mut self, name: &str, refresh: bool) {
        let name = s(name);
        self.play(Step::Register { name: name.clone(), password: format!("{name} 1"), refresh }).await;
        let fact = self.fact();
        self.play(Step::Secret { name, fact }).await;
    }

    pub(super) fn fact(&mut self) -> u32 {
        self.facts += 1;
        self.facts
    }

    pub(super) async fn reboot(&mut self) {
        self.machine.cut();
        self.engine = self.machine.start().await;
    }

    /// Carries a step out in full.
    pub(super) async fn play(&mut self, step: Step) {
        let end = self.attempt(&step, None).await;
        assert_eq!(end, Ok(End::Done), "{step:?}");
    }

    /// Carries a step out, with the power cut before disk step `cut`, and finds out what became of it.
    pub(super) async fn attempt(&mut self, step: &Step, cut: Option<u64>) -> Result<End, String> {
        self.prepare(step).await?;
        if let Some(cut) = cut {
            self.machine.backend.cut_after(cut);
        }
        let outcome = self.perform(step).await;
        let fuse = self.machine.backend.fuse();
        if !fuse.blown() {
            fuse.reset();
            let open = self.engine.rooms.all_open();
            self.ids.extend(open.iter().filter_map(|room| Some((label_of(room)?, room.id.clone()))));
            self.ghost.apply(step, outcome.map_err(|error| format!("{step:?} was refused: {error}"))?, false);
            return Ok(End::Done);
        }
        self.reboot().await;
        let upkeep = matches!(
            step,
            Step::Generation { .. }
                | Step::Rewrite { .. }
                | Step::HouseKey
                | Step::RoomKeys
                | Step::Wake { .. }
                | Step::Month
        );
        let (mut old, mut new) = (self.ghost.clone(), self.ghost.clone());
        old.miss(step);
        let acknowledged = outcome.is_ok() && !upkeep;
        // What an account's end owes to rooms may still be owed when it is answered (keys.md §2, "account delete").
        let owes = matches!(step, Step::Deactivate { .. });
        new.apply(step, outcome.unwrap_or_default(), !acknowledged || owes);
        let as_new = oracle::check(&self.machine, &new).await;
        if as_new.is_ok() {
            self.ghost = new;
            return Ok(End::New);
        }
        let as_old =
            if acknowledged { Err("it was answered".to_owned()) } else { oracle::check(&self.machine, &old).await };
        match as_old {
            Ok(()) => {
                self.ghost = old;
                Ok(End::Old)
            }
            Err(old) => Err(format!("neither old ({old}) nor new ({})", as_new.unwrap_err())),
        }
    }

    /// Wakes whom a step needs.
    async fn prepare(&mut self, step: &Step) -> Result<(), String> {
        let name = match step {
            Step::Restrict { by: name, .. }
            | Step::Report { by: name, .. }
            | Step::Logout { name, .. }
            | Step::Password { name, .. }
            | Step::Secret { name, .. }
            | Step::Deactivate { name, open: true, .. }
            | Step::Reset { name, open: true, .. }
            | Step::Abandon { name, open: true, .. }
            | Step::Relogin { name, .. } => Some(name),
            // Where the house is awake, nobody need come for what another does.
            Step::Deactivate { open: false, .. }
            | Step::Reset { open: false, .. }
            | Step::Abandon { open: false, .. }
            | Step::Register { .. }
            | Step::Administer { .. }
            | Step::HouseKey
            | Step::Lock { .. }
                if self.engine.house.view().is_ok() =>
            {
                None
            }
            // Another wakes the house.
            Step::Deactivate { name, open: false, .. }
            | Step::Reset { name, open: false, .. }
            | Step::Abandon { name, open: false, .. } => self.ghost.accounts.keys().find(|other| *other != name),
            Step::Create { by, .. } | Step::Invite { by, .. } | Step::Out { by, .. } | Step::Access { by, .. } => {
                Some(by)
            }
            Step::Send { by, .. }
            | Step::State { by, .. }
            | Step::Redact { by, .. }
            | Step::Erase { by, .. }
            | Step::Shred { by, .. } => Some(by),
            Step::Join { who, .. } | Step::Knock { who, .. } => Some(who),
            // The house must be awake.
            Step::Register { .. } | Step::Lock { .. } | Step::Administer { .. } | Step::HouseKey => {
                self.ghost.accounts.keys().next()
            }
            Step::Login { name, .. } => self.ghost.accounts[name].pending.as_ref().map(|_| name),
            Step::Generation { .. } | Step::Rewrite { .. } | Step::RoomKeys | Step::Wake { .. } | Step::Month => None,
        };
        if let Some(name) = name.cloned() {
            self.come(&name).await?;
        }
        Ok(())
    }

    /// The open account, woken with a token, or with the password when it has none.
    pub(super) async fn come(&mut self, name: &str) -> Result<Arc<Account>, String> {
        if let Some(account) = self.engine.accounts.open(&user(name)) {
            return Ok(account);
        }
        if self.ghost.accounts[name].pending.is_some() {
            return self.come_for_a_password(name).await;
        }
        let random = Arc::clone(&self.machine.random);
        let known = &self.ghost.accounts[name];
        let (count, locked) = (known.tokens.len() as u64, known.locked);
        let came = if count == 0 {
            let password = SecretText::new(known.password.clone());
            let device = NewDevice { name: Some("back again".into()), ..NewDevice::default() };
            let back = self.engine.accounts.login(name, password, device).await;
            let tokens = &mut self.ghost.accounts.get_mut(name).unwrap().tokens;
            back.map(|back| tokens.push(back.access.expose().to_owned())).map_err(text)
        } else {
            let token = known.tokens[usize::try_from(random.below(count)).unwrap()].clone();
            session(&self.engine, &token).await.map(drop)
        };
        if came.is_err() && !(locked && came == Err(Error::Locked.to_string())) {
            return Err(format!("I5 {name}: {came:?}"));
        }
        // Who is locked out has come all the same: his rooms are open for others.
        self.engine.accounts.open(&user(name)).ok_or_else(|| format!("I5 {name} is cold"))
    }

    /// Has an account come whose password was reset while it was cold: any of its credentials carries that out.
    async fn come_for_a_password(&mut self, name: &str) -> Result<Arc<Account>, String> {
        knock_with(&self.engine, &self.ghost, name, self.machine.random.as_ref()).await?;
        self.ghost.settle(name);
        let password = SecretText::new(self.ghost.accounts[name].password.clone());
        let back = self.engine.accounts.login(name, password, NewDevice::default()).await;
        let back = back.map_err(|error| format!("I5 {name} after a reset: {error}"))?;
        self.ghost.accounts.get_mut(name).unwrap().tokens.extend(durable(&back));
        Ok(back.session.account)
    }

    /// Carries out what takes something off the disk.
    async fn forget(&self, step: &Step) -> Result<(), String> {
        let engine = &self.engine;
        let open = |name: &str| engine.accounts.open(&user(name)).ok_or_else(|| format!("{name} is not open"));
        match step {
            Step::Generation { .. } => engine.renew().await,
            Step::Month => {
                self.machine.clock.advance(MONTH);
                engine.keeper.tick().await;
            }
            Step::Rewrite { .. } => engine.rewrite_redacted().await,
            Step::HouseKey => engine.accounts.replace_house_key().await.map_err(text)?,
            Step::RoomKeys => {
                for room in engine.rooms.all_open() {
                    engine.rooms.replace_key(&room).await.map_err(text)?;
                }
            }
            Step::Erase { room, by, who } => {
                let room = reach(engine, *room, &open(by)?).await?;
                engine.erase_from_room(&room.id, &user(who)).await.map_err(text)?;
            }
            Step::Shred { room, by, open: true } => {
                let room = reach(engine, *room, &open(by)?).await?;
                engine.shred_room(&room.id).await.map_err(text)?;
            }
            Step::Shred { room, by, open: false } => {
                // He is in none of it, and knows its id.
                assert!(open(by)?.view().rooms.is_empty());
                let shredded = engine.shred_room(&self.ids[room]).await.map_err(text)?;
                assert!(shredded.waits);
            }
            _ => {}
        }
        Ok(())
    }

    async fn log_in(&self, name: &str, device: NewDevice) -> Result<Vec<String>, String> {
        let password = SecretText::new(self.ghost.accounts[name].password.clone());
        self.engine.accounts.login(name, password, device).await.map(|device| durable(&device)).map_err(text)
    }

    async fn perform(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let engine = Arc::clone(&self.engine);
        let (accounts, rooms) = (&engine.accounts, &engine.rooms);
        let open = |name: &str| accounts.open(&user(name)).ok_or_else(|| format!("{name} is not open"));
        match step {
            Step::Register { name, password, refresh } => {
                let device = NewDevice { refresh: *refresh, ..NewDevice::default() };
                let password = SecretText::new(password.clone());
                let made = accounts.register(name, password, Some(device), false, |_, _| Ok(Vec::new())).await;
                return made.map(|(_, device)| durable(device.as_ref().unwrap())).map_err(text);
            }
            Step::Login { name, refresh } => {
                let device = NewDevice { refresh: *refresh, name: Some("phone".to_owned()), id: None };
                return self.log_in(name, device).await;
            }
            Step::Relogin { name, token } => {
                let id = Some(session(&engine, token).await?.device);
                return self.log_in(name, NewDevice { id, ..NewDevice::default() }).await;
            }
            Step::Logout { token, by, .. } => {
                let session = session(&engine, token).await?;
                match by {
                    None => accounts.logout(&session).await.map_err(text)?,
                    Some(_) => accounts.end_devices(&session.account, &[session.device]).await.map_err(text)?,
                }
            }
            Step::Password { token, new, end_others, .. } => {
                let session = session(&engine, token).await?;
                accounts.change_password(&session, SecretText::new(new.clone()), *end_others).await.map_err(text)?;
            }
            Step::Lock { name, on } => accounts.note(&user(name), |entry| entry.locked = *on).await.map_err(text)?,
            Step::Administer { name } => accounts.note(&user(name), |entry| entry.admin = true).await.map_err(text)?,
            Step::Report { by, fact } => {
                let reason = Some(format!("fact-{fact}"));
                accounts.report(&user(by), Subject::default(), reason).await.map_err(text)?;
            }
            Step::Reset { name, new, end_devices, open } => {
                let reset = accounts.reset_password(&user(name), SecretText::new(new.clone()), *end_devices).await;
                let expected = if *open { Reset::Done } else { Reset::Waits };
                assert_eq!(reset.map_err(text)?, expected);
            }
            Step::Abandon { name, new, .. } => {
                let named = accounts.named(name).map_err(text)?.ok_or_else(|| format!("{name} is unknown"))?;
                engine.abandon(&named, SecretText::new(new.clone())).await.map_err(text)?;
            }
            Step::Secret { name, fact } => {
                let value = serde_json::json!({ "text": format!("fact-{fact}") });
                let change = VaultChange::AccountData("org.proof.secret".to_owned(), Some(value));
                open(name)?.vault.change(&engine.journals, |_| vec![change]).await.map_err(text)?;
            }
            Step::Generation { .. }
            | Step::Month
            | Step::Rewrite { .. }
            | Step::HouseKey
            | Step::RoomKeys
            | Step::Erase { .. }
            | Step::Shred { .. } => self.forget(step).await?,
            Step::Deactivate { name, erase, .. } => engine.deactivate(&user(name), *erase).await.map_err(text)?,
            Step::Wake { name } => drop(self.come(name).await?),
            Step::Create { by, label, public, invite } => found(&engine, &open(by)?, *label, *public, invite).await?,
            Step::Invite { room, by, who } => {
                let room = reach(&engine, *room, &open(by)?).await?;
                rooms.invite(&room, &user(by), &user(who), Change::default()).await.map_err(text)?;
            }
            Step::Join { room, who } => {
                let account = open(who)?;
                let room = reach(&engine, *room, &account).await?;
                rooms.enter_room(&room, &account, Change::default()).await.map_err(text)?;
            }
            Step::Knock { room, who } => {
                let account = open(who)?;
                let room = reach(&engine, *room, &account).await?;
                rooms.knock(&room, &account, Change::default()).await.map_err(text)?;
            }
            Step::Out { room, by, who, ban } => {
                let room = reach(&engine, *room, &open(by)?).await?;
                rooms.put_out(&room, &user(by), &user(who), *ban, Change::default()).await.map_err(text)?;
            }
            Step::Access { room, by, public } => {
                let room = reach(&engine, *room, &open(by)?).await?;
                let rule = if *public { r#"{"join_rule":"public"}"# } else { r#"{"join_rule":"invite"}"# };
                rooms.send_rotating(&room, join_rule(&room, by, rule), None).await.map_err(text)?;
            }
            Step::Restrict { room, by, hall } => {
                let (room, hall) = (reach(&engine, *room, &open(by)?).await?, reach(&engine, *hall, &open(by)?).await?);
                rooms.send_rotating(&room, restricted(&room, by, &hall), None).await.map_err(text)?;
            }
            Step::Send { room, by, fact } | Step::State { room, by, fact } | Step::Redact { room, by, fact } => {
                let room = reach(&engine, *room, &open(by)?).await?;
                let event = match step {
                    Step::Send { .. } => message(&room, by, *fact),
                    Step::State { .. } => state(&room, by, *fact),
                    _ => redaction(&room, by, *fact),
                };
                rooms.send(&room, event, None).await.map_err(text)?;
            }
        }
        Ok(Vec::new())
    }
}

/// Uses one credential of an account that a new password waits for: a token goes on being good unless devices end with
/// the reset, the old password is refused.
pub(super) async fn knock_with(
    engine: &Engine,
    ghost: &Ghost,
    name: &str,
    random: &dyn crate::random::Random,
) -> Result<(), String> {
    let pending = ghost.accounts[name].pending.clone().unwrap();
    let credentials = ghost.credentials_of(name);
    let chosen = &credentials[usize::try_from(random.below(credentials.len() as u64)).unwrap()];
    let (came, expected) = match chosen {
        Credential::Token(token) => {
            let expected = if pending.end_devices { Err(Error::UnknownToken.to_string()) } else { Ok(()) };
            (session(engine, token).await.map(drop), expected)
        }
        Credential::Password(name, password) => {
            let back = engine.accounts.login(name, SecretText::new(password.clone()), NewDevice::default()).await;
            (back.map(drop).map_err(text), Err(Error::Forbidden.to_string()))
        }
    };
    if came == expected { Ok(()) } else { Err(format!("I5 {chosen:?} of {name} before a reset: {came:?}")) }
}

fn join_rule(room: &Room, by: &str, rule: &str) -> Draft {
    Draft::state(&room.id, &user(by), "m.room.join_rules", "", content_from(rule).unwrap())
}

fn restricted(room: &Room, by: &str, hall: &Room) -> Draft {
    let allow = serde_json::json!([{ "type": "m.room_membership", "room_id": hall.id }]);
    join_rule(room, by, &serde_json::json!({ "join_rule": "restricted", "allow": allow }).to_string())
}

fn message(room: &Room, by: &str, fact: u32) -> Draft {
    let content = content_from(&format!(r#"{{"msgtype":"m.text","body":"fact-{fact}"}}"#)).unwrap();
    Draft::message(&room.id, &user(by), "m.room.message", content)
}

fn state(room: &Room, by: &str, fact: u32) -> Draft {
    let content = content_from(&format!(r#"{{"text":"fact-{fact}"}}"#)).unwrap();
    Draft::state(&room.id, &user(by), STATE, "", content)
}

/// The redaction of what `fact` was said in, or of the state that says it.
fn redaction(room: &Room, by: &str, fact: u32) -> Draft {
    let text = format!("fact-{fact}");
    let view = room.view();
    let said = view.timeline.iter().find(|entry| {
        let Some(whole) = view.whole(entry) else { return false };
        let field = |name| whole.face().content_str(name);
        field("body").or_else(|| field("text")).as_ref() == Some(&text)
    });
    let redacts = said.map(crate::rooms::Entry::id);
    Draft { redacts, ..Draft::message(&room.id, &user(by), "m.room.redaction", CanonicalJsonObject::new()) }
}

async fn found(engine: &Engine, by: &Arc<Account>, label: u32, public: bool, invite: &[String]) -> Result<(), String> {
    let person = |user: OwnedUserId| create::Person { user, profile: CanonicalJsonObject::new() };
    let preset = if public { create::Preset::Public } else { create::Preset::Private };
    let label = create::InitialState {
        kind: LABEL.to_owned(),
        state_key: String::new(),
        content: content_from(&format!(r#"{{"label":"fact-{label}"}}"#)).unwrap(),
    };
    let request = create::CreateRoom {
        creator: person(by.user_id.clone()),
        version: RoomVersionId::V12,
        preset: Some(preset),
        published: false,
        name: None,
        topic: None,
        alias: None,
        retention: None,
        initial_state: vec![label],
        creation_content: CanonicalJsonObject::new(),
        power_level_content_override: CanonicalJsonObject::new(),
        invite: invite.iter().map(|name| person(user(name))).collect(),
        is_direct: false,
    };
    let plan = create::plan(&request).unwrap();
    engine.rooms.found(Some(by), RoomVersionId::V12, None, plan.drafts).await.map_err(text)?;
    Ok(())
}

/// The room labelled `label`, if it is open or `account` can open it.
pub(super) async fn reach(engine: &Engine, label: u32, account: &Arc<Account>) -> Result<Arc<Room>, String> {
    if let Some(room) = engine.rooms.all_open().into_iter().find(|room| label_of(room) == Some(label)) {
        return Ok(room);
    }
    let mut ids: Vec<_> = account.view().rooms.keys().cloned().collect();
    ids.extend(engine.house.view().map_err(text)?.public.keys().cloned());
    for id in ids {
        if let Ok(room) = engine.rooms.reach(&id, account).await
            && label_of(&room) == Some(label)
        {
            return Ok(room);
        }
    }
    Err(format!("room {label} cannot be reached"))
}

/// The session of a token, access or refresh.
pub(super) async fn session(engine: &Engine, token: &str) -> Result<Session, String> {
    if token.starts_with("ltr_") {
        return engine.accounts.refresh(token).await.map(|device| device.session).map_err(text);
    }
    engine.accounts.session(token).await.map_err(text)
}

pub(super) fn label_of(room: &Room) -> Option<u32> {
    fact_in(room.view().state.find(LABEL, "")?.content_str("label"))
}

pub(super) fn fact_in(text: Option<String>) -> Option<u32> {
    text?.strip_prefix("fact-")?.parse().ok()
}

pub(super) fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:localhost")).unwrap()
}

/// The token of a device that a restart does not end.
fn durable(device: &crate::accounts::LoggedIn) -> Vec<String> {
    vec![device.refresh.as_ref().unwrap_or(&device.access).expose().to_owned()]
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

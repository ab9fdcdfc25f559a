//! A small room for tests: builds, authorises and applies events one by one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{
    EventId, OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, UserId, room_version_rules::RoomVersionRules,
    server_name, signatures::Ed25519KeyPair, user_id,
};
use serde_json::{Value, json};

use super::{Effect, Rejection, StateMap, apply, auth_events_for, authorise};
use crate::{
    clock::Timestamp,
    event::{Builder, Draft, Event, Parents, build::content_from, rules_of, ts::next_ts},
    random::SeededRandom,
};

pub(crate) const AL: &str = "@al:ex.org";
pub(crate) const BO: &str = "@bo:ex.org";
pub(crate) const CY: &str = "@cy:ex.org";

pub(crate) struct TestRoom {
    pub(crate) rules: RoomVersionRules,
    pub(crate) id: OwnedRoomId,
    pub(crate) state: StateMap,
    pub(crate) events: BTreeMap<OwnedEventId, Arc<Event>>,
    pub(crate) parents: Parents,
    last: Option<Timestamp>,
    key: Arc<Ed25519KeyPair>,
    random: Arc<SeededRandom>,
}

pub(crate) fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "a".to_owned()).unwrap()
}

impl Clone for TestRoom {
    fn clone(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            id: self.id.clone(),
            state: self.state.clone(),
            events: self.events.clone(),
            parents: self.parents.clone(),
            last: self.last,
            key: Arc::clone(&self.key),
            random: Arc::clone(&self.random),
        }
    }
}

impl TestRoom {
    /// A room without events.
    pub(crate) fn empty(version: &RoomVersionId) -> Self {
        Self {
            rules: rules_of(version).unwrap(),
            id: RoomId::parse("!room:ex.org").unwrap(),
            state: StateMap::default(),
            events: BTreeMap::new(),
            parents: Parents::default(),
            last: None,
            key: Arc::new(key()),
            random: Arc::new(SeededRandom::new(7)),
        }
    }

    /// A room that AL created and joined, open by invitation.
    pub(crate) fn new(version: &RoomVersionId) -> Self {
        let mut room = Self::empty(version);
        room.state(AL, "m.room.create", "", &json!({"room_version": version.as_str()})).unwrap();
        room.state(AL, "m.room.member", AL, &json!({"membership": "join"})).unwrap();
        let creator_listed = !room.rules.authorization.explicitly_privilege_room_creators;
        let users = if creator_listed { json!({AL: 100}) } else { json!({}) };
        room.state(AL, "m.room.power_levels", "", &json!({"users": users, "state_default": 50})).unwrap();
        room.state(AL, "m.room.join_rules", "", &json!({"join_rule": "invite"})).unwrap();
        room
    }

    pub(crate) fn state(
        &mut self,
        sender: &str,
        kind: &str,
        key: &str,
        content: &Value,
    ) -> Result<Vec<Effect>, Rejection> {
        let content = content_from(&content.to_string()).unwrap();
        let sender = <&UserId>::try_from(sender).unwrap();
        self.send(Draft::state(&self.id.clone(), sender, kind, key, content)).map(|(_, effects)| effects)
    }

    pub(crate) fn message(&mut self, sender: &str, text: &str) -> Result<Arc<Event>, Rejection> {
        let content = content_from(&json!({"msgtype": "m.text", "body": text}).to_string()).unwrap();
        let sender = <&UserId>::try_from(sender).unwrap();
        self.send(Draft::message(&self.id.clone(), sender, "m.room.message", content)).map(|(event, _)| event)
    }

    pub(crate) fn member(&mut self, sender: &str, user: &str, membership: &str) -> Result<Vec<Effect>, Rejection> {
        self.state(sender, "m.room.member", user, &json!({"membership": membership}))
    }

    pub(crate) fn send(&mut self, draft: Draft) -> Result<(Arc<Event>, Vec<Effect>), Rejection> {
        let auth = auth_events_for(&draft, &self.state, &self.rules)?;
        let ts = next_ts(Timestamp(1_000_000), Duration::from_secs(10), self.last);
        let builder =
            Builder { rules: &self.rules, server: server_name!("ex.org"), key: &self.key, random: &*self.random };
        let event = Arc::new(builder.build(draft, &self.parents, &auth, ts).unwrap());
        authorise(&event, &self.state, &self.rules)?;
        let applied = apply(&event, &self.state, &self.rules, &|user| user.server_name() == "ex.org");
        self.last = Some(ts);
        self.id = event.room_id().to_owned();
        self.state = applied.state;
        self.parents = Parents { events: vec![event.id().to_owned()], depth: event.depth() };
        self.events.insert(event.id().to_owned(), Arc::clone(&event));
        Ok((event, applied.effects))
    }

    pub(crate) fn fetch(&self, id: &EventId) -> Option<Arc<Event>> {
        self.events.get(id).cloned()
    }
}

pub(crate) fn al() -> &'static UserId {
    user_id!("@al:ex.org")
}

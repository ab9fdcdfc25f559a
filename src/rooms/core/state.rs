//! A room's state at one event: a persistent map with structural sharing.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use equivalent::{Comparable, Equivalent};
use imbl::OrdSet;
use ruma::{
    EventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState, room::power_levels::UserPowerLevel},
    room_version_rules::AuthorizationRules,
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};
use serde::Deserialize;

use crate::event::Event;

/// The state of a room: event type and state key → event.
///
/// A clone is cheap and shares everything; two states that differ in one entry share the rest.
#[derive(Clone, Default)]
pub struct StateMap(OrdSet<Slot>);

/// A state event in its place, which is its type and state key.
#[derive(Clone)]
struct Slot(Arc<Event>);

/// The place of a state event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    kind: &'a str,
    state_key: &'a str,
}

impl Slot {
    fn place(&self) -> Place<'_> {
        Place { kind: self.0.kind(), state_key: self.0.state_key().unwrap_or_default() }
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl Equivalent<Slot> for Place<'_> {
    fn equivalent(&self, slot: &Slot) -> bool {
        *self == slot.place()
    }
}

impl Comparable<Slot> for Place<'_> {
    fn compare(&self, slot: &Slot) -> Ordering {
        self.cmp(&slot.place())
    }
}

/// Who may enter a room without being asked in: they count as members for its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everybody.
    Public,
    /// The members of these rooms.
    Restricted(BTreeSet<OwnedRoomId>),
    /// Nobody.
    Invite,
}

impl Access {
    /// Whether everybody who may enter under `narrower` may enter under this.
    #[must_use]
    pub fn covers(&self, narrower: &Self) -> bool {
        match (self, narrower) {
            (Self::Public, _) | (_, Self::Invite) => true,
            (Self::Restricted(wide), Self::Restricted(narrow)) => narrow.is_subset(wide),
            _ => false,
        }
    }
}

impl StateMap {
    /// Puts a state event in the place of the one it replaces, which is returned; any other event changes nothing.
    pub fn insert(&mut self, event: Arc<Event>) -> Option<Arc<Event>> {
        event.state_key()?;
        self.0.insert(Slot(event)).map(|slot| slot.0)
    }

    /// Takes out what has this event's type and state key.
    pub fn remove(&mut self, event: &Event) {
        let place = event.state_key().map(|state_key| Place { kind: event.kind(), state_key });
        place.map(|place| self.0.remove(&place));
    }

    /// The event of this type and state key.
    #[must_use]
    pub fn find(&self, kind: &str, state_key: &str) -> Option<&Arc<Event>> {
        let place = Place { kind, state_key };
        self.0.get(&place).map(|slot| &slot.0)
    }

    /// The event with this id, when it is part of the state; a walk over the whole state.
    #[must_use]
    pub fn find_id(&self, id: &EventId) -> Option<&Arc<Event>> {
        self.iter().find(|event| event.id() == id)
    }

    /// Every event of a type, by state key.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Arc<Event>> {
        let from = self.0.range(Place { kind, state_key: "" }..);
        from.map(|slot| &slot.0).take_while(move |event| event.kind() == kind)
    }

    /// Every event, by type and state key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.0.iter().map(|slot| &slot.0)
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the room has no state yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `m.room.create`.
    #[must_use]
    pub fn create(&self) -> Option<&Arc<Event>> {
        self.find("m.room.create", "")
    }

    /// The room's version.
    #[must_use]
    pub fn version(&self) -> Option<RoomVersionId> {
        RoomCreateEvent::new(self.create()?).room_version().ok()
    }

    /// The room's type, `m.space` for a space.
    #[must_use]
    pub fn room_type(&self) -> Option<String> {
        self.create()?.content_str("type")
    }

    /// Whether servers other than the creator's may take part (`m.federate`).
    #[must_use]
    pub fn federates(&self) -> bool {
        self.create().is_none_or(|create| RoomCreateEvent::new(create).federate().unwrap_or(true))
    }

    /// Who created the room; from version 12 on, all who have unlimited power.
    #[must_use]
    pub fn creators(&self, rules: &AuthorizationRules) -> BTreeSet<OwnedUserId> {
        let creators = self.create().and_then(|create| RoomCreateEvent::new(create).creators(rules).ok());
        creators.into_iter().flatten().collect()
    }

    /// `m.room.power_levels`.
    #[must_use]
    pub fn power_levels(&self) -> Option<&Arc<Event>> {
        self.find("m.room.power_levels", "")
    }

    /// A user's power by the room's version: unlimited for creators from version 12 on.
    #[must_use]
    pub fn power_of(&self, user: &UserId, rules: &AuthorizationRules) -> UserPowerLevel {
        let creators = self.creators(rules);
        if rules.explicitly_privilege_room_creators && creators.contains(user) {
            return UserPowerLevel::Infinite;
        }
        let level = match self.power_levels() {
            Some(levels) => RoomPowerLevelsEvent::new(levels).user_power_level(user, rules).unwrap_or_default(),
            None if creators.contains(user) => 100.into(),
            None => 0.into(),
        };
        UserPowerLevel::Int(level)
    }

    /// The power needed for one of the fixed actions.
    #[must_use]
    pub fn power_for(&self, action: RoomPowerLevelsIntField, rules: &AuthorizationRules) -> UserPowerLevel {
        let level =
            self.power_levels().and_then(|levels| RoomPowerLevelsEvent::new(levels).get_as_int(action, rules).ok());
        UserPowerLevel::Int(level.flatten().unwrap_or_else(|| action.default_value()))
    }

    /// The power needed to send an event of this type.
    #[must_use]
    pub fn power_to_send(&self, kind: &str, is_state: bool, rules: &AuthorizationRules) -> UserPowerLevel {
        let state_key = is_state.then_some("");
        let Some(levels) = self.power_levels() else { return UserPowerLevel::Int(0.into()) };
        let kind = TimelineEventType::from(kind);
        let level = RoomPowerLevelsEvent::new(levels).event_power_level(&kind, state_key, rules);
        UserPowerLevel::Int(level.unwrap_or_else(|_| 100.into()))
    }

    /// A user's `m.room.member`.
    #[must_use]
    pub fn member(&self, user: &UserId) -> Option<&Arc<Event>> {
        self.find("m.room.member", user.as_str())
    }

    /// A user's membership; leave when there never was one.
    #[must_use]
    pub fn membership(&self, user: &UserId) -> MembershipState {
        self.member(user).and_then(|event| event.membership()).unwrap_or(MembershipState::Leave)
    }

    /// Every member event with its user and membership.
    pub fn members(&self) -> impl Iterator<Item = (&UserId, MembershipState, &Arc<Event>)> {
        self.of_kind("m.room.member").filter_map(|event| {
            let user = <&UserId>::try_from(event.state_key()?).ok()?;
            Some((user, event.membership()?, event))
        })
    }

    /// Everybody whose membership is `join`.
    pub fn joined(&self) -> impl Iterator<Item = &UserId> {
        self.members().filter(|(_, membership, _)| *membership == MembershipState::Join).map(|(user, ..)| user)
    }

    /// The join rule, `invite` when there is none.
    #[must_use]
    pub fn join_rule(&self) -> String {
        self.text("m.room.join_rules", "join_rule").unwrap_or_else(|| "invite".to_owned())
    }

    /// Who may enter without being asked in: a join rule that the room's version does not know lets nobody in.
    #[must_use]
    pub fn access(&self, rules: &AuthorizationRules) -> Access {
        match self.join_rule().as_str() {
            "public" => Access::Public,
            "restricted" if rules.restricted_join_rule => Access::Restricted(self.admitting_rooms()),
            "knock_restricted" if rules.knock_restricted_join_rule => Access::Restricted(self.admitting_rooms()),
            _ => Access::Invite,
        }
    }

    /// Whether strangers may ask to be let in.
    #[must_use]
    pub fn takes_knocks(&self, rules: &AuthorizationRules) -> bool {
        match self.join_rule().as_str() {
            "knock" => rules.knocking,
            "knock_restricted" => rules.knock_restricted_join_rule,
            _ => false,
        }
    }

    fn admitting_rooms(&self) -> BTreeSet<OwnedRoomId> {
        #[derive(Deserialize)]
        struct Rules {
            #[serde(default)]
            allow: Vec<serde_json::Value>,
        }
        let rules = self.find("m.room.join_rules", "").and_then(|event| event.content_as::<Rules>());
        let rooms = rules.into_iter().flat_map(|rules| rules.allow).filter_map(|rule| {
            let is_membership = rule["type"] == "m.room_membership";
            is_membership.then(|| RoomId::parse(rule["room_id"].as_str()?).ok()).flatten()
        });
        rooms.collect()
    }

    /// The history visibility, `shared` when there is none or an unknown one.
    #[must_use]
    pub fn history_visibility(&self) -> String {
        self.text("m.room.history_visibility", "history_visibility").unwrap_or_else(|| "shared".to_owned())
    }

    /// Whether guests may join.
    #[must_use]
    pub fn guests_can_join(&self) -> bool {
        self.text("m.room.guest_access", "guest_access").as_deref() == Some("can_join")
    }

    /// The room's name; none when it is unset or empty.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.text("m.room.name", "name")
    }

    /// The room's topic.
    #[must_use]
    pub fn topic(&self) -> Option<String> {
        self.text("m.room.topic", "topic")
    }

    /// The room's avatar, an `mxc:` URI.
    #[must_use]
    pub fn avatar(&self) -> Option<String> {
        self.text("m.room.avatar", "url")
    }

    /// The room's canonical alias.
    #[must_use]
    pub fn canonical_alias(&self) -> Option<String> {
        self.text("m.room.canonical_alias", "alias")
    }

    /// The encryption algorithm; none when the room is not encrypted.
    #[must_use]
    pub fn encryption(&self) -> Option<String> {
        self.text("m.room.encryption", "algorithm")
    }

    /// The room that replaced this one.
    #[must_use]
    pub fn replacement(&self) -> Option<OwnedRoomId> {
        RoomId::parse(self.text("m.room.tombstone", "replacement_room")?).ok()
    }

    fn text(&self, kind: &str, field: &str) -> Option<String> {
        self.find(kind, "")?.content_str(field).filter(|text| !text.is_empty())
    }
}

impl FromIterator<Arc<Event>> for StateMap {
    fn from_iter<I: IntoIterator<Item = Arc<Event>>>(events: I) -> Self {
        let mut state = Self::default();
        for event in events {
            state.insert(event);
        }
        state
    }
}

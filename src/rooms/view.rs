//! What readers see of an open room: an immutable value, replaced whole by the room's one writer.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use ruma::{
    EventId, OwnedDeviceId, OwnedEventId, OwnedUserId, UserId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};

use super::core::StateMap;
use crate::{
    clock::Timestamp,
    event::{self, Event},
    journal::Position,
};

/// A room as of one moment.
#[derive(Clone)]
pub struct View {
    /// The rules of the room's version.
    pub rules: Arc<RoomVersionRules>,
    /// Current state.
    pub state: StateMap,
    /// Its events that have not expired, oldest first.
    pub timeline: Vector<Arc<Entry>>,
    /// Where each of them stands.
    pub places: OrdMap<OwnedEventId, Position>,
    /// Events that relate to an event, in timeline order, by the event they relate to.
    pub relations: OrdMap<OwnedEventId, Vector<Arc<Entry>>>,
    /// Public receipts by user and thread.
    pub receipts: OrdMap<(OwnedUserId, Option<String>), Receipt>,
    /// Counts changes of receipts, so that a sync sends what changed.
    pub receipt_count: u64,
}

/// An event in its place.
#[derive(Clone)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The event; in its redacted form once it is redacted.
    pub event: Arc<Event>,
    /// The redaction that took its content.
    pub redacted_because: Option<Arc<Event>>,
    /// The state before it.
    pub before: StateMap,
    /// The state event it took the place of.
    pub replaces: Option<Arc<Event>>,
    /// Which device sent it under which transaction id.
    pub transaction: Option<Transaction>,
    /// When it was accepted, while this process has known it: for `age`.
    pub arrived: Option<Timestamp>,
}

/// A client's own name for a request, for recognising retries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transaction {
    /// The device.
    pub device: OwnedDeviceId,
    /// Its transaction id.
    pub id: String,
}

/// A receipt as others see it.
#[derive(Clone)]
pub struct Receipt {
    /// Where its user has read to.
    pub position: Position,
    /// The event the user named.
    pub event: OwnedEventId,
    /// When, coarsely.
    pub ts: u64,
    /// The count at which it changed.
    pub at: u64,
}

impl View {
    /// A room without events.
    #[must_use]
    pub fn empty(rules: Arc<RoomVersionRules>) -> Self {
        Self {
            rules,
            state: StateMap::default(),
            timeline: Vector::new(),
            places: OrdMap::new(),
            relations: OrdMap::new(),
            receipts: OrdMap::new(),
            receipt_count: 0,
        }
    }

    /// The entry of an event that has not expired.
    #[must_use]
    pub fn entry(&self, id: &EventId) -> Option<&Arc<Entry>> {
        let position = *self.places.get(id)?;
        self.timeline.get(self.index_of(position)).filter(|entry| entry.position == position)
    }

    /// The index of the first entry at or behind `position`.
    #[must_use]
    pub fn index_of(&self, position: Position) -> usize {
        self.timeline.binary_search_by(|entry| entry.position.cmp(&position)).unwrap_or_else(|index| index)
    }

    /// The index of the first entry behind `position`.
    #[must_use]
    pub fn index_after(&self, position: Position) -> usize {
        self.index_of(Position(position.0.saturating_add(1)))
    }

    /// The position of the newest event.
    #[must_use]
    pub fn end(&self) -> Position {
        self.timeline.last().map_or(Position::START, |entry| entry.position)
    }

    /// The position of the oldest event.
    #[must_use]
    pub fn start(&self) -> Position {
        self.timeline.front().map_or(Position::START, |entry| entry.position)
    }

    /// The event a read position is served on: the one named while it is served, else the newest at or before the
    /// position, else the oldest of the timeline.
    #[must_use]
    pub fn served(&self, event: &EventId, position: Position) -> Option<OwnedEventId> {
        if self.places.contains_key(event) {
            return Some(event.to_owned());
        }
        let behind = self.index_after(position);
        let entry = if behind == 0 { self.timeline.front() } else { self.timeline.get(behind - 1) };
        entry.map(|entry| entry.event.id().to_owned())
    }

    /// The state after an entry.
    #[must_use]
    pub fn state_after(&self, index: usize) -> StateMap {
        self.timeline.get(index + 1).map_or_else(|| self.state.clone(), |next| next.before.clone())
    }

    /// Whether `user` is joined now.
    #[must_use]
    pub fn is_joined(&self, user: &UserId) -> bool {
        self.state.membership(user) == MembershipState::Join
    }

    /// Takes in the newest event, which follows everything here.
    pub fn push(&mut self, entry: Entry) {
        let event = Arc::clone(&entry.event);
        let redacts = event.redacts().map(ToOwned::to_owned);
        let relation = event.relation();
        if event.is_state() {
            self.state.insert(Arc::clone(&event));
        }
        let entry = Arc::new(entry);
        self.places.insert(event.id().to_owned(), entry.position);
        if let Some(relation) = relation.and_then(|relation| relation.event_id) {
            self.relations.entry(relation).or_default().push_back(Arc::clone(&entry));
        }
        self.timeline.push_back(entry);
        if let Some(target) = redacts {
            self.redact(&target, &event);
        }
    }

    fn redact(&mut self, target: &EventId, because: &Arc<Event>) {
        let Some(entry) = self.entry(target).cloned() else {
            // State outlives its place in the timeline.
            let current = self.state.find_id(target).and_then(|event| event::redact(event, &self.rules).ok());
            current.map(|redacted| self.state.insert(Arc::new(redacted)));
            return;
        };
        if entry.redacted_because.is_some() {
            return;
        }
        let Ok(redacted) = event::redact(&entry.event, &self.rules) else { return };
        let redacted = Arc::new(redacted);
        if let Some(relation) = entry.event.relation().and_then(|relation| relation.event_id)
            && let Some(children) = self.relations.get_mut(&relation)
        {
            children.retain(|child| child.position != entry.position);
        }
        let index = self.index_of(entry.position);
        let fresh =
            Entry { event: Arc::clone(&redacted), redacted_because: Some(Arc::clone(because)), ..(*entry).clone() };
        self.timeline.set(index, Arc::new(fresh));
        let current = entry.event.state_key().and_then(|key| self.state.find(entry.event.kind(), key));
        if current.is_some_and(|current| current.id() == target) {
            self.state.insert(redacted);
        }
    }
}

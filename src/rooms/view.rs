//! What readers see of an open room: an immutable value, replaced whole by the room's one writer.

use std::{sync::Arc, time::Duration};

use imbl::{OrdMap, Vector};
use parking_lot::RwLock;
use ruma::{
    EventId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};

use super::{
    bodies::{Bodies, Body, RECENT, Text, Whole, as_redacted},
    core::{Access, StateMap},
    entry::{Entry, Heads, Tags},
    ledger::RoomLedger,
    roots::Root,
    term::Term,
    timeline::Timeline,
};
use crate::{
    accounts::vault::ReadKind,
    clock::Timestamp,
    event::{self, Digest, Event, EventKey},
    house::KeptBlob,
    journal::{Journals, Position},
    pseudonym::Roster,
    store::Class,
};

/// A room as of one moment.
#[derive(Clone)]
pub struct View {
    /// The room.
    pub id: OwnedRoomId,
    /// The rules of the room's version.
    pub rules: Arc<RoomVersionRules>,
    /// Current state.
    pub state: Arc<StateMap>,
    /// Its events that have not expired, oldest first.
    pub timeline: Timeline,
    /// The low-water mark: the place behind the last event that has expired. Nothing before it is served, and it never
    /// moves back.
    pub low: Position,
    /// Public receipts by user and thread.
    pub receipts: OrdMap<(OwnedUserId, Option<String>), Receipt>,
    /// Receipts that moved nothing, as their users named them, the newest last: for their own clients.
    pub echoes: OrdMap<OwnedUserId, Vector<Echo>>,
    /// Counts changes of receipts, so that a sync sends what changed.
    pub receipt_count: u64,
    /// Media that current state shows and the room keeps, by id.
    pub blobs: OrdMap<String, KeptBlob>,
    term: Term,
    /// Where events stand that relate to an event, in timeline order, by the event they relate to.
    relations: OrdMap<EventKey, Vector<Position>>,
    /// The bodies of the newest events; none where it has to be read.
    recent: Vector<Option<Arc<Body>>>,
    /// What is left of the roots that have expired of threads that live.
    pub(super) roots: OrdMap<EventKey, Root>,
    /// The number of the oldest entry: how many have expired since the room was opened.
    pub(super) first: u32,
    /// When the newest event was, whether it has expired or not.
    pub last_ts: Timestamp,
    roster: Roster,
    index: Arc<RwLock<Index>>,
    pub(super) bodies: Arc<Bodies>,
}

/// What serves every view of a timeline since it last forgot something, because until then it only grows and whoever
/// asks it looks at his own timeline.
#[derive(Default)]
struct Index {
    heads: Heads,
    numbers: Tags,
}

/// A client's own name for a request, for recognising retries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A receipt for an event that is not there.
#[derive(Clone)]
pub struct Echo {
    /// Public or private.
    pub kind: ReadKind,
    /// The thread, as its user named it.
    pub thread: Option<String>,
    /// The event, as he named it.
    pub event: OwnedEventId,
    /// When, coarsely.
    pub ts: u64,
    /// The count at which it came.
    pub at: u64,
}

/// The newest event of a timeline, on its way in.
pub(super) struct Newest {
    /// Where it stands.
    pub(super) position: Position,
    /// What the timeline keeps of it.
    pub(super) digest: Digest,
    /// The state event it takes the place of.
    pub(super) replaces: Option<Arc<Event>>,
    /// What it says, where that is to stay in RAM.
    pub(super) body: Option<Body>,
}

impl View {
    /// A room without events, the bodies of which will be read from `journals`. Its events live as
    /// `term` and the room's state say.
    #[must_use]
    pub fn empty(ledger: &RoomLedger, journals: Option<Journals>, term: Term) -> Self {
        let (id, rules) = (ledger.id.clone(), Arc::clone(&ledger.rules));
        Self {
            bodies: Arc::new(Bodies::new(id.clone(), Arc::clone(&rules), journals)),
            id,
            rules,
            state: Arc::default(),
            timeline: Timeline::default(),
            low: Position::START,
            roots: OrdMap::new(),
            first: 0,
            last_ts: ledger.last_ts,
            relations: OrdMap::new(),
            recent: Vector::new(),
            receipts: OrdMap::new(),
            echoes: OrdMap::new(),
            receipt_count: 0,
            blobs: ledger.blobs.clone(),
            term,
            roster: ledger.roster.clone(),
            index: Arc::default(),
        }
    }

    /// The entry of an event that has not expired.
    #[must_use]
    pub fn entry(&self, id: &EventId) -> Option<&Entry> {
        let key = EventKey::of(id)?;
        let number = self
            .index
            .read()
            .numbers
            .find(&key, |number| self.numbered(number).is_some_and(|entry| entry.key() == key))?;
        self.numbered(number)
    }

    /// Whether an event has not expired.
    #[must_use]
    pub fn holds(&self, id: &EventId) -> bool {
        self.entry(id).is_some()
    }

    /// The entry at `position`.
    #[must_use]
    pub fn at(&self, position: Position) -> Option<&Entry> {
        self.timeline.get(self.index_of(position)).filter(|entry| entry.position == position)
    }

    /// The entry that came in as the `number`th.
    pub(super) fn numbered(&self, number: u32) -> Option<&Entry> {
        self.timeline.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number that the next entry gets.
    pub(super) fn next_number(&self) -> u32 {
        u32::try_from(self.timeline.len()).unwrap_or(u32::MAX).saturating_add(self.first)
    }

    /// The entries of events that relate to an event, in timeline order.
    #[must_use]
    pub fn children(&self, key: EventKey) -> impl DoubleEndedIterator<Item = &Entry> {
        self.relations.get(&key).into_iter().flatten().filter_map(|position| self.at(*position))
    }

    /// Whether living events relate to this one, whether it has expired or not.
    #[must_use]
    pub fn has_children(&self, id: &EventId) -> bool {
        EventKey::of(id).is_some_and(|key| self.relations.contains_key(&key))
    }

    /// Every event that others relate to, with who sent it, as far as that is known.
    pub fn parents(&self) -> impl Iterator<Item = (EventKey, &UserId)> {
        self.relations.keys().filter_map(|key| {
            let living = self.entry(&key.id()).map(Entry::sender);
            Some((*key, living.or_else(|| self.roots.get(key).map(|root| &*root.sender))?))
        })
    }

    /// An event with what it says; `None` when that is gone.
    #[must_use]
    pub fn whole<'a>(&'a self, entry: &'a Entry) -> Option<Whole<'a>> {
        Some(Whole { room: &self.id, entry, id: entry.id(), text: self.text(entry)? })
    }

    fn text(&self, entry: &Entry) -> Option<Text> {
        let recent = self.recent_at(self.index_of(entry.position)).and_then(|at| self.recent[at].clone());
        Some(match (recent, entry.state()) {
            (Some(body), _) => Text::Body(body),
            (None, Some(event)) => Text::Event(Arc::clone(event)),
            (None, None) if entry.redacted_by().is_some() => Text::Event(self.event(entry)?),
            (None, None) => Text::Body(Arc::new(self.bodies.body(entry.position, &self.roster)?)),
        })
    }

    /// The whole event behind an entry, for servers and tools rather than for clients; `None` when it is gone.
    #[must_use]
    pub fn event(&self, entry: &Entry) -> Option<Arc<Event>> {
        if let Some(event) = entry.state() {
            return Some(Arc::clone(event));
        }
        let event = self.bodies.event(entry.position, &self.roster)?;
        as_redacted(event, entry, &self.rules).map(Arc::new)
    }

    /// When an event was accepted by this process, as long as it knows; else its coarse time.
    #[must_use]
    pub fn arrived(&self, entry: &Entry) -> Timestamp {
        let recent = self.recent_at(self.index_of(entry.position)).and_then(|at| self.recent[at].as_ref());
        recent.and_then(|body| body.arrived).unwrap_or(entry.ts)
    }

    /// Where among the recent bodies the one of the entry at `index` stands.
    fn recent_at(&self, index: usize) -> Option<usize> {
        let older = self.timeline.len() - self.recent.len();
        index.checked_sub(older).filter(|at| *at < self.recent.len())
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

    /// The position of the newest event, whether it has expired or not.
    #[must_use]
    pub fn end(&self) -> Position {
        self.timeline.last().map_or(Position(self.low.0.saturating_sub(1)), |entry| entry.position)
    }

    /// The position of the oldest event; of the gap behind the last that expired where there is none.
    #[must_use]
    pub fn start(&self) -> Position {
        self.timeline.front().map_or(self.low, |entry| entry.position)
    }

    /// Whether an event behind `position` has expired: whoever was told of everything up to there has missed some.
    #[must_use]
    pub fn forgot_behind(&self, position: Position) -> bool {
        position.0.saturating_add(1) < self.low.0
    }

    /// The state before the entry at `index`; the present one behind the last.
    #[must_use]
    pub fn state_before(&self, index: usize) -> Arc<StateMap> {
        Arc::clone(self.timeline.get(index).map_or(&self.state, |entry| &entry.before))
    }

    /// The state after the entry at `index`.
    #[must_use]
    pub fn state_after(&self, index: usize) -> Arc<StateMap> {
        self.state_before(index + 1)
    }

    /// Who may enter now without being asked in.
    #[must_use]
    pub fn access(&self) -> Access {
        self.state.access(&self.rules.authorization)
    }

    /// Whether `user` is joined now.
    #[must_use]
    pub fn is_joined(&self, user: &UserId) -> bool {
        self.state.membership(user) == MembershipState::Join
    }

    /// How long an event lives from its coarse time on; nothing where it stays for ever. What is older is shown to nobody.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.term.lifetime()
    }

    /// The class that what is said now is written in.
    #[must_use]
    pub fn class(&self) -> Class {
        self.term.class()
    }

    /// Whether clients work the lifetime out by themselves, from the room's state and from what holds for every room.
    #[must_use]
    pub fn tells_lifetime(&self) -> bool {
        self.term.is_told()
    }

    /// Takes in what an administrator says of the room's lifetime; whether that is something else.
    pub(super) fn impose(&mut self, imposed: Option<Class>) -> bool {
        self.term.impose(imposed, &self.state)
    }

    /// Takes in what `ledger` says of names and current state.
    pub(super) fn follow(&mut self, ledger: &RoomLedger) {
        self.last_ts = ledger.last_ts;
        self.roster = ledger.roster.clone();
        if !Arc::ptr_eq(&self.state, &ledger.state) {
            self.state = Arc::clone(&ledger.state);
            self.term.follow(&self.state);
        }
    }

    /// Takes in the newest event, which follows everything here.
    pub(super) fn push(&mut self, newest: Newest) {
        let Newest { position, digest, replaces, body } = newest;
        let before = Arc::clone(&self.state);
        if let Some(event) = &digest.state {
            Arc::make_mut(&mut self.state).insert(Arc::clone(event));
        }
        let relation = digest.relation.as_ref().and_then(|relation| EventKey::of(relation.event_id.as_ref()?));
        let redacts = digest.redacts.clone();
        let entry = {
            let number = self.next_number();
            let mut index = self.index.write();
            index.numbers.put(&digest.key, number);
            index.heads.entry(digest, position, before, replaces)
        };
        if let Some(relation) = relation {
            self.relations.entry(relation).or_default().push_back(position);
        }
        self.timeline.push(entry);
        self.recent.push_back(body.map(Arc::new));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if let Some(target) = redacts {
            self.redact(&target, position);
        }
    }

    /// Takes the content of an event that was redacted, whether or not the redaction is still there.
    pub(super) fn hide(&mut self, target: &EventId) {
        self.redact(target, Position::START);
    }

    fn redact(&mut self, target: &EventId, by: Position) {
        let Some(entry) = self.entry(target).cloned() else {
            // State outlives its place in the timeline.
            let known = self.state.find_id(target).or_else(|| self.timeline.front()?.before.find_id(target));
            if let Some(redacted) = known.and_then(|event| event::redact(event, &self.rules).ok()) {
                self.replace_state(&Arc::new(redacted), 0);
            }
            return;
        };
        if entry.redacted_by().is_some() {
            return;
        }
        let state = entry.state().and_then(|event| event::redact(event, &self.rules).ok()).map(Arc::new);
        if entry.is_state() && state.is_none() {
            return;
        }
        if let Some(relation) = entry.relation().and_then(|relation| EventKey::of(relation.event_id.as_ref()?))
            && let Some(children) = self.relations.get_mut(&relation)
        {
            children.retain(|child| *child != entry.position);
            if children.is_empty() {
                self.relations.remove(&relation);
            }
        }
        let index = self.index_of(entry.position);
        if let Some(at) = self.recent_at(index) {
            self.recent.set(at, None);
        }
        if let Some(redacted) = &state {
            self.replace_state(redacted, index + 1);
        }
        self.timeline.set(index, entry.redacted(by, state));
    }

    /// Puts the redacted form of a state event wherever the room remembers the event: in current state, in the states before
    /// the entries from `index` on, and in what another replaced. Otherwise it would be shown again once its entry is gone.
    fn replace_state(&mut self, redacted: &Arc<Event>, index: usize) {
        let Some(key) = redacted.state_key() else { return };
        let is_it =
            |state: &StateMap| state.find(redacted.kind(), key).is_some_and(|event| event.id() == redacted.id());
        if is_it(&self.state) {
            Arc::make_mut(&mut self.state).insert(Arc::clone(redacted));
        }
        let mut last: Option<(Arc<StateMap>, Arc<StateMap>)> = None;
        for index in index..self.timeline.len() {
            let Some(entry) = self.timeline.get(index).filter(|entry| is_it(&entry.before)) else { return };
            let fresh = match &last {
                Some((old, fresh)) if Arc::ptr_eq(old, &entry.before) => Arc::clone(fresh),
                _ => {
                    let mut fresh = StateMap::clone(&entry.before);
                    fresh.insert(Arc::clone(redacted));
                    Arc::new(fresh)
                }
            };
            last = Some((Arc::clone(&entry.before), Arc::clone(&fresh)));
            let entry = entry.after_redaction(fresh, redacted);
            self.timeline.set(index, entry);
        }
    }

    /// Lets go of the oldest `count` events, and of everything that is only known of them. The current state stays.
    pub(super) fn forget(&mut self, count: usize) {
        let count = count.min(self.timeline.len());
        let Some(last) = count.checked_sub(1).and_then(|last| self.timeline.get(last)) else { return };
        self.low = self.low.max(Position(last.position.0.saturating_add(1)));
        let mut parents = Vec::new();
        for entry in self.timeline.iter().take(count) {
            if self.relations.contains_key(&entry.key()) {
                parents.push((entry.key(), Root::from(entry)));
            }
            let target = entry.relation().and_then(|relation| EventKey::of(relation.event_id.as_ref()?));
            let Some(children) = target.and_then(|target| self.relations.get_mut(&target)) else { continue };
            // Both are in the order of the timeline.
            if children.front() == Some(&entry.position) {
                children.pop_front();
            }
            if children.is_empty() {
                target.map(|target| self.relations.remove(&target));
            }
        }
        self.timeline.forget(count);
        self.forget_roots();
        self.first = self.first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        while self.recent.len() > self.timeline.len() {
            self.recent.pop_front();
        }
        let index = {
            let index = self.index.read();
            Index { heads: index.heads.in_use(), numbers: index.numbers.starting(self.first) }
        };
        // Views from before keep the one they have.
        self.index = Arc::new(RwLock::new(index));
        self.keep_roots(parents);
    }
}

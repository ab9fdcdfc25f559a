//! Which events of a room, and which state, bring a client from one point to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdSet;
use ruma::{OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::{
    answer::{Events, Timeline},
    filter::Filter,
};
use crate::{
    clock::Timestamp,
    event::{Event, Shape},
    journal::Position,
    rooms::{
        Entry, Room, Rooms, View,
        core::StateMap,
        show::{Sight, Viewer, show, show_state},
    },
};

/// Members that are remembered as sent to one device in one room; beyond, they are sent again.
const MOST_MEMBERS: usize = 2000;

/// What a look at one room needs.
pub(super) struct Window<'a> {
    pub(super) rooms: &'a Rooms,
    pub(super) room: &'a Room,
    pub(super) view: &'a View,
    pub(super) filter: &'a Filter,
    pub(super) viewer: Viewer<'a>,
    pub(super) ignored: &'a BTreeSet<OwnedUserId>,
    pub(super) now: Timestamp,
    /// Whether the client wants the state at the end of the timeline.
    pub(super) after: bool,
}

/// The stretch of a room's timeline a client is told, and what it is not.
pub(super) struct Stretch {
    shown: Vec<Entry>,
    /// State events behind the point that are not shown: in the gap, or not asked for.
    hidden: Vec<Entry>,
    limited: bool,
    /// Whether the client has to take the whole state.
    pub(super) whole: bool,
    /// The state behind the last event.
    end: Arc<StateMap>,
    /// Behind the last event.
    ends: Position,
}

impl Stretch {
    /// Every member event in it, shown or not.
    pub(super) fn members(&self) -> impl Iterator<Item = &Entry> {
        self.shown.iter().chain(&self.hidden).filter(|entry| entry.kind() == "m.room.member")
    }

    /// Whether anything in it may change who stands for the room.
    pub(super) fn renames(&self) -> bool {
        let kinds = ["m.room.member", "m.room.name", "m.room.canonical_alias"];
        self.shown.iter().chain(&self.hidden).any(|entry| entry.is_state() && kinds.contains(&entry.kind()))
    }
}

impl Window<'_> {
    /// What lies behind `from` up to and including `to`. `fresh`: the device was told nothing of the room; `resumed`: its
    /// client may know of an earlier time in it all the same, which need not touch what it gets.
    pub(super) fn stretch(&self, from: Position, to: Position, fresh: bool, resumed: bool) -> Stretch {
        let view = self.view;
        let (start, end) = (view.index_after(from), view.index_after(to));
        // Events the client was not told of may have expired meanwhile.
        let hole = !fresh && from > Position::START && view.forgot_behind(from);
        let sight = Sight::of(view, self.viewer.user);
        let limit = self.filter.timeline.limit;
        let wanted = self.filter.timeline.wants(&self.room.id);
        let (mut shown, mut hidden, mut limited) = (Vec::new(), Vec::new(), hole || (fresh && resumed));
        let behind = view.timeline.len() - end;
        let entries = view.timeline.iter().rev().skip(behind);
        for (back, entry) in entries.take(end - start).enumerate() {
            let index = end - 1 - back;
            let visible = wanted && self.shows(entry) && sight.allows(index, entry);
            if visible && shown.len() < limit {
                shown.push(entry.clone());
                continue;
            }
            limited |= visible;
            if fresh && visible {
                break;
            }
            if entry.is_state() || entry.redacts().is_some() {
                hidden.push(entry.clone());
            }
        }
        shown.reverse();
        hidden.reverse();
        let end_state = if end == view.timeline.len() { view.state.clone() } else { view.state_after(end - 1) };
        Stretch { shown, hidden, limited, whole: fresh || hole, end: end_state, ends: to }
    }

    fn shows(&self, entry: &Entry) -> bool {
        let url = || self.view.whole(entry).is_some_and(|whole| whole.face().content_str("url").is_some());
        self.filter.timeline.wants_event(entry.kind(), entry.sender(), url)
            && (entry.is_state() || !self.ignored.contains(entry.sender()))
    }

    /// The timeline of a stretch.
    pub(super) fn timeline(&self, stretch: &Stretch) -> Timeline {
        let start = stretch.shown.first().map_or(Position(stretch.ends.0.saturating_add(1)), |entry| entry.position);
        let events = stretch.shown.iter().filter_map(|entry| {
            let shown = show(self.view, entry, &self.viewer, self.now, Shape::Sync)?;
            Some(self.filter.format.write(|| self.view.event(entry), shown))
        });
        Timeline {
            events: events.collect(),
            limited: stretch.limited,
            prev_batch: Some(self.rooms.page_token(&self.room.id, start)),
        }
    }

    /// The state that goes with a stretch. `heroes` are wanted with lazy loading too; `members` notes who was sent.
    pub(super) fn state(&self, stretch: &Stretch, heroes: &[OwnedUserId], members: &mut OrdSet<OwnedUserId>) -> Events {
        let start = stretch.shown.first().map_or(&stretch.end, |entry| &entry.before);
        let base = if self.after { &stretch.end } else { start };
        let mut sent = if stretch.whole { self.whole(base) } else { self.delta(stretch, base) };
        if self.filter.lazy() {
            let senders = stretch.shown.iter().map(Entry::sender);
            let own = stretch.whole.then_some(self.viewer.user);
            for user in senders.chain(heroes.iter().map(|hero| &**hero)).chain(own) {
                let Some(member) = base.member(user).or_else(|| stretch.end.member(user).filter(|_| self.after)) else {
                    continue;
                };
                if stretch.whole || self.filter.redundant() || !members.contains(user) {
                    sent.insert(("m.room.member", user.as_str()), member);
                }
            }
            let in_timeline = stretch.shown.iter().filter_map(Entry::state);
            note(members, sent.values().copied().chain(in_timeline));
        }
        let wanted = self.filter.state.wants(&self.room.id);
        let asked = |event: &Event| {
            let url = || event.content_str("url").is_some();
            wanted && self.filter.state.wants_event(event.kind(), event.sender(), url)
        };
        let events = sent.into_values().filter(|event| asked(event));
        Events { events: events.map(|event| self.write(event)).collect() }
    }

    fn write(&self, event: &Arc<Event>) -> Box<RawValue> {
        let shown = show_state(self.view, event, &self.viewer, self.now, Shape::Sync);
        self.filter.format.write(|| Some(Arc::clone(event)), shown)
    }

    fn whole<'s>(&self, base: &'s StateMap) -> BTreeMap<(&'s str, &'s str), &'s Arc<Event>> {
        let lazy = self.filter.lazy();
        let events = base.iter().filter(|event| !lazy || event.kind() != "m.room.member");
        events.filter_map(|event| Some(((event.kind(), event.state_key()?), event))).collect()
    }

    /// What the hidden events changed. A key that the timeline changes too is given as it was at the start, because the
    /// client goes on from there.
    fn delta<'s>(&self, stretch: &'s Stretch, base: &'s StateMap) -> BTreeMap<(&'s str, &'s str), &'s Arc<Event>> {
        let key = |event: &'s Event| Some((event.kind(), event.state_key()?));
        let later: BTreeSet<_> = stretch.shown.iter().filter_map(|entry| key(entry.state()?)).collect();
        let mut delta = BTreeMap::new();
        let shown = stretch.shown.iter().filter(|_| self.after);
        for entry in stretch.hidden.iter().chain(shown) {
            // A redaction changes the event it redacts, where that is part of the state.
            let redacted = entry.redacts().and_then(|target| self.view.entry(target));
            let redacted = redacted.and_then(Entry::state);
            let changed = redacted.and_then(|event| {
                let current = stretch.end.find(event.kind(), event.state_key()?)?;
                (current.id() == event.id()).then_some(current)
            });
            if let Some(place) = changed.and_then(|event| key(event)) {
                delta.extend(stretch.end.find(place.0, place.1).map(|event| (place, event)));
            }
            let Some(place) = entry.state().and_then(|event| key(event)) else { continue };
            let state = if later.contains(&place) { base } else { &stretch.end };
            delta.extend(state.find(place.0, place.1).map(|event| (place, event)));
        }
        delta
    }
}

/// Notes members as sent.
fn note<'a>(members: &mut OrdSet<OwnedUserId>, events: impl Iterator<Item = &'a Arc<Event>>) {
    for event in events.filter(|event| event.kind() == "m.room.member") {
        let Some(user) = event.state_key().and_then(|key| UserId::parse(key).ok()) else { continue };
        if !members.contains(&user) {
            if members.len() >= MOST_MEMBERS {
                members.clear();
            }
            members.insert(user);
        }
    }
}

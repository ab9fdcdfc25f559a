//! Reading the timeline page by page: what `/messages`, `/context`, `/relations`, `/threads` and `/timestamp_to_event` choose.
//!
//! Pure: walks a view, and returns only what its viewer may see.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{EventId, OwnedEventId, UserId};

use super::{
    Entry, View,
    core::StateMap,
    show::{Sight, as_it_stands},
};
use crate::{
    clock::Timestamp,
    event::{Event, EventKey, Relation, filter::EventFilter},
    journal::Position,
};

/// The most events of one page, whatever the client asks for.
pub const MAX_PAGE: usize = 1000;

/// How deep relations of relations are followed (spec: `recurse`; at least 3).
pub const MAX_RECURSION: u32 = 3;

/// Which part of a timeline.
#[derive(Clone, Copy)]
pub struct Span {
    /// Start at this gap; at the newest or the oldest event when there is none.
    pub from: Option<Position>,
    /// End at this gap.
    pub to: Option<Position>,
    /// Whether newer events come first.
    pub backward: bool,
    /// The most events.
    pub limit: usize,
}

/// A page.
pub struct Page {
    /// Its events, in the direction asked for.
    pub chunk: Vec<Entry>,
    /// The gap it starts at.
    pub start: Position,
    /// The gap the next page starts at; none when there is nothing more.
    pub end: Option<Position>,
}

/// Whether an entry passes a client's filter.
#[must_use]
pub fn passes(view: &View, filter: &EventFilter, entry: &Entry) -> bool {
    let has_url = || view.whole(entry).is_some_and(|whole| whole.face().content_str("url").is_some());
    filter.wants(&view.id) && filter.wants_event(entry.kind(), entry.sender(), has_url)
}

/// A page of the events that pass a filter.
#[must_use]
pub fn page(view: &View, user: &UserId, span: Span, filter: &EventFilter) -> Page {
    page_of(view, user, span, |entry| passes(view, filter, entry))
}

/// A page of the events that are wanted.
pub fn page_of(view: &View, user: &UserId, span: Span, wanted: impl Fn(&Entry) -> bool) -> Page {
    let sight = Sight::of(view, user);
    let limit = span.limit.clamp(1, MAX_PAGE);
    let len = view.timeline.len();
    let edge = |gap: Option<Position>, none: usize| gap.map_or(none, |gap| view.index_of(gap));
    let (first, last) = if span.backward { (len, 0) } else { (0, len) };
    let (from, to) = (edge(span.from, first), edge(span.to, last));
    let gap = |index: usize| {
        let next = || Position(view.end().0.saturating_add(1));
        view.timeline.get(index).map_or_else(next, |entry| entry.position)
    };
    let mut chunk = Vec::new();
    let mut at = from;
    let mut left_out = false;
    while chunk.len() < limit && if span.backward { at > to } else { at < to } {
        let index = if span.backward { at - 1 } else { at };
        let Some(entry) = view.timeline.get(index) else { break };
        if !wanted(entry) {
            left_out = true;
        } else if sight.allows(index, entry) {
            chunk.push(entry.clone());
        }
        at = if span.backward { index } else { index + 1 };
    }
    // Looking back ends where the timeline begins; looking ahead ends when there was nothing. So does looking through a
    // filter, behind which a client cannot know the beginning from a stretch without anything for it.
    let more = if span.backward { at > 0 || (left_out && !chunk.is_empty()) } else { !chunk.is_empty() };
    Page { chunk, start: span.from.unwrap_or_else(|| gap(from)), end: more.then(|| gap(at)) }
}

/// The events around one: older ones newest first, newer ones oldest first.
pub struct Around {
    /// Before it.
    pub before: Page,
    /// After it.
    pub after: Page,
    /// The state after the newest event shown.
    pub state: Arc<StateMap>,
}

/// The surroundings of the entry of `id`, at most `limit` events.
#[must_use]
pub fn around(view: &View, user: &UserId, entry: &Entry, limit: usize, filter: &EventFilter) -> Around {
    let next = Position(entry.position.0.saturating_add(1));
    let span = Span { from: None, to: None, backward: true, limit };
    let empty = |gap: Position| Page { chunk: Vec::new(), start: gap, end: Some(gap) };
    let (older, newer) = (limit / 2, limit.div_ceil(2));
    let (before, after) = if limit == 0 {
        (empty(entry.position), empty(next))
    } else {
        let before = page(view, user, Span { from: Some(entry.position), limit: older.max(1), ..span }, filter);
        let ahead = Span { from: Some(next), backward: false, limit: newer, ..span };
        (before, page(view, user, ahead, filter))
    };
    let newest = after.chunk.last().map_or(entry.position, |last| last.position);
    let state = view.state_after(view.index_of(newest));
    Around { before, after, state }
}

/// The entry of an event that `user` may see.
#[must_use]
pub fn seen<'a>(view: &'a View, user: &UserId, id: &EventId) -> Option<&'a Entry> {
    view.entry(id).filter(|entry| super::show::may_see(view, entry, user))
}

/// Which relations.
#[derive(Clone, Copy)]
pub struct Related<'a> {
    /// Of this type alone.
    pub rel_type: Option<&'a str>,
    /// From events of this type alone.
    pub kind: Option<&'a str>,
    /// Whether relations of relations count too.
    pub recurse: bool,
}

/// A page of the events that relate to `id`.
#[must_use]
pub fn related(view: &View, user: &UserId, id: &EventId, which: Related<'_>, span: Span) -> Page {
    let sight = Sight::of(view, user);
    let mut found: Vec<Entry> = Vec::new();
    let mut level: Vec<EventKey> = EventKey::of(id).into_iter().collect();
    let mut met: BTreeSet<EventKey> = level.iter().copied().collect();
    for _ in 0..if which.recurse { MAX_RECURSION } else { 1 } {
        let mut next = Vec::new();
        for child in level.into_iter().flat_map(|key| view.children(key)) {
            if met.insert(child.key()) && sight.allows(view.index_of(child.position), child) {
                next.push(child.key());
                found.push(child.clone());
            }
        }
        level = next;
    }
    found.retain(|child| {
        let rel_type = |relation: &Relation| relation.rel_type.as_deref() == which.rel_type;
        which.kind.is_none_or(|kind| child.kind() == kind)
            && (which.rel_type.is_none() || child.relation().is_some_and(rel_type))
    });
    cut(found, span)
}

/// The part of unordered entries that `span` asks for.
fn cut(mut entries: Vec<Entry>, span: Span) -> Page {
    let (low, high) = if span.backward { (span.to, span.from) } else { (span.from, span.to) };
    entries
        .retain(|entry| low.is_none_or(|low| entry.position >= low) && high.is_none_or(|high| entry.position < high));
    entries.sort_by_key(|entry| entry.position);
    if span.backward {
        entries.reverse();
    }
    let limit = span.limit.clamp(1, MAX_PAGE);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let gap = |entry: &Entry| Position(entry.position.0 + u64::from(!span.backward));
    let end = entries.last().filter(|_| more).map(gap);
    let start =
        span.from.or_else(|| entries.first().map(|first| Position(first.position.0 + u64::from(span.backward))));
    Page { chunk: entries, start: start.unwrap_or(Position::START), end }
}

/// A page of threads.
pub struct Threads {
    /// Their roots, which may have expired.
    pub roots: Vec<OwnedEventId>,
    /// The gap the next page starts at; none when there is nothing more.
    pub end: Option<Position>,
}

/// A page of threads, the one with the newest event first; `from` and the page's gaps stand for those newest events.
#[must_use]
pub fn threads(view: &View, user: &UserId, participated: bool, from: Option<Position>, limit: usize) -> Threads {
    let sight = Sight::of(view, user);
    let mut found: Vec<(Position, EventKey)> = Vec::new();
    for (key, sender) in view.parents() {
        let in_thread = |child: &&Entry| {
            child.relation().is_some_and(|relation| relation.target("m.thread").is_some())
                && sight.allows(view.index_of(child.position), child)
        };
        let Some(latest) = view.children(key).rev().find(in_thread) else { continue };
        let hidden = |root: &Entry| !sight.allows(view.index_of(root.position), root);
        if view.entry(&key.id()).is_some_and(hidden) {
            continue;
        }
        let took_part = |child: &Entry| child.sender() == user && in_thread(&child);
        if participated && sender != user && !view.children(key).any(took_part) {
            continue;
        }
        if from.is_none_or(|from| latest.position < from) {
            found.push((latest.position, key));
        }
    }
    found.sort_by_key(|(latest, _)| std::cmp::Reverse(*latest));
    let limit = limit.clamp(1, MAX_PAGE);
    let end = found.get(limit).map(|_| found[limit - 1].0);
    Threads { roots: found.into_iter().take(limit).map(|(_, root)| root.id()).collect(), end }
}

/// Whether `user` may know of a thread under `id`: he may see that event, or it has expired and he sees some of its
/// thread.
#[must_use]
pub fn knows_thread(view: &View, user: &UserId, id: &EventId) -> bool {
    let sight = Sight::of(view, user);
    let sees = |entry: &Entry| sight.allows(view.index_of(entry.position), entry);
    match (view.entry(id), EventKey::of(id)) {
        (Some(entry), _) => sees(entry),
        (None, Some(key)) => view.expired_root(key).is_some() && view.children(key).any(sees),
        (None, None) => false,
    }
}

/// The event closest to a time: the first at or after it, or the last at or before it.
#[must_use]
pub fn at_time<'a>(view: &'a View, user: &UserId, ts: Timestamp, backward: bool) -> Option<&'a Entry> {
    let sight = Sight::of(view, user);
    let mut entries = view.timeline.iter().enumerate();
    let fits = |index: usize, entry: &Entry| {
        (if backward { entry.ts <= ts } else { entry.ts >= ts }) && sight.allows(index, entry)
    };
    let found = if backward {
        entries.rfind(|(index, entry)| fits(*index, entry))
    } else {
        entries.find(|(index, entry)| fits(*index, entry))
    };
    found.map(|(_, entry)| entry)
}

/// The member events of who sent these events, as of the first of them: lazily loaded members.
#[must_use]
pub fn members_of(view: &View, chunk: &[Entry]) -> Vec<Arc<Event>> {
    let Some(first) = chunk.first() else { return Vec::new() };
    let senders: BTreeSet<&UserId> = chunk.iter().map(Entry::sender).collect();
    let member = |user: &&UserId| first.before.member(user).or_else(|| view.state.member(user));
    senders.iter().filter_map(member).map(|event| as_it_stands(view, event)).collect()
}

//! The reading itself: events of several rooms in one order, the newest first, under a bound.

use std::{
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use ruma::{OwnedUserId, UserId};

use super::{Cursor, Found, Group, Hit, Key, Query, terms::MOST_HIGHLIGHTS};
use crate::{
    journal::Position,
    rooms::{Entry, Room, View, history::passes, show::Sight},
};

/// A room that is looked into.
pub(super) struct Source {
    room: Arc<Room>,
    view: Arc<View>,
}

/// A search of one account.
pub(super) struct Scan<'a> {
    pub(super) user: &'a UserId,
    pub(super) query: &'a Query,
    /// Whose messages are not found.
    pub(super) ignored: &'a BTreeSet<OwnedUserId>,
    /// Events that one pass reads.
    pub(super) most_read: usize,
}

/// A room on its way back from the newest event.
struct Walk<'a> {
    source: &'a Source,
    sight: Sight<'a>,
    /// The index of the candidate; nothing is left below zero.
    at: Option<usize>,
}

/// Results while they are gathered.
struct Gathered {
    hits: Vec<Hit>,
    count: u64,
    /// Where reading ended, when it ended before everything was read.
    stopped: Option<Key>,
}

impl Source {
    /// The room, unless it is one that is not looked into: its text is not here.
    pub(super) fn of(room: Arc<Room>, view: Arc<View>) -> Option<Self> {
        view.state.encryption().is_none().then_some(Self { room, view })
    }
}

impl Scan<'_> {
    /// A page of what is in `sources`.
    pub(super) fn run(&self, sources: &[Source]) -> Found {
        let from = self.query.from.as_ref().map(|cursor| &cursor.key);
        let mut gathered = self.pass(sources, None);
        // Behind what one pass reads, the newest results go on: the page starts there.
        if self.query.recent && gathered.stopped.is_some() && from.is_some() {
            let count = gathered.count;
            gathered = Gathered { count, ..self.pass(sources, from) };
        }
        self.page(gathered)
    }

    /// Reads events, the newest first, from `from` on.
    fn pass(&self, sources: &[Source], from: Option<&Key>) -> Gathered {
        let mut walks: Vec<Walk<'_>> = sources.iter().map(|source| Walk::new(source, self, from)).collect();
        // Sources stand in the order of their rooms' ids, so this is the order of results.
        let key = |walk: &Walk<'_>, at: usize| walk.entry().map(|entry| (entry.ts.0, at, entry.position));
        let mut heap: BinaryHeap<(u64, usize, Position)> =
            walks.iter().enumerate().filter_map(|(at, walk)| key(walk, at)).collect();
        let mut gathered = Gathered { hits: Vec::new(), count: 0, stopped: None };
        let mut read = 0;
        while let Some((ts, at, position)) = heap.pop() {
            let walk = &mut walks[at];
            if read == self.most_read {
                let room = walk.source.room.id.clone();
                // The first that was not read: it comes behind what stands here.
                gathered.stopped = Some(Key { score: 0, ts, room, position: Position(position.0.saturating_add(1)) });
                break;
            }
            read += 1;
            if let Some(hit) = self.examine(walk) {
                gathered.count += 1;
                self.keep(hit, &mut gathered.hits);
            }
            walk.step(self);
            heap.extend(key(&walks[at], at));
        }
        gathered
    }

    /// Takes a result in if it is behind the cursor; of more than a few pages only the first are kept.
    fn keep(&self, hit: Hit, hits: &mut Vec<Hit>) {
        let cursor = self.query.from.as_ref();
        let behind = cursor.is_none_or(|cursor| hit.key < cursor.key);
        if !behind || !in_group(cursor, &hit) {
            return;
        }
        hits.push(hit);
        if hits.len() > 4 * (self.query.limit + 1) {
            cut(hits, self.query.limit + 1);
        }
    }

    fn page(&self, gathered: Gathered) -> Found {
        let Gathered { mut hits, count, stopped } = gathered;
        cut(&mut hits, self.query.limit);
        let group = self.query.from.as_ref().and_then(|cursor| cursor.group.clone());
        // A page that is full may be followed by one that is empty: who asks finds out.
        let next = match hits.last() {
            Some(last) if hits.len() == self.query.limit => Some(last.cursor(group)),
            _ => stopped.filter(|_| self.query.recent).map(|key| Cursor { key, group }),
        };
        let mut highlights = BTreeSet::new();
        for hit in &hits {
            highlights.extend(hit.words.iter().cloned());
        }
        while highlights.len() > MOST_HIGHLIGHTS {
            highlights.pop_last();
        }
        Found { hits, count, highlights, next }
    }

    /// The candidate of `walk` as a result, if it fits and may be seen.
    fn examine(&self, walk: &Walk<'_>) -> Option<Hit> {
        let entry = walk.entry()?;
        if !walk.sight.allows(walk.at?, entry) {
            return None;
        }
        let (name, _) = field(entry.kind())?;
        let whole = walk.source.view.whole(entry)?;
        if !self.query.terms.may_fit(&whole.content().to_lowercase()) {
            return None;
        }
        let fit = self.query.terms.fit(&whole.face().content_str(name)?)?;
        let (score, room) = (fit.score, walk.source.room.id.clone());
        let ts = entry.ts.0;
        let key = Key { score: if self.query.recent { 0 } else { score }, ts, room, position: entry.position };
        let Source { room, view } = walk.source;
        let (room, view, words) = (Arc::clone(room), Arc::clone(view), fit.words);
        Some(Hit { room, view, entry: entry.clone(), score, key, words })
    }

    /// Whether an event is one that is read at all.
    fn wants(&self, view: &View, entry: &Entry) -> bool {
        field(entry.kind()).is_some_and(|(_, wanted)| wanted(&self.query.keys))
            && entry.redacted_by().is_none()
            && (entry.is_state() || !self.ignored.contains(entry.sender()))
            && passes(view, &self.query.filter, entry)
    }
}

/// Whether a search wants a field.
type Wanted = fn(&super::Keys) -> bool;

/// The field of an event's content that is searched, and whether a search wants it.
fn field(kind: &str) -> Option<(&'static str, Wanted)> {
    match kind {
        "m.room.message" => Some(("body", |keys| keys.body)),
        "m.room.name" => Some(("name", |keys| keys.name)),
        "m.room.topic" => Some(("topic", |keys| keys.topic)),
        _ => None,
    }
}

impl<'a> Walk<'a> {
    fn new(source: &'a Source, scan: &Scan<'a>, from: Option<&Key>) -> Self {
        let view = &source.view;
        let newest = match from {
            None => view.timeline.len(),
            // Within a room the order is the room's own; between rooms it is that of the times.
            Some(key) if key.room == source.room.id => view.index_of(key.position),
            // At the same time the rooms with the greater ids come first: what stands before `key` is not read again, or a
            // pass might end before it gets there, and the next page begin where this one did.
            Some(key) => {
                let follows = |entry: &Entry| entry.ts.0 < key.ts || entry.ts.0 == key.ts && source.room.id < key.room;
                view.timeline.iter().rposition(follows).map_or(0, |at| at + 1)
            }
        };
        let mut walk = Self { source, sight: Sight::of(view, scan.user), at: Some(newest) };
        walk.step(scan);
        walk
    }

    fn entry(&self) -> Option<&'a Entry> {
        self.source.view.timeline.get(self.at?)
    }

    /// Goes on to the next event that is read.
    fn step(&mut self, scan: &Scan<'_>) {
        while let Some(at) = self.at {
            self.at = at.checked_sub(1);
            if self.entry().is_some_and(|entry| scan.wants(&self.source.view, entry)) {
                return;
            }
        }
    }
}

/// The first `most` of `hits`, in order.
fn cut(hits: &mut Vec<Hit>, most: usize) {
    hits.sort_unstable_by(|one, other| other.key.cmp(&one.key));
    hits.truncate(most);
}

fn in_group(cursor: Option<&Cursor>, hit: &Hit) -> bool {
    match cursor.and_then(|cursor| cursor.group.as_ref()) {
        Some(Group::Sender(only)) => hit.entry.sender() == only,
        Some(Group::Room(only)) => hit.room.id == *only,
        None => true,
    }
}

//! Read positions: durable in the vault, shown to the room from RAM.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, UserId, events::room::member::MembershipState};

use super::{
    Entry, Error,
    hall::Rooms,
    room::Room,
    roots::root_key,
    view::{Echo, Receipt, View},
};
use crate::{
    accounts::{
        Account,
        vault::{ReadKey, ReadKind, ReadMark, VaultChange, VaultLedger},
    },
    event::{EventKey, receipt_ts},
    journal::Position,
};

impl Rooms {
    /// Moves a read position of `account` to `event`, never backwards. One for an unknown event is accepted and moves
    /// nothing; its own clients hear of it where the room has forgotten events.
    pub async fn read(
        &self,
        room: &Arc<Room>,
        account: &Arc<Account>,
        kind: ReadKind,
        thread: Option<String>,
        event: &EventId,
    ) -> Result<(), Error> {
        let view = room.view();
        let Some(entry) = view.entry(event) else {
            self.echo(room, account, kind, thread, event);
            return Ok(());
        };
        if !thread.as_deref().is_none_or(|thread| thread == MAIN || stands_in(&view, entry, thread)) {
            return Err(Error::OtherThread);
        }
        let key = ReadKey { room: room.id.clone(), kind, thread };
        let ts = receipt_ts(self.clock.now(), self.policy.bucket, entry.ts);
        let mark = ReadMark { position: entry.position, event: event.to_owned(), ts: ts.0 };
        let ahead = |vault: &VaultLedger| vault.read.get(&key).is_none_or(|before| before.position < mark.position);
        if !ahead(&account.view()) {
            return Ok(());
        }
        let change = |vault: &VaultLedger| {
            if !ahead(vault) {
                return Vec::new();
            }
            let mut changes = Vec::from_iter(surplus(vault, &key).map(|key| VaultChange::Read(key, None)));
            changes.extend(dead_threads(vault, &key, &view).map(|key| VaultChange::Read(key, None)));
            changes.push(VaultChange::Read(key.clone(), Some(mark.clone())));
            changes
        };
        account.vault.change(&self.journals, change).await?;
        account.notify();
        if let Some(watcher) = self.watcher().filter(|_| kind != ReadKind::Fully) {
            watcher.read(account);
        }
        if kind == ReadKind::Public {
            room.show_receipts(account);
            self.notify(room);
        }
        Ok(())
    }

    /// Gives a receipt back to the clients of its account: some hold an event that has expired here, and show the room as
    /// unread until they hear that it was read.
    fn echo(&self, room: &Room, account: &Account, kind: ReadKind, thread: Option<String>, event: &EventId) {
        let is_named = |thread: &str| thread == MAIN || <&EventId>::try_from(thread).is_ok();
        let forgetful = room.view().low > Position::START;
        if !forgetful || kind == ReadKind::Fully || !thread.as_deref().is_none_or(is_named) {
            return;
        }
        let ts = self.clock.now().floor_to(self.policy.bucket).0;
        room.change_view(|view| {
            view.receipt_count += 1;
            let echoes = view.echoes.entry(account.user_id.clone()).or_default();
            echoes.retain(|echo| (echo.kind, &echo.thread) != (kind, &thread));
            if echoes.len() >= MOST_ECHOES {
                echoes.pop_front();
            }
            echoes.push_back(Echo { kind, thread, event: event.to_owned(), ts, at: view.receipt_count });
        });
        account.notify();
    }
}

/// The thread of what is in none (spec: threaded read receipts).
const MAIN: &str = "main";

/// Whether a receipt of this thread says how far the main timeline has been read.
#[must_use]
pub fn is_of_main(thread: Option<&str>) -> bool {
    thread.is_none_or(|thread| thread == MAIN)
}

/// Positions in threads that are kept of one room and kind: beyond, the oldest is let go.
const MOST_THREADS: usize = 500;
/// Receipts of one user and room that are given back: one for the room, and some for threads.
const MOST_ECHOES: usize = 4;
/// Hops from an event to the thread it belongs to (spec: threading, "events related to a threaded event").
const MOST_HOPS: usize = 3;

/// The root of the thread an event belongs to; none for the main timeline, which roots belong to.
#[must_use]
pub fn thread_of(view: &View, entry: &Entry) -> Option<OwnedEventId> {
    let mut relation = entry.relation()?;
    for _ in 0..MOST_HOPS {
        if let Some(root) = relation.target("m.thread") {
            return Some(root.clone());
        }
        relation.rel_type.as_ref()?;
        relation = view.entry(relation.event_id.as_ref()?)?.relation()?;
    }
    None
}

/// Whether an event may mark how far a thread has been read: its root, and what relates to it in whatever way. What
/// relates to the root otherwise than as a thread belongs to the main timeline and is shown beside the thread too.
fn stands_in(view: &View, entry: &Entry, thread: &str) -> bool {
    if entry.id() == thread {
        return true;
    }
    let mut relation = entry.relation();
    for _ in 0..MOST_HOPS {
        let Some(target) = relation.filter(|it| it.rel_type.is_some()).and_then(|it| it.event_id.as_ref()) else {
            return false;
        };
        if target == thread {
            return true;
        }
        relation = view.entry(target).and_then(Entry::relation);
    }
    false
}

/// The position in a thread that gives way to `next`, when there are too many of its room and kind.
fn surplus(vault: &VaultLedger, next: &ReadKey) -> Option<ReadKey> {
    if vault.read.contains_key(next) || next.thread.is_none() {
        return None;
    }
    let from = ReadKey { thread: None, ..next.clone() };
    let of_kind = vault.read.range(from..).take_while(|(key, _)| key.room == next.room && key.kind == next.kind);
    let threads: Vec<_> =
        of_kind.filter(|(key, _)| key.thread.as_deref().is_some_and(|thread| thread != MAIN)).collect();
    let oldest = threads.iter().min_by_key(|(_, mark)| mark.position).map(|(key, _)| (*key).clone());
    oldest.filter(|_| threads.len() >= MOST_THREADS)
}

/// The positions of the room and kind of `next` in threads of which nothing is left.
fn dead_threads<'a>(vault: &'a VaultLedger, next: &'a ReadKey, view: &'a View) -> impl Iterator<Item = ReadKey> + 'a {
    let from = ReadKey { thread: None, ..next.clone() };
    let of_kind = vault.read.range(from..).take_while(move |(key, _)| key.room == next.room && key.kind == next.kind);
    of_kind.filter(move |(key, _)| !view.has_thread_named(key.thread.as_deref())).map(|(key, _)| key.clone())
}

impl View {
    /// Whether anything is left of a thread as receipts name it; the main timeline is always there.
    pub(super) fn has_thread_named(&self, thread: Option<&str>) -> bool {
        let Some(root) = thread.filter(|thread| *thread != MAIN) else { return true };
        <&EventId>::try_from(root).is_ok_and(|root| self.has_any_of(root))
    }

    /// The event a read position is served on: the one named while it is served, else the newest of its thread at or
    /// before the position.
    #[must_use]
    pub fn served_at(&self, event: &EventId, position: Position, thread: Option<&str>) -> Option<OwnedEventId> {
        if self.holds(event) {
            return Some(event.to_owned());
        }
        if position < self.low {
            return None;
        }
        self.of_thread(thread).rev().find(|entry| entry.position <= position).map(Entry::id)
    }

    /// As [`View::served_at`], and where nothing is left of what was read, the oldest event of the thread.
    #[must_use]
    pub fn served(&self, event: &EventId, position: Position, thread: Option<&str>) -> Option<OwnedEventId> {
        self.served_at(event, position, thread).or_else(|| self.of_thread(thread).next().map(Entry::id))
    }

    /// As [`View::served`], for a receipt of `reader` as he himself gets it: his clients take a room for unread in which
    /// they find none. A message of somebody else that he has not read is not said to be read.
    #[must_use]
    pub fn served_to(
        &self,
        reader: &UserId,
        event: &EventId,
        position: Position,
        thread: Option<&str>,
    ) -> Option<OwnedEventId> {
        self.served_at(event, position, thread).or_else(|| {
            let oldest = self.of_thread(thread).next()?;
            (!speaks_to(reader, oldest)).then(|| oldest.id())
        })
    }

    /// The event that a member who never said how far he has read is told he has: what has expired is unread no more, and
    /// his clients take a room for unread in which they find no receipt of his. The oldest event, unless it is a message of
    /// somebody else; none where nothing has expired, or nothing from when he was there.
    #[must_use]
    pub fn served_unsaid(&self, reader: &UserId) -> Option<&Entry> {
        let oldest = self.timeline.front().filter(|_| self.low > Position::START)?;
        let was_there = self.state_before(0).membership(reader) == MembershipState::Join;
        (was_there && !speaks_to(reader, oldest)).then_some(oldest)
    }

    /// The events that a receipt of this thread may stand on, oldest first: with none, every event.
    fn of_thread<'a>(&'a self, thread: Option<&'a str>) -> Box<dyn DoubleEndedIterator<Item = &'a Entry> + 'a> {
        match thread {
            None => Box::new(self.timeline.iter()),
            Some(MAIN) => Box::new(self.timeline.iter().filter(move |entry| thread_of(self, entry).is_none())),
            Some(root) => {
                let key = <&EventId>::try_from(root).ok().and_then(EventKey::of);
                let children = key.into_iter().flat_map(move |key| self.children(key));
                Box::new(children.filter(|child| root_key(child.relation()).is_some()))
            }
        }
    }
}

/// Types of events by which people talk to each other.
const SPEECH: [&str; 7] = [
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.poll.start",
    "m.poll.end",
    "org.matrix.msc3381.poll.start",
    "org.matrix.msc3381.poll.end",
];

/// Whether an event is a message to `reader`: by somebody else, and no edit.
fn speaks_to(reader: &UserId, entry: &Entry) -> bool {
    let is_edit = entry.relation().is_some_and(|relation| relation.target("m.replace").is_some());
    SPEECH.contains(&entry.kind()) && entry.sender() != reader && entry.redacted_by().is_none() && !is_edit
}

impl Room {
    /// Shows the room the public receipts that lie in a vault.
    pub(super) fn show_receipts(&self, account: &Account) {
        let vault = account.view();
        let from = ReadKey { room: self.id.clone(), kind: ReadKind::Public, thread: None };
        let mine = vault.read.range(from..).take_while(|(key, _)| key.room == self.id && key.kind == ReadKind::Public);
        let marks: Vec<_> = mine.map(|(key, mark)| (key.thread.clone(), mark.clone())).collect();
        if marks.is_empty() {
            return;
        }
        self.change_view(|view| {
            for (thread, mark) in marks {
                let place = (account.user_id.clone(), thread);
                if view.receipts.get(&place).is_some_and(|known| known.position >= mark.position) {
                    continue;
                }
                view.receipt_count += 1;
                let ReadMark { position, event, ts } = mark;
                view.receipts.insert(place, Receipt { position, event, ts, at: view.receipt_count });
            }
        });
    }
}

//! What the connections of one device must not hear before each other.
//!
//! Clients read messages between devices on one connection and rooms on another, and look at each when it comes in. A room
//! key is sent in such a message, and after it the first event that it decrypts: understood the other way round, the event
//! is undecryptable. Its text can be decrypted later, but a request to verify is looked at only once and lost. An answer
//! may be put aside on its way, too: matrix-sdk first asks for the keys of devices that changed. So a connection that does
//! not carry the messages is told of encrypted events when those of their senders have been fetched and understood, which
//! the client says with its next request, or a moment after they came. Joins are told in their order for a like reason:
//! see [`joins`](super::joins).

use std::{collections::BTreeMap, time::Duration};

use ruma::OwnedRoomId;

use super::{connection::Sent, joins::Joins, list::Candidate};
use crate::{
    accounts::{Session, vault::Fact},
    clock::Timestamp,
    journal::Position,
    rooms::{Entry, View},
};

/// How long an event waits for messages: a phone under load asks for others' keys and decrypts within some seconds, and shows
/// nothing of the event before. Who sends messages for no purpose delays what he says himself.
const WAIT: Duration = Duration::from_secs(5);

/// The type of events that need a key.
const ENCRYPTED: &str = "m.room.encrypted";

/// What one look at a connection that does not carry messages between devices has to wait for.
pub(super) struct Order<'a> {
    session: &'a Session,
    /// Rooms whose join is told later, and until when.
    joins: BTreeMap<OwnedRoomId, Duration>,
    /// Until when encrypted events wait at the longest.
    behind: Option<Duration>,
    now: Timestamp,
    steady: Duration,
}

impl<'a> Order<'a> {
    /// The order of a connection of `session`, at `now` and `steady` of the steady clock. `carries` says whether messages
    /// between devices come on it: then they come first by themselves.
    pub(super) fn new(joins: &Joins, session: &'a Session, carries: bool, now: Timestamp, steady: Duration) -> Self {
        let mut order = Self { session, joins: BTreeMap::new(), behind: None, now, steady };
        if !carries && !session.account.waiting(&session.device, Position::START, 1).is_empty() {
            order.joins = joins.of(session, steady);
            order.behind = session.account.came().map(|came| came.saturating_add(WAIT)).filter(|end| *end > steady);
        }
        order
    }

    /// Until when, of the steady clock, nothing is said of the room to a connection that was told `sent` of it and wants its
    /// latest `limit` events; nothing when it is told now.
    pub(super) fn until(&self, candidate: &Candidate<'_>, sent: Option<&Sent>, limit: usize) -> Option<Duration> {
        if *candidate.fact != Fact::Joined {
            return None;
        }
        let invited = sent.is_some_and(|sent| matches!(sent.fact, Fact::Invited(_)));
        let join = self.joins.get(candidate.id).filter(|_| invited).copied();
        join.or_else(|| self.event(candidate.view()?, sent, limit))
    }

    /// Waits for messages of whoever said something encrypted that is new, as long as the oldest of it has not waited long.
    fn event(&self, view: &View, sent: Option<&Sent>, limit: usize) -> Option<Duration> {
        let behind = self.behind?;
        let sent = sent.filter(|sent| sent.fact == Fact::Joined);
        if sent.is_some_and(|sent| sent.until == view.end()) {
            return None;
        }
        let latest = view.timeline.len().saturating_sub(limit);
        let from = sent.map_or(latest, |sent| view.index_after(sent.until));
        let new = view.timeline.iter().skip(from);
        let mut encrypted = new.filter(|entry| entry.kind() == ENCRYPTED && !self.is_echo(view, entry)).peekable();
        let arrived = view.arrived(encrypted.peek()?);
        let left = WAIT.checked_sub(self.now.since(arrived)).filter(|left| !left.is_zero() && arrived <= self.now)?;
        let (account, device) = (&self.session.account, &self.session.device);
        let waits = encrypted.any(|entry| account.has_waiting_of(device, entry.sender()));
        waits.then(|| self.steady.saturating_add(left).min(behind))
    }

    /// Whether the device sent the event itself.
    fn is_echo(&self, view: &View, entry: &Entry) -> bool {
        let own = entry.sender() == &*self.session.account.user_id;
        let device = &self.session.device;
        own && view.whole(entry).is_some_and(|whole| whole.transaction().is_some_and(|sent| sent.device == *device))
    }
}

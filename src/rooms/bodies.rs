//! What events say: of the newest in RAM, of older ones read from the journal when somebody asks.

use std::sync::Arc;

use parking_lot::RwLock;
use ruma::{OwnedEventId, OwnedRoomId, RoomId, room_version_rules::RoomVersionRules};

use super::{entry::Entry, row::Row, view::Transaction};
use crate::{
    clock::Timestamp,
    event::{self, Event, Face},
    journal::{Error, Journals, Position, Shelf},
    pseudonym::Roster,
};

/// Events of a room whose bodies stay in RAM: what a client asks for first. They were opened with the room anyway, and
/// reading them again for counts and for the first sync costs some fourteen microseconds each, twice.
pub(super) const RECENT: usize = 20;

/// What an event says beside its entry.
pub(super) struct Body {
    /// The text of its content; of a state event the entry has it.
    pub(super) content: Option<Box<str>>,
    /// Which device sent it under which transaction id.
    pub(super) transaction: Option<Transaction>,
    /// When it was accepted by this process: for `age`.
    pub(super) arrived: Option<Timestamp>,
}

/// Where bodies are read from.
pub(super) struct Bodies {
    room: OwnedRoomId,
    rules: Arc<RoomVersionRules>,
    journals: Option<Journals>,
    shelf: RwLock<(u64, Shelf)>,
}

impl Bodies {
    /// Bodies of a room in these journals; found once [`Bodies::arrange`] was called.
    pub(super) fn new(room: OwnedRoomId, rules: Arc<RoomVersionRules>, journals: Option<Journals>) -> Self {
        Self { room, rules, journals, shelf: RwLock::new((0, Shelf::default())) }
    }

    /// Looks for bodies on `shelf` from now on, unless the one of `arranged` is in place already.
    pub(super) fn arrange(&self, arranged: u64, shelf: impl FnOnce() -> Shelf) {
        if self.shelf.read().0 != arranged {
            *self.shelf.write() = (arranged, shelf());
        }
    }

    /// Looks for bodies on the shelf of an owner that was loaded again.
    pub(super) fn rearrange(&self, arranged: u64, shelf: Shelf) {
        *self.shelf.write() = (arranged, shelf);
    }

    /// The event at `position` as it lies in the journal; `None` when it is gone or unreadable.
    pub(super) fn event(&self, position: Position, roster: &Roster) -> Option<Event> {
        self.read(position, |row| row.reveal(roster, &self.room, &self.rules))
    }

    /// What the event at `position` says, as it lies in the journal; `None` when it is gone or unreadable.
    pub(super) fn body(&self, position: Position, roster: &Roster) -> Option<Body> {
        self.read(position, |row| row.body(roster))
    }

    fn read<T>(&self, position: Position, take: impl FnOnce(Row) -> Result<T, Error>) -> Option<T> {
        let journals = self.journals.as_ref()?;
        let taken = match self.fetch(journals, position) {
            Ok(plain) => Row::decode(&plain?).and_then(take),
            Err(error) => Err(error),
        };
        taken.inspect_err(|error| complain(*error)).ok()
    }

    fn fetch(&self, journals: &Journals, position: Position) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let (arranged, shelf) = self.shelf.read().clone();
            let found = shelf.fetch(journals, position);
            // The row may have moved into a pack, or under another secret, since the shelf was looked up.
            if matches!(found, Ok(Some(_))) || self.shelf.read().0 == arranged {
                return found;
            }
        }
    }
}

fn complain(error: Error) {
    crate::log::error!("an event could not be read", reason = super::Error::Journal(error).reason());
}

/// An event with what it says.
pub struct Whole<'a> {
    pub(super) room: &'a RoomId,
    pub(super) entry: &'a Entry,
    pub(super) id: OwnedEventId,
    pub(super) text: Text,
}

/// Where the content of a [`Whole`] lies.
pub(super) enum Text {
    /// Beside the entry, in the room's memory or read just now.
    Body(Arc<Body>),
    /// In the event: it is state, or redacted.
    Event(Arc<Event>),
}

impl Whole<'_> {
    /// What clients are told of the event.
    #[must_use]
    pub fn face(&self) -> Face<'_> {
        Face {
            id: &self.id,
            room_id: self.room,
            kind: self.entry.kind(),
            sender: self.entry.sender(),
            state_key: self.entry.state_key(),
            ts: self.entry.ts,
            redacts: self.entry.redacts(),
            content: self.content(),
        }
    }

    /// The text of its content, as redactions left it.
    #[must_use]
    pub fn content(&self) -> &str {
        match (&self.text, self.entry.state()) {
            (_, Some(event)) | (Text::Event(event), None) => event.content_text(),
            (Text::Body(body), None) => body.content.as_deref().unwrap_or("{}"),
        }
    }

    /// Which device sent it under which transaction id.
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.text {
            Text::Body(body) => body.transaction.as_ref(),
            Text::Event(_) => None,
        }
    }

    /// When it was accepted, as long as the process knows.
    #[must_use]
    pub fn arrived(&self) -> Option<Timestamp> {
        match &self.text {
            Text::Body(body) => body.arrived,
            Text::Event(_) => None,
        }
    }
}

/// `event` as its redaction leaves it, where there is one.
pub(super) fn as_redacted(event: Event, entry: &Entry, rules: &RoomVersionRules) -> Option<Event> {
    match entry.redacted_by() {
        Some(_) => event::redact(&event, rules).ok(),
        None => Some(event),
    }
}

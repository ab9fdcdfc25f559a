//! What a room's keep holds; the serialised form of [`RoomChange`] is a stored format (`doc/storage.md`).
//!
//! State events lie in it concealed, so that the roster is the only place that names anybody.

use std::{sync::Arc, time::Duration};

use imbl::{OrdMap, OrdSet};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId, room_version_rules::RoomVersionRules,
};
use serde::{Deserialize, Serialize};

use super::{core::StateMap, notes::PushNote};
use crate::{
    clock::Timestamp,
    event::{Event, rules_of},
    house::{KeptBlob, PublicRoom, set},
    journal::{Error, Ledger, Position},
    pseudonym::{MemberId, Roster, conceal, reveal},
    seal::slots::SlotId,
};

/// A room's value.
#[derive(Clone)]
pub struct RoomLedger {
    /// The room's id.
    pub id: OwnedRoomId,
    /// Its version's rules.
    pub rules: Arc<RoomVersionRules>,
    /// Its version.
    pub version: RoomVersionId,
    /// Member id ↔ MXID.
    pub roster: Roster,
    /// Which (RK generation, account slot) each member has confirmed.
    pub confirmed: OrdMap<MemberId, Confirmed>,
    /// Current state.
    pub state: Arc<StateMap>,
    /// How often RK was replaced.
    pub generation: u32,
    /// The last timestamp this server issued here.
    pub last_ts: Timestamp,
    /// The events that nothing follows yet.
    pub tips: Vec<OwnedEventId>,
    /// The depth of the deepest of them.
    pub depth: u64,
    /// Up to where events have expired, and how long they lived when that was written last.
    pub low: Option<LowWater>,
    /// Redacted events whose windows have not been rewritten yet.
    pub marks: OrdSet<OwnedEventId>,
    /// When RK came; nothing where that was not noted.
    pub keyed: Option<Keyed>,
    /// Keys of the restricted rooms this room admits to.
    pub admits: OrdMap<OwnedRoomId, PublicRoom>,
    /// Those of them whose key somebody has who may not join any more: he has left this room.
    pub stale: OrdSet<OwnedRoomId>,
    /// Where members want to be told of events while they are cold.
    pub notes: OrdMap<MemberId, PushNote>,
    /// Media that current state shows, by id.
    pub blobs: OrdMap<String, KeptBlob>,
}

/// What a member is known to have received.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The RK generation.
    #[serde(rename = "g")]
    pub generation: u32,
    /// The account's life.
    #[serde(rename = "s")]
    pub slot: SlotId,
}

/// When a room's key came.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    /// The stretch of thirty days, counted since 1970.
    #[serde(rename = "m")]
    pub stretch: u32,
    /// The place of the first event under it.
    #[serde(rename = "p")]
    pub from: Position,
}

/// Where a room's memory begins.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowWater {
    /// Nothing before this place is served.
    #[serde(rename = "p")]
    pub position: Position,
    /// The lifetime in force, in seconds; none where events do not expire.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl LowWater {
    /// That of a room in which nothing has expired yet.
    #[must_use]
    pub fn of(lifetime: Option<Duration>) -> Self {
        Self { position: Position::START, seconds: lifetime.map(|lifetime| lifetime.as_secs()) }
    }

    /// The lifetime in force; none where events do not expire.
    #[must_use]
    pub fn lifetime(self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }
}

/// A state event as it lies in the keep.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its id.
    #[serde(rename = "i")]
    pub id: OwnedEventId,
    /// Its concealed canonical JSON.
    #[serde(rename = "t")]
    pub text: String,
    /// Whether the text is the original: it did not survive concealment unchanged.
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    pub verbatim: bool,
}

impl StoredEvent {
    /// The event, with the names of `roster`.
    pub fn reveal(&self, roster: &Roster, room: &OwnedRoomId, rules: &RoomVersionRules) -> Result<Event, Error> {
        let json = reveal(&self.text, self.verbatim, roster).map_err(|_| Error::Malformed)?;
        let event = Event::parse(self.id.clone(), room.clone(), &json, rules).map_err(|_| Error::Malformed)?;
        Ok(match roster.shared(event.sender()) {
            Some(sender) => event.sharing(sender),
            None => event,
        })
    }
}

/// One change of a room. `None` removes.
#[derive(Clone, Serialize, Deserialize)]
pub enum RoomChange {
    /// What the room is; always first.
    #[serde(rename = "r")]
    Room {
        /// Its id.
        #[serde(rename = "i")]
        id: OwnedRoomId,
        /// Its version.
        #[serde(rename = "v")]
        version: RoomVersionId,
    },
    /// A roster entry.
    #[serde(rename = "m")]
    Member(MemberId, Option<OwnedUserId>),
    /// A member has confirmed a key.
    #[serde(rename = "c")]
    Confirmed(MemberId, Option<Confirmed>),
    /// A state event became current.
    #[serde(rename = "s")]
    State(StoredEvent),
    /// RK was replaced.
    #[serde(rename = "g")]
    Generation(u32),
    /// When RK came.
    #[serde(rename = "k")]
    Keyed(Keyed),
    /// Where the timeline stands, as a checkpoint notes it; later rows of the window go beyond it.
    #[serde(rename = "h")]
    Heads {
        /// The last timestamp issued.
        #[serde(rename = "t")]
        last_ts: u64,
        /// The tips.
        #[serde(rename = "e")]
        tips: Vec<OwnedEventId>,
        /// Their depth.
        #[serde(rename = "d")]
        depth: u64,
    },
    /// Events before this place have expired, under this lifetime.
    #[serde(rename = "l")]
    Low(LowWater),
    /// An event was redacted, or its window was rewritten.
    #[serde(rename = "x")]
    Mark(OwnedEventId, bool),
    /// The key of a restricted room.
    #[serde(rename = "a")]
    Admits(OwnedRoomId, Option<PublicRoom>),
    /// The key of a restricted room is to be replaced: somebody who may have it has left.
    #[serde(rename = "o")]
    Stale(OwnedRoomId),
    /// Where a member wants to be told of events while he is cold.
    #[serde(rename = "n")]
    Note(MemberId, Option<PushNote>),
    /// A blob is kept because current state shows it.
    #[serde(rename = "b")]
    Blob(String, Option<KeptBlob>),
}

impl RoomLedger {
    /// The empty value, to be filled by changes, of which [`RoomChange::Room`] is the first.
    #[must_use]
    pub fn empty(server: OwnedServerName, id: OwnedRoomId, version: RoomVersionId, rules: RoomVersionRules) -> Self {
        Self {
            id,
            rules: Arc::new(rules),
            version,
            roster: Roster::new(server),
            confirmed: OrdMap::new(),
            state: Arc::default(),
            generation: 1,
            last_ts: Timestamp(0),
            tips: Vec::new(),
            depth: 0,
            low: None,
            marks: OrdSet::new(),
            keyed: None,
            admits: OrdMap::new(),
            stale: OrdSet::new(),
            notes: OrdMap::new(),
            blobs: OrdMap::new(),
        }
    }

    /// The event as it lies in the keep. Every id in it must be in the roster already.
    #[must_use]
    pub fn stored(&self, event: &Event) -> StoredEvent {
        // Whoever is not in the roster stays in the text: only a verbatim event can name such a one.
        let known = &self.roster;
        let concealed = conceal(&event.json(), known, &mut |name| known.id(name).unwrap_or(MemberId([0; 16])));
        StoredEvent { id: event.id().to_owned(), text: concealed.text, verbatim: concealed.verbatim }
    }

    /// Reads an event of this room back.
    pub fn revealed(&self, stored: &StoredEvent) -> Result<Event, Error> {
        stored.reveal(&self.roster, &self.id, &self.rules)
    }

    /// Notes that an event is the newest of the room.
    pub fn extend(&mut self, id: OwnedEventId, depth: u64, ts: Timestamp) {
        self.tips = vec![id];
        self.depth = self.depth.max(depth);
        self.last_ts = self.last_ts.max(ts);
    }
}

impl Ledger for RoomLedger {
    type Change = RoomChange;

    fn apply(&mut self, change: RoomChange) -> Result<(), Error> {
        match change {
            RoomChange::Room { id, version } => {
                self.rules = Arc::new(rules_of(&version).ok_or(Error::Malformed)?);
                (self.id, self.version) = (id, version);
            }
            RoomChange::Member(id, Some(name)) => {
                self.roster.insert(id, name);
            }
            RoomChange::Member(id, None) => {
                self.roster.remove(id);
                self.confirmed.remove(&id);
                self.notes.remove(&id);
            }
            RoomChange::Confirmed(id, confirmed) => set(&mut self.confirmed, id, confirmed),
            RoomChange::State(stored) => {
                let event = self.revealed(&stored)?;
                Arc::make_mut(&mut self.state).insert(Arc::new(event));
            }
            RoomChange::Generation(generation) => self.generation = generation,
            RoomChange::Heads { last_ts, tips, depth } => {
                (self.last_ts, self.tips, self.depth) = (Timestamp(last_ts), tips, depth);
            }
            RoomChange::Low(low) => {
                let before = self.low.map_or(Position::START, |low| low.position);
                self.low = Some(LowWater { position: low.position.max(before), ..low });
            }
            RoomChange::Mark(event, true) => {
                self.marks.insert(event);
            }
            RoomChange::Mark(event, false) => {
                self.marks.remove(&event);
            }
            RoomChange::Keyed(keyed) => self.keyed = Some(keyed),
            RoomChange::Admits(room, entry) => {
                // Another key, or none.
                self.stale.remove(&room);
                set(&mut self.admits, room, entry);
            }
            RoomChange::Stale(room) => {
                self.stale.insert(room);
            }
            RoomChange::Note(member, note) => set(&mut self.notes, member, note),
            RoomChange::Blob(id, blob) => set(&mut self.blobs, id, blob),
        }
        Ok(())
    }

    fn checkpoint(&self) -> Vec<RoomChange> {
        let mut changes = vec![RoomChange::Room { id: self.id.clone(), version: self.version.clone() }];
        changes.extend(self.roster.iter().map(|(id, name)| RoomChange::Member(id, Some(name.to_owned()))));
        changes.extend(self.confirmed.iter().map(|(id, confirmed)| RoomChange::Confirmed(*id, Some(*confirmed))));
        changes.extend(self.state.iter().map(|event| RoomChange::State(self.stored(event))));
        changes.push(RoomChange::Generation(self.generation));
        changes.extend(self.keyed.map(RoomChange::Keyed));
        changes.push(RoomChange::Heads { last_ts: self.last_ts.0, tips: self.tips.clone(), depth: self.depth });
        changes.extend(self.low.map(RoomChange::Low));
        changes.extend(self.marks.iter().map(|event| RoomChange::Mark(event.clone(), true)));
        changes.extend(self.admits.iter().map(|(room, entry)| RoomChange::Admits(room.clone(), Some(entry.clone()))));
        changes.extend(self.stale.iter().cloned().map(RoomChange::Stale));
        changes.extend(self.notes.iter().map(|(member, note)| RoomChange::Note(*member, Some(note.clone()))));
        changes.extend(self.blobs.iter().map(|(id, blob)| RoomChange::Blob(id.clone(), Some(blob.clone()))));
        changes
    }
}

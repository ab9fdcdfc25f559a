//! Building events: canonical form, limits, hashes, signature, id.
//!
//! The only place that signs an event. It does not ask whether the event is allowed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    EventId, Int, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, ServerName,
    canonical_json::{CanonicalJsonObject, CanonicalJsonValue},
    room_version_rules::{RoomIdFormatVersion, RoomVersionRules},
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash},
};

use super::{Error, Event, MAX_EVENT_BYTES, MAX_FIELD_BYTES};
use crate::{clock::Timestamp, random::Random};

/// The key in the content of `m.room.create` that holds 128 random bits.
///
/// Event ids are hashes over names and times, and the id of a version 12 room is one: without the nonce two rooms that one
/// user makes within a time bucket would be the same room, and whoever holds an id could search for its creator.
/// Only the create event carries it. Every other event names, directly or through the events it follows, the create event
/// or the room, so it inherits those bits; clients compare the content of member events and would see a change in each.
pub const NONCE: &str = "lethe.nonce";

/// The deepest an event can lie: the largest integer of canonical JSON.
const MAX_DEPTH: u64 = (1 << 53) - 1;

/// What a new event is to say.
#[derive(Clone)]
pub struct Draft {
    /// Its `type`.
    pub kind: String,
    /// Who sends it.
    pub sender: OwnedUserId,
    /// Its `state_key` when it is a state event.
    pub state_key: Option<String>,
    /// Its `content`.
    pub content: CanonicalJsonObject,
    /// The event it redacts, for `m.room.redaction`; it is put where the room version wants it.
    pub redacts: Option<OwnedEventId>,
    /// The room; none for the create event of a version whose room id is that event's hash.
    pub room_id: Option<OwnedRoomId>,
}

impl Draft {
    /// A message-like event.
    #[must_use]
    pub fn message(room_id: &RoomId, sender: &ruma::UserId, kind: &str, content: CanonicalJsonObject) -> Self {
        Self {
            kind: kind.to_owned(),
            sender: sender.to_owned(),
            state_key: None,
            content,
            redacts: None,
            room_id: Some(room_id.to_owned()),
        }
    }

    /// A state event.
    #[must_use]
    pub fn state(
        room_id: &RoomId,
        sender: &ruma::UserId,
        kind: &str,
        state_key: &str,
        content: CanonicalJsonObject,
    ) -> Self {
        Self { state_key: Some(state_key.to_owned()), ..Self::message(room_id, sender, kind, content) }
    }

    /// A message-like event as a client sends it: the target of a redaction is taken out of its content, as the room
    /// version says where it stands.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a target that is no event id.
    pub fn given(
        room_id: &RoomId,
        sender: &ruma::UserId,
        kind: &str,
        mut content: CanonicalJsonObject,
    ) -> Result<Self, Error> {
        let target = if kind == "m.room.redaction" { content.remove("redacts") } else { None };
        let id = |target: CanonicalJsonValue| target.as_str().and_then(|target| OwnedEventId::try_from(target).ok());
        let redacts = target.map(|target| id(target).ok_or(Error::Malformed)).transpose()?;
        Ok(Self { redacts, ..Self::message(room_id, sender, kind, content) })
    }
}

/// Reads the content of an event from a client's JSON.
///
/// # Errors
/// [`Error::NotCanonical`] for anything that is not an object of canonical JSON: floats and integers beyond 2^53 − 1.
pub fn content_from(json: &str) -> Result<CanonicalJsonObject, Error> {
    serde_json::from_str(json).map_err(|_| Error::NotCanonical)
}

/// The events a new one follows.
#[derive(Clone, Default)]
pub struct Parents {
    /// The room's forward extremities; none for the first event.
    pub events: Vec<OwnedEventId>,
    /// The greatest depth among them.
    pub depth: u64,
}

/// Builds and signs events for one server in one room.
pub struct Builder<'a> {
    /// The rules of the room's version.
    pub rules: &'a RoomVersionRules,
    /// This server's name.
    pub server: &'a ServerName,
    /// This server's signing key.
    pub key: &'a Ed25519KeyPair,
    /// Where the create event's nonce comes from.
    pub random: &'a dyn Random,
}

impl Builder<'_> {
    /// The signed event.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::FieldTooLong`] by the spec's size limits, [`Error::NoRoom`] when the draft names no
    /// room although it must.
    pub fn build(
        &self,
        mut draft: Draft,
        parents: &Parents,
        auth_events: &[OwnedEventId],
        ts: Timestamp,
    ) -> Result<Event, Error> {
        let is_create = draft.kind == "m.room.create" && draft.state_key.as_deref() == Some("");
        if is_create {
            self.complete_create(&mut draft);
        }
        check_lengths(&draft)?;
        let given = self.named_room(&draft, is_create)?;
        let mut object = self.object(draft, parents, auth_events, ts, given.as_deref())?;
        hash_and_sign_event(self.server.as_str(), self.key, &mut object, &self.rules.redaction)
            .map_err(|_| Error::TooLarge)?;
        let json = serde_json::to_string(&object).map_err(|_| Error::Unsignable)?;
        if json.len() > MAX_EVENT_BYTES {
            return Err(Error::TooLarge);
        }
        let hash = reference_hash(&object, self.rules).map_err(|_| Error::Unsignable)?;
        let id = EventId::parse(format!("${hash}")).map_err(|_| Error::Unsignable)?;
        let room_id = match given {
            Some(room_id) => room_id,
            None => RoomId::parse(format!("!{hash}")).map_err(|_| Error::Unsignable)?,
        };
        Event::parse(id, room_id, &json, self.rules)
    }

    fn named_room(&self, draft: &Draft, is_create: bool) -> Result<Option<OwnedRoomId>, Error> {
        if is_create && self.rules.room_id_format == RoomIdFormatVersion::V2 {
            return Ok(None);
        }
        draft.room_id.clone().map(Some).ok_or(Error::NoRoom)
    }

    fn complete_create(&self, draft: &mut Draft) {
        let nonce = URL_SAFE_NO_PAD.encode(self.random.bytes::<16>());
        draft.content.insert(NONCE.to_owned(), CanonicalJsonValue::String(nonce));
        if self.rules.authorization.use_room_create_sender {
            draft.content.remove("creator");
        } else {
            draft.content.insert("creator".to_owned(), CanonicalJsonValue::String(draft.sender.to_string()));
        }
    }

    fn object(
        &self,
        draft: Draft,
        parents: &Parents,
        auth_events: &[OwnedEventId],
        ts: Timestamp,
        room_id: Option<&RoomId>,
    ) -> Result<CanonicalJsonObject, Error> {
        let Draft { kind, sender, state_key, mut content, redacts, room_id: _ } = draft;
        let depth = parents.depth.saturating_add(1).min(MAX_DEPTH);
        let mut object = CanonicalJsonObject::new();
        if let Some(redacts) = redacts {
            let target = if self.rules.redaction.content_field_redacts { &mut content } else { &mut object };
            target.insert("redacts".to_owned(), text(redacts.as_str()));
        }
        object.insert("auth_events".to_owned(), ids(auth_events));
        object.insert("content".to_owned(), CanonicalJsonValue::Object(content));
        object.insert("depth".to_owned(), number(depth)?);
        object.insert("origin_server_ts".to_owned(), number(ts.0)?);
        object.insert("prev_events".to_owned(), ids(&parents.events));
        if let Some(room_id) = room_id {
            object.insert("room_id".to_owned(), text(room_id.as_str()));
        }
        object.insert("sender".to_owned(), text(sender.as_str()));
        if let Some(state_key) = state_key {
            object.insert("state_key".to_owned(), CanonicalJsonValue::String(state_key));
        }
        object.insert("type".to_owned(), CanonicalJsonValue::String(kind));
        Ok(object)
    }
}

fn check_lengths(draft: &Draft) -> Result<(), Error> {
    let state_key = draft.state_key.as_ref().map_or(0, String::len);
    let room_id = draft.room_id.as_ref().map_or(0, |id| id.as_bytes().len());
    let longest = draft.kind.len().max(state_key).max(room_id).max(draft.sender.as_bytes().len());
    if longest > MAX_FIELD_BYTES { Err(Error::FieldTooLong) } else { Ok(()) }
}

fn ids(list: &[OwnedEventId]) -> CanonicalJsonValue {
    CanonicalJsonValue::Array(list.iter().map(|id| text(id.as_str())).collect())
}

fn text(value: &str) -> CanonicalJsonValue {
    CanonicalJsonValue::String(value.to_owned())
}

fn number(value: u64) -> Result<CanonicalJsonValue, Error> {
    Int::try_from(value).map(CanonicalJsonValue::Integer).map_err(|_| Error::NotCanonical)
}

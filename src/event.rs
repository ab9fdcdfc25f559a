//! Events: the checked in-memory form, how one is built, redacted and shown to a client.
//!
//! Owns everything that depends on the shape of a PDU. It does no I/O, reads no clock and never decides whether an event is
//! allowed: that is `rooms`. What differs between room versions is read from [`RoomVersionRules`], never matched on.

use std::{borrow::Cow, sync::OnceLock};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UInt, UserId,
    canonical_json::{CanonicalJsonObject, redact as redact_object},
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;

pub mod build;
pub mod client;
pub mod digest;
pub mod filter;
mod frame;
pub mod relation;
#[cfg(test)]
mod tests;
pub mod ts;

pub use build::{Builder, Draft, Parents};
pub use client::{Face, Shape, Unsigned, to_client};
pub use digest::{Digest, EventKey};
use frame::{Frame, Names};
pub use relation::Relation;
pub use ts::{next_ts, receipt_ts};

/// The largest PDU in bytes, signatures included, that every server accepts (spec: client-server API, size limits).
pub const MAX_EVENT_BYTES: usize = 65_535;

/// The longest `type`, `state_key`, `sender` or id in bytes (spec: client-server API, size limits).
pub const MAX_FIELD_BYTES: usize = 255;

/// The room versions this server creates, joins and answers for, oldest first.
///
/// Versions 1 to 5 need what ruma does not have: the first state resolution, and JSON that is not canonical.
pub const SUPPORTED: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// The version of rooms whose creator asks for none.
pub const DEFAULT_VERSION: RoomVersionId = RoomVersionId::V12;

/// The rules of `version` when this server supports it.
#[must_use]
pub fn rules_of(version: &RoomVersionId) -> Option<RoomVersionRules> {
    SUPPORTED.contains(version).then(|| version.rules()).flatten()
}

/// Why something is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not the JSON of an event.
    #[error("not an event")]
    Malformed,
    /// The JSON holds a number that canonical JSON cannot: a float, or an integer beyond 2^53 − 1.
    #[error("not canonical JSON")]
    NotCanonical,
    /// The event is larger than [`MAX_EVENT_BYTES`].
    #[error("event too large")]
    TooLarge,
    /// A field is longer than [`MAX_FIELD_BYTES`].
    #[error("field too long")]
    FieldTooLong,
    /// The draft names no room although its version needs one.
    #[error("event without a room")]
    NoRoom,
    /// The event could not be hashed or signed.
    #[error("event cannot be signed")]
    Unsignable,
}

/// A checked event: immutable, shared as `Arc<Event>`.
///
/// Its id is what was computed or verified when the event came; it is never computed again. A room in memory holds one
/// for each state event, so what is seldom asked for is packed away.
#[derive(Clone)]
pub struct Event {
    id: OwnedEventId,
    room_id: OwnedRoomId,
    content: Box<RawValue>,
    /// The rest of its text.
    frame: Frame,
    kind: TimelineEventType,
    kind_text: Cow<'static, str>,
    sender: OwnedUserId,
    state_key: Option<Box<str>>,
    ts: Timestamp,
    depth: u64,
    redacts: Option<OwnedEventId>,
    /// Read once: everything that asks who is in a room asks every member event.
    membership: Option<MembershipState>,
    /// Read when authorisation or resolution asks.
    links: OnceLock<Box<Links>>,
    names_room: bool,
    rejected: bool,
}

/// Types of most state events, each in memory once.
const USUAL: [&str; 9] = [
    "m.room.member",
    "m.room.create",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.encryption",
    "m.room.name",
    "m.room.retention",
];

fn shared_kind(kind: Cow<'_, str>) -> Cow<'static, str> {
    match USUAL.iter().find(|usual| **usual == kind) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(kind.into_owned()),
    }
}

/// The events an event names.
#[derive(Clone, Default, Deserialize)]
struct Links {
    #[serde(default)]
    prev_events: Vec<OwnedEventId>,
    #[serde(default)]
    auth_events: Vec<OwnedEventId>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    sender: OwnedUserId,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    origin_server_ts: u64,
    #[serde(default)]
    depth: u64,
    /// Their form is checked here; they are read where they are asked for.
    #[serde(default)]
    #[expect(dead_code, reason = "reading is the check")]
    prev_events: Vec<IdForm>,
    #[serde(default)]
    #[expect(dead_code, reason = "reading is the check")]
    auth_events: Vec<IdForm>,
    #[serde(borrow)]
    content: &'a RawValue,
    room_id: Option<Cow<'a, str>>,
    redacts: Option<OwnedEventId>,
}

/// The form of an event id, without the id.
#[derive(Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
struct IdForm;

impl TryFrom<Cow<'_, str>> for IdForm {
    type Error = ruma::IdParseError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, ruma::IdParseError> {
        <&EventId>::try_from(&*text).map(|_| Self)
    }
}

impl Event {
    /// Reads an event whose signatures and id were checked before, or that comes from the journal.
    ///
    /// `json` is its canonical JSON with `hashes` and `signatures`, without `unsigned`. `room_id` is given apart
    /// because the create event of a version 12 room does not name its room.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a field every event has is missing or of another type.
    pub fn parse(id: OwnedEventId, room_id: OwnedRoomId, json: &str, rules: &RoomVersionRules) -> Result<Self, Error> {
        let fields: Fields<'_> = serde_json::from_str(json).map_err(|_| Error::Malformed)?;
        if fields.room_id.as_ref().is_some_and(|named| *named != room_id.as_str())
            || !fields.content.get().starts_with('{')
        {
            return Err(Error::Malformed);
        }
        let redacts = redacts_of(&fields.kind, fields.content, fields.redacts, rules);
        let is_member = fields.state_key.is_some() && fields.kind == "m.room.member";
        let membership = is_member.then(|| membership_in(fields.content)).flatten();
        // The content is borrowed from the text, so it lies within.
        let start = fields.content.get().as_ptr().addr() - json.as_ptr().addr();
        let (before, rest) = json.split_at(start);
        let behind = rest.get(fields.content.get().len()..).unwrap_or_default();
        let names = names(&room_id, &fields.sender, &fields.kind, fields.state_key.as_deref());
        Ok(Self {
            frame: Frame::new(before, behind, &names),
            id,
            membership,
            content: fields.content.to_owned(),
            names_room: fields.room_id.is_some(),
            room_id,
            kind: TimelineEventType::from(&*fields.kind),
            kind_text: shared_kind(fields.kind),
            state_key: fields.state_key.map(Into::into),
            sender: fields.sender,
            ts: Timestamp(fields.origin_server_ts),
            depth: fields.depth,
            redacts,
            links: OnceLock::new(),
            rejected: false,
        })
    }

    /// Reads an event from its object form; `unsigned` is dropped.
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn from_object(
        id: OwnedEventId,
        room_id: OwnedRoomId,
        mut object: CanonicalJsonObject,
        rules: &RoomVersionRules,
    ) -> Result<Self, Error> {
        object.remove("unsigned");
        let json = serde_json::to_string(&object).map_err(|_| Error::Malformed)?;
        Self::parse(id, room_id, &json, rules)
    }

    /// The same event, marked as refused by the authorisation rules: it counts in no state.
    #[must_use]
    pub fn into_rejected(self) -> Self {
        Self { rejected: true, ..self }
    }

    /// The same event without what was read from its text for authorisation: for keeping.
    #[must_use]
    pub fn settled(self) -> Self {
        Self { links: OnceLock::new(), ..self }
    }

    /// The same event with its sender's id shared with `sender`, which must be equal.
    #[must_use]
    pub fn sharing(self, sender: &OwnedUserId) -> Self {
        debug_assert!(&self.sender == sender, "the same user");
        Self { sender: sender.clone(), ..self }
    }

    /// The event's id.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The room it belongs to.
    #[must_use]
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// Its canonical JSON: the PDU with `hashes` and `signatures`, without `unsigned`.
    #[must_use]
    pub fn json(&self) -> String {
        let names = names(&self.room_id, &self.sender, &self.kind_text, self.state_key());
        self.frame.around(self.content.get(), &names)
    }

    /// Its `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind_text
    }

    /// Its `type`, parsed.
    #[must_use]
    pub fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    /// Who sent it.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// Its `state_key`; a state event has one, possibly empty.
    #[must_use]
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    /// Whether it is a state event.
    #[must_use]
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Whether it is a state event of this type and state key.
    #[must_use]
    pub fn is(&self, kind: &str, state_key: &str) -> bool {
        self.kind() == kind && self.state_key() == Some(state_key)
    }

    /// Its signed `origin_server_ts`.
    #[must_use]
    pub fn ts(&self) -> Timestamp {
        self.ts
    }

    /// The events it follows.
    #[must_use]
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.links().prev_events
    }

    /// The state events it was authorised by.
    #[must_use]
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.links().auth_events
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| Box::new(serde_json::from_str(&self.json()).unwrap_or_default()))
    }

    /// Its `depth`.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// Its `content`, an object.
    #[must_use]
    pub fn content(&self) -> &RawValue {
        &self.content
    }

    /// The text of its `content`.
    #[must_use]
    pub fn content_text(&self) -> &str {
        self.content.get()
    }

    /// Its `content` read as `T`; nothing when it has another shape.
    #[must_use]
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content_text()).ok()
    }

    /// A string field of its `content`.
    #[must_use]
    pub fn content_str(&self, field: &str) -> Option<String> {
        client::content_str(self.content_text(), field)
    }

    /// The event this redaction asks to redact: in `content` since version 11, beside it before.
    #[must_use]
    pub fn redacts(&self) -> Option<&EventId> {
        self.redacts.as_deref()
    }

    /// Whether the authorisation rules refused it.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// The membership an `m.room.member` event gives to its state key.
    #[must_use]
    pub fn membership(&self) -> Option<MembershipState> {
        self.membership.clone()
    }

    /// How it relates to another event, by `m.relates_to` in its clear content.
    #[must_use]
    pub fn relation(&self) -> Option<Relation> {
        Relation::of(self.content_text())
    }

    /// Its object form.
    ///
    /// # Errors
    /// [`Error::NotCanonical`] when a number in it is not one of canonical JSON.
    pub fn object(&self) -> Result<CanonicalJsonObject, Error> {
        serde_json::from_str(&self.json()).map_err(|_| Error::NotCanonical)
    }
}

fn names<'a>(room: &'a RoomId, sender: &'a UserId, kind: &'a str, state_key: Option<&'a str>) -> Names<'a> {
    [room.as_str(), sender.as_str(), sender.server_name().as_str(), kind, state_key.unwrap_or_default()]
}

/// What a redaction redacts: in `content` since version 11, beside it before.
fn redacts_of(
    kind: &str,
    content: &RawValue,
    beside: Option<OwnedEventId>,
    rules: &RoomVersionRules,
) -> Option<OwnedEventId> {
    match kind {
        "m.room.redaction" if rules.redaction.content_field_redacts => redacts_in(content),
        "m.room.redaction" => beside,
        _ => None,
    }
}

fn redacts_in(content: &RawValue) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: OwnedEventId,
    }
    serde_json::from_str::<Content>(content.get()).ok().map(|content| content.redacts)
}

fn membership_in(content: &RawValue) -> Option<MembershipState> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    serde_json::from_str::<Content>(content.get()).ok().map(|content| content.membership)
}

/// The event as the redaction rules leave it, under the same id (spec: room versions, redactions).
///
/// # Errors
/// [`Error::Malformed`] when the event's JSON does not allow it.
pub fn redact(event: &Event, rules: &RoomVersionRules) -> Result<Event, Error> {
    let object = redact_object(event.object()?, &rules.redaction, None).map_err(|_| Error::Malformed)?;
    let redacted = Event::from_object(event.id.clone(), event.room_id.clone(), object, rules)?;
    Ok(Event { rejected: event.rejected, ..redacted })
}

impl ruma::state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.names_room.then_some(&*self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::new_saturating(self.ts.0))
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        self.content()
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.links().prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.links().auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

//! What an open room keeps in memory of each of its events, whatever the event's size.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, room_version_rules::RoomVersionRules};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Error, Event, Relation, redacts_of};
use crate::clock::Timestamp;

/// An event id in 32 bytes: in every version this server supports it is a hash (spec: room version 4, event ids).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey([u8; 32]);

impl EventKey {
    /// The key of an id; none when the id is no hash, and so no event's of a supported version.
    #[must_use]
    pub fn of(id: &EventId) -> Option<Self> {
        let text = id.as_str().strip_prefix('$').filter(|text| text.len() == 43)?;
        let mut bytes = [0; 33];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (length == 32).then(|| bytes.first_chunk().map(|bytes| Self(*bytes))).flatten()
    }

    /// A key that no event has: made from an id and for a `purpose`.
    #[must_use]
    pub fn derived(purpose: &'static str, of: &EventId) -> Self {
        Self(blake3::derive_key(purpose, of.as_bytes()))
    }

    /// The id.
    #[must_use]
    pub fn id(self) -> OwnedEventId {
        let mut text = String::with_capacity(44);
        text.push('$');
        URL_SAFE_NO_PAD.encode_string(self.0, &mut text);
        EventId::parse(text).expect("a hash is an event id")
    }
}

/// What the rules of a timeline ask of an event: all of a state event, little of any other.
pub struct Digest {
    /// Its id.
    pub key: EventKey,
    /// Its `type`.
    pub kind: Box<str>,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its `origin_server_ts`.
    pub ts: Timestamp,
    /// Its `depth`.
    pub depth: u64,
    /// How it relates to another event.
    pub relation: Option<Relation>,
    /// Whether it can stand for what it replaces: it is encrypted or has an `m.new_content`.
    pub replaces_content: bool,
    /// The event it redacts.
    pub redacts: Option<OwnedEventId>,
    /// The whole event where it is state.
    pub state: Option<Arc<Event>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: Box<str>,
    sender: OwnedUserId,
    #[serde(default)]
    state_key: Option<serde::de::IgnoredAny>,
    origin_server_ts: u64,
    #[serde(default)]
    depth: u64,
    #[serde(borrow)]
    content: &'a RawValue,
    redacts: Option<OwnedEventId>,
}

impl Digest {
    /// The digest of an event, and the text of its content when it is no state event.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the id is none of a supported version.
    pub fn of(event: &Arc<Event>) -> Result<(Self, Option<Box<str>>), Error> {
        let content = event.content_text();
        let digest = Self {
            key: EventKey::of(event.id()).ok_or(Error::Malformed)?,
            kind: event.kind().into(),
            sender: event.sender.clone(),
            ts: event.ts(),
            depth: event.depth(),
            relation: event.relation(),
            replaces_content: replaces_content(event.kind(), content),
            redacts: event.redacts.clone(),
            state: event.is_state().then(|| Arc::clone(event)),
        };
        Ok((digest, (!event.is_state()).then(|| content.into())))
    }

    /// As [`Digest::of`], from the canonical JSON of an event that comes from the journal.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not an event.
    pub fn read(
        id: OwnedEventId,
        room_id: &OwnedRoomId,
        json: &str,
        rules: &RoomVersionRules,
    ) -> Result<(Self, Option<Box<str>>), Error> {
        let head: Head<'_> = serde_json::from_str(json).map_err(|_| Error::Malformed)?;
        if head.state_key.is_some() {
            return Self::of(&Arc::new(Event::parse(id, room_id.clone(), json, rules)?));
        }
        let content = head.content.get();
        let digest = Self {
            key: EventKey::of(&id).ok_or(Error::Malformed)?,
            relation: Relation::of(content),
            replaces_content: replaces_content(&head.kind, content),
            redacts: redacts_of(&head.kind, head.content, head.redacts, rules),
            kind: head.kind,
            sender: head.sender,
            ts: Timestamp(head.origin_server_ts),
            depth: head.depth,
            state: None,
        };
        Ok((digest, Some(content.into())))
    }
}

fn replaces_content(kind: &str, content: &str) -> bool {
    kind == "m.room.encrypted" || content.contains("\"m.new_content\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_into_its_key_and_back_and_nothing_else_has_one() {
        let id = EventId::parse("$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk").unwrap();
        assert_eq!(EventKey::of(&id).unwrap().id(), id);
        for other in ["$a", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", "$h29iv0s8:example.com"] {
            assert!(EventKey::of(&EventId::parse(other).unwrap()).is_none(), "{other}");
        }
        // The last character of 43 holds four bits: others than zero name no hash.
        assert!(EventKey::of(&EventId::parse(format!("${}", "_".repeat(43))).unwrap()).is_none());
    }
}

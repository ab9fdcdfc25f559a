//! Events as clients see them.
//!
//! Writes JSON text around an event's content without reading that content again.

use std::collections::BTreeMap;

use ruma::{EventId, RoomId, UserId};
use serde_json::value::RawValue;

use super::Event;
use crate::clock::Timestamp;

/// Which of the client forms to write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// With `room_id`: `/messages`, `/context`, `/event`, `/state`, `/relations`, push.
    Full,
    /// Without `room_id`: inside a room of `/sync`.
    Sync,
    /// `type`, `state_key`, `content` and `sender` alone: invites, knocks, hierarchies.
    Stripped,
}

/// What clients are told of an event itself.
#[derive(Clone, Copy)]
pub struct Face<'a> {
    /// Its id.
    pub id: &'a EventId,
    /// Its room.
    pub room_id: &'a RoomId,
    /// Its `type`.
    pub kind: &'a str,
    /// Its sender.
    pub sender: &'a UserId,
    /// Its `state_key`, when it is a state event.
    pub state_key: Option<&'a str>,
    /// Its `origin_server_ts`.
    pub ts: Timestamp,
    /// The event it redacts.
    pub redacts: Option<&'a EventId>,
    /// The text of its `content`, an object.
    pub content: &'a str,
}

impl Face<'_> {
    /// A string field of its `content`.
    #[must_use]
    pub fn content_str(&self, field: &str) -> Option<String> {
        content_str(self.content, field)
    }
}

/// A string field of a content.
pub(super) fn content_str(content: &str, field: &str) -> Option<String> {
    // Most contents lack the field, and a search is cheaper than a parse.
    if !content.contains(field) {
        return None;
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(content).ok()?;
    serde_json::from_str(fields.get(field)?.get()).ok()
}

impl<'a> From<&'a Event> for Face<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            id: event.id(),
            room_id: event.room_id(),
            kind: event.kind(),
            sender: event.sender(),
            state_key: event.state_key(),
            ts: event.ts(),
            redacts: event.redacts(),
            content: event.content_text(),
        }
    }
}

/// What this server adds to an event for one viewer (`unsigned`); what is none is left out.
#[derive(Clone, Default)]
pub struct Unsigned<'a> {
    /// Milliseconds since this server received the event.
    pub age: Option<u64>,
    /// The transaction id, for the device that sent the event.
    pub transaction_id: Option<&'a str>,
    /// The viewer's membership at the event (MSC4115).
    pub membership: Option<&'a str>,
    /// The state event this one replaced.
    pub replaced: Option<Face<'a>>,
    /// The redaction that emptied this event.
    pub redacted_because: Option<Face<'a>>,
    /// `m.relations`: bundled aggregations, an object's JSON text.
    pub relations: Option<&'a str>,
}

/// The JSON of `event` for a client.
///
/// `redacts` is shown both inside `content` and beside it, whatever the room version, as clients of either kind expect.
#[must_use]
pub fn to_client<'a>(event: impl Into<Face<'a>>, shape: Shape, unsigned: &Unsigned<'_>) -> Box<RawValue> {
    let face = event.into();
    let mut out = String::with_capacity(face.content.len() + 320);
    write(&mut out, &face, shape, unsigned);
    RawValue::from_string(out).expect("assembled from JSON values")
}

/// Appends what [`to_client`] returns to `out`.
pub fn write(out: &mut String, event: &Face<'_>, shape: Shape, unsigned: &Unsigned<'_>) {
    out.push_str("{\"content\":");
    write_content(out, event);
    if shape != Shape::Stripped {
        field(out, "event_id", event.id.as_str());
        out.push_str(",\"origin_server_ts\":");
        number(out, event.ts.0);
        if let Some(redacts) = event.redacts {
            field(out, "redacts", redacts.as_str());
        }
        if shape == Shape::Full {
            field(out, "room_id", event.room_id.as_str());
        }
    }
    field(out, "sender", event.sender.as_str());
    if let Some(state_key) = event.state_key {
        field(out, "state_key", state_key);
    }
    field(out, "type", event.kind);
    if shape != Shape::Stripped {
        write_unsigned(out, unsigned);
    }
    out.push('}');
}

/// The event as part of the state shown to somebody who is not in the room (spec: stripped state).
#[must_use]
pub fn to_stripped(event: &Event) -> Box<RawValue> {
    to_client(event, Shape::Stripped, &Unsigned::default())
}

fn write_content(out: &mut String, event: &Face<'_>) {
    let content = event.content;
    match event.redacts {
        Some(redacts) if !content.contains("\"redacts\"") => {
            out.push_str("{\"redacts\":");
            string(out, redacts.as_str());
            let rest = content.trim_start_matches('{').trim_start();
            if !rest.starts_with('}') {
                out.push(',');
            }
            out.push_str(rest);
        }
        _ => out.push_str(content),
    }
}

fn write_unsigned(out: &mut String, unsigned: &Unsigned<'_>) {
    let start = out.len();
    if let Some(age) = unsigned.age {
        out.push_str(",\"age\":");
        number(out, age);
    }
    if let Some(relations) = unsigned.relations {
        out.push_str(",\"m.relations\":");
        out.push_str(relations);
    }
    if let Some(membership) = unsigned.membership {
        field(out, "membership", membership);
    }
    if let Some(replaced) = unsigned.replaced {
        out.push_str(",\"prev_content\":");
        out.push_str(replaced.content);
        field(out, "prev_sender", replaced.sender.as_str());
        field(out, "replaces_state", replaced.id.as_str());
    }
    if let Some(because) = unsigned.redacted_because {
        out.push_str(",\"redacted_because\":");
        write(out, &because, Shape::Full, &Unsigned::default());
    }
    if let Some(id) = unsigned.transaction_id {
        field(out, "transaction_id", id);
    }
    if out.len() > start {
        out.replace_range(start..=start, ",\"unsigned\":{");
        out.push('}');
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    string(out, value);
}

fn string(out: &mut String, value: &str) {
    out.push_str(&serde_json::to_string(value).expect("strings are JSON"));
}

fn number(out: &mut String, value: u64) {
    out.push_str(&value.to_string());
}

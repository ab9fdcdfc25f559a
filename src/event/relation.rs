//! Relations between events, as the clear part of an event's content states them.

use ruma::OwnedEventId;
use serde::Deserialize;

/// What `m.relates_to` says (spec: client-server API, forming relationships between events).
#[derive(Clone, PartialEq, Eq)]
pub struct Relation {
    /// `m.replace`, `m.thread`, `m.reference`, `m.annotation` or another; none for a bare reply.
    pub rel_type: Option<String>,
    /// The event related to; none for a bare reply.
    pub event_id: Option<OwnedEventId>,
    /// The key of an annotation.
    pub key: Option<String>,
    /// The event this one replies to, or seems to in clients that know no threads.
    pub in_reply_to: Option<OwnedEventId>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "m.relates_to")]
    relates_to: RelatesTo,
}

#[derive(Deserialize)]
struct RelatesTo {
    rel_type: Option<String>,
    event_id: Option<OwnedEventId>,
    key: Option<String>,
    #[serde(rename = "m.in_reply_to")]
    in_reply_to: Option<InReplyTo>,
}

#[derive(Deserialize)]
struct InReplyTo {
    event_id: OwnedEventId,
}

impl Relation {
    /// The relation in an event's content; nothing when there is none or it has another shape.
    #[must_use]
    pub fn of(content: &str) -> Option<Self> {
        // Most events relate to nothing, and a search is cheaper than a parse. Canonical JSON escapes no letter of the key.
        if !content.contains("\"m.relates_to\"") {
            return None;
        }
        let RelatesTo { rel_type, event_id, key, in_reply_to } =
            serde_json::from_str::<Content>(content).ok()?.relates_to;
        let in_reply_to = in_reply_to.map(|reply| reply.event_id);
        (event_id.is_some() || in_reply_to.is_some()).then_some(Self { rel_type, event_id, key, in_reply_to })
    }

    /// The target when the relation is of this type.
    #[must_use]
    pub fn target(&self, rel_type: &str) -> Option<&OwnedEventId> {
        (self.rel_type.as_deref() == Some(rel_type)).then_some(self.event_id.as_ref()).flatten()
    }
}

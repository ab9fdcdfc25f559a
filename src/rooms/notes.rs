//! Where members want to be told of what happens in a room while they are cold: notes beside their roster entries.
//!
//! A note holds as much as an open room needs, and no rule: what a member wants to hear of is all, his mentions, or
//! nothing, which is no note. The serialised form is a stored format (`doc/storage.md`). Push keys leave this module
//! towards the gateway of their target alone.

use std::sync::Arc;

use imbl::OrdMap;
use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Error,
    hall::Rooms,
    ledger::{RoomChange, RoomLedger},
    room::Room,
};
use crate::{pseudonym::MemberId, store::Batch};

/// What a member wants to be told, and where.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PushNote {
    /// What.
    #[serde(rename = "l")]
    pub level: Level,
    /// Where.
    #[serde(rename = "t")]
    pub targets: Vec<Arc<Target>>,
}

/// A member's push rules for a room, reduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Level {
    /// Whatever notifies by the predefined rules.
    #[serde(rename = "a")]
    All,
    /// What of it highlights.
    #[serde(rename = "m")]
    Mentions,
}

/// A device behind a push gateway.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The gateway.
    #[serde(rename = "u")]
    pub url: String,
    /// The app.
    #[serde(rename = "a")]
    pub app: String,
    /// The device's key with it.
    #[serde(rename = "k")]
    pub key: String,
    /// What the gateway is sent beside, JSON; nothing when empty.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub data: String,
}

impl Target {
    /// The target of a pusher's `data`.
    #[must_use]
    pub fn new(app: &str, key: &str, data: &Map<String, Value>) -> Option<Self> {
        let url = data.get("url")?.as_str()?.to_owned();
        let rest: Map<_, _> =
            data.iter().filter(|(name, _)| *name != "url").map(|(k, v)| (k.clone(), v.clone())).collect();
        let data = if rest.is_empty() { String::new() } else { Value::Object(rest).to_string() };
        Some(Self { url, app: app.to_owned(), key: key.to_owned(), data })
    }

    /// What the gateway is sent beside.
    #[must_use]
    pub fn data(&self) -> Map<String, Value> {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// The notes of a room, for readers who never wait.
#[derive(Default)]
pub(super) struct Notes(RwLock<Arc<Shown>>);

#[derive(Default)]
struct Shown {
    stored: OrdMap<MemberId, PushNote>,
    by_user: OrdMap<OwnedUserId, PushNote>,
}

impl Notes {
    /// The notes that lie in `ledger`.
    pub(super) fn of(ledger: &RoomLedger) -> Self {
        let notes = Self::default();
        notes.show(ledger);
        notes
    }

    /// Shows readers what `ledger` holds.
    pub(super) fn show(&self, ledger: &RoomLedger) {
        if self.0.read().stored.ptr_eq(&ledger.notes) {
            return;
        }
        let named =
            ledger.notes.iter().filter_map(|(id, note)| Some((ledger.roster.name(*id)?.to_owned(), note.clone())));
        *self.0.write() = Arc::new(Shown { stored: ledger.notes.clone(), by_user: named.collect() });
    }
}

impl Room {
    /// The notes of its members.
    #[must_use]
    pub fn push_notes(&self) -> OrdMap<OwnedUserId, PushNote> {
        self.notes.0.read().by_user.clone()
    }

    /// The note of one member.
    #[must_use]
    pub fn push_note(&self, user: &UserId) -> Option<PushNote> {
        self.notes.0.read().by_user.get(user).cloned()
    }
}

impl Rooms {
    /// Replaces the note of a member, durably. For who is in no roster it does nothing.
    pub async fn note_push(&self, room: &Room, user: &UserId, note: Option<PushNote>) -> Result<(), Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        let Some(member) = writer.owner.ledger.roster.id(user) else { return Ok(()) };
        if writer.owner.ledger.notes.get(&member) == note.as_ref() {
            return Ok(());
        }
        let mut batch = Batch::default();
        writer.owner.change(&self.journals, vec![RoomChange::Note(member, note)], &mut batch)?;
        self.settle(room, &mut writer, batch).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_is_stored_as_documented() {
        let data = json!({"url": "https://g.example/_matrix/push/v1/notify", "format": "event_id_only", "x": {"y": 1}});
        let target = Target::new("app", "key", data.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(target.data()), json!({"format": "event_id_only", "x": {"y": 1}}));
        let bare = Target { data: String::new(), ..target.clone() };
        let note = PushNote { level: Level::Mentions, targets: vec![Arc::new(target), Arc::new(bare)] };
        let text = serde_json::to_string(&note).unwrap();
        let url = r#""u":"https://g.example/_matrix/push/v1/notify","a":"app","k":"key""#;
        let rest = r#""d":"{\"format\":\"event_id_only\",\"x\":{\"y\":1}}""#;
        assert_eq!(text, format!(r#"{{"l":"m","t":[{{{url},{rest}}},{{{url}}}]}}"#));
        assert!(serde_json::from_str::<PushNote>(&text).unwrap() == note);
        assert!(Target::new("app", "key", &Map::new()).is_none());
    }
}

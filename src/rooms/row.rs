//! The text of a window row: an event, how it was sent, and the state event it took the place of.

use std::{
    collections::{HashMap, HashSet},
    iter,
    sync::Arc,
};

use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, room_version_rules::RoomVersionRules};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    bodies::Body,
    ledger::{RoomLedger, StoredEvent},
    roots::{Root, StoredRoot},
    view::Transaction,
};
use crate::{
    event::{Digest, Event},
    journal::Error,
    pseudonym::{Roster, reveal},
    seal::row::Primer,
};

/// A row of a room's window.
pub(super) struct Row {
    id: OwnedEventId,
    text: String,
    verbatim: bool,
    /// The transaction id, so that a retry after a crash is recognised.
    transaction: Option<String>,
    /// The device that sent it.
    device: Option<OwnedDeviceId>,
    /// The state event it replaced: clients are shown the difference, and it dies with the row.
    pub(super) replaced: Option<StoredEvent>,
    /// Of an event in a thread: what will be left of the thread's root.
    root: Option<StoredRoot>,
}

/// The first byte of a stored row (`doc/storage.md`).
const VERSION: u8 = 2;
/// Stands between the parts of a stored row: texts of events, which are JSON, hold none.
const BREAK: u8 = 0;

/// What stands in a stored row before the texts of its events. They follow as they are, because within JSON every quote in
/// them would be escaped, and rows are read by the thousand.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "i")]
    id: OwnedEventId,
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    verbatim: bool,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    device: Option<OwnedDeviceId>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    replaced: Option<Replaced>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    root: Option<StoredRoot>,
}

#[derive(Serialize, Deserialize)]
struct Replaced {
    #[serde(rename = "i")]
    id: OwnedEventId,
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    verbatim: bool,
}

/// What was read of a room so far, while it opens: each is in memory once.
pub(super) struct Known {
    states: HashMap<OwnedEventId, Arc<Event>>,
    devices: HashSet<OwnedDeviceId>,
}

impl Known {
    /// Those of the current state.
    pub(super) fn of(ledger: &RoomLedger) -> Self {
        let states = ledger.state.iter().map(|event| (event.id().to_owned(), Arc::clone(event))).collect();
        Self { states, devices: HashSet::new() }
    }

    fn find_or_read(&mut self, stored: &StoredEvent, ledger: &RoomLedger) -> Result<Arc<Event>, Error> {
        if let Some(event) = self.states.get(&stored.id) {
            return Ok(Arc::clone(event));
        }
        let event = Arc::new(ledger.revealed(stored)?);
        self.states.insert(stored.id.clone(), Arc::clone(&event));
        Ok(event)
    }

    fn device(&mut self, device: OwnedDeviceId) -> OwnedDeviceId {
        if let Some(known) = self.devices.get(&device) {
            return known.clone();
        }
        self.devices.insert(device.clone());
        device
    }
}

/// What a timeline takes from a row.
pub(super) struct Digested {
    pub(super) digest: Digest,
    /// The text of its content, where it is no state event.
    pub(super) content: Option<Box<str>>,
    pub(super) transaction: Option<Transaction>,
    pub(super) replaces: Option<Arc<Event>>,
    /// What is known of the root of its thread.
    pub(super) root: Option<Root>,
}

impl Row {
    pub(super) fn new(
        event: StoredEvent,
        transaction: Option<&Transaction>,
        replaced: Option<StoredEvent>,
        root: Option<StoredRoot>,
    ) -> Self {
        let StoredEvent { id, text, verbatim } = event;
        Self {
            id,
            text,
            verbatim,
            transaction: transaction.map(|transaction| transaction.id.clone()),
            device: transaction.map(|transaction| transaction.device.clone()),
            replaced,
            root,
        }
    }

    /// The row with other events in it, and without what tells how it was sent when `anonymous`.
    pub(super) fn with(self, event: StoredEvent, replaced: Option<StoredEvent>, anonymous: bool) -> Self {
        let (transaction, device) = if anonymous { (None, None) } else { (self.transaction, self.device) };
        let StoredEvent { id, text, verbatim } = event;
        let root = self.root.filter(|_| !anonymous);
        Self { id, text, verbatim, transaction, device, replaced, root }
    }

    /// The event as it is stored.
    pub(super) fn event(&self) -> StoredEvent {
        StoredEvent { id: self.id.clone(), text: self.text.clone(), verbatim: self.verbatim }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let replaced = self.replaced.as_ref();
        let head = Head {
            id: self.id.clone(),
            verbatim: self.verbatim,
            transaction: self.transaction.clone(),
            device: self.device.clone(),
            replaced: replaced.map(|event| Replaced { id: event.id.clone(), verbatim: event.verbatim }),
            root: self.root.clone(),
        };
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &head).map_err(|_| Error::Malformed)?;
        for text in iter::once(&self.text).chain(replaced.map(|event| &event.text)) {
            bytes.push(BREAK);
            bytes.extend_from_slice(text.as_bytes());
        }
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(Error::Malformed) };
        let rest = str::from_utf8(rest).map_err(|_| Error::Malformed)?;
        let mut parts = rest.split(char::from(BREAK));
        let mut next = || parts.next().ok_or(Error::Malformed);
        let head: Head = serde_json::from_str(next()?).map_err(|_| Error::Malformed)?;
        let text = next()?.to_owned();
        let replaced = match head.replaced {
            Some(Replaced { id, verbatim }) => Some(StoredEvent { id, verbatim, text: next()?.to_owned() }),
            None => None,
        };
        let Head { id, verbatim, transaction, device, root, replaced: _ } = head;
        if parts.next().is_some() {
            return Err(Error::Malformed);
        }
        Ok(Self { id, text, verbatim, transaction, device, replaced, root })
    }

    /// The event.
    pub(super) fn reveal(self, roster: &Roster, room: &OwnedRoomId, rules: &RoomVersionRules) -> Result<Event, Error> {
        let Self { id, text, verbatim, .. } = self;
        StoredEvent { id, text, verbatim }.reveal(roster, room, rules)
    }

    /// What the event says and how it was sent, without reading the rest of it.
    pub(super) fn body(self, roster: &Roster) -> Result<Body, Error> {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            content: &'a RawValue,
        }
        let json = reveal(&self.text, self.verbatim, roster).map_err(|_| Error::Malformed)?;
        let Content { content } = serde_json::from_str(&json).map_err(|_| Error::Malformed)?;
        let transaction = transaction(self.device, self.transaction);
        Ok(Body { content: Some(content.get().into()), transaction, arrived: None })
    }

    /// What a timeline takes of the event. State events that were read already are taken from `known`, which gets those
    /// that were not: each is in memory once.
    pub(super) fn digest(self, ledger: &RoomLedger, known: &mut Known) -> Result<Digested, Error> {
        let replaces = match self.replaced {
            Some(stored) => Some(known.find_or_read(&stored, ledger)?),
            None => None,
        };
        let root = self.root.map(|root| root.reveal(ledger));
        let device = self.device.map(|device| known.device(device));
        let transaction = transaction(device, self.transaction);
        if let Some(event) = known.states.get(&self.id) {
            let (digest, content) = Digest::of(event).map_err(|_| Error::Malformed)?;
            return Ok(Digested { digest, content, transaction, replaces, root });
        }
        let json = reveal(&self.text, self.verbatim, &ledger.roster).map_err(|_| Error::Malformed)?;
        let read = Digest::read(self.id, &ledger.id, &json, &ledger.rules);
        let (mut digest, content) = read.map_err(|_| Error::Malformed)?;
        if let Some(sender) = ledger.roster.shared(&digest.sender) {
            digest.sender = sender.clone();
        }
        if let Some(event) = &digest.state {
            known.states.insert(event.id().to_owned(), Arc::clone(event));
        }
        Ok(Digested { digest, content, transaction, replaces, root })
    }
}

fn transaction(device: Option<OwnedDeviceId>, id: Option<String>) -> Option<Transaction> {
    device.zip(id).map(|(device, id)| Transaction { device, id })
}

/// What primes the compression of a window that `event` opens: the structure of the room's events and the ids that
/// recur in them, never content, because content may be redacted while the window lives.
pub(super) fn primer(event: &Event, ledger: &RoomLedger) -> Primer {
    let mut structure = String::from(
        r#""body":"","msgtype":"m.text","m.mentions":{},"m.relates_to":{"event_id":"$","is_falling_back":true,"m.in_reply_to":{"event_id":"$"},"rel_type":"m.thread","key":""},"m.new_content":{},"type":"m.reaction","type":"m.room.message","type":"m.room.member","membership":"join","displayname":"","#,
    );
    for (id, _) in ledger.roster.iter().take(SENDERS) {
        structure.push_str(&id.to_string());
    }
    structure.push_str(r#"{"i":"$","x":"m","d":""}{"auth_events":"#);
    let auth: Vec<&str> = event.auth_events().iter().map(|id| id.as_str()).collect();
    structure.push_str(&serde_json::to_string(&auth).unwrap_or_default());
    structure.push_str(r#","content":{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"AwgA","device_id":"","sender_key":"","session_id":""},"depth":"#);
    structure.push_str(r#","hashes":{"sha256":""},"origin_server_ts":1,"prev_events":["$"],"room_id":""#);
    structure.push_str(ledger.id.as_str());
    structure.push_str(r#"","sender":""#);
    let sender = ledger.roster.id(event.sender());
    structure.push_str(&sender.map(|id| id.to_string()).unwrap_or_default());
    structure.push_str(r#"","signatures":{""#);
    structure.push_str(event.sender().server_name().as_str());
    structure.push_str(r#"":{"ed25519:":""}},"type":"m.room.encrypted"}"#);
    Primer::new(structure.as_bytes())
}

/// Member ids that a primer lists: the senders of most events of most rooms.
const SENDERS: usize = 24;

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{Known, RoomLedger, Row};

    /// Reads a row as opening a room does, and as showing its event does; whether it could be read both ways.
    pub(crate) fn read(bytes: &[u8], ledger: &RoomLedger) -> Option<bool> {
        let row = Row::decode(bytes).ok()?;
        let written = row.encode().expect("a row can be written");
        let again = Row::decode(&written).expect("what was written is read");
        assert_eq!(again.encode().expect("a row can be written"), written);
        let digested = row.digest(ledger, &mut Known::of(ledger)).is_ok();
        Some(again.body(&ledger.roster).is_ok() && digested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, text: &str, verbatim: bool) -> StoredEvent {
        StoredEvent { id: OwnedEventId::try_from(id).unwrap(), text: text.to_owned(), verbatim }
    }

    fn row(replaced: Option<StoredEvent>) -> Row {
        let transaction = Transaction { device: "D".into(), id: "t\"1".to_owned() };
        Row::new(event("$a", "{\"a\":\"\u{1}x\"}", false), Some(&transaction), replaced, None)
    }

    #[test]
    fn rows_have_the_agreed_bytes() {
        let bytes = row(Some(event("$b", "{}", true))).encode().unwrap();
        let expected =
            b"\x02{\"i\":\"$a\",\"x\":\"t\\\"1\",\"d\":\"D\",\"r\":{\"i\":\"$b\",\"v\":true}}\0{\"a\":\"\x01x\"}\0{}";
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
        assert_eq!(Row::decode(&bytes).unwrap().encode().unwrap(), bytes);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let plain = row(None).encode().unwrap();
        assert!(Row::decode(&plain).is_ok());
        let replacing = row(Some(event("$b", "{}", false))).encode().unwrap();
        let without = replacing.strip_suffix(b"\0{}").unwrap();
        let more = [&plain[..], b"\0{}"].concat();
        let old = plain[1..].to_vec();
        for bad in [without, &more, &old, b"", b"\x02", b"\x02{}\0{}"] {
            assert!(Row::decode(bad).is_err());
        }
    }
}

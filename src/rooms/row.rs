//! The text of a window row: an event, how it was sent, and the state event it took the place of.

use std::sync::Arc;

use ruma::{OwnedDeviceId, OwnedRoomId, room_version_rules::RoomVersionRules};
use serde::{Deserialize, Serialize};

use super::{
    ledger::{RoomLedger, StoredEvent},
    view::Transaction,
};
use crate::{
    event::{Digest, Event},
    journal::Error,
    pseudonym::{Roster, reveal},
    seal::row::Primer,
};

/// A row of a room's window (`doc/storage.md`).
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) event: StoredEvent,
    /// The transaction id, so that a retry after a crash is recognised.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    /// The device that sent it.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    device: Option<OwnedDeviceId>,
    /// The state event it replaced: clients are shown the difference, and it dies with the row.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<StoredEvent>,
}

/// What a row says, with names.
pub(super) struct Told {
    pub(super) event: Event,
    pub(super) transaction: Option<Transaction>,
}

/// What a timeline takes from a row.
pub(super) struct Digested {
    pub(super) digest: Digest,
    /// The text of its content, where it is no state event.
    pub(super) content: Option<Box<str>>,
    pub(super) transaction: Option<Transaction>,
    pub(super) replaces: Option<Arc<Event>>,
}

impl Row {
    pub(super) fn new(event: StoredEvent, transaction: Option<&Transaction>, replaced: Option<StoredEvent>) -> Self {
        Self {
            event,
            transaction: transaction.map(|transaction| transaction.id.clone()),
            device: transaction.map(|transaction| transaction.device.clone()),
            replaced,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|_| Error::Malformed)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::Malformed)
    }

    /// The event and how it was sent.
    pub(super) fn reveal(self, roster: &Roster, room: &OwnedRoomId, rules: &RoomVersionRules) -> Result<Told, Error> {
        let event = self.event.reveal(roster, room, rules)?;
        Ok(Told { event, transaction: transaction(self.device, self.transaction) })
    }

    /// What a timeline takes of the event.
    pub(super) fn digest(self, ledger: &RoomLedger) -> Result<Digested, Error> {
        let StoredEvent { id, text, verbatim } = self.event;
        let json = reveal(&text, verbatim, &ledger.roster).map_err(|_| Error::Malformed)?;
        let read = Digest::read(id, &ledger.id, &json, &ledger.rules);
        let (mut digest, content) = read.map_err(|_| Error::Malformed)?;
        if let Some(sender) = ledger.roster.shared(&digest.sender) {
            digest.sender = sender.clone();
        }
        let replaces = self.replaced.map(|stored| ledger.revealed(&stored)).transpose()?.map(Arc::new);
        Ok(Digested { digest, content, transaction: transaction(self.device, self.transaction), replaces })
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
    structure.push_str(r#"{"i":"$","t":"{\"auth_events\":"#);
    let auth: Vec<&str> = event.auth_events().iter().map(|id| id.as_str()).collect();
    structure.push_str(&serde_json::to_string(&serde_json::to_string(&auth).unwrap_or_default()).unwrap_or_default());
    structure.push_str(r#",\"content\":{\"algorithm\":\"m.megolm.v1.aes-sha2\",\"ciphertext\":\"AwgA\",\"device_id\":\"\",\"sender_key\":\"\",\"session_id\":\"\"},\"depth\":"#);
    structure
        .push_str(r#",\"hashes\":{\"sha256\":\"\"},\"origin_server_ts\":1,\"prev_events\":[\"$\"],\"room_id\":\""#);
    structure.push_str(ledger.id.as_str());
    structure.push_str(r#"\",\"sender\":\""#);
    let sender = ledger.roster.id(event.sender());
    structure.push_str(&sender.map(|id| id.to_string()).unwrap_or_default());
    structure.push_str(r#"\",\"signatures\":{\""#);
    structure.push_str(event.sender().server_name().as_str());
    structure.push_str(r#"\":{\"ed25519:\":\"\"}},\"type\":\"m.room.encrypted\"}","x":"m","d":""#);
    Primer::new(structure.as_bytes())
}

/// Member ids that a primer lists: the senders of most events of most rooms.
const SENDERS: usize = 24;

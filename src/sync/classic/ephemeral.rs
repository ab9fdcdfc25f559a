//! Receipts, typing and read markers of a room, as events.

use ruma::{OwnedUserId, UserId};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::{
    accounts::vault::{ReadKey, ReadKind, ReadMark, VaultLedger},
    journal::Position,
    rooms::{Room, View},
    sync::parts::{self, Receipts},
};

/// An event that is content alone.
#[derive(Serialize)]
struct Ephemeral<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    content: T,
}

/// An event of `type` and `content` alone.
pub(super) fn event(kind: &str, content: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&Ephemeral { kind, content }).ok()
}

/// Receipts that changed since the view's count was `since`, and the user's private ones where they are given.
/// Nothing when there are none.
pub(super) fn receipts(
    view: &View,
    viewer: &UserId,
    since: u64,
    private: Option<&[(&ReadKey, &ReadMark)]>,
) -> Option<Box<RawValue>> {
    let mut receipts = Receipts::default();
    if view.receipt_count > since {
        for ((user, thread), receipt) in view.receipts.iter().filter(|(_, receipt)| receipt.at > since) {
            receipts.public(view, viewer, user, thread.as_deref(), receipt);
        }
    }
    if let Some(marks) = private {
        for (key, mark) in marks.iter().filter(|(key, _)| key.kind == ReadKind::Private) {
            receipts.private(view, viewer, key.thread.as_deref(), mark);
        }
    }
    serde_json::value::to_raw_value(&receipts.event()?).ok()
}

/// Who is typing.
pub(super) fn typing(users: &[OwnedUserId]) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&parts::typing(users)).ok()
}

/// The user's read positions in a room.
pub(super) fn marks<'a>(vault: &'a VaultLedger, room: &Room) -> Vec<(&'a ReadKey, &'a ReadMark)> {
    let from = ReadKey { room: room.id.clone(), kind: ReadKind::Public, thread: None };
    vault.read.range(from..).take_while(|(key, _)| key.room == room.id).collect()
}

/// The sum of the private positions, which changes whenever one moves.
pub(super) fn private_sum(marks: &[(&ReadKey, &ReadMark)]) -> u64 {
    let private = marks.iter().filter(|(key, _)| key.kind == ReadKind::Private);
    private.fold(0, |sum: u64, (_, mark)| sum.wrapping_add(mark.position.0))
}

/// The fully-read marker, when it moved beyond `since`, and where it stands.
pub(super) fn fully_read(
    view: &View,
    marks: &[(&ReadKey, &ReadMark)],
    since: Position,
) -> Option<(Box<RawValue>, Position)> {
    let (_, mark) = marks.iter().find(|(key, _)| key.kind == ReadKind::Fully)?;
    if mark.position <= since {
        return None;
    }
    let event_id = view.served(&mark.event, mark.position, None)?;
    Some((event("m.fully_read", &json!({ "event_id": event_id }))?, mark.position))
}

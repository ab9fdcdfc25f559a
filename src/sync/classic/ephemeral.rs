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

/// Which receipts are told.
pub(super) struct Wanted {
    /// Those that changed since the view's count was this.
    pub(super) since: u64,
    /// All private ones of the user.
    pub(super) private: bool,
    /// All of the user: what they stood on when he was told of them has expired, or he never was.
    pub(super) own: bool,
}

/// The receipts that are wanted. Nothing when there are none.
pub(super) fn receipts(view: &View, viewer: &UserId, vault: &VaultLedger, wanted: &Wanted) -> Option<Box<RawValue>> {
    let mut receipts = Receipts::default();
    receipts.echoed(view, viewer, wanted.since);
    if view.receipt_count > wanted.since || wanted.own {
        let is_wanted = |user: &UserId, at: u64| at > wanted.since || (wanted.own && user == viewer);
        for ((user, thread), receipt) in view.receipts.iter().filter(|((user, _), receipt)| is_wanted(user, receipt.at))
        {
            receipts.public(view, viewer, user, thread.as_deref(), receipt);
        }
    }
    if wanted.private || wanted.own {
        for (key, mark) in parts::marks(vault, &view.id, ReadKind::Private) {
            receipts.private(view, viewer, key.thread.as_deref(), mark);
        }
    }
    if wanted.own {
        receipts.unsaid(view, viewer, vault);
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

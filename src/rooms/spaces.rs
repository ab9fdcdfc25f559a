//! Spaces: the tree of rooms under one (spec: client-server API, space hierarchies).

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, directory::card, hall::Rooms, room::Room, token::TreeToken};
use crate::{
    accounts::Account,
    event::{Event, to_client},
};

/// The most rooms of one page.
pub const MAX_PAGE: usize = 50;
/// The most rooms a walk visits: a space is a list that people read.
const MAX_ROOMS: usize = 1000;
/// The most levels a walk descends.
pub const MAX_DEPTH: u8 = 16;

/// What to show of a tree.
pub struct Walk {
    /// Where it goes on, and how deep and by which children it goes.
    pub from: TreeToken,
    /// The most rooms.
    pub limit: usize,
}

/// A page of a tree.
pub struct Branch {
    /// Rooms, each before its children.
    pub rooms: Vec<Value>,
    /// Where the next page starts; none behind the last room.
    pub next: Option<TreeToken>,
}

#[derive(Deserialize)]
struct Child {
    #[serde(default)]
    via: Vec<String>,
    #[serde(default)]
    order: Option<Value>,
    #[serde(default)]
    suggested: bool,
}

impl Rooms {
    /// A page of the tree under `start`, depth first.
    pub async fn hierarchy(&self, start: &RoomId, account: &Account, walk: &Walk) -> Result<Branch, Error> {
        let top = self.reach(start, account).await.map_err(Error::hide_unknown)?;
        if !self.may_know(&top, &account.user_id) {
            return Err(Error::NotJoined);
        }
        let Walk { from: TreeToken { shown, depth, suggested }, limit } = *walk;
        let (skip, mut passed) = (usize::from(shown), 0);
        let mut seen: BTreeSet<OwnedRoomId> = BTreeSet::new();
        let mut waiting = vec![(start.to_owned(), 0)];
        let mut rooms = Vec::new();
        while let Some((id, level)) = waiting.pop() {
            if seen.len() >= MAX_ROOMS || !seen.insert(id.clone()) {
                continue;
            }
            let Ok(room) = self.reach(&id, account).await else { continue };
            if !self.may_know(&room, &account.user_id) {
                continue;
            }
            if rooms.len() == limit {
                let shown = u16::try_from(skip + limit).unwrap_or(u16::MAX);
                return Ok(Branch { rooms, next: Some(TreeToken { shown, depth, suggested }) });
            }
            let children = children(&room, suggested);
            if level < depth.min(MAX_DEPTH) {
                let below = children.iter().rev().filter_map(|event| RoomId::parse(event.state_key()?).ok());
                waiting.extend(below.map(|id| (id, level + 1)));
            }
            if passed >= skip {
                rooms.push(entry(&room, &children));
            }
            passed += 1;
        }
        Ok(Branch { rooms, next: None })
    }
}

fn entry(room: &Room, children: &[Arc<Event>]) -> Value {
    let state: Vec<Value> = children.iter().filter_map(|event| stripped(event)).collect();
    let mut entry = card(room);
    entry["children_state"] = json!(state);
    entry
}

/// Stripped state with the time, as only hierarchies have it.
fn stripped(event: &Event) -> Option<Value> {
    let text = to_client(event, crate::event::Shape::Stripped, &crate::event::Unsigned::default());
    let mut value: Value = serde_json::from_str(text.get()).ok()?;
    value["origin_server_ts"] = json!(event.ts().0);
    Some(value)
}

/// The events that name a space's children, in the order clients show them.
fn children(room: &Room, suggested_only: bool) -> Vec<Arc<Event>> {
    let view = room.view();
    if view.state.room_type().as_deref() != Some("m.space") {
        return Vec::new();
    }
    let mut found: Vec<_> = view
        .state
        .of_kind("m.space.child")
        .filter_map(|event| {
            let child: Child = event.content_as()?;
            let listed = !child.via.is_empty() && (child.suggested || !suggested_only);
            let order = child.order.as_ref().and_then(Value::as_str).filter(|order| is_order(order));
            let order = order.map(ToOwned::to_owned);
            listed.then(|| ((order.is_none(), order, event.ts(), event.state_key().map(ToOwned::to_owned)), event))
        })
        .collect();
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    found.into_iter().map(|(_, event)| Arc::clone(event)).collect()
}

/// Whether a text orders children: at most 50 printable ASCII characters (spec: `m.space.child`).
fn is_order(text: &str) -> bool {
    text.len() <= 50 && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

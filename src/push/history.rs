//! What an account has been notified of, newest first, over all its rooms (spec: `GET /notifications`).
//!
//! Nothing is kept for it: the timelines of the rooms the account is in are judged by its rules as they are now. A page
//! looks at a bounded number of events and says where it stopped.

use std::{cell::OnceCell, collections::BinaryHeap, sync::Arc};

use ruma::{UserId, push::Action};
use serde_json::{Value, json};

use super::{
    Counters,
    judge::{Scene, highlights},
};
use crate::{
    accounts::{
        Account,
        vault::{Fact, VaultLedger},
    },
    clock::Timestamp,
    event::Shape,
    random::Random,
    rooms::{
        Entry, Room, Rooms, View,
        show::{Viewer, show},
    },
    seal::ticket::{open_ticket, seal_ticket},
    secret::Key,
};

/// Events that one page looks at: each may have to be read from the disk.
const MOST_EXAMINED: usize = 1000;
/// Notifications of one page.
pub const MOST_SHOWN: usize = 100;

/// A place in the order of all events of an account's rooms: events before it are older.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    ts: Timestamp,
    id: String,
}

/// A page.
pub struct Page {
    /// Notifications as clients get them, newest first.
    pub notifications: Vec<Value>,
    /// Where the next page starts; nothing when there is nothing more.
    pub next: Option<Place>,
}

/// An open room with its events that were not looked at yet.
struct Source {
    room: Arc<Room>,
    view: Arc<View>,
    scene: OnceCell<Scene>,
}

/// The newest event of a source that was not looked at.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    place: Place,
    source: usize,
    index: usize,
}

impl Place {
    fn of(entry: &Entry) -> Self {
        Self { ts: entry.ts, id: entry.id().to_string() }
    }

    /// The token of the place for `user`: the next request names it in its query, which proxies see, so it says nothing.
    #[must_use]
    pub fn encode(&self, server: &Key, user: &UserId, random: &dyn Random) -> String {
        let plain = [&self.ts.0.to_be_bytes()[..], self.id.as_bytes()].concat();
        seal_ticket(server, &context(user), &plain, random)
    }

    /// Reads a token that this server made for `user`; nothing for any other text.
    #[must_use]
    pub fn decode(text: &str, server: &Key, user: &UserId) -> Option<Self> {
        let plain = open_ticket(server, &context(user), text)?;
        let (ts, id) = plain.split_first_chunk::<8>()?;
        Some(Self { ts: Timestamp(u64::from_be_bytes(*ts)), id: String::from_utf8(id.to_vec()).ok()? })
    }
}

/// What a token is for.
fn context(user: &UserId) -> Vec<u8> {
    [b"notifications ", user.as_bytes()].concat()
}

/// The notifications of `account` before `from`, at most `limit` of them; with `highlighted`, only those that drew
/// attention to the event itself.
#[must_use]
pub fn page(
    rooms: &Rooms,
    counters: &Counters,
    account: &Account,
    (from, limit, highlighted): (Option<&Place>, usize, bool),
) -> Page {
    let vault = account.view();
    let sources = sources(rooms, account, &vault);
    let mut heads: BinaryHeap<Next> = BinaryHeap::new();
    for (number, source) in sources.iter().enumerate() {
        heads.extend(source.before(number, source.start(from)));
    }
    let viewer = Viewer { user: &account.user_id, device: None };
    let (now, limit) = (rooms.clock().now(), limit.clamp(1, MOST_SHOWN));
    let mut page = Page { notifications: Vec::new(), next: None };
    let mut examined = 0;
    while let Some(Next { place, source: number, index }) = heads.pop() {
        let source = &sources[number];
        heads.extend(source.before(number, index));
        examined += 1;
        if let Some(entry) = source.view.timeline.get(index)
            && let Some(actions) = source.judge(counters, account, &vault, entry)
            && (!highlighted || highlights(&actions))
        {
            page.notifications.push(json!({
                "actions": actions,
                "event": show(&source.view, entry, &viewer, now, Shape::Sync),
                "read": Counters::has_read(&vault, &source.room, &source.view, entry),
                "room_id": source.room.id,
                "ts": entry.ts.0,
            }));
        }
        if (page.notifications.len() >= limit || examined >= MOST_EXAMINED) && !heads.is_empty() {
            page.next = Some(place);
            break;
        }
    }
    page
}

fn sources(rooms: &Rooms, account: &Account, vault: &VaultLedger) -> Vec<Source> {
    let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
    let open = joined.filter_map(|(id, _)| {
        let room = rooms.find(id)?;
        let view = room.view();
        view.is_joined(&account.user_id).then(|| Source { room, view, scene: OnceCell::new() })
    });
    open.collect()
}

impl Source {
    /// How many of its events lie before `from`.
    fn start(&self, from: Option<&Place>) -> usize {
        let Some(from) = from else { return self.view.timeline.len() };
        // Every event made here is later than the one before it in its room.
        let later = |entry: &Entry| Place::of(entry) >= *from;
        let (mut low, mut high) = (0, self.view.timeline.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.view.timeline.get(middle).is_some_and(later) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The newest event before `index`.
    fn before(&self, number: usize, index: usize) -> Option<Next> {
        let index = index.checked_sub(1)?;
        Some(Next { place: Place::of(self.view.timeline.get(index)?), source: number, index })
    }

    fn judge(
        &self,
        counters: &Counters,
        account: &Account,
        vault: &Arc<VaultLedger>,
        entry: &Entry,
    ) -> Option<Vec<Action>> {
        let scene = || Scene::of(&self.room, &self.view, self.view.state.joined().count() as u64);
        counters.judge(account, vault, (&self.room, &self.view, self.scene.get_or_init(scene)), entry)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_token_is_good_for_its_user_alone() {
        let (key, al, random) = (Key::from_bytes([7; 32]), user_id!("@al:ex.org"), SeededRandom::new(1));
        let place = Place { ts: Timestamp(5), id: "$x".to_owned() };
        let text = place.encode(&key, al, &random);
        assert!(Place::decode(&text, &key, al) == Some(place));
        assert!(Place::decode(&text, &key, user_id!("@bo:ex.org")).is_none());
        assert!(Place::decode(&text, &Key::from_bytes([8; 32]), al).is_none());
        for other in ["", "x", "AAAA", &format!("{text}A"), &"A".repeat(80)] {
            assert!(Place::decode(other, &key, al).is_none(), "{other}");
        }
    }
}

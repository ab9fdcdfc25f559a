//! Finding messages and room names by their words, in what the searcher may see.
//!
//! There is no index, on disk or in RAM: a search reads the searchable events of the searcher's rooms, the newest first,
//! and stops after a bound (`doc/adr/0007-search-without-an-index.md`). Encrypted rooms are not looked into: their text is
//! not here. What was found is shown by the caller.

mod scan;
mod terms;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::scan::{Scan, Source};
pub use self::terms::Terms;
use crate::{
    accounts::{
        Account,
        vault::{Fact, VaultLedger},
    },
    event::filter::EventFilter,
    journal::Position,
    rooms::{Entry, Room, Rooms, View},
    seal::ticket::{open_ticket, seal_ticket},
};

/// Searches of one account that may wait for each other.
const MOST_WAITING: usize = 16;
/// Events that one pass reads the text of; a page makes at most two passes.
const MOST_READ: usize = 20_000;
/// How many rooms back the history of an upgraded room is followed.
const MOST_PREDECESSORS: usize = 20;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The account has too many searches going on.
    #[error("too many searches at once")]
    Busy,
    /// The search broke off.
    #[error("the search broke off")]
    Failed,
    /// The token is not one of this account.
    #[error("unknown token")]
    BadToken,
}

/// Where words are looked for.
#[derive(Clone, Copy)]
pub struct Keys {
    /// In the text of messages.
    pub body: bool,
    /// In the names of rooms.
    pub name: bool,
    /// In the topics of rooms.
    pub topic: bool,
}

/// What is looked for.
pub struct Query {
    /// The words.
    pub terms: Terms,
    /// Where.
    pub keys: Keys,
    /// In which rooms: all when absent.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// In which not.
    pub not_rooms: Vec<OwnedRoomId>,
    /// In which of their events.
    pub filter: EventFilter,
    /// Whether the newest come first; else those that fit best.
    pub recent: bool,
    /// The most results of one page.
    pub limit: usize,
    /// The page's start: none for the first.
    pub from: Option<Cursor>,
}

/// Where a page starts: behind a result, and in one group only where the client goes on with a group.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(rename = "k")]
    key: Key,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
}

/// Results of one room or one sender.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Group {
    /// Of one room.
    #[serde(rename = "r")]
    Room(OwnedRoomId),
    /// Of one sender.
    #[serde(rename = "s")]
    Sender(OwnedUserId),
}

/// Where a result stands among the others: the greatest comes first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    /// How well it fits; zero where the newest come first.
    #[serde(rename = "s")]
    score: u32,
    #[serde(rename = "t")]
    ts: u64,
    #[serde(rename = "r")]
    room: OwnedRoomId,
    #[serde(rename = "p")]
    position: Position,
}

/// A result.
pub struct Hit {
    /// The room.
    pub room: Arc<Room>,
    /// The room as it was read.
    pub view: Arc<View>,
    /// The event.
    pub entry: Entry,
    /// How well it fits; greater is better.
    pub score: u32,
    /// Its words that matched.
    words: BTreeSet<String>,
    key: Key,
}

impl Hit {
    /// Where the page behind this result starts.
    #[must_use]
    pub fn cursor(&self, group: Option<Group>) -> Cursor {
        Cursor { key: self.key.clone(), group }
    }
}

/// A page of results.
pub struct Found {
    /// The results in order.
    pub hits: Vec<Hit>,
    /// How many there are in all, as far as was read.
    pub count: u64,
    /// Words of the results that matched.
    pub highlights: BTreeSet<String>,
    /// Where the next page starts, if there may be one.
    pub next: Option<Cursor>,
}

/// Searches, one at a time for each account and few at once: they read a lot.
pub struct Search {
    rooms: Arc<Rooms>,
    most_read: usize,
    permits: Semaphore,
    turns: Mutex<HashMap<OwnedUserId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Search {
    /// Searches in `rooms`.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { rooms, most_read: MOST_READ, permits: Semaphore::new((cores / 2).max(1)), turns: Mutex::default() }
    }

    /// The same with another bound on what one pass reads.
    #[cfg(test)]
    pub(crate) fn reading(self, most: usize) -> Self {
        Self { most_read: most, ..self }
    }

    /// A page of results in the rooms that `account` is in or has left.
    ///
    /// # Errors
    /// Too many searches of one account at once.
    pub async fn search(&self, account: &Arc<Account>, query: Query) -> Result<Found, Error> {
        let turn = self.turn(&account.user_id)?;
        let found = {
            let _turn = turn.lock().await;
            let permit = self.permits.acquire().await.map_err(|_| Error::Busy)?;
            let (vault, user) = (account.view(), account.user_id.clone());
            let sources = self.sources(&vault, &query);
            let ignored = vault.ignored();
            let most_read = self.most_read;
            let work = move || Scan { user: &user, query: &query, ignored: &ignored, most_read }.run(&sources);
            let found = tokio::task::spawn_blocking(work).await;
            drop(permit);
            found
        };
        drop(turn);
        self.turns.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        found.map_err(|_| Error::Failed)
    }

    /// The text of a cursor for its account.
    #[must_use]
    pub fn token(&self, user: &UserId, cursor: &Cursor) -> String {
        let journals = self.rooms.accounts().journals();
        let plain = serde_json::to_vec(cursor).unwrap_or_default();
        seal_ticket(&journals.slots.server_key(), &context(user), &plain, journals.random.as_ref())
    }

    /// The cursor that [`Search::token`] made.
    pub fn cursor(&self, user: &UserId, token: &str) -> Result<Cursor, Error> {
        let server = self.rooms.accounts().journals().slots.server_key();
        let plain = open_ticket(&server, &context(user), token).ok_or(Error::BadToken)?;
        serde_json::from_slice(&plain).map_err(|_| Error::BadToken)
    }

    fn turn(&self, user: &UserId) -> Result<Arc<tokio::sync::Mutex<()>>, Error> {
        let mut turns = self.turns.lock();
        let turn = turns.entry(user.to_owned()).or_default();
        if Arc::strong_count(turn) > MOST_WAITING { Err(Error::Busy) } else { Ok(Arc::clone(turn)) }
    }

    /// The rooms to look into. Of a room that was upgraded, its predecessors too.
    fn sources(&self, vault: &VaultLedger, query: &Query) -> Vec<Source> {
        let open = |id: &RoomId| {
            let fact = &vault.rooms.get(id)?.fact;
            let room = matches!(fact, Fact::Joined | Fact::Left(_)).then(|| self.rooms.find(id)).flatten()?;
            Some((Arc::clone(&room), room.view()))
        };
        let wanted: BTreeSet<OwnedRoomId> = match &query.rooms {
            None => vault.rooms.keys().cloned().collect(),
            Some(rooms) => rooms.iter().flat_map(|id| lineage(id, &open)).collect(),
        };
        let in_group = |id: &RoomId| match query.from.as_ref().and_then(|cursor| cursor.group.as_ref()) {
            Some(Group::Room(only)) => only == id,
            _ => true,
        };
        let wanted = wanted.iter().filter(|id| in_group(id) && !query.not_rooms.contains(id));
        wanted.filter_map(|id| open(id)).filter_map(|(room, view)| Source::of(room, view)).collect()
    }
}

/// How a room is found, when the searcher may look into it.
type Opening<'a> = dyn Fn(&RoomId) -> Option<(Arc<Room>, Arc<View>)> + 'a;

/// A room and those that it took the place of, as far as they can be seen.
fn lineage(id: &RoomId, open: &Opening<'_>) -> Vec<OwnedRoomId> {
    let mut line = vec![id.to_owned()];
    while line.len() <= MOST_PREDECESSORS {
        let before = line.last().and_then(|id| open(id)).and_then(|(_, view)| predecessor(&view));
        match before.filter(|before| !line.contains(before)) {
            Some(before) => line.push(before),
            None => break,
        }
    }
    line
}

fn predecessor(view: &View) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Create {
        predecessor: Option<Predecessor>,
    }
    #[derive(Deserialize)]
    struct Predecessor {
        room_id: OwnedRoomId,
    }
    let create: Create = view.state.find("m.room.create", "")?.content_as()?;
    create.predecessor.map(|before| before.room_id)
}

fn context(user: &UserId) -> Vec<u8> {
    [b"search ", user.as_bytes()].concat()
}

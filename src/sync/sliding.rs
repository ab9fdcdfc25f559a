//! Simplified sliding sync (MSC4186): a client names the rooms it wants to know of and what of them, and is told what it
//! has not been told before.
//!
//! Owns connections, which lie in RAM only: after a restart a client is told everything again, as if it started
//! afresh. Changes nothing but the to-device messages a client acknowledges.

mod connection;
mod extensions;
mod joins;
mod list;
mod order;
mod profiles;
mod recency;
mod request;
mod required;
mod response;
mod room;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use serde_json::value::RawValue;
use tokio::sync::watch;

use self::{
    connection::{Connections, Name, Sent, State},
    extensions::{Covered, Extending, since},
    joins::Joins,
    list::{Candidate, Catalogue},
    order::Order,
    recency::Recency,
    request::{Request, Wanted},
    response::{Answer, ExtensionsAnswer, ListAnswer, RoomAnswer},
    room::Teller,
};
use crate::{
    accounts::{
        self, Account, Session, Wakes,
        futures_like::BoxFuture,
        vault::{Fact, VaultLedger},
    },
    house,
    journal::Position,
    push::Counters,
    random::Random,
    rooms::{Rooms, farewell, is_farewell, show::Viewer},
    seal::slots::SlotId,
    sync::parts,
};

/// The longest an answer waits: proxies between cut connections that say nothing for a minute.
const LONGEST: Duration = Duration::from_secs(50);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client's position is not known here: it starts afresh.
    #[error("unknown position")]
    UnknownPos,
    /// The body is not a request.
    #[error("not a sliding sync request")]
    Malformed,
    /// The request asks for more than one may.
    #[error("the request asks for too much")]
    TooMuch,
    /// The session ended while it waited, or the account failed.
    #[error("the account failed")]
    Account(#[from] accounts::Error),
    /// The house failed.
    #[error("the house failed")]
    House(#[from] house::Error),
}

/// Sliding sync for every device.
pub struct Sliding {
    rooms: Arc<Rooms>,
    counters: Arc<Counters>,
    random: Arc<dyn Random>,
    connections: Connections,
    joins: Joins,
    recency: Mutex<HashMap<SlotId, Recency>>,
}

/// What a look found.
struct Look {
    answer: Answer,
    state: State,
    /// Whether there is anything in it.
    worth: bool,
    /// When to look again without being woken.
    again: Option<Duration>,
}

/// A wanted room, and by whom it is.
#[derive(Default)]
struct Asked<'a> {
    wanted: Wanted,
    lists: Vec<&'a str>,
    subscribed: bool,
}

impl Sliding {
    /// Sliding sync over `rooms`.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, counters: Arc<Counters>, random: Arc<dyn Random>) -> Self {
        Self {
            rooms,
            counters,
            random,
            connections: Connections::default(),
            joins: Joins::default(),
            recency: Mutex::default(),
        }
    }

    /// Notes that a device is about to join a room: see [`joins`].
    pub fn joining(&self, session: &Session, room: &RoomId) {
        self.joins.note(session, room, self.rooms.clock().monotonic());
    }

    /// Answers a request, when there is something to say, the time is up or the server stops. `pos` and `timeout`, in
    /// milliseconds, are those of the query; the body may have them too.
    pub async fn answer(
        &self,
        session: &Session,
        body: &[u8],
        pos: Option<String>,
        timeout: Option<u64>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Box<RawValue>, Error> {
        let request = Request::read(body, pos, timeout)?;
        let answer = self.wait(session, &request, stopping).await?;
        serde_json::value::to_raw_value(&answer).map_err(|_| Error::Malformed)
    }

    async fn wait(
        &self,
        session: &Session,
        request: &Request,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Answer, Error> {
        let name: Name = (session.account.slot, session.device.clone(), request.connection.clone());
        let (base, told) = self.connections.resume(&name, request.pos.as_deref(), self.random.as_ref())?;
        self.acknowledge(session, request).await?;

        // Subscribed before the first look, so that nothing comes between.
        let mut changed = session.account.subscribe();
        let patience = if request.pos.is_none() { 0 } else { request.timeout };
        let deadline = tokio::time::sleep(Duration::from_millis(patience).min(LONGEST));
        tokio::pin!(deadline);
        loop {
            if patience > 0 && request.extensions.to_device.enabled {
                session.account.settled(self.rooms.clock().as_ref(), parts::SETTLES_WITHIN).await;
            }
            changed.mark_unchanged();
            let mut look = self.look(session, request, &told)?;
            if look.worth || patience == 0 || *stopping.borrow() || deadline.is_elapsed() {
                look.answer.pos = self.connections.advance(&name, base, look.state)?.text();
                return Ok(look.answer);
            }
            let again = async {
                match look.again {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut deadline => {}
                () = again => {}
                _ = changed.changed() => {}
                _ = stopping.changed() => {}
            }
            parts::lives(&self.rooms, session)?;
        }
    }

    /// Makes durable that the client has its to-device messages up to one that waits. Any other token says nothing new,
    /// or comes from another life of the account: positions to come must not be acknowledged.
    async fn acknowledge(&self, session: &Session, request: &Request) -> Result<(), Error> {
        let asked = &request.extensions.to_device;
        let Some(since) = since(asked).filter(|_| asked.enabled) else { return Ok(()) };
        let waiting = session.account.waiting(&session.device, Position::START, usize::MAX);
        if !waiting.iter().any(|(position, _)| *position == since) {
            return Ok(());
        }
        let to = since;
        let (accounts, session) = (Arc::clone(self.rooms.accounts()), session.clone());
        let done = tokio::spawn(async move {
            let done = accounts.acknowledge(&session, to).await;
            // Another connection of the device may wait for this: see `order`.
            session.account.notify();
            done
        });
        Ok(done.await.unwrap_or(Err(accounts::Error::Busy))?)
    }

    fn look(&self, session: &Session, request: &Request, told: &State) -> Result<Look, Error> {
        let account = &session.account;
        let vault = account.view();
        let house = self.rooms.accounts().house.view()?;
        let ignored = vault.ignored();
        let mut recency = self.recency.lock();
        let recency = recency.entry(account.slot).or_default();
        let catalogue = Catalogue::of(&self.rooms, &vault, &account.user_id, recency);
        let now = self.rooms.clock().now();
        let teller = Teller {
            rooms: &self.rooms,
            viewer: Viewer { user: &account.user_id, device: Some(&session.device) },
            now,
            last: told.at,
            ignored: &ignored,
            is_final: request.is_final,
        };
        let (asked, lists) = gather(&catalogue, request);
        let mut state = State { at: Some(now), ..told.clone() };
        state.counts = lists.iter().map(|(name, list)| (name.clone(), list.count)).collect();
        let mut worth = state.counts != told.counts || told.at.is_none();
        let steady = self.rooms.clock().monotonic();
        let order = Order::new(&self.joins, session, request.extensions.to_device.enabled, now, steady);
        let mut next_end = None;
        let mut rooms = BTreeMap::new();
        let mut covered = Vec::new();
        for (candidate, asked) in asked.into_values() {
            let id = candidate.id;
            let before = told.at.map(|_| told.rooms.get(id));
            if let Some(end) = before.and_then(|sent| order.until(candidate, sent, asked.wanted.limit)) {
                next_end = next_end.into_iter().chain([end]).min();
                continue;
            }
            let is_dm = catalogue.direct.contains(id);
            let said = teller.room(
                candidate,
                &asked.wanted,
                told.rooms.get(id),
                is_dm,
                self.unread(session, &vault, candidate),
            );
            if let Some((mut answer, sent)) = said {
                state.rooms.insert(id.clone(), sent);
                if !answer.is_silent() {
                    if request.is_final {
                        answer.lists = asked.lists.iter().map(|name| (*name).to_owned()).collect();
                    }
                    rooms.insert(id.clone(), answer);
                }
            }
            let extensions = &request.extensions;
            let covers = |scope: &request::Scope| scope.covers(id, &asked.lists, asked.subscribed);
            covered.push(Covered {
                candidate,
                data: covers(&extensions.account_data),
                receipts: covers(&extensions.receipts),
                typing: covers(&extensions.typing),
                profiles: covers(&extensions.profiles.scope),
            });
        }
        farewells(&catalogue, &vault, request, &teller, &mut state, &mut rooms);
        worth |= !rooms.is_empty();

        let mut extending = Extending {
            rooms: &self.rooms,
            session,
            vault: &vault,
            house: &house,
            steady,
            state: &mut state,
            answer: ExtensionsAnswer::default(),
            worth: false,
            next_end,
        };
        extending.extend(&request.extensions, &covered);
        let (extensions, extended, next_end) = (extending.answer, extending.worth, extending.next_end);
        let again = next_end.map(|end| end.saturating_sub(steady).max(Duration::from_millis(1)));
        let answer = Answer { pos: String::new(), txn_id: request.txn_id.clone(), lists, rooms, extensions };
        Ok(Look { answer, state, worth: worth || extended, again })
    }

    /// Unread notifications and highlights of a room, those in threads included: no extension tells them apart.
    fn unread(&self, session: &Session, vault: &Arc<VaultLedger>, candidate: &Candidate<'_>) -> (u64, u64) {
        let joined = *candidate.fact == Fact::Joined;
        candidate.room.as_ref().filter(|_| joined).map_or((0, 0), |(room, view)| {
            let tally = self.counters.count(&session.account, vault, room, view).total();
            (tally.notifications, tally.highlights)
        })
    }
}

impl Wakes for Sliding {
    /// Its connections start afresh, as after a restart.
    fn rests<'a>(&'a self, account: &'a Arc<Account>) -> BoxFuture<'a, ()> {
        self.connections.rest(account.slot);
        self.recency.lock().remove(&account.slot);
        Box::pin(std::future::ready(()))
    }
}

/// Wanted rooms by id.
type Gathered<'a, 'b, 'c> = BTreeMap<&'a OwnedRoomId, (&'a Candidate<'b>, Asked<'c>)>;

/// The rooms that lists and subscriptions ask for, and how many each list has.
fn gather<'a, 'b, 'c>(
    catalogue: &'a Catalogue<'b>,
    request: &'c Request,
) -> (Gathered<'a, 'b, 'c>, BTreeMap<String, ListAnswer>) {
    let mut rooms = Gathered::new();
    let mut lists = BTreeMap::new();
    for (name, list) in &request.lists {
        let (shown, count) = catalogue.list(list);
        lists.insert(name.clone(), ListAnswer { count });
        for candidate in shown {
            let (_, asked) = rooms.entry(candidate.id).or_insert_with(|| (candidate, Asked::default()));
            asked.wanted.join(&list.wanted);
            asked.lists.push(name);
        }
    }
    for (id, wanted) in &request.subscriptions {
        let Some(candidate) = catalogue.find(id) else { continue };
        let (_, asked) = rooms.entry(candidate.id).or_insert_with(|| (candidate, Asked::default()));
        asked.wanted.join(wanted);
        asked.subscribed = true;
    }
    (rooms, lists)
}

/// Tells once of rooms the account is out of: those the client was told of, and those it was put out of by others.
fn farewells(
    catalogue: &Catalogue<'_>,
    vault: &VaultLedger,
    request: &Request,
    teller: &Teller<'_>,
    state: &mut State,
    rooms: &mut BTreeMap<OwnedRoomId, RoomAnswer>,
) {
    let everything = request.lists.values().any(|list| list.filters.is_open());
    for candidate in &catalogue.left {
        let Fact::Left(event) = candidate.fact else { continue };
        let put_out = event["sender"] != teller.viewer.user.as_str() || is_farewell(candidate.id, event);
        let sent = state.rooms.get(candidate.id).cloned();
        if sent.is_none() && !(put_out && everything) {
            continue;
        }
        if let Some((answer, sent)) = teller.room(candidate, &Wanted::default(), sent.as_ref(), false, (0, 0)) {
            state.rooms.insert(candidate.id.clone(), sent);
            state.sides.remove(candidate.id);
            rooms.insert(candidate.id.clone(), answer);
        }
    }
    let gone: Vec<_> = state.rooms.iter().filter(|(id, _)| !vault.rooms.contains_key(*id)).collect();
    let gone: Vec<(OwnedRoomId, Sent)> = gone.into_iter().map(|(id, sent)| (id.clone(), sent.clone())).collect();
    for (id, sent) in gone {
        state.rooms.remove(&id);
        state.sides.remove(&id);
        if matches!(sent.fact, Fact::Left(_)) {
            continue;
        }
        // Forgotten elsewhere, or deleted: no event of the room says so.
        let fact = Fact::Left(farewell(&id, teller.viewer.user, teller.now));
        let candidate = Candidate { id: &id, fact: &fact, room: None, stamp: 0 };
        if let Some((answer, _)) = teller.room(&candidate, &Wanted::default(), Some(&sent), false, (0, 0)) {
            rooms.insert(id.clone(), answer);
        }
    }
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{Connections, Name, Request};
    use crate::{random::SeededRandom, seal::slots::SlotId};

    /// What a request asks for.
    pub(crate) struct Counts {
        pub(crate) lists: usize,
        pub(crate) subscriptions: usize,
        pub(crate) rule_bytes: usize,
        pub(crate) is_final: bool,
    }

    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Option<Counts> {
        let request = Request::read(body, None, None).ok()?;
        let wanted = request.lists.values().map(|list| &list.wanted).chain(request.subscriptions.values());
        let mut rules: Vec<_> = wanted.flat_map(|wanted| &wanted.rules).collect();
        rules.sort_by_key(|rule| std::sync::Arc::as_ptr(rule).addr());
        rules.dedup_by_key(|rule| std::sync::Arc::as_ptr(rule).addr());
        Some(Counts {
            lists: request.lists.len(),
            subscriptions: request.subscriptions.len(),
            rule_bytes: rules.iter().map(|rule| rule.size()).sum(),
            is_final: request.is_final,
        })
    }

    /// Resumes at a position.
    pub(crate) fn position(text: &str) {
        let name: Name = (SlotId([1; 16]), "D".into(), String::new());
        let connections = Connections::default();
        let _ = connections.resume(&name, Some(text), &SeededRandom::new(1));
    }
}

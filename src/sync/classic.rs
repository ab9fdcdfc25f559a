//! The classic flavour: telling a device what it has not been told yet (spec: `GET /sync`).
//!
//! Owns what each device has been told, in RAM and now and then in its vault. Changes nothing else but the to-device
//! messages that a device has acknowledged. Knows no HTTP.

mod answer;
mod devices;
mod ephemeral;
mod filter;
mod look;
mod point;
mod points;
mod timeline;
mod token;

use std::{pin::pin, sync::Arc, time::Duration};

use ruma::{RoomId, presence::PresenceState};
use tokio::sync::watch;

#[cfg(any(test, fuzzing))]
pub(crate) use self::token::SyncToken as Token;
pub use self::{
    answer::{Answer, State, StateAt, Timeline},
    filter::Filter,
};
use self::{
    look::{Look, Seen, Since},
    point::Point,
    points::{Points, Who},
    token::SyncToken,
};
use crate::{
    accounts::{
        self, Account, Session, Wakes,
        futures_like::BoxFuture,
        vault::{SavedPoint, VaultChange, VaultLedger},
    },
    house,
    journal::Position,
    push::Counters,
    rooms::Rooms,
    sync::{parts, presence::Presence},
};

/// The longest a client may wait: proxies cut longer silences.
const LONGEST: Duration = Duration::from_mins(1);

/// Why a sync is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `since` is no sync token.
    #[error("not a sync token")]
    Since,
    /// The filter is unknown, too large or of another shape.
    #[error("not a filter")]
    Filter,
    /// The house is asleep or failed.
    #[error(transparent)]
    House(#[from] house::Error),
    /// The session ended, or the vault failed.
    #[error(transparent)]
    Account(#[from] accounts::Error),
}

/// What a client asks.
pub struct Ask {
    /// The token of the last answer.
    pub since: Option<String>,
    /// What it wants.
    pub filter: Filter,
    /// Whether it wants all state of every room.
    pub full_state: bool,
    /// Which state it wants beside timelines.
    pub state_at: StateAt,
    /// Whether it takes to-device messages: one that does not must not acknowledge any.
    pub takes_messages: bool,
    /// How long it waits for something to happen.
    pub timeout: Duration,
    /// What its user is meanwhile.
    pub presence: PresenceState,
}

/// The syncs of every device.
pub struct Syncs {
    rooms: Arc<Rooms>,
    counters: Arc<Counters>,
    presence: Arc<Presence>,
    points: Points,
}

impl Syncs {
    /// Nobody has been told anything.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, counters: Arc<Counters>, presence: Arc<Presence>) -> Self {
        let points = Points::new(rooms.accounts().journals().random.as_ref());
        Self { rooms, counters, presence, points }
    }

    /// Answers at once when there is something to tell or nothing to wait for; else as soon as there is, or when the time
    /// is over, or when `stopping` turns true.
    pub async fn sync(
        self: &Arc<Self>,
        session: &Session,
        ask: Ask,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Answer, Error> {
        let who = (session.account.user_id.clone(), session.device.clone());
        let _there = self.presence.sync(session, &ask.presence);
        // Subscribed before the first look, so that nothing falls between the two.
        let mut changed = session.account.subscribe();
        let (token, since) = self.start(session, &who, ask.since.as_deref()).await?;
        let ask = Arc::new(ask);
        let waits = token.is_some() && !ask.full_state && !ask.timeout.is_zero();
        let mut timeout = pin!(tokio::time::sleep(ask.timeout.min(LONGEST)));
        let mut over = !waits;
        loop {
            if waits && ask.takes_messages {
                session.account.settled(self.rooms.clock().as_ref(), parts::SETTLES_WITHIN).await;
            }
            changed.borrow_and_update();
            self.check(session)?;
            let seen = self.look(session, &since, &ask).await?;
            if over || *stopping.borrow() || !seen.answer.is_empty() {
                return Ok(self.conclude(session, &who, token.as_ref(), seen, &since));
            }
            let steady = self.rooms.clock().monotonic();
            let end = seen.next_end.map_or(LONGEST, |end| end.saturating_sub(steady).max(Duration::from_millis(1)));
            // Every arm may be dropped: each only waits.
            tokio::select! {
                _ = changed.changed() => {}
                () = &mut timeout => over = true,
                () = tokio::time::sleep(end) => {}
                _ = stopping.wait_for(|stop| *stop) => over = true,
            }
        }
    }

    /// Up to where a sync token's device was told the events of a room: for requests that take such a token. Unknown
    /// once the token is too old.
    #[must_use]
    pub fn position(&self, session: &Session, token: &str, room: &RoomId) -> Option<Position> {
        let who = (session.account.user_id.clone(), session.device.clone());
        let token = self.read(&who, token)?;
        if let Some(position) = self.points.position(&who, token, room) {
            return Some(position);
        }
        let vault = session.account.view();
        let saved = vault.sync_points.get(&who.1).filter(|saved| saved.token == token.number)?;
        saved.rooms.get(room).copied().filter(|position| *position != Position::START)
    }

    /// Whether a text is a sync token that this server gave to the session's device, however long ago.
    #[must_use]
    pub fn gave(&self, session: &Session, token: &str) -> bool {
        self.read(&(session.account.user_id.clone(), session.device.clone()), token).is_some()
    }

    /// Writes what every device has been told to its vault: the server stops.
    pub async fn save_all(&self) {
        for user in self.points.users() {
            if let Some(account) = self.rooms.accounts().open(&user) {
                self.save_all_of(&account).await;
            }
        }
    }

    async fn save_all_of(&self, account: &Account) {
        let points = self.points.of(&account.user_id);
        let changes = |vault: &VaultLedger| {
            let living = points.into_iter().filter(|(device, _)| vault.devices.contains_key(device));
            living.map(|(device, point)| VaultChange::SyncPoint(device, point)).collect()
        };
        if account.vault.change(self.rooms.accounts().journals(), changes).await.is_err() {
            crate::log::warn!("sync points were not saved");
        }
    }
}

impl Wakes for Syncs {
    /// Its devices go on from what is saved of them, as after a restart.
    fn rests<'a>(&'a self, account: &'a Arc<Account>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.save_all_of(account).await;
            self.points.rest(&account.user_id);
            self.counters.forget_account(&account.user_id);
        })
    }
}

impl Syncs {
    /// Reads the token asked from and makes what it acknowledges durable.
    async fn start(
        self: &Arc<Self>,
        session: &Session,
        who: &Who,
        since: Option<&str>,
    ) -> Result<(Option<SyncToken>, Since), Error> {
        // The empty text is what clients send that have no token.
        let Some(since) = since.filter(|since| !since.is_empty()) else { return Ok((None, Since::Nothing)) };
        let Some(token) = self.read(who, since) else {
            // A token of another device, or of before a restore. It acknowledges nothing here.
            return if SyncToken::is_shaped(since) { Ok((None, Since::Forgotten)) } else { Err(Error::Since) };
        };
        let vault = session.account.view();
        let acknowledged = vault.devices.get(&who.1).map_or(Position::START, |device| device.acknowledged);
        if token.to_device > acknowledged {
            let (rooms, session) = (Arc::clone(&self.rooms), session.clone());
            // A client that hangs up does not take back what it has acknowledged.
            let done = tokio::spawn(async move { rooms.accounts().acknowledge(&session, token.to_device).await });
            done.await.map_err(|_| accounts::Error::NotFound)??;
        }
        let now = self.rooms.clock().monotonic();
        let found = self.points.find(who, token, &vault, now);
        if let Some(saved) = self.points.due(who, now) {
            self.save(session, saved);
        }
        Ok((Some(token), found.map_or(Since::Forgotten, Since::Point)))
    }

    fn read(&self, who: &Who, text: &str) -> Option<SyncToken> {
        let server = self.rooms.accounts().journals().slots.server_key();
        SyncToken::decode(text, &server, &who.0, &who.1)
    }

    /// Saves a point in the background: nobody waits for it.
    fn save(self: &Arc<Self>, session: &Session, saved: SavedPoint) {
        let (this, session) = (Arc::clone(self), session.clone());
        tokio::spawn(async move {
            let journals = this.rooms.accounts().journals();
            let change = |vault: &VaultLedger| {
                let lives = vault.devices.contains_key(&session.device);
                lives.then(|| VaultChange::SyncPoint(session.device.clone(), saved)).into_iter().collect()
            };
            if session.account.vault.change(journals, change).await.is_err() {
                crate::log::warn!("a sync point was not saved");
            }
        });
    }

    /// Fails when the session's token or device ended.
    fn check(&self, session: &Session) -> Result<(), Error> {
        let lives = parts::lives(&self.rooms, session);
        if lives.is_ok() {
            return Ok(());
        }
        // The device may have logged in again under its old name.
        if !session.account.view().devices.contains_key(&session.device) {
            self.points.forget(&(session.account.user_id.clone(), session.device.clone()));
        }
        Ok(lives?)
    }

    /// Looks; a look at everything goes to a thread where it holds up nobody.
    async fn look(self: &Arc<Self>, session: &Session, since: &Since, ask: &Arc<Ask>) -> Result<Seen, Error> {
        if let Since::Point(point) = since
            && !ask.full_state
        {
            return self.look_now(session, since, point, ask);
        }
        let (this, session, since, ask) = (Arc::clone(self), session.clone(), since.clone(), Arc::clone(ask));
        let whole = tokio::task::spawn_blocking(move || match &since {
            Since::Point(point) => this.look_now(&session, &since, point, &ask),
            Since::Nothing | Since::Forgotten => this.look_now(&session, &since, &Point::default(), &ask),
        });
        whole.await.map_err(|_| accounts::Error::NotFound)?
    }

    fn look_now(&self, session: &Session, since: &Since, point: &Point, ask: &Ask) -> Result<Seen, Error> {
        let clock = self.rooms.clock();
        let house = self.rooms.accounts().house.view()?;
        let vault = session.account.view();
        let ignored = vault.ignored();
        let look = Look {
            rooms: &self.rooms,
            counters: &self.counters,
            presence: &self.presence,
            session,
            filter: &ask.filter,
            full_state: ask.full_state,
            state_at: ask.state_at,
            takes_messages: ask.takes_messages,
            now: clock.now(),
            steady: clock.monotonic(),
            vault,
            house,
            ignored,
            since,
        };
        Ok(look.look(point))
    }

    /// Names the point a look ended at. An answer without news keeps the token it was asked with.
    fn conclude(&self, session: &Session, who: &Who, token: Option<&SyncToken>, seen: Seen, since: &Since) -> Answer {
        let Seen { mut answer, point, .. } = seen;
        let now = self.rooms.clock().monotonic();
        let to_device = point.to_device;
        let token = match (token, since) {
            (Some(token), Since::Point(_)) if answer.is_empty() => {
                self.points.advance(who, token.number, point);
                *token
            }
            _ => SyncToken { number: self.points.add(who, point, now), to_device },
        };
        let server = self.rooms.accounts().journals().slots.server_key();
        answer.next_batch = token.encode(&server, &session.account.user_id, &session.device);
        answer
    }
}

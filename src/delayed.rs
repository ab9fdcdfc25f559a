//! Events that are sent later unless their client comes back before (MSC4140): how a call learns that somebody whose
//! connection broke has left it.
//!
//! Owns the schedule of the process. What is pending lies in its sender's vault and is known here while the account is
//! open: nobody else can send in his name. After a restart an event waits for its account; what was due meanwhile goes
//! out when it opens.

mod schedule;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ruma::{CanonicalJsonObject, OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{Notify, watch};

use self::schedule::{Pending, Schedule};
use crate::{
    accounts::{
        self, Account, Standing, Wakes,
        futures_like::BoxFuture,
        vault::{DelayedEvent, VaultChange, VaultLedger},
    },
    clock::{Clock, Timestamp},
    event::{self, Draft, MAX_EVENT_BYTES, MAX_FIELD_BYTES},
    journal,
    rooms::{self, Rooms, Transaction, View},
};

/// The longest delay: calls use seconds, messages written ahead are for days. What waits longer than messages live
/// would outlive them.
pub const MOST_DELAY: Duration = Duration::from_hours(7 * 24);
/// Events one account may have pending: a call has one for each of its devices.
const MOST_PENDING: usize = 100;
/// Bytes of content they may have together: they lie in the account's keep.
const MOST_BYTES: usize = 256 * 1024;
/// Requests that are remembered after their event went out or was cancelled, lest a repetition asks for it again.
const MOST_DONE: usize = 1000;
/// When an event that could not be sent for a passing reason is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long the schedule sleeps when nothing is pending.
const IDLE: Duration = Duration::from_hours(1);

/// Why a delayed event is not taken, changed or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The delay is longer than [`MOST_DELAY`].
    #[error("the delay is too long")]
    TooLong,
    /// The account has too much pending.
    #[error("too many delayed events")]
    TooMany,
    /// Nothing of this id is pending, or its account has not come since the start.
    #[error("no such delayed event")]
    NotFound,
    /// Its sender was locked or suspended meanwhile.
    #[error("the sender may not take part")]
    Barred,
    /// The room refuses.
    #[error("the room refuses")]
    Room(#[from] rooms::Error),
    /// The vault failed.
    #[error("the vault failed")]
    Journal(#[from] journal::Error),
}

/// An event as a client wants it sent later.
pub struct Plan {
    /// The room.
    pub room: OwnedRoomId,
    /// Its type.
    pub kind: String,
    /// Its state key when it is a state event.
    pub state_key: Option<String>,
    /// Its content.
    pub content: CanonicalJsonObject,
    /// How long it waits.
    pub delay: Duration,
    /// The device that asks.
    pub device: OwnedDeviceId,
    /// Its own name for the request.
    pub transaction: Option<String>,
}

impl Plan {
    fn check(&self) -> Result<(), Error> {
        if self.delay > MOST_DELAY {
            return Err(Error::TooLong);
        }
        if [Some(&self.kind), self.state_key.as_ref()].into_iter().flatten().any(|field| field.len() > MAX_FIELD_BYTES)
        {
            return Err(Error::Room(event::Error::FieldTooLong.into()));
        }
        let bytes = serde_json::to_vec(&self.content).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MAX_EVENT_BYTES { Err(Error::Room(event::Error::TooLarge.into())) } else { Ok(()) }
    }
}

/// A pending event as its owner sees it.
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What the vault holds of it.
    pub event: DelayedEvent,
    /// When its delay began.
    pub since: Timestamp,
}

/// Every pending event of an open account.
pub struct Delayed {
    rooms: Arc<Rooms>,
    schedule: Mutex<Schedule>,
    done: Mutex<VecDeque<(OwnedUserId, OwnedDeviceId, String, String)>>,
    moved: Notify,
    /// Held by who sends what is due: when it is free, that is done.
    sending: tokio::sync::Mutex<()>,
}

impl Delayed {
    /// An empty schedule for the accounts of `rooms`.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>) -> Self {
        Self {
            rooms,
            schedule: Mutex::default(),
            done: Mutex::default(),
            moved: Notify::new(),
            sending: tokio::sync::Mutex::default(),
        }
    }

    /// Takes an event in, durably; the id by which it is cancelled, restarted or sent. A repeated request gets the first
    /// one's id.
    ///
    /// # Errors
    /// A room the account is not in, a delay or a number beyond the bounds.
    pub async fn plan(&self, account: &Arc<Account>, plan: Plan) -> Result<String, Error> {
        if let Some(id) = self.repeated(account, &plan.device, plan.transaction.as_deref()) {
            return Ok(id);
        }
        plan.check()?;
        let room = self.rooms.joined(&plan.room, account).await?;
        let now = self.clock().now();
        let journals = self.rooms.accounts().journals();
        let id = URL_SAFE_NO_PAD.encode(journals.random.bytes::<24>());
        let (pending, delay) = (self.pending(&account.user_id, plan.delay, now), plan.delay);
        let event = DelayedEvent {
            room: plan.room,
            kind: plan.kind,
            state_key: plan.state_key,
            content: plan.content,
            delay: millis(delay),
            due: now.after(delay).floor_to(self.rooms.policy().bucket).0,
            renewed: false,
            after: room.view().end(),
            transaction: (plan.device, plan.transaction),
        };
        let (mut outcome, place) = (Ok(id.clone()), id.clone());
        let decide = |vault: &VaultLedger| {
            // Two repetitions of one request at once: the second finds the first's.
            if let Some(known) = same_request(vault, &event) {
                outcome = Ok(known);
                return Vec::new();
            }
            let bytes: usize = vault.delayed.values().chain([&event]).map(size).sum();
            if vault.delayed.len() >= MOST_PENDING || bytes > MOST_BYTES {
                outcome = Err(Error::TooMany);
                return Vec::new();
            }
            vec![VaultChange::Delayed(place, Some(event))]
        };
        account.vault.change(journals, decide).await?;
        if outcome.as_ref() == Ok(&id) {
            self.schedule.lock().insert(id, pending);
            self.moved.notify_one();
        }
        outcome
    }

    /// The id that a request of `device` under this transaction id has got before.
    #[must_use]
    pub fn repeated(&self, account: &Account, device: &OwnedDeviceId, transaction: Option<&str>) -> Option<String> {
        let transaction = transaction?;
        let own = |event: &DelayedEvent| {
            event.transaction.0 == *device && event.transaction.1.as_deref() == Some(transaction)
        };
        let vault = account.view();
        let pending = vault.delayed.iter().find(|(_, event)| own(event)).map(|(id, _)| id.clone());
        pending.or_else(|| {
            let done = self.done.lock();
            let same = |(user, of, name, _): &&(OwnedUserId, OwnedDeviceId, String, String)| {
                *user == account.user_id && of == device && name == transaction
            };
            done.iter().find(same).map(|(.., id)| id.clone())
        })
    }

    /// What `account` has pending, the event due first first.
    #[must_use]
    pub fn list(&self, account: &Account) -> Vec<Shown> {
        let (vault, schedule) = (account.view(), self.schedule.lock());
        let mut shown: Vec<_> = vault
            .delayed
            .iter()
            .filter_map(|(id, event)| {
                let pending = schedule.get(id)?;
                let shown = Shown { id: id.clone(), event: event.clone(), since: pending.since };
                Some((pending.due, pending.order, shown))
            })
            .filter(|(.., shown)| !self.is_overtaken(&account.user_id, &shown.event))
            .collect();
        shown.sort_unstable_by_key(|(due, order, _)| (*due, *order));
        shown.into_iter().map(|(.., shown)| shown).collect()
    }

    /// Takes an event back.
    pub async fn cancel(&self, id: &str) -> Result<(), Error> {
        let pending = self.schedule.lock().take(id).ok_or(Error::NotFound)?;
        let account = self.rooms.accounts().open(&pending.user).ok_or(Error::NotFound)?;
        self.forget(&account, id).await
    }

    /// Lets an event's delay begin anew.
    pub async fn restart(&self, id: &str) -> Result<(), Error> {
        let pending = self.schedule.lock().take(id).ok_or(Error::NotFound)?;
        let Some((account, event)) = self.find(&pending, id) else { return Err(Error::NotFound) };
        let fresh = self.pending(&pending.user, Duration::from_millis(event.delay), self.clock().now());
        self.schedule.lock().insert(id.to_owned(), fresh);
        self.moved.notify_one();
        if event.renewed {
            return Ok(());
        }
        let renewed = |vault: &VaultLedger| {
            let event = vault.delayed.get(id).filter(|event| !event.renewed).cloned();
            let event = event.map(|event| DelayedEvent { renewed: true, ..event });
            event.map(|event| VaultChange::Delayed(id.to_owned(), Some(event))).into_iter().collect()
        };
        Ok(account.vault.change(self.rooms.accounts().journals(), renewed).await?)
    }

    /// Sends an event now.
    pub async fn send(&self, id: &str) -> Result<(), Error> {
        let pending = self.schedule.lock().take(id).ok_or(Error::NotFound)?;
        self.fire(id, pending).await
    }

    /// Sends everything that is due.
    pub async fn send_due(&self) {
        let _one = self.sending.lock().await;
        loop {
            let due = self.schedule.lock().take_due(self.clock().monotonic());
            let Some((id, pending)) = due else { return };
            if let Err(Error::Room(error)) = self.fire(&id, pending).await {
                crate::log::debug!("a delayed event was not sent", reason = error.reason());
            }
        }
    }

    /// Sends what is due, when it is due, until `stop` says so.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            self.send_due().await;
            let next = self.schedule.lock().next();
            let wait = next.map_or(IDLE, |next| next.saturating_sub(self.clock().monotonic()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.moved.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Sends a pending event that was taken out of the schedule, and forgets it whatever its room says: an event that
    /// is refused now is not wanted later. Who was locked or suspended meanwhile says nothing.
    async fn fire(&self, id: &str, pending: Pending) -> Result<(), Error> {
        let Some((account, event)) = self.find(&pending, id) else { return Err(Error::NotFound) };
        let sent = match self.rooms.accounts().standing(&account) {
            Err(error) => Err(error.into()),
            Ok(Standing::Locked | Standing::Suspended) => Err(Error::Barred),
            Ok(Standing::Good) if self.is_overtaken(&account.user_id, &event) => Ok(()),
            Ok(Standing::Good) => self.put(&account, id, event).await.map_err(Error::from),
        };
        if let Err(Error::Room(rooms::Error::Journal(_) | rooms::Error::Account(_) | rooms::Error::House(_))) = sent {
            let due = self.clock().monotonic() + AGAIN;
            self.schedule.lock().insert(id.to_owned(), Pending { due, ..pending });
            return sent;
        }
        self.forget(&account, id).await?;
        sent
    }

    async fn put(&self, account: &Arc<Account>, id: &str, event: DelayedEvent) -> Result<(), rooms::Error> {
        let room = self.rooms.joined(&event.room, account).await?;
        let DelayedEvent { kind, state_key, content, transaction, .. } = event;
        if let Some(state_key) = state_key {
            return self.rooms.set_state(&room, account, &kind, &state_key, content).await.map(|_| ());
        }
        let draft = Draft::given(&room.id, &account.user_id, &kind, content)?;
        // A cut between this and the vault's entry sends it again: the room recognises it.
        let transaction = Transaction { device: transaction.0, id: format!("{id} delayed") };
        self.rooms.send(&room, draft, Some(transaction)).await.map(|_| ())
    }

    async fn forget(&self, account: &Account, id: &str) -> Result<(), Error> {
        let gone = |vault: &VaultLedger| {
            let event = vault.delayed.get(id)?;
            if let (device, Some(transaction)) = &event.transaction {
                let mut done = self.done.lock();
                done.push_back((account.user_id.clone(), device.clone(), transaction.clone(), id.to_owned()));
                if done.len() > MOST_DONE {
                    done.pop_front();
                }
            }
            Some(VaultChange::Delayed(id.to_owned(), None))
        };
        let gone = |vault: &VaultLedger| gone(vault).into_iter().collect();
        Ok(account.vault.change(self.rooms.accounts().journals(), gone).await?)
    }

    /// The open account of a pending event, and what its vault holds of it.
    fn find(&self, pending: &Pending, id: &str) -> Option<(Arc<Account>, DelayedEvent)> {
        let account = self.rooms.accounts().open(&pending.user)?;
        let event = account.view().delayed.get(id).cloned()?;
        Some((account, event))
    }

    /// Whether somebody else has set the same state since.
    fn is_overtaken(&self, user: &UserId, event: &DelayedEvent) -> bool {
        let room = self.rooms.find(&event.room);
        room.is_some_and(|room| overtaken(&room.view(), user, event))
    }

    fn pending(&self, user: &UserId, delay: Duration, since: Timestamp) -> Pending {
        Pending { user: user.to_owned(), due: self.clock().monotonic() + delay, order: 0, since }
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.rooms.clock()
    }
}

impl Wakes for Delayed {
    /// Takes in what the vault has pending. What is known already keeps its time: the vault was only loaded again.
    fn woke(&self, account: Arc<Account>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (now, vault) = (self.clock().now(), account.view());
            let mut schedule = self.schedule.lock();
            for (id, event) in &vault.delayed {
                let due = if event.renewed { now.0.saturating_add(event.delay) } else { event.due };
                let since = Timestamp(due.saturating_sub(event.delay));
                let left = Timestamp(due).since(now);
                schedule.insert_new(id, self.pending(&account.user_id, left, since));
            }
            drop(schedule);
            self.moved.notify_one();
        })
    }
}

/// Whether somebody but `user` has set the state that `event` is to set, behind where it was taken.
fn overtaken(view: &View, user: &UserId, event: &DelayedEvent) -> bool {
    let Some(state_key) = &event.state_key else { return false };
    let current = view.state.find(&event.kind, state_key).filter(|current| current.sender() != user);
    let place = current.and_then(|current| view.entry(current.id()));
    place.is_some_and(|entry| entry.position > event.after)
}

fn same_request(vault: &VaultLedger, event: &DelayedEvent) -> Option<String> {
    event.transaction.1.as_ref()?;
    let mut known = vault.delayed.iter().filter(|(_, known)| known.transaction == event.transaction);
    known.next().map(|(id, _)| id.clone())
}

fn size(event: &DelayedEvent) -> usize {
    serde_json::to_vec(event).map_or(MOST_BYTES, |bytes| bytes.len())
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

impl From<accounts::Error> for Error {
    fn from(error: accounts::Error) -> Self {
        Self::Room(error.into())
    }
}

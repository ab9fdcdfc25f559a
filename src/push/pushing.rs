//! Pushing: who is told of an event on which device, and the way there.
//!
//! Owns, in RAM, what waits for the gateways. An account that is open is judged by its rules; for one that is cold speaks
//! the note beside its roster entry, which is kept in step with its pushers and rules while it is open. Nothing here is
//! durable but the notes: a restart forgets what waits, and a device finds out when it syncs.

mod compose;
mod deliver;
mod notes;
mod survey;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use imbl::OrdMap;
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, push::Action};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{Counters, lane::Lane};
use crate::{
    accounts::{Account, Wakes, futures_like::BoxFuture, vault::VaultLedger},
    outbound::Client,
    random::Random,
    rooms::{Rooms, Target, Watches},
};

/// Requests to gateways at once: each holds a connection.
const MOST_AT_ONCE: usize = 16;
/// How often it is looked whether anybody's pushers or rules changed in a way that nobody said.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Takeovers of push keys that are remembered for accounts that are cold meanwhile.
const MOST_TAKEN: usize = 10_000;
/// How long requests under way may take once the server stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// What of the configuration pushing depends on.
#[derive(Clone)]
pub struct Policy {
    /// Whether anybody is told anything.
    pub enabled: bool,
    /// Whether gateways may be told more than ids.
    pub details: bool,
    /// How gateways are reached.
    pub client: Client,
}

/// Everything that is pushed.
pub struct Pushing {
    rooms: Arc<Rooms>,
    counters: Arc<Counters>,
    random: Arc<dyn Random>,
    policy: Policy,
    desk: Mutex<Desk>,
    wake: Notify,
}

/// What there is to do.
#[derive(Default)]
struct Desk {
    /// Rooms in which something happened.
    moved: HashSet<OwnedRoomId>,
    /// Accounts that have just opened.
    came: Vec<Arc<Account>>,
    /// Open accounts that have pushers.
    armed: HashMap<OwnedUserId, Arc<Account>>,
    /// Whose notes are to be brought into step, and with what they last were.
    restless: HashMap<OwnedUserId, Arc<Account>>,
    settled: HashMap<OwnedUserId, Settled>,
    /// Who has read something, and when his devices are told that less is unread.
    read: HashMap<OwnedUserId, Duration>,
    /// What waits for each target, and the number it was last told.
    lanes: HashMap<Arc<Target>, Lane<Parcel>>,
    badges: HashMap<Arc<Target>, u64>,
    /// Whose a push key is since another account set it for itself alone, by a hash of it.
    taken: HashMap<[u8; 16], OwnedUserId>,
}

/// What of a vault decides about its notes.
struct Settled {
    pushers: OrdMap<(String, String), Value>,
    rules: u64,
}

/// Something for one device.
#[derive(Clone)]
enum Parcel {
    /// Of an event.
    Event { user: OwnedUserId, room: OwnedRoomId, event: OwnedEventId, actions: Arc<[Action]>, urgent: bool },
    /// Of how much is unread.
    Badge { user: OwnedUserId },
}

impl Pushing {
    /// Pushing from `rooms`.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, counters: Arc<Counters>, random: Arc<dyn Random>, policy: Policy) -> Self {
        Self { rooms, counters, random, policy, desk: Mutex::default(), wake: Notify::new() }
    }

    /// Says that an account's pushers or rules changed.
    pub fn changed(&self, account: &Arc<Account>) {
        let mut desk = self.desk.lock();
        desk.arm(account);
        desk.restless.insert(account.user_id.clone(), Arc::clone(account));
        drop(desk);
        self.wake.notify_one();
    }

    /// Targets whose gateways did not take what they were told last: a number for those who watch the server.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.desk.lock().lanes.values().filter(|lane| lane.fails()).count()
    }

    /// Pushes until `stop` says so.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let clock = Arc::clone(self.rooms.clock());
        let mut sending = JoinSet::new();
        let mut swept = clock.monotonic();
        loop {
            // Asked for before the first look, so that nothing falls between the two.
            let woken = self.wake.notified();
            self.work().await;
            let now = clock.monotonic();
            if now.saturating_sub(swept) >= SWEEP_EVERY {
                self.sweep(now);
                swept = now;
            }
            while sending.try_join_next().is_some() {}
            let next = self.send(&mut sending, now);
            let rest = next.map_or(SWEEP_EVERY, |next| next.saturating_sub(now)).min(SWEEP_EVERY);
            tokio::select! {
                () = woken => {}
                () = clock.sleep(rest) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // What a crash would have left for the next start.
        self.sweep(clock.monotonic());
        self.work().await;
        let _ = tokio::time::timeout(FAREWELL, async { while sending.join_next().await.is_some() {} }).await;
    }

    /// Judges what happened and brings notes into step.
    async fn work(&self) {
        let came = std::mem::take(&mut self.desk.lock().came);
        for account in came {
            self.welcome(&account).await;
        }
        let moved = std::mem::take(&mut self.desk.lock().moved);
        for room in moved {
            self.survey(&room);
        }
        let restless = std::mem::take(&mut self.desk.lock().restless);
        for account in restless.into_values() {
            self.settle(&account).await;
        }
    }

    /// Finds accounts whose pushers or rules changed, and forgets what belongs to nobody any more.
    fn sweep(&self, now: Duration) {
        self.counters.flattened().clear();
        let open = self.rooms.accounts().all_open();
        let mut desk = self.desk.lock();
        desk.armed.clear();
        for account in &open {
            desk.arm(account);
            let vault = account.view();
            if !desk.settled.get(&account.user_id).is_some_and(|settled| settled.fits(&vault)) {
                desk.restless.insert(account.user_id.clone(), Arc::clone(account));
            }
        }
        if !desk.restless.is_empty() {
            self.wake.notify_one();
        }
        desk.lanes.retain(|_, lane| !lane.is_idle(now));
    }
}

impl Desk {
    fn arm(&mut self, account: &Arc<Account>) {
        if account.view().pushers.is_empty() {
            self.armed.remove(&account.user_id);
        } else {
            self.armed.insert(account.user_id.clone(), Arc::clone(account));
        }
    }
}

impl Settled {
    fn of(vault: &VaultLedger) -> Self {
        Self { pushers: vault.pushers.clone(), rules: rules_stamp(vault) }
    }

    fn fits(&self, vault: &VaultLedger) -> bool {
        self.pushers.ptr_eq(&vault.pushers) && self.rules == rules_stamp(vault)
    }
}

fn rules_stamp(vault: &VaultLedger) -> u64 {
    vault.account_data.get(super::RULES).map_or(0, |data| data.at)
}

impl Wakes for Pushing {
    /// From here on the notes speak for it.
    fn rests<'a>(&'a self, account: &'a Arc<Account>) -> BoxFuture<'a, ()> {
        let mut desk = self.desk.lock();
        let user = &account.user_id;
        desk.came.retain(|came| !Arc::ptr_eq(came, account));
        desk.armed.remove(user);
        desk.restless.remove(user);
        desk.settled.remove(user);
        desk.read.remove(user);
        Box::pin(std::future::ready(()))
    }
}

impl Watches for Pushing {
    fn moved(&self, room: &RoomId) {
        if !self.policy.enabled {
            return;
        }
        if self.desk.lock().moved.insert(room.to_owned()) {
            self.wake.notify_one();
        }
    }

    fn came(&self, account: &Arc<Account>) {
        self.desk.lock().came.push(Arc::clone(account));
        self.wake.notify_one();
    }

    fn read(&self, account: &Arc<Account>) {
        let now = self.rooms.clock().monotonic();
        let mut desk = self.desk.lock();
        if !desk.armed.contains_key(&account.user_id) {
            return;
        }
        // After a while that tells nobody when exactly he read, and in which he may read on.
        let wait = Duration::from_millis(2_000 + self.random.below(8_000));
        desk.read.entry(account.user_id.clone()).or_insert(now + wait);
        drop(desk);
        self.wake.notify_one();
    }
}

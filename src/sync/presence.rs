//! Presence: who is online ([spec](https://spec.matrix.org/latest/client-server-api/#presence)). Off unless the operator
//! turns it on, in RAM only, and told to nobody but those who share a room.
//!
//! A user is as present as the most present of his devices. A device is what it last said for as long as it syncs; when
//! it stops, it is offline after a while, and idle when it only syncs. Times are told in minutes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId, UserId, presence::PresenceState};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{
    accounts::{
        Session,
        vault::{Fact, VaultLedger},
    },
    rooms::Rooms,
};

/// How long a device that stopped syncing counts as there: it may be between two syncs.
const GRACE: Duration = Duration::from_secs(30);
/// How long after the last thing a user did he is active, and how long his devices are more than idle.
const ACTIVE: Duration = Duration::from_mins(5);
/// How often it is looked whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How exact the time of the last activity is told.
const STEP: Duration = Duration::from_mins(1);

/// Everybody's presence.
pub struct Presence {
    rooms: Arc<Rooms>,
    enabled: bool,
    people: Mutex<People>,
}

#[derive(Default)]
struct People {
    all: HashMap<OwnedUserId, Person>,
    /// Counts changes, so that a sync tells what changed.
    count: u64,
}

struct Person {
    devices: BTreeMap<OwnedDeviceId, Device>,
    status: Option<String>,
    /// When he last did something, in steady time.
    active: Duration,
    /// What others are told, and the count at which it changed.
    shown: Shown,
    at: u64,
}

struct Device {
    said: PresenceState,
    /// Syncs that wait.
    syncing: u32,
    /// When it was last there, in steady time.
    seen: Duration,
}

#[derive(Clone, PartialEq)]
struct Shown {
    state: PresenceState,
    status: Option<String>,
    active: bool,
}

/// A sync that waits: its device is there for as long.
pub struct Syncing<'a> {
    presence: &'a Presence,
    who: Option<(OwnedUserId, OwnedDeviceId)>,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        let Some((user, device)) = self.who.take() else { return };
        let now = self.presence.rooms.clock().monotonic();
        if let Some(device) =
            self.presence.people.lock().all.get_mut(&user).and_then(|person| person.devices.get_mut(&device))
        {
            device.syncing = device.syncing.saturating_sub(1);
            device.seen = now;
        }
    }
}

impl Presence {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, enabled: bool) -> Self {
        Self { rooms, enabled, people: Mutex::default() }
    }

    /// Notes what a device says of its user. Where presence is off nothing is noted.
    pub fn say(&self, session: &Session, state: PresenceState, status: Option<String>) {
        self.change(session, |person, device, now| {
            person.status = status;
            if state == PresenceState::Online {
                person.active = now;
            }
            *device = Device { said: state, seen: now, syncing: device.syncing };
        });
    }

    /// Notes that a device syncs and what it says of its user meanwhile. It is there until the guard is dropped.
    #[must_use]
    pub fn sync(&self, session: &Session, state: &PresenceState) -> Syncing<'_> {
        // A client that wants to sync unseen says that it is offline: what it said before stays.
        if !self.enabled || *state == PresenceState::Offline {
            return Syncing { presence: self, who: None };
        }
        self.change(session, |person, device, now| {
            // Coming is something a user does; syncing on is not.
            if person.shown.state == PresenceState::Offline {
                person.active = now;
            }
            *device = Device { said: state.clone(), seen: now, syncing: device.syncing + 1 };
        });
        Syncing { presence: self, who: Some((session.account.user_id.clone(), session.device.clone())) }
    }

    /// Notes that the user of a device did something. A device that does not say it is there stays unseen.
    pub fn did(&self, session: &Session) {
        if !self.enabled {
            return;
        }
        let now = self.rooms.clock().monotonic();
        let user = &session.account.user_id;
        let moved = {
            let mut people = self.people.lock();
            let People { all, count } = &mut *people;
            let there = all.get_mut(user).filter(|person| person.devices.contains_key(&session.device));
            there.is_some_and(|person| {
                person.active = now;
                person.show(now, count)
            })
        };
        if moved {
            self.wake(user);
        }
    }

    /// What `viewer` is told of `user`; nothing when he may not know it. Where presence is off, everybody is offline.
    #[must_use]
    pub fn of(&self, vault: &VaultLedger, viewer: &UserId, user: &UserId) -> Option<Value> {
        if self.enabled && viewer != user && !self.shares(vault, user) {
            return None;
        }
        let now = self.rooms.clock().monotonic();
        let people = self.people.lock();
        Some(people.all.get(user).map_or_else(|| json!({"presence": "offline"}), |person| person.content(now)))
    }

    /// The events about those whose presence changed after the count was `since` or who are `new` to the viewer, and the
    /// count now.
    #[must_use]
    pub fn news(
        &self,
        vault: &VaultLedger,
        viewer: &UserId,
        (since, new): (u64, &BTreeSet<OwnedUserId>),
    ) -> (Vec<(OwnedUserId, Value)>, u64) {
        let now = self.rooms.clock().monotonic();
        let people = self.people.lock();
        let count = people.count;
        if count == since && new.is_empty() {
            return (Vec::new(), count);
        }
        // Whoever knows nothing of somebody takes him to be offline.
        let is_news = |user: &OwnedUserId, person: &Person| {
            if since == 0 || new.contains(user) {
                person.shown.state != PresenceState::Offline || person.at > since && since > 0
            } else {
                person.at > since
            }
        };
        let changed = people.all.iter().filter(|(user, person)| is_news(user, person));
        let changed: Vec<_> = changed.map(|(user, person)| (user.clone(), person.content(now))).collect();
        drop(people);
        let told = changed.into_iter().filter(|(user, _)| user == viewer || self.shares(vault, user));
        let event = |(user, content)| {
            let event = json!({"type": "m.presence", "sender": user, "content": content});
            (user, event)
        };
        (told.map(event).collect(), count)
    }

    /// Lets devices go offline and idle until `stop` says so.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if !self.enabled {
            return;
        }
        let clock = Arc::clone(self.rooms.clock());
        loop {
            tokio::select! {
                () = clock.sleep(SWEEP_EVERY) => self.sweep(),
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn sweep(&self) {
        let now = self.rooms.clock().monotonic();
        let mut moved = Vec::new();
        {
            let mut people = self.people.lock();
            let People { all, count } = &mut *people;
            // Of accounts that ended nothing is left.
            all.retain(|user, _| self.rooms.accounts().open(user).is_some());
            for (user, person) in all.iter_mut() {
                person.devices.retain(|_, device| device.is_there(now));
                if person.show(now, count) {
                    moved.push(user.clone());
                }
            }
        }
        for user in moved {
            self.wake(&user);
        }
    }

    /// Whether a room of the account is also one of `user`.
    fn shares(&self, vault: &VaultLedger, user: &UserId) -> bool {
        let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        joined.filter_map(|(id, _)| self.rooms.find(id)).any(|room| room.view().is_joined(user))
    }

    fn change(&self, session: &Session, edit: impl FnOnce(&mut Person, &mut Device, Duration)) {
        if !self.enabled {
            return;
        }
        let now = self.rooms.clock().monotonic();
        let user = &session.account.user_id;
        let moved = {
            let mut people = self.people.lock();
            let People { all, count } = &mut *people;
            let person = all.entry(user.clone()).or_insert_with(|| Person::new(now));
            let mut device = person.devices.remove(&session.device).unwrap_or_else(|| Device::new(now));
            edit(person, &mut device, now);
            person.devices.insert(session.device.clone(), device);
            person.show(now, count)
        };
        if moved {
            self.wake(user);
        }
    }

    /// Wakes the syncs of everybody who may know of `user`.
    fn wake(&self, user: &UserId) {
        let Some(account) = self.rooms.accounts().open(user) else { return };
        let vault = account.view();
        let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let views: Vec<_> = joined.filter_map(|(id, _)| Some(self.rooms.find(id)?.view())).collect();
        let mut others: BTreeSet<&UserId> = views.iter().flat_map(|view| view.state.joined()).collect();
        others.insert(user);
        for other in others {
            if let Some(account) = self.rooms.accounts().open(other) {
                account.notify();
            }
        }
    }
}

impl Person {
    fn new(now: Duration) -> Self {
        let shown = Shown { state: PresenceState::Offline, status: None, active: false };
        Self { devices: BTreeMap::new(), status: None, active: now, shown, at: 0 }
    }

    /// Brings what others are told up to date; whether it changed.
    fn show(&mut self, now: Duration, count: &mut u64) -> bool {
        let active = now.saturating_sub(self.active) < ACTIVE;
        let state = |device: &Device| match device.said {
            _ if !device.is_there(now) => PresenceState::Offline,
            PresenceState::Online if !active => PresenceState::Unavailable,
            ref said => said.clone(),
        };
        let state = self.devices.values().map(state).max_by_key(rank).unwrap_or(PresenceState::Offline);
        let active = active && state == PresenceState::Online;
        let shown = Shown { state, status: self.status.clone(), active };
        if shown == self.shown {
            return false;
        }
        *count += 1;
        (self.shown, self.at) = (shown, *count);
        true
    }

    fn content(&self, now: Duration) -> Value {
        let mut content = Map::new();
        content.insert("presence".to_owned(), self.shown.state.as_str().into());
        let ago = now.saturating_sub(self.active);
        let ago = ago.as_millis() / STEP.as_millis() * STEP.as_millis();
        content.insert("last_active_ago".to_owned(), u64::try_from(ago).unwrap_or(u64::MAX).into());
        if let Some(status) = &self.shown.status {
            content.insert("status_msg".to_owned(), status.as_str().into());
        }
        if self.shown.state == PresenceState::Online {
            content.insert("currently_active".to_owned(), self.shown.active.into());
        }
        Value::Object(content)
    }
}

impl Device {
    fn new(now: Duration) -> Self {
        Self { said: PresenceState::Online, syncing: 0, seen: now }
    }

    fn is_there(&self, now: Duration) -> bool {
        self.syncing > 0 || now.saturating_sub(self.seen) < GRACE
    }
}

/// How present a state is.
fn rank(state: &PresenceState) -> u8 {
    match state {
        PresenceState::Online => 2,
        PresenceState::Unavailable => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn device(said: PresenceState, syncing: u32, seen: Duration) -> Device {
        Device { said, syncing, seen }
    }

    #[test]
    fn a_user_is_as_present_as_his_most_present_device_and_no_longer() {
        let mut person = Person::new(Duration::ZERO);
        let mut count = 0;
        person.devices.insert("A".into(), device(PresenceState::Unavailable, 0, Duration::ZERO));
        person.devices.insert("B".into(), device(PresenceState::Online, 1, Duration::ZERO));
        assert!(person.show(SECOND, &mut count) && person.shown.state == PresenceState::Online);
        assert!(!person.show(2 * SECOND, &mut count), "nothing changed");
        // Who only syncs is idle after a while; one that waits stays.
        assert!(person.show(ACTIVE, &mut count) && person.shown.state == PresenceState::Unavailable);
        person.active = ACTIVE;
        assert!(person.show(ACTIVE + SECOND, &mut count) && person.shown.state == PresenceState::Online);
        person.devices.get_mut(ruma::device_id!("B")).unwrap().syncing = 0;
        assert!(person.show(ACTIVE + 2 * SECOND, &mut count) && person.shown.state == PresenceState::Offline);
        assert_eq!((person.at, count), (4, 4));
    }

    #[test]
    fn times_are_told_in_minutes() {
        let mut person = Person::new(Duration::ZERO);
        person.devices.insert("A".into(), device(PresenceState::Online, 1, Duration::ZERO));
        person.status = Some("here".to_owned());
        person.show(119 * SECOND, &mut 0);
        let content = person.content(119 * SECOND);
        let expected =
            json!({"presence": "online", "last_active_ago": 60_000, "status_msg": "here", "currently_active": true});
        assert_eq!(content, expected);
    }
}

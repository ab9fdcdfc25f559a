//! Unread counts: how many events of a room notify a user, and how many of them highlight.
//!
//! Owns, in RAM, the unread events of each account and room, kept up to date event by event. What is read is decided by
//! the positions in the vault, what notifies by the account's push rules.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use ruma::{
    EventId, Int, OwnedEventId, OwnedRoomId, OwnedUserId, UInt, UserId,
    events::room::member::MembershipState,
    power_levels::NotificationPowerLevels,
    push::{PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset},
    room_version_rules::RoomPowerLevelsRules,
};
use serde::Deserialize;

use super::{
    RULES,
    judged::{judged, name_pattern},
    ruleset_of,
};
use crate::{
    accounts::{
        Account,
        vault::{ReadKey, ReadKind, VaultLedger},
    },
    event::Face,
    journal::Position,
    rooms::{Room, View, thread_of},
};

/// Unread events that are told apart in one room; more are as good as this many to a reader, and each costs memory.
const MOST_UNREAD: usize = 500;
/// Unread events that are judged when a room is counted for the first time since the start, the newest first.
const MOST_JUDGED: usize = 500;

/// Notifications and highlights.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Events that notify.
    pub notifications: u64,
    /// Those of them that highlight.
    pub highlights: u64,
}

/// The unread counts of a room for one user.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events outside threads.
    pub main: Tally,
    /// Events of each thread that has unread ones, by root.
    pub threads: BTreeMap<OwnedEventId, Tally>,
}

impl Counts {
    /// Everything together, for clients that know no threads.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.threads.values().fold(self.main, |sum, thread| Tally {
            notifications: sum.notifications + thread.notifications,
            highlights: sum.highlights + thread.highlights,
        })
    }
}

/// The counters of every account that asked since the start.
#[derive(Default)]
pub struct Counters {
    accounts: Mutex<HashMap<OwnedUserId, Arc<Mutex<Counted>>>>,
}

#[derive(Default)]
struct Counted {
    rules: Option<(u64, Arc<Ruleset>)>,
    rooms: HashMap<OwnedRoomId, Unread>,
}

/// What is unread in one room.
struct Unread {
    events: VecDeque<Item>,
    judged: Position,
    rules: u64,
    members: Option<u64>,
}

struct Item {
    position: Position,
    thread: Option<OwnedEventId>,
    highlight: bool,
}

/// Up to where a user has read a room.
struct Marks<'a> {
    unthreaded: Position,
    main: Position,
    threads: BTreeMap<&'a str, Position>,
}

impl Counters {
    /// The unread counts of `room`, as `view` shows it, for an account that is joined to it.
    #[must_use]
    pub fn count(&self, account: &Account, vault: &VaultLedger, room: &Room, view: &View) -> Arc<Counts> {
        let counted = {
            let mut accounts = self.accounts.lock();
            if let Some(counted) = accounts.get(&account.user_id) {
                Arc::clone(counted)
            } else {
                Arc::clone(accounts.entry(account.user_id.clone()).or_default())
            }
        };
        let mut counted = counted.lock();
        let (stamp, rules) = counted.rules(account, vault);
        let marks = Marks::of(vault, room);
        let unread = match counted.rooms.get_mut(&room.id) {
            Some(unread) if unread.rules == stamp && unread.judged <= view.end() => unread,
            _ => {
                let fresh = Unread { events: VecDeque::new(), judged: Position::START, rules: stamp, members: None };
                counted.rooms.insert(room.id.clone(), fresh);
                counted.rooms.get_mut(&room.id).expect("was just put there")
            }
        };
        unread.catch_up(&account.user_id, &rules, room, view, &marks);
        Arc::new(unread.tally(&marks, view))
    }

    /// Lets go of what is known of a room: the account is out of it.
    pub fn forget(&self, user: &UserId, room: &ruma::RoomId) {
        if let Some(counted) = self.accounts.lock().get(user) {
            counted.lock().rooms.remove(room);
        }
    }
}

impl Counted {
    /// The account's rules, read again when they changed, and the count at which they did.
    fn rules(&mut self, account: &Account, vault: &VaultLedger) -> (u64, Arc<Ruleset>) {
        let stamp = vault.account_data.get(RULES).map_or(0, |data| data.at);
        match &self.rules {
            Some((at, rules)) if *at == stamp => (stamp, Arc::clone(rules)),
            _ => {
                let rules = Arc::new(ruleset_of(vault, &account.user_id));
                self.rules = Some((stamp, Arc::clone(&rules)));
                (stamp, rules)
            }
        }
    }
}

impl Unread {
    /// Judges the events since the last time.
    fn catch_up(&mut self, user: &UserId, rules: &Ruleset, room: &Room, view: &View, marks: &Marks<'_>) {
        let start = view.index_after(self.judged);
        if view.timeline.iter().skip(start).rev().any(|entry| entry.kind() == "m.room.member") {
            self.members = None;
        }
        let mut fresh = Vec::new();
        let mut judge = None;
        for entry in view.timeline.iter().skip(start).rev() {
            if let Some(target) = entry.redacts().and_then(|target| view.entry(target)) {
                self.events.retain(|item| item.position != target.position);
            }
            if fresh.len() >= MOST_JUDGED || entry.sender() == user || entry.redacted_by().is_some() {
                continue;
            }
            let thread = thread_of(view, entry);
            if marks.covers(entry.position, thread.as_deref()) || entry.before.membership(user) != MembershipState::Join
            {
                continue;
            }
            let judge = judge.get_or_insert_with(|| {
                let members = *self.members.get_or_insert_with(|| view.state.joined().count() as u64);
                context(user, room, view, members)
            });
            let Some(whole) = view.whole(entry) else { continue };
            if let Some(highlight) = notifies(rules, judge, whole.face()) {
                fresh.push(Item { position: entry.position, thread, highlight });
            }
        }
        self.events.extend(fresh.into_iter().rev());
        self.judged = view.end();
        // What was read stays read, and what expired is nobody's unread event.
        let oldest = view.timeline.front().map_or(Position::START, |entry| entry.position);
        self.events.retain(|item| item.position >= oldest && !marks.covers(item.position, item.thread.as_deref()));
        let surplus = self.events.len().saturating_sub(MOST_UNREAD);
        self.events.drain(..surplus);
    }

    fn tally(&self, marks: &Marks<'_>, view: &View) -> Counts {
        let mut counts = Counts::default();
        let oldest = view.timeline.front().map_or(Position::START, |entry| entry.position);
        for item in self.events.iter().filter(|item| item.position >= oldest) {
            if marks.covers(item.position, item.thread.as_deref()) {
                continue;
            }
            let tally = match &item.thread {
                Some(root) => counts.threads.entry(root.clone()).or_default(),
                None => &mut counts.main,
            };
            tally.notifications += 1;
            tally.highlights += u64::from(item.highlight);
        }
        counts
    }
}

impl<'a> Marks<'a> {
    fn of(vault: &'a VaultLedger, room: &Room) -> Self {
        let mut marks = Self { unthreaded: Position::START, main: Position::START, threads: BTreeMap::new() };
        let from = ReadKey { room: room.id.clone(), kind: ReadKind::Public, thread: None };
        for (key, mark) in vault.read.range(from..).take_while(|(key, _)| key.room == room.id) {
            if key.kind == ReadKind::Fully {
                continue;
            }
            let place = match key.thread.as_deref() {
                None => &mut marks.unthreaded,
                Some("main") => &mut marks.main,
                Some(thread) => marks.threads.entry(thread).or_insert(Position::START),
            };
            *place = (*place).max(mark.position);
        }
        marks
    }

    /// Whether an event at `position` of a thread has been read.
    fn covers(&self, position: Position, thread: Option<&EventId>) -> bool {
        let of_thread = match thread {
            None => self.main,
            Some(root) => self.threads.get(root.as_str()).copied().unwrap_or(Position::START),
        };
        position <= self.unthreaded.max(of_thread)
    }
}

/// Whether an event notifies by these rules, and if so, whether it highlights.
#[must_use]
pub fn notifies(rules: &Ruleset, context: &PushConditionRoomCtx, event: Face<'_>) -> Option<bool> {
    let raw = judged(event);
    let matching = pin!(rules.get_match(&raw, context));
    // Rules are asynchronous for the sake of thread subscriptions, of which there are none.
    let Poll::Ready(rule) = matching.poll(&mut Context::from_waker(Waker::noop())) else { return None };
    let rule = rule.filter(|rule| rule.triggers_notification())?;
    Some(rule.triggers_highlight())
}

/// What rules may ask about the room.
#[must_use]
pub fn context(user: &UserId, room: &Room, view: &View, members: u64) -> PushConditionRoomCtx {
    #[derive(Deserialize)]
    struct Levels {
        #[serde(default)]
        users: BTreeMap<OwnedUserId, Int>,
        #[serde(default)]
        users_default: Int,
        #[serde(default)]
        notifications: NotificationPowerLevels,
    }
    let name = view.state.member(user).and_then(|member| member.content_str("displayname"));
    let name = name.map_or_else(|| user.localpart().to_owned(), |name| name_pattern(name, user));
    let count = UInt::try_from(members).unwrap_or(UInt::MAX);
    let mut context = PushConditionRoomCtx::new(room.id.clone(), count, user.to_owned(), name);
    let levels = view.state.power_levels().and_then(|event| event.content_as::<Levels>());
    context.power_levels = levels.map(|levels| {
        let rules = &room.rules.authorization;
        let rules = RoomPowerLevelsRules::new(rules, view.state.creators(rules));
        PushConditionPowerLevelsCtx::new(levels.users, levels.users_default, levels.notifications, rules)
    });
    context
}

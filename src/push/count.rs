//! Unread counts: how many events of a room notify a user, and how many of them highlight.
//!
//! Owns, in RAM, the unread events of each account and room, kept up to date event by event. What is read is decided by
//! the positions in the vault, what notifies by the account's push rules. Syncs and pushers count here alike.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    events::room::member::MembershipState,
    push::{Action, PushConditionRoomCtx, Ruleset},
};

use super::{
    RULES,
    alike::{Alike, Asked},
    judge::{Flattened, Scene, highlights, notifies},
    ruleset_of,
};
use crate::{
    accounts::{
        Account,
        vault::{Fact, IGNORED, ReadKey, ReadKind, VaultLedger},
    },
    journal::Position,
    rooms::{Entry, Room, Rooms, View, thread_of},
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
    flattened: Flattened,
}

#[derive(Default)]
struct Counted {
    taste: Option<Arc<Taste>>,
    rooms: HashMap<OwnedRoomId, Unread>,
}

/// What an account wants to hear of.
struct Taste {
    /// The counts of the vault at which its parts last changed.
    stamp: Stamp,
    rules: Ruleset,
    /// What the rules ask of an event, where that is known.
    asked: Option<Asked>,
    ignored: BTreeSet<OwnedUserId>,
}

type Stamp = (u64, u64);

/// What is unread in one room.
struct Unread {
    events: VecDeque<Item>,
    judged: Position,
    stamp: Stamp,
    members: Option<u64>,
}

struct Item {
    position: Position,
    thread: Option<OwnedEventId>,
    highlight: bool,
}

/// Whose counts.
struct Reader<'a> {
    user: &'a UserId,
    vault: &'a Arc<VaultLedger>,
    taste: &'a Taste,
    marks: Marks<'a>,
    flattened: &'a Flattened,
}

impl Reader<'_> {
    /// Whether an event highlights; nothing when it does not even notify. `known` has the verdicts on others of the room.
    fn verdict(
        &self,
        known: &mut HashMap<Alike, Option<bool>>,
        judge: &PushConditionRoomCtx,
        view: &View,
        entry: &Entry,
    ) -> Option<bool> {
        let asked = self.taste.asked.as_ref().filter(|_| !entry.is_state());
        let asked = asked.and_then(|asked| Some((asked, view.whole(entry)?)));
        let alike = asked.as_ref().and_then(|(asked, whole)| asked.of(entry.sender(), entry.kind(), whole.content()));
        if let Some(verdict) = alike.as_ref().and_then(|alike| known.get(alike)) {
            return *verdict;
        }
        let flat = match &asked {
            Some((_, whole)) => self.flattened.of_whole(entry, whole),
            None => self.flattened.of(view, entry)?,
        };
        let verdict = notifies(&self.taste.rules, judge, &flat).map(highlights);
        known.extend(alike.map(|alike| (alike, verdict)));
        verdict
    }
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
    pub fn count(&self, account: &Account, vault: &Arc<VaultLedger>, room: &Room, view: &View) -> Arc<Counts> {
        let counted = self.of(&account.user_id);
        let mut counted = counted.lock();
        let taste = counted.taste(account, vault);
        let marks = Marks::of(vault, room);
        let reader = Reader { user: &account.user_id, vault, taste: &taste, marks, flattened: &self.flattened };
        let unread = match counted.rooms.get_mut(&room.id) {
            Some(unread) if unread.stamp == taste.stamp && unread.judged <= view.end() => unread,
            _ => {
                let (events, judged) = (VecDeque::new(), Position::START);
                let fresh = Unread { events, judged, stamp: taste.stamp, members: None };
                counted.rooms.insert(room.id.clone(), fresh);
                counted.rooms.get_mut(&room.id).expect("was just put there")
            }
        };
        unread.catch_up(&reader, room, view);
        Arc::new(unread.tally(&reader.marks, view))
    }

    /// What `account` has not read in all its rooms, and the invitations it has not answered: the number on a badge.
    #[must_use]
    pub fn badge(&self, account: &Account, vault: &Arc<VaultLedger>, rooms: &Rooms) -> u64 {
        let of_room = |(id, entry): (&OwnedRoomId, &crate::accounts::vault::VaultRoom)| match entry.fact {
            Fact::Invited(_) => 1,
            Fact::Joined => {
                let Some(room) = rooms.find(id) else { return 0 };
                let view = room.view();
                if view.is_joined(&account.user_id) {
                    self.count(account, vault, &room, &view).total().notifications
                } else {
                    0
                }
            }
            _ => 0,
        };
        vault.rooms.iter().map(of_room).sum()
    }

    /// The actions by which an event notifies `account`, whether it has been read or not; nothing when it does not.
    #[must_use]
    pub fn judge(
        &self,
        account: &Account,
        vault: &Arc<VaultLedger>,
        (room, view, scene): (&Room, &View, &Scene),
        entry: &Entry,
    ) -> Option<Vec<Action>> {
        let taste = self.of(&account.user_id).lock().taste(account, vault);
        let user = &account.user_id;
        if !concerns(user, &taste, entry) && !invites(user, &taste, entry) {
            return None;
        }
        let context = scene.for_user(room, view, user, Some(Arc::clone(vault)));
        let flat = self.flattened.of(view, entry)?;
        notifies(&taste.rules, &context, &flat).map(<[Action]>::to_vec)
    }

    /// Whether `account` has read an event.
    #[must_use]
    pub fn has_read(vault: &VaultLedger, room: &Room, view: &View, entry: &Entry) -> bool {
        Marks::of(vault, room).covers(entry.position, thread_of(view, entry).as_deref())
    }

    /// The account's rules, read once for as long as they do not change.
    #[must_use]
    pub fn rules(&self, account: &Account, vault: &VaultLedger) -> Rules {
        Rules(self.of(&account.user_id).lock().taste(account, vault))
    }

    /// Events as rules ask about them.
    #[must_use]
    pub fn flattened(&self) -> &Flattened {
        &self.flattened
    }

    /// Lets go of what is known of a room: the account is out of it.
    pub fn forget(&self, user: &UserId, room: &ruma::RoomId) {
        let counted = self.accounts.lock().get(user).cloned();
        if let Some(counted) = counted {
            counted.lock().rooms.remove(room);
        }
    }

    /// Lets go of what is known of an account: it closes.
    pub fn forget_account(&self, user: &UserId) {
        self.accounts.lock().remove(user);
    }

    fn of(&self, user: &UserId) -> Arc<Mutex<Counted>> {
        let mut accounts = self.accounts.lock();
        match accounts.get(user) {
            Some(counted) => Arc::clone(counted),
            None => Arc::clone(accounts.entry(user.to_owned()).or_default()),
        }
    }
}

/// An account's rules, shared.
pub struct Rules(Arc<Taste>);

impl std::ops::Deref for Rules {
    type Target = Ruleset;

    fn deref(&self) -> &Ruleset {
        &self.0.rules
    }
}

impl Counted {
    /// What the account wants to hear of, read again when it changed.
    fn taste(&mut self, account: &Account, vault: &VaultLedger) -> Arc<Taste> {
        let changed = |kind: &str| vault.account_data.get(kind).map_or(0, |data| data.at);
        let stamp = (changed(RULES), changed(IGNORED));
        match &self.taste {
            Some(taste) if taste.stamp == stamp => Arc::clone(taste),
            _ => {
                let rules = ruleset_of(vault, &account.user_id);
                let (asked, ignored) = (Asked::by(&rules), vault.ignored());
                Arc::clone(self.taste.insert(Arc::new(Taste { stamp, rules, asked, ignored })))
            }
        }
    }
}

/// Whether an event is news to `user`: it happened while he was in the room, and comes from somebody he listens to.
fn concerns(user: &UserId, taste: &Taste, entry: &Entry) -> bool {
    may_concern(user, taste, entry) && entry.before.membership(user) == MembershipState::Join
}

/// Whether an event invites `user`, and comes from somebody he listens to.
fn invites(user: &UserId, taste: &Taste, entry: &Entry) -> bool {
    is_invitation(user, entry) && may_concern(user, taste, entry)
}

/// Whether an event invites `user`.
pub(super) fn is_invitation(user: &UserId, entry: &Entry) -> bool {
    entry.is("m.room.member", user.as_str()) && entry.membership() == Some(MembershipState::Invite)
}

fn may_concern(user: &UserId, taste: &Taste, entry: &Entry) -> bool {
    let sender = entry.sender();
    sender != user && entry.redacted_by().is_none() && !taste.ignored.contains(sender)
}

impl Unread {
    /// Judges the events since the last time.
    fn catch_up(&mut self, reader: &Reader<'_>, room: &Room, view: &View) {
        let Reader { user, marks, .. } = reader;
        let start = view.index_after(self.judged);
        if view.timeline.iter().skip(start).rev().any(|entry| entry.kind() == "m.room.member") {
            self.members = None;
        }
        let mut fresh = Vec::new();
        let (mut judge, mut known) = (None, HashMap::new());
        for entry in view.timeline.iter().skip(start).rev() {
            if let Some(target) = entry.redacts().and_then(|target| view.entry(target)) {
                self.events.retain(|item| item.position != target.position);
                reader.flattened.forget(target);
            }
            if fresh.len() >= MOST_JUDGED || !concerns(user, reader.taste, entry) {
                continue;
            }
            let thread = thread_of(view, entry);
            if marks.covers(entry.position, thread.as_deref()) {
                continue;
            }
            let judge = judge.get_or_insert_with(|| {
                let members = *self.members.get_or_insert_with(|| view.state.joined().count() as u64);
                Scene::of(room, view, members).for_user(room, view, user, Some(Arc::clone(reader.vault)))
            });
            if let Some(highlight) = reader.verdict(&mut known, judge, view, entry) {
                fresh.push(Item { position: entry.position, thread, highlight });
            }
        }
        self.events.extend(fresh.into_iter().rev());
        self.judged = view.end();
        // What was read stays read, and what expired is nobody's unread event.
        let oldest = view.start();
        self.events.retain(|item| item.position >= oldest && !marks.covers(item.position, item.thread.as_deref()));
        let surplus = self.events.len().saturating_sub(MOST_UNREAD);
        self.events.drain(..surplus);
    }

    fn tally(&self, marks: &Marks<'_>, view: &View) -> Counts {
        let mut counts = Counts::default();
        let oldest = view.start();
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

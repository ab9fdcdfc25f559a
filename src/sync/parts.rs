//! Parts that both flavours of sync are made of: key counts, device lists, receipts, typing, invitations.
//!
//! Pure: reads views and ledgers, writes JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use imbl::{OrdMap, OrdSet};
use ruma::{DeviceId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use crate::{
    accounts::{
        self, Account, Session,
        vault::{Fact, ReadKey, ReadKind, ReadMark, VaultLedger, Verdict},
    },
    house::HouseLedger,
    journal::Position,
    rooms::{Receipt, Rooms, View, is_of_main},
};

/// The longest a waiting answer is put off for messages between devices that are on their way: some writes of a slow disk.
pub const SETTLES_WITHIN: Duration = Duration::from_millis(250);

/// The algorithm whose count clients want to see even at zero: without it they do not know that keys ran out.
const COUNTED: &str = "signed_curve25519";

/// One-time keys left on the server, by algorithm.
#[must_use]
pub fn one_time_keys(vault: &VaultLedger, device: &OwnedDeviceId) -> BTreeMap<String, u64> {
    let mut counts = vault.key_counts(device);
    counts.entry(COUNTED.to_owned()).or_default();
    counts
}

/// Algorithms of fallback keys that nobody has claimed yet.
#[must_use]
pub fn unused_fallback_keys(house: &HouseLedger, user: &UserId, device: &DeviceId) -> Vec<String> {
    let place = (user.localpart().to_owned(), device.to_owned());
    let keys = house.devices.get(&place).map(|device| &device.fallback);
    let unused = keys.into_iter().flatten().filter(|(_, key)| !key.used);
    unused.map(|(algorithm, _)| algorithm.clone()).collect()
}

/// With whom an account shares rooms, as of one moment; itself included.
#[derive(Clone, Default)]
pub struct People {
    ends: OrdMap<OwnedRoomId, Position>,
    users: OrdSet<OwnedUserId>,
}

impl People {
    /// The people of `account` now. `before` is what was known last: nothing is counted again while no member event came.
    #[must_use]
    pub fn of(rooms: &Rooms, account: &Account, vault: &VaultLedger, before: &Self) -> Self {
        let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let views = joined.filter_map(|(id, _)| Some((id, rooms.find(id)?.view())));
        let views: Vec<_> = views.filter(|(_, view)| view.is_joined(&account.user_id)).collect();
        let ends: OrdMap<_, _> = views.iter().map(|(id, view)| ((*id).clone(), view.end())).collect();
        let unmoved = |id: &OwnedRoomId, view: &View| {
            before.ends.get(id).is_some_and(|end| {
                let from = view.index_after(*end);
                let mut new = view.timeline.iter().skip(from);
                !view.forgot_behind(*end) && new.all(|entry| entry.kind() != "m.room.member")
            })
        };
        let same = before.ends.len() == ends.len() && views.iter().all(|(id, view)| unmoved(id, view));
        if same && !before.users.is_empty() {
            return Self { ends, users: before.users.clone() };
        }
        let mut users: BTreeSet<OwnedUserId> = BTreeSet::from([account.user_id.clone()]);
        for (_, view) in &views {
            users.extend(view.state.joined().map(ToOwned::to_owned));
        }
        Self { ends, users: users.into_iter().collect() }
    }

    /// Whether a room is shared with `user`.
    #[must_use]
    pub fn contains(&self, user: &UserId) -> bool {
        self.users.contains(user)
    }

    /// Everybody.
    pub fn users(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.users.iter()
    }
}

/// Whose devices a client has to look at again (spec: client-server API, tracking the device list for a user).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DeviceLists {
    /// Whose devices changed, or who is new.
    pub changed: Vec<OwnedUserId>,
    /// With whom no room is shared any more.
    pub left: Vec<OwnedUserId>,
}

impl DeviceLists {
    /// What happened between `before`, when the house stood at `stamp`, and `now`.
    #[must_use]
    pub fn between(before: &People, stamp: u64, now: &People, house: &HouseLedger) -> Self {
        let touched = |user: &UserId| house.stamps.get(user.localpart()).is_some_and(|at| *at > stamp);
        let anything = house.stamp > stamp;
        let mut lists = Self::default();
        if anything || before.users != now.users {
            let is_new = |user: &OwnedUserId| !before.users.contains(user);
            let changed = now.users.iter().filter(|user| is_new(user) || (anything && touched(user)));
            lists.changed = changed.cloned().collect();
            lists.left = before.users.iter().filter(|user| !now.users.contains(*user)).cloned().collect();
        }
        lists
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

/// The content of an `m.receipt` event while it is put together.
#[derive(Default)]
pub struct Receipts(BTreeMap<OwnedEventId, BTreeMap<&'static str, BTreeMap<OwnedUserId, Value>>>);

impl Receipts {
    /// Adds a public receipt, on the event it is served on to `viewer`. Of others he is told what is left of what they
    /// have read, and nothing where nothing is.
    pub fn public(&mut self, view: &View, viewer: &UserId, user: &UserId, thread: Option<&str>, receipt: &Receipt) {
        let Receipt { event, position, ts, .. } = receipt;
        let served = if user == viewer {
            view.served_to(user, event, *position, thread)
        } else {
            view.served_at(event, *position, thread)
        };
        self.add("m.read", user, thread, served, *ts);
    }

    /// Adds a private receipt of the viewer.
    pub fn private(&mut self, view: &View, viewer: &UserId, thread: Option<&str>, mark: &ReadMark) {
        let served = view.served_to(viewer, &mark.event, mark.position, thread);
        self.add("m.read.private", viewer, thread, served, mark.ts);
    }

    /// Adds what a viewer who never said how far he has read in a room has read of it all the same.
    pub fn unsaid(&mut self, view: &View, viewer: &UserId, vault: &VaultLedger) {
        let of_room = |kind| marks(vault, &view.id, kind);
        let mut said = of_room(ReadKind::Public).chain(of_room(ReadKind::Private));
        if said.any(|(key, _)| is_of_main(key.thread.as_deref())) {
            return;
        }
        if let Some(entry) = view.served_unsaid(viewer) {
            self.add("m.read.private", viewer, None, Some(entry.id()), entry.ts.0);
        }
    }

    /// Adds the viewer's receipts for events that are not there, which came after the view's count was `since`.
    pub fn echoed(&mut self, view: &View, viewer: &UserId, since: u64) {
        for echo in view.echoes.get(viewer).into_iter().flatten().filter(|echo| echo.at > since) {
            let kind = if echo.kind == ReadKind::Public { "m.read" } else { "m.read.private" };
            self.add(kind, viewer, echo.thread.as_deref(), Some(echo.event.clone()), echo.ts);
        }
    }

    /// The event; nothing when there is no receipt in it.
    #[must_use]
    pub fn event(&self) -> Option<Value> {
        (!self.0.is_empty()).then(|| json!({"type": "m.receipt", "content": self.0}))
    }

    fn add(&mut self, kind: &'static str, user: &UserId, thread: Option<&str>, served: Option<OwnedEventId>, ts: u64) {
        let Some(event) = served else { return };
        let body = match thread {
            Some(thread) => json!({"ts": ts, "thread_id": thread}),
            None => json!({"ts": ts}),
        };
        // The format has room for one receipt of a user on an event; the unthreaded one, which comes first, says most.
        self.0.entry(event).or_default().entry(kind).or_default().entry(user.to_owned()).or_insert(body);
    }
}

/// The read positions of one kind that lie in a vault for a room.
pub fn marks<'a>(
    vault: &'a VaultLedger,
    room: &RoomId,
    kind: ReadKind,
) -> impl Iterator<Item = (&'a ReadKey, &'a ReadMark)> {
    let from = ReadKey { room: room.to_owned(), kind, thread: None };
    let room = room.to_owned();
    vault.read.range(from..).take_while(move |(key, _)| key.room == room && key.kind == kind)
}

/// The content of the room's `m.fully_read` account data, by the event it is served on.
#[must_use]
pub fn fully_read(vault: &VaultLedger, view: &View, room: &RoomId) -> Option<OwnedEventId> {
    let (_, mark) = marks(vault, room, ReadKind::Fully).next()?;
    view.served(&mark.event, mark.position, None)
}

/// An `m.typing` event.
#[must_use]
pub fn typing(users: &[OwnedUserId]) -> Value {
    json!({"type": "m.typing", "content": {"user_ids": users}})
}

/// Who invites `user`, as the stripped state of the invitation says.
#[must_use]
pub fn inviter<'a>(stripped: &'a [Value], user: &UserId) -> Option<&'a UserId> {
    let own = |event: &&Value| event["type"] == "m.room.member" && event["state_key"] == user.as_str();
    stripped.iter().find(own).and_then(|event| event["sender"].as_str()?.try_into().ok())
}

/// Whether an account is shown an invitation.
#[must_use]
pub fn shows_invitation(vault: &VaultLedger, stripped: &[Value], user: &UserId) -> bool {
    inviter(stripped, user).is_none_or(|inviter| vault.verdict_on(inviter) == Verdict::Welcome)
}

/// The rooms that `m.direct` names as direct chats.
#[must_use]
pub fn direct_rooms(vault: &VaultLedger) -> BTreeSet<OwnedRoomId> {
    let chats = vault.account_data.get("m.direct").and_then(|data| data.value.as_object());
    let rooms = chats.into_iter().flat_map(|chats| chats.values()).filter_map(Value::as_array).flatten();
    rooms.filter_map(|room| RoomId::parse(room.as_str()?).ok()).collect()
}

/// Whether the session may go on: a poll that waits ends when it may not.
pub fn lives(rooms: &Rooms, session: &Session) -> Result<(), accounts::Error> {
    rooms.accounts().lives(session)
}

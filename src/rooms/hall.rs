//! Every open room of the server, and what rooms need to be opened, written and shown.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, UserId, events::room::member::MembershipState,
    signatures::Ed25519KeyPair,
};
use tokio::{runtime::Handle, sync::OnceCell};

use super::{
    Error, farewell::ended, ledger::RoomLedger, lifetime::Lifetimes, membership::without, notices::Notices,
    replace::Due, room::Room,
};
use crate::{
    accounts::{
        Account, Accounts, Wakes,
        futures_like::BoxFuture,
        vault::{Fact, VaultChange, VaultLedger, VaultRoom},
    },
    clock::Clock,
    event::rules_of,
    house::House,
    journal::{Identity, Journals, Owner},
    seal::slots::{SlotId, SlotKind},
    secret::Key,
};

/// Threads that open the rooms of one account: beyond, other requests would wait for theirs.
const MOST_OPENERS: usize = 4;
/// Rooms for which threads are not worth starting.
const FEW_ROOMS: usize = 8;

/// What of the configuration rooms depend on.
#[derive(Clone)]
pub struct Policy {
    /// The server's name.
    pub server_name: OwnedServerName,
    /// The step timestamps are floored to.
    pub bucket: Duration,
    /// How long messages live.
    pub lifetimes: Arc<Lifetimes>,
    /// The version of new rooms.
    pub default_version: RoomVersionId,
    /// The versions rooms can be made in.
    pub versions: Vec<RoomVersionId>,
    /// How the operator tells users something, if he does.
    pub notices: Option<Notices>,
}

/// A room, and whether it was closed before.
struct Opened {
    room: Arc<Room>,
    fresh: bool,
}

/// Every room.
pub struct Rooms {
    pub(super) accounts: Arc<Accounts>,
    pub(super) house: Arc<House>,
    pub(super) journals: Journals,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signer: Arc<Ed25519KeyPair>,
    pub(super) policy: Policy,
    /// Held from finding an alias free to taking it.
    pub(super) naming: tokio::sync::Mutex<()>,
    /// Held from finding that a user has no room for notices to founding it.
    pub(super) noticing: tokio::sync::Mutex<()>,
    /// Held while several rooms are held at once.
    pub(super) renewing: tokio::sync::Mutex<()>,
    open: RwLock<HashMap<OwnedRoomId, Arc<OnceCell<Arc<Room>>>>>,
    /// Rooms whose keys are to be replaced.
    pub(super) due: Mutex<Due>,
    watcher: OnceLock<Weak<dyn Watches>>,
}

/// What happens elsewhere when something happens in a room: push.
pub trait Watches: Send + Sync {
    /// Something in the room changed that its members see. Called often, so that it must not wait.
    fn moved(&self, room: &RoomId);
    /// The rooms of an account that has just opened are open.
    fn came(&self, account: &Arc<Account>);
    /// An account has read something, or less is left for it to read.
    fn read(&self, account: &Arc<Account>);
}

impl Rooms {
    /// Rooms on the journals of `accounts`; none is open.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>, clock: Arc<dyn Clock>, signer: Arc<Ed25519KeyPair>, policy: Policy) -> Self {
        let house = Arc::clone(&accounts.house);
        let journals = accounts.journals().clone();
        Self {
            accounts,
            house,
            journals,
            clock,
            signer,
            policy,
            naming: tokio::sync::Mutex::default(),
            noticing: tokio::sync::Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            open: RwLock::default(),
            due: Mutex::default(),
            watcher: OnceLock::new(),
        }
    }

    /// Says who is told of what happens in rooms, for as long as he is there. Called once, while the server is put
    /// together.
    pub fn on_move(&self, watcher: &Arc<dyn Watches>) {
        let _ = self.watcher.set(Arc::downgrade(watcher));
    }

    pub(super) fn watcher(&self) -> Option<Arc<dyn Watches>> {
        self.watcher.get().and_then(Weak::upgrade)
    }

    /// The accounts of the server.
    #[must_use]
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The room, when it is open.
    #[must_use]
    pub fn find(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.open.read().get(id)?.get().filter(|room| !room.is_stopped()).cloned()
    }

    /// Every open room.
    #[must_use]
    pub fn all_open(&self) -> Vec<Arc<Room>> {
        self.open.read().values().filter_map(|cell| cell.get().filter(|room| !room.is_stopped()).cloned()).collect()
    }

    /// The room, opened if need be with what `account`, the house or a room that admits to it holds.
    pub async fn reach(&self, id: &RoomId, account: &Account) -> Result<Arc<Room>, Error> {
        if let Some(room) = self.find(id) {
            return Ok(room);
        }
        let room = self.open_for(id, account).await?.ok_or(Error::UnknownRoom)?;
        self.refresh_kept().await;
        Ok(room)
    }

    async fn open_for(&self, id: &RoomId, account: &Account) -> Result<Option<Arc<Room>>, Error> {
        if let Some(entry) = account.view().rooms.get(id)
            && let Some(room) = self.open_with(id, entry.slot, &entry.keys).await?
        {
            return Ok(Some(room));
        }
        let in_house = self.house.view()?.public.get(id).cloned();
        for entry in in_house.into_iter().chain(self.kept_for(account, id)) {
            if let Some(room) = self.open_with(id, entry.slot, &entry.keys()).await? {
                return Ok(Some(room));
            }
        }
        Ok(None)
    }

    /// The room, which `account` must be joined to.
    pub async fn joined(&self, id: &RoomId, account: &Account) -> Result<Arc<Room>, Error> {
        let room = self.reach(id, account).await.map_err(Error::hide_unknown)?;
        match room.membership(&account.user_id) {
            MembershipState::Join => Ok(room),
            _ => Err(Error::NotJoined),
        }
    }

    /// Takes in a room that has just been created.
    pub(super) fn enter(&self, room: &Arc<Room>) {
        let cell = Arc::new(OnceCell::new_with(Some(Arc::clone(room))));
        self.open.write().insert(room.id.clone(), cell);
    }

    /// Lets go of a room: it was shredded, or must be loaded again.
    pub(super) fn forget_open(&self, id: &RoomId) {
        self.open.write().remove(id);
    }

    /// Closes a room unless somebody else holds it or it is no longer `deserted`; whether it closed.
    pub(super) fn close(&self, room: &Arc<Room>, deserted: impl FnOnce() -> bool) -> bool {
        // Whoever takes hold of a room does so with this lock, an account that opens among them.
        let mut open = self.open.write();
        let Some(cell) = open.get(&room.id).filter(|cell| cell.get().is_some_and(|open| Arc::ptr_eq(open, room)))
        else {
            return false;
        };
        // One is in the cell, one is the caller's.
        let free = Arc::strong_count(cell) == 1 && Arc::strong_count(room) == 2 && deserted();
        if free {
            open.remove(&room.id);
        }
        free
    }

    /// Opens the room with the first of `keys` that fits; `None` when none does. What was redacted in it before is gone
    /// from the disk then.
    pub(super) async fn open_with(&self, id: &RoomId, slot: SlotId, keys: &[Key]) -> Result<Option<Arc<Room>>, Error> {
        let Some(opened) = self.open_marked(id, slot, keys).await? else { return Ok(None) };
        if opened.fresh {
            self.finish(std::slice::from_ref(&opened.room)).await;
        }
        Ok(Some(opened.room))
    }

    /// Rewrites what was redacted in rooms that have just been opened. Where that fails it is tried again by upkeep; the
    /// marks keep it from being shown.
    async fn finish(&self, rooms: &[Arc<Room>]) {
        if let Err(error) = self.rewrite_in(rooms).await {
            crate::log::warn!("what was redacted was not rewritten", reason = error.reason());
        }
    }

    /// As [`Rooms::open_with`], with what was redacted still on the disk.
    async fn open_marked(&self, id: &RoomId, slot: SlotId, keys: &[Key]) -> Result<Option<Opened>, Error> {
        if !self.journals.slots.contains(&slot) {
            return Ok(None);
        }
        let cell = {
            let mut open = self.open.write();
            let cell = open.entry(id.to_owned()).or_default();
            if cell.get().is_some_and(|room| room.is_stopped()) {
                *cell = Arc::default();
            }
            Arc::clone(cell)
        };
        let mut fresh = false;
        let opened = cell.get_or_try_init(|| async {
            fresh = true;
            self.load(id, slot, keys)
        });
        match opened.await.cloned() {
            Ok(room) => {
                if fresh && self.is_doomed(id)? {
                    self.end(&room).await?;
                    return Ok(None);
                }
                if fresh {
                    self.clear(&room).await;
                }
                Ok(Some(Opened { room, fresh }))
            }
            Err(error) => {
                let mut open = self.open.write();
                if open.get(id).is_some_and(|cell| cell.get().is_none()) {
                    open.remove(id);
                }
                if error == Error::UnknownRoom { Ok(None) } else { Err(error) }
            }
        }
    }

    fn load(&self, id: &RoomId, slot: SlotId, keys: &[Key]) -> Result<Arc<Room>, Error> {
        for key in keys {
            let identity = Identity { kind: SlotKind::Room, slot, key: key.clone() };
            // The version is the first thing the keep says; until then any rules do.
            let version = self.policy.default_version.clone();
            let rules = rules_of(&version).ok_or(Error::UnsupportedVersion)?;
            let empty = RoomLedger::empty(self.policy.server_name.clone(), id.to_owned(), version, rules);
            if let Some(owner) = Owner::load(&self.journals, identity, empty)? {
                return Ok(Arc::new(self.open_owner(owner)?));
            }
        }
        Err(Error::UnknownRoom)
    }

    /// Opens a loaded room, without what has expired meanwhile.
    pub(super) fn open_owner(&self, owner: Owner<RoomLedger>) -> Result<Room, Error> {
        let term = self.term(&owner.ledger.id);
        Ok(Room::open(&self.journals, owner, term, self.journals.epochs.moment().shown)?)
    }

    /// Opens every room of an account that has come, and brings vault and rooms into step (keys.md §1, M7, M14).
    async fn open_rooms(&self, account: &Arc<Account>) -> Result<(), Error> {
        let vault = account.view();
        let ahead = self.open_ahead(&vault);
        self.finish(&ahead).await;
        for (id, entry) in &vault.rooms {
            if matches!(entry.fact, Fact::Left(_)) {
                continue;
            }
            let room = match self.open_with(id, entry.slot, &entry.keys).await {
                Ok(room) => room,
                Err(error) => {
                    // A room that is broken keeps nobody from the others.
                    crate::log::error!("a room could not be opened", reason = error.reason());
                    continue;
                }
            };
            let slot_gone = !self.journals.slots.contains(&entry.slot);
            let fresh = match &room {
                // Shredded: the entry says that it is left.
                None if slot_gone => None,
                None => {
                    self.stay_behind(account, id, entry).await?;
                    continue;
                }
                Some(room) => self.step(account, room, entry).await,
            };
            let same = |fresh: &VaultRoom| fresh.keys == entry.keys && fresh.fact == entry.fact;
            if entry.behind.is_some() || !fresh.as_ref().is_some_and(same) {
                let now = self.clock.now();
                let change = |vault: &VaultLedger| match fresh {
                    None if slot_gone => ended(vault, id, &account.user_id, now),
                    None => without(vault, id),
                    fresh => vec![VaultChange::Room(id.clone(), fresh)],
                };
                account.vault.change(&self.journals, change).await?;
            }
        }
        self.refresh_kept().await;
        // Also the rooms his vault does not know of yet: an invitation was cut before its key.
        for room in self.all_open() {
            if account.view().rooms.contains_key(&room.id) || has_part(&room.membership(&account.user_id)) {
                room.show_receipts(account);
                self.heal(&room, Some(account)).await?;
            }
        }
        Ok(())
    }

    /// Opens many rooms on all cores: reading, opening seals and parsing is what a first request after a start waits
    /// for. What fails is tried again, and reported, where rooms are opened one by one.
    fn open_ahead(&self, vault: &VaultLedger) -> Vec<Arc<Room>> {
        let closed = vault.rooms.iter().filter(|(id, entry)| {
            let wanted = !matches!(entry.fact, Fact::Left(_)) && self.journals.slots.contains(&entry.slot);
            wanted && self.find(id).is_none()
        });
        let closed: Vec<_> = closed.collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_OPENERS);
        if threads < 2 || closed.len() < FEW_ROOMS {
            return Vec::new();
        }
        let ahead = Mutex::new(Vec::new());
        let (runtime, next) = (Handle::current(), AtomicUsize::new(0));
        let open = || {
            while let Some((id, entry)) = closed.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Ok(Some(opened)) = runtime.block_on(self.open_marked(id, entry.slot, &entry.keys)) {
                    ahead.lock().push(opened.room);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(open);
            }
        });
        ahead.into_inner()
    }

    /// The entry as it should be, for a room that opened; `None` when the account has no part in it.
    async fn step(&self, account: &Account, room: &Arc<Room>, entry: &VaultRoom) -> Option<VaultRoom> {
        let mut keys = vec![room.writer.lock().await.owner.identity().key.clone()];
        let fact = match room.membership(&account.user_id) {
            MembershipState::Join => Fact::Joined,
            MembershipState::Invite => match &entry.fact {
                Fact::Invited(stripped) => Fact::Invited(stripped.clone()),
                _ => Fact::Invited(super::summary::stripped_state(&room.view().state, &account.user_id)),
            },
            MembershipState::Knock => {
                keys.clear();
                match &entry.fact {
                    Fact::Knocked(stripped) => Fact::Knocked(stripped.clone()),
                    _ => Fact::Knocked(super::summary::stripped_state(&room.view().state, &account.user_id)),
                }
            }
            _ => return None,
        };
        Some(VaultRoom::new(room.slot, keys, fact))
    }

    /// The local users who have a part in the room: joined, invited or knocking.
    pub(super) fn local_members(&self, room: &super::view::View) -> Vec<(OwnedUserId, MembershipState)> {
        let ours = |user: &UserId| user.server_name() == self.policy.server_name;
        let members = room.state.members().filter(|(user, membership, _)| ours(user) && has_part(membership));
        members.map(|(user, membership, _)| (user.to_owned(), membership)).collect()
    }

    /// The local users who hold the room's key: joined or invited. Who only asks to be let in does not.
    pub(super) fn key_holders(&self, room: &super::view::View) -> Vec<(OwnedUserId, MembershipState)> {
        let mut holders = self.local_members(room);
        holders.retain(|(_, membership)| *membership != MembershipState::Knock);
        holders
    }

    /// Wakes the syncs of every open local member, and whoever looks in from outside.
    pub fn notify(&self, room: &Room) {
        room.announce();
        if let Some(watcher) = self.watcher() {
            watcher.moved(&room.id);
        }
        for (user, _) in self.local_members(&room.view()) {
            if let Some(account) = self.accounts.open(&user) {
                account.notify();
            }
        }
    }

    /// Wakes the syncs of `account` and of everybody it shares a room with.
    pub fn notify_neighbours(&self, account: &Account) {
        account.notify();
        for (id, entry) in &account.view().rooms {
            if entry.fact == Fact::Joined
                && let Some(room) = self.find(id)
            {
                self.notify(&room);
            }
        }
    }

    /// What the vault of an account says of a room.
    #[must_use]
    pub fn entry_of(vault: &VaultLedger, id: &RoomId) -> Option<VaultRoom> {
        vault.rooms.get(id).cloned()
    }
}

pub(super) fn has_part(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock)
}

impl Wakes for Rooms {
    fn woke(&self, account: Arc<Account>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.open_rooms(&account).await {
                crate::log::error!("an account's rooms could not all be opened", reason = error.reason());
            }
            if let Some(watcher) = self.watcher() {
                watcher.came(&account);
            }
        })
    }
}

//! The keys of restricted rooms, kept in the rooms that admit to them: whoever may join without asking counts as a member
//! (keys.md §1, M23 and M26).
//!
//! A kept key is a hint like one in a vault: what opens is decided by the slot. It goes stale while the two rooms are not
//! open together, and is brought up to date as soon as they are.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedRoomId, RoomId};

use super::{Error, core::Access, hall::Rooms, ledger::RoomChange, room::Room};
use crate::{
    accounts::{Account, vault::Fact},
    house::PublicRoom,
    store::Batch,
};

/// The rooms a restricted room's key is kept in, the first of its rule by id: each costs a write at every rotation, and
/// rules name one space or a few.
const MOST_HALLS: usize = 32;
/// The keys one room keeps: as many as a walk over a space shows rooms.
const MOST_KEPT: usize = 1000;

impl Rooms {
    /// Brings the key of `room` into every open room that admits to it, and takes it out of those of `before` that do so
    /// no longer. The caller holds no room's writer. A room that does not take the key now takes it when both open next.
    pub(super) async fn spread(&self, room: &Room, before: &Access) {
        let mut halls = halls(before);
        halls.extend(halls_of(room));
        for hall in halls {
            if let Some(hall) = self.find(&hall).filter(|hall| hall.id != room.id) {
                self.keep_or_log(&hall, &room.id).await;
            }
        }
    }

    /// Brings every key that some open room keeps of another up to date: rooms have been opened, and only while two are
    /// open together can the one take the other's key.
    pub(super) async fn refresh_kept(&self) {
        let rooms = self.all_open();
        for room in &rooms {
            self.spread(room, &Access::Invite).await;
        }
        for hall in &rooms {
            let kept: Vec<OwnedRoomId> = hall.kept.read().keys().cloned().collect();
            for room in kept {
                self.keep_or_log(hall, &room).await;
            }
        }
    }

    /// Opens every room whose key lies in an open room, so that upkeep reaches it although none of its members has come.
    pub async fn open_admitted(&self) {
        let mut halls = self.all_open();
        while let Some(hall) = halls.pop() {
            let kept = hall.kept.read().clone();
            for (id, entry) in kept {
                if self.find(&id).is_some() {
                    continue;
                }
                // What it admits to is opened next.
                let opened = self.open_with(&id, entry.slot, &entry.keys()).await;
                if let Err(error) = &opened {
                    crate::log::warn!("a restricted room could not be opened", reason = error.reason());
                }
                halls.extend(opened.ok().flatten());
            }
        }
        self.refresh_kept().await;
    }

    async fn keep_or_log(&self, hall: &Arc<Room>, id: &RoomId) {
        if let Err(error) = self.keep(hall, id).await {
            crate::log::warn!("a room did not take the key of one it admits to", reason = error.reason());
        }
    }

    /// Makes what `hall` keeps of the room `id` what it should keep now.
    async fn keep(&self, hall: &Arc<Room>, id: &RoomId) -> Result<(), Error> {
        if self.is_kept_well(hall, id) {
            return Ok(());
        }
        let mut writer = hall.writer.lock().await;
        // Asked again with the writer in hand: whoever comes last writes what is true last.
        if writer.gone || self.is_kept_well(hall, id) {
            return Ok(());
        }
        let wanted = self.to_keep(hall, id);
        let kept = &writer.owner.ledger.admits;
        if wanted.is_some() && !kept.contains_key(id) && kept.len() >= MOST_KEPT {
            return Ok(());
        }
        let mut batch = Batch::default();
        writer.owner.change(&self.journals, vec![RoomChange::Admits(id.to_owned(), wanted)], &mut batch)?;
        self.settle(hall, &mut writer, batch).await?;
        hall.kept.write().clone_from(&writer.owner.ledger.admits);
        Ok(())
    }

    fn is_kept_well(&self, hall: &Room, id: &RoomId) -> bool {
        hall.kept.read().get(id) == self.to_keep(hall, id).as_ref()
    }

    /// What `hall` should keep of a room: its key while it is open and names the hall; what it has while nobody can tell.
    fn to_keep(&self, hall: &Room, id: &RoomId) -> Option<PublicRoom> {
        match self.find(id) {
            Some(room) => halls_of(&room).contains(&hall.id).then(|| PublicRoom::new(room.slot, room.key())),
            None => hall.kept.read().get(id).filter(|entry| self.journals.slots.contains(&entry.slot)).cloned(),
        }
    }

    /// The keys to a room that lie in the open rooms `account` has joined.
    pub(super) fn kept_for(&self, account: &Account, id: &RoomId) -> Vec<PublicRoom> {
        let vault = account.view();
        let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let halls =
            joined.filter_map(|(hall, _)| self.find(hall)).filter(|hall| hall.view().is_joined(&account.user_id));
        halls.filter_map(|hall| hall.kept.read().get(id).cloned()).collect()
    }
}

/// The rooms that `room`'s key is kept in.
fn halls_of(room: &Room) -> BTreeSet<OwnedRoomId> {
    let view = room.view();
    // Asked of every open room, few of which are restricted: a search is cheaper than a parse.
    let rule = view.state.find("m.room.join_rules", "");
    if rule.is_some_and(|rule| rule.content_text().contains("restricted")) {
        halls(&view.access())
    } else {
        BTreeSet::new()
    }
}

fn halls(access: &Access) -> BTreeSet<OwnedRoomId> {
    match access {
        Access::Restricted(rooms) => rooms.iter().take(MOST_HALLS).cloned().collect(),
        Access::Public | Access::Invite => BTreeSet::new(),
    }
}

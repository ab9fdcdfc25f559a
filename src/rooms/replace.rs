//! Replacing RK without an event: once in thirty days, so that an old image beside an old credential ages (keys.md M16);
//! and after somebody has left a room that admits, because whoever may join without asking counts as a member (M13).
//!
//! Which rooms are due is found with the daily generations; their keys are then replaced a few at a time. A room in which
//! nothing was said under its key keeps it: there is nothing that an older key would open.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::{
    Error,
    core::Access,
    hall::Rooms,
    ledger::RoomChange,
    room::{Room, Writer},
};
use crate::{
    house::{HouseChange, PublicRoom},
    secret::Key,
};

/// Keys that are replaced in one round of upkeep: each is a slot commit.
const MOST_REPLACED: usize = 32;
/// Members that are given keys in one round of upkeep, unless a single room has more: each is a write.
const MOST_GIVEN: usize = 512;

/// Rooms whose keys are to be replaced.
#[derive(Default)]
pub(super) struct Due {
    waiting: VecDeque<(OwnedRoomId, Why)>,
    /// Those that have been replaced since the last search.
    done: BTreeSet<OwnedRoomId>,
    /// Those that rooms admitted to which have ended since.
    orphaned: BTreeSet<OwnedRoomId>,
}

/// Why a key is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is old.
    Age,
    /// Somebody has it who may not join any more.
    Left,
}

impl Rooms {
    /// Looks for open rooms whose keys are to be replaced. For its age none is while the clock is doubted.
    pub async fn find_due(&self) {
        let stretch = self.journals.epochs.sure_stretch();
        let (mut left, mut halls, mut old) = (BTreeSet::new(), Vec::new(), Vec::new());
        for room in self.all_open() {
            let writer = room.writer.lock().await;
            if writer.gone {
                continue;
            }
            left.extend(writer.owner.ledger.stale.iter().cloned());
            if stretch.is_some_and(|stretch| is_old(&writer, stretch)) {
                // First the rooms that hold the keys of others, so that no new key lies under an old one for long.
                let order = if writer.owner.ledger.admits.is_empty() { &mut old } else { &mut halls };
                order.push(room.id.clone());
            }
        }
        let mut due = self.due.lock();
        left.append(&mut due.orphaned);
        due.done.clear();
        due.waiting = left.iter().map(|id| (id.clone(), Why::Left)).collect();
        let rest = halls.into_iter().chain(old).filter(|id| !left.contains(id));
        due.waiting.extend(rest.map(|id| (id, Why::Age)));
    }

    /// Replaces as many of the keys that [`Rooms::find_due`] has found as one round may.
    ///
    /// # Errors
    /// The last error; its room is tried again after the next search, and the others have their keys all the same.
    pub async fn replace_due(&self) -> Result<(), Error> {
        let (mut outcome, mut given) = (Ok(()), 0);
        for _ in 0..MOST_REPLACED {
            let Some((id, why)) = self.due.lock().waiting.pop_front() else { break };
            let Some(room) = self.find(&id) else { continue };
            match self.replace(&room, why).await {
                Ok(count) => given += count,
                Err(error) => outcome = Err(error),
            }
            if given >= MOST_GIVEN {
                break;
            }
        }
        outcome
    }

    /// Replaces the key of a room that is open, whatever its age.
    #[cfg(test)]
    pub(crate) async fn replace_key(&self, room: &Arc<Room>) -> Result<(), Error> {
        self.replace(room, Why::Age).await.map(drop)
    }

    /// Replaces a room's key. How many members were given the new one.
    async fn replace(&self, room: &Arc<Room>, why: Why) -> Result<usize, Error> {
        let mut writer = room.writer.lock().await;
        if writer.gone || writer.owner.is_stopped() {
            return Ok(0);
        }
        let holders = self.key_holders(&writer.view);
        let key = Key::random(self.journals.random.as_ref());
        self.announce_key(room, &writer, &key).await?;
        // Who could look into this room could look into those that it admits to.
        let further: Vec<OwnedRoomId> = if why == Why::Left {
            let due = self.due.lock();
            let kept = writer.owner.ledger.admits.keys();
            kept.filter(|kept| **kept != room.id && !due.done.contains(*kept)).cloned().collect()
        } else {
            Vec::new()
        };
        let stale = further.iter().cloned().map(RoomChange::Stale).collect();
        self.rotate(room, &mut writer, key, None, stale, &holders).await?;
        self.place_key(room, &writer).await?;
        drop(writer);
        self.spread(room, &Access::Invite).await;
        let mut due = self.due.lock();
        due.done.insert(room.id.clone());
        due.waiting.extend(further.into_iter().map(|id| (id, Why::Left)));
        Ok(holders.len() + 1)
    }

    /// Writes down in the house what the key of a public room may be from now on: a cut leaves both there.
    async fn announce_key(&self, room: &Room, writer: &Writer, next: &Key) -> Result<(), Error> {
        if writer.view.access() != Access::Public {
            return Ok(());
        }
        let key = writer.owner.identity().key.clone();
        let entry = PublicRoom { next: Some(next.clone()), ..PublicRoom::new(room.slot, key) };
        let id = room.id.clone();
        Ok(self.house.change(|_| vec![HouseChange::Public(id, Some(entry))]).await?)
    }

    /// The rooms that `writer`'s room admits to whose keys somebody has who may not join them any more: `out`, or where
    /// there is none, whoever may not enter this room any more.
    pub(super) fn made_stale(&self, writer: &Writer, out: Option<&OwnedUserId>) -> Vec<RoomChange> {
        let stays = |room: &OwnedRoomId| {
            let room = out.and_then(|out| Some(self.find(room)?.membership(out)));
            matches!(room, Some(MembershipState::Join | MembershipState::Invite))
        };
        let kept = writer.owner.ledger.admits.keys();
        kept.filter(|room| !stays(room)).cloned().map(RoomChange::Stale).collect()
    }

    /// Notes the rooms that a room has admitted to which ends: there is none any more that could say so.
    pub(super) fn orphan(&self, writer: &Writer) {
        self.due.lock().orphaned.extend(writer.owner.ledger.admits.keys().cloned());
    }
}

/// Whether the key came in another stretch of time than this one, and has sealed something since.
fn is_old(writer: &Writer, stretch: u32) -> bool {
    let Some(keyed) = writer.owner.ledger.keyed else { return true };
    let used = writer.owner.next_window() > keyed.from || !writer.owner.ledger.admits.is_empty();
    keyed.stretch != stretch && used
}

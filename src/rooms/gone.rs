//! Members whose accounts have ended: they leave the rooms that are open at once and the others when those open
//! (keys.md §1 M13, §2 "account delete").

use std::{sync::Arc, time::Duration};

use ruma::{OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::{Error, core::Access, farewell::ended, hall::Rooms, membership::Change, room::Room};
use crate::{
    accounts::vault::VaultLedger,
    clock::Timestamp,
    house::{HouseChange, HouseLedger, NameTag},
    seal::slots::SlotId,
};

/// Rooms that may wait to be ended: an administrator asks for each by hand.
const MOST_DOOMED: usize = 1000;

impl Rooms {
    /// Clears every open room of a user whose account has ended.
    pub async fn part_with(&self, user: &UserId) {
        for room in self.all_open() {
            let named = room.writer.lock().await.owner.ledger.roster.id(user).is_some();
            if named {
                self.clear(&room).await;
            }
        }
    }

    /// Clears every open room of those who are to be forgotten by now.
    pub async fn clear_all(&self) {
        for room in self.all_open() {
            self.clear(&room).await;
        }
    }

    /// Ends the open rooms that nobody is in and in which nothing has happened for `lifetime` at `now`, which is trusted:
    /// who is invited hears that he is not.
    ///
    /// # Errors
    /// The first room that could not be ended, after all have been looked at.
    pub async fn end_empty(&self, lifetime: Duration, now: Timestamp) -> Result<(), Error> {
        let mut done = Ok(());
        for room in self.all_open() {
            let view = room.view();
            if view.state.joined().any(|user| !self.sends_notices(user)) {
                continue;
            }
            let last = room.writer.lock().await.owner.ledger.last_ts;
            if last.after(lifetime) <= now {
                done = done.and(self.end(&room).await);
            }
        }
        done
    }

    /// Ends a room for everybody: its key is destroyed. The vaults of open accounts keep of it that it is left, which is
    /// how their clients learn that they are out; the others do when they open.
    pub async fn end(&self, room: &Arc<Room>) -> Result<(), Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        self.shred(room, &mut writer).await?;
        drop(writer);
        room.announce();
        // Rooms that admit to it have its key.
        self.spread(room, &Access::Invite).await;
        self.tell_ended(room).await?;
        Ok(self.accounts.drop_reports(&room.id).await?)
    }

    /// Has the vaults of open accounts know that a room was destroyed.
    pub(super) async fn tell_ended(&self, room: &Room) -> Result<(), Error> {
        for account in self.accounts.all_open() {
            if account.view().rooms.get(&room.id).is_some_and(|entry| entry.slot == room.slot) {
                let now = self.clock.now();
                let change = |vault: &VaultLedger| ended(vault, &room.id, &account.user_id, now);
                account.vault.change(&self.journals, change).await?;
                account.notify();
            }
        }
        Ok(())
    }

    /// Has a room that is closed ended as soon as somebody opens it: where its slot is, only its members' keys tell. What
    /// the house says of it goes at once.
    ///
    /// # Errors
    /// [`Error::TooManyRooms`] when so many rooms wait for that already.
    pub async fn end_later(&self, id: &RoomId) -> Result<(), Error> {
        if self.is_doomed(id)? {
            return Ok(());
        }
        let salt = SlotId::random(self.journals.random.as_ref());
        self.house
            .try_change(|house| {
                if house.doomed.len() >= MOST_DOOMED {
                    return Err(Error::TooManyRooms);
                }
                let mut changes = of_room(house, id);
                changes.push(HouseChange::Doomed(salt, Some(NameTag::new(salt, id.as_str()))));
                Ok(changes)
            })
            .await
    }

    /// Whether a room is to be ended when it opens.
    pub fn is_doomed(&self, id: &RoomId) -> Result<bool, Error> {
        let house = self.house.view()?;
        Ok(house.doomed.iter().any(|(salt, tag)| NameTag::new(*salt, id.as_str()) == *tag))
    }

    /// Has every open room that `user` is in send him its key: he began anew. A room that cannot tries again when he or
    /// a member comes.
    pub async fn heal_for(&self, user: &UserId) {
        for room in self.all_open() {
            if matches!(room.membership(user), MembershipState::Join | MembershipState::Invite)
                && let Err(error) = self.heal(&room, None).await
            {
                crate::log::warn!("a room could not send its key", reason = error.reason());
            }
        }
    }

    /// Opens the public rooms, which the house can, so that they are cleared although no member comes (keys.md §1 M23).
    pub async fn open_public(&self) -> Result<(), Error> {
        for (id, entry) in &self.house.view()?.public {
            if self.find(id).is_none() {
                self.open_with(id, entry.slot, &entry.keys()).await?;
            }
        }
        Ok(())
    }

    /// Clears a room that has just been opened, or in which somebody may have ended. A room that cannot be cleared
    /// serves the others: it is tried again when it opens next.
    pub(super) async fn clear(&self, room: &Arc<Room>) {
        if let Err(error) = self.try_clear(room).await {
            crate::log::warn!("a room still has members whose accounts have ended", reason = error.reason());
        }
    }

    async fn try_clear(&self, room: &Arc<Room>) -> Result<(), Error> {
        for user in self.gone_from(room).await? {
            let membership = room.membership(&user);
            if matches!(membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock) {
                self.put_out(room, &user, &user, false, Change::default()).await?;
            }
            if self.accounts.is_erased(&user)? && !room.is_stopped() {
                match self.erase(room, &user).await {
                    Ok(_) | Err(Error::UnknownUser) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whom the roster names although his account has ended.
    async fn gone_from(&self, room: &Room) -> Result<Vec<OwnedUserId>, Error> {
        let writer = room.writer.lock().await;
        if writer.gone {
            return Ok(Vec::new());
        }
        let named: Vec<OwnedUserId> = writer.owner.ledger.roster.iter().map(|(_, user)| user.to_owned()).collect();
        drop(writer);
        let mut gone = Vec::new();
        for user in named {
            if self.accounts.has_ended(&user)? {
                gone.push(user);
            }
        }
        Ok(gone)
    }
}

/// What takes a room out of the house: aliases, the directory, the key of a public one, and that it waits to be ended.
pub(super) fn of_room(house: &HouseLedger, id: &RoomId) -> Vec<HouseChange> {
    let aliases = house.aliases.iter().filter(|(_, alias)| alias.room == id);
    let mut changes: Vec<_> = aliases.map(|(alias, _)| HouseChange::Alias(alias.clone(), None)).collect();
    if house.public.contains_key(id) {
        changes.push(HouseChange::Public(id.to_owned(), None));
    }
    if house.listed.contains_key(id) {
        changes.push(HouseChange::Listed(id.to_owned(), false));
    }
    let doomed = house.doomed.iter().filter(|(salt, tag)| NameTag::new(**salt, id.as_str()) == **tag);
    changes.extend(doomed.map(|(salt, _)| HouseChange::Doomed(*salt, None)));
    changes
}

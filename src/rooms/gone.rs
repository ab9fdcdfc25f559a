//! Members whose accounts have ended: they leave the rooms that are open at once and the others when those open
//! (keys.md §1 M13, §2 "account delete").

use std::sync::Arc;

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    Error,
    hall::Rooms,
    membership::{Change, without},
    room::Room,
};

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

    /// Ends a room for everybody: its key is destroyed. The vaults of open accounts forget it, which is how their clients
    /// learn that they are out; the others do when they open.
    pub async fn end(&self, room: &Arc<Room>) -> Result<(), Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        self.shred(room, &mut writer).await?;
        drop(writer);
        room.announce();
        for account in self.accounts.all_open() {
            if account.view().rooms.get(&room.id).is_some_and(|entry| entry.slot == room.slot) {
                account.vault.change(&self.journals, |vault| without(vault, &room.id)).await?;
                account.notify();
            }
        }
        Ok(())
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
                self.open_with(id, entry.slot, std::slice::from_ref(&entry.key)).await?;
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
                self.erase(room, &user).await?;
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

//! Ways into a room, and who may look into it from outside.

use std::sync::Arc;

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, UserId, events::room::member::MembershipState,
    state_res::events::RoomPowerLevelsIntField,
};

use super::{Error, core::Access, hall::Rooms, membership::Change, room::Room};
use crate::accounts::{
    Account,
    vault::{Fact, VaultChange},
};

impl Rooms {
    /// The id behind an id or alias.
    pub fn named(&self, name: &RoomOrAliasId) -> Result<OwnedRoomId, Error> {
        match <&RoomId>::try_from(name) {
            Ok(id) => Ok(id.to_owned()),
            Err(alias) => self.resolve(alias),
        }
    }

    /// Joins `account` by whatever right he has: an invitation, an open door, or another room (spec: restricted rooms).
    pub async fn enter_room(&self, room: &Arc<Room>, account: &Arc<Account>, change: Change) -> Result<(), Error> {
        let view = room.view();
        let invited = view.state.membership(&account.user_id) == MembershipState::Invite;
        let authorised_via = match view.access() {
            Access::Restricted(rooms) if !invited && !view.is_joined(&account.user_id) => {
                if !rooms.iter().any(|room| self.is_in(room, &account.user_id)) {
                    return Err(Error::Forbidden);
                }
                Some(self.voucher(room).ok_or(Error::NobodyVouches)?)
            }
            _ => None,
        };
        self.join(room, account, Change { authorised_via, ..change }).await
    }

    /// Leaves a room, or refuses its invitation. Leaving what has been left is no error.
    pub async fn leave(&self, id: &RoomId, account: &Arc<Account>, change: Change) -> Result<(), Error> {
        let fact = account.view().rooms.get(id).map(|entry| entry.fact.clone());
        match self.reach(id, account).await {
            Ok(room) => {
                let user = &account.user_id;
                self.check_leaving(&room, user)?;
                match room.membership(user) {
                    MembershipState::Join | MembershipState::Invite | MembershipState::Knock => {
                        self.put_out(&room, user, user, false, change).await.map(|_| ())
                    }
                    _ if matches!(fact, Some(Fact::Left(_))) => Ok(()),
                    _ => Err(Error::NotJoined),
                }
            }
            Err(Error::UnknownRoom) => match fact {
                Some(Fact::Left(_)) => Ok(()),
                // The room is out of reach for ever or for now; what is left of it here goes.
                Some(_) => {
                    let id = id.to_owned();
                    account.vault.change(&self.journals, |_| vec![VaultChange::Room(id, None)]).await?;
                    account.notify();
                    Ok(())
                }
                None => Err(Error::NotJoined),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes another user, who must be in the room, invited or asking.
    pub async fn kick(&self, room: &Arc<Room>, sender: &UserId, target: &UserId, change: Change) -> Result<(), Error> {
        match room.membership(target) {
            MembershipState::Join | MembershipState::Invite | MembershipState::Knock => {
                self.put_out(room, sender, target, false, change).await.map(|_| ())
            }
            _ => Err(Error::Forbidden),
        }
    }

    /// Whether `user` is joined to a room that is open here.
    pub(super) fn is_in(&self, room: &RoomId, user: &UserId) -> bool {
        self.find(room).is_some_and(|room| room.view().is_joined(user))
    }

    /// Whether somebody who is not in the room may know what it is: it is open to him, or he is asked in.
    #[must_use]
    pub fn may_know(&self, room: &Room, user: &UserId) -> bool {
        let view = room.view();
        let standing = view.state.membership(user);
        if matches!(standing, MembershipState::Join | MembershipState::Invite | MembershipState::Knock) {
            return true;
        }
        let knocks = view.state.takes_knocks(&room.rules.authorization);
        match view.access() {
            Access::Public => true,
            _ if knocks || view.state.history_visibility() == "world_readable" => true,
            Access::Restricted(rooms) => rooms.iter().any(|room| self.is_in(room, user)),
            Access::Invite => false,
        }
    }

    /// A joined user of this server who may invite.
    fn voucher(&self, room: &Room) -> Option<OwnedUserId> {
        let view = room.view();
        let rules = &room.rules.authorization;
        let needed = view.state.power_for(RoomPowerLevelsIntField::Invite, rules);
        let mut ours = view.state.joined().filter(|user| user.server_name() == self.policy.server_name);
        ours.find(|user| view.state.power_of(user, rules) >= needed).map(ToOwned::to_owned)
    }
}

//! Rooms as administrators see and end them.

use std::sync::Arc;

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde::Serialize;

use super::Error;
use crate::{
    engine::Engine,
    house::HouseLedger,
    rooms::{self, Room, View},
    seal::slots::SlotKind,
};

/// A room as administrators see it. Its name, topic, picture and alias only where anybody here may see them.
#[derive(Clone, Serialize)]
pub struct RoomShown {
    /// Its id.
    pub room_id: OwnedRoomId,
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its picture.
    pub avatar: Option<String>,
    /// Its main alias.
    pub canonical_alias: Option<String>,
    /// What kind of room it is; an ordinary one when absent.
    pub room_type: Option<String>,
    /// How many are joined.
    pub joined_members: usize,
    /// How many of them are of this server.
    pub joined_local_members: usize,
    /// How many are invited.
    pub invited_members: usize,
    /// The algorithm that encrypts it.
    pub encryption: Option<String>,
    /// Who may join.
    pub join_rules: String,
    /// Who may read what was said before.
    pub history_visibility: String,
    /// Whether guests could join, if there were any.
    pub guest_access: bool,
    /// Whether users of other servers may join.
    pub federatable: bool,
    /// Whether it is in the room directory.
    pub public: bool,
    /// How many state events it has.
    pub state_events: usize,
}

/// The rooms that are open, and how many are not.
#[derive(Clone, Serialize)]
pub struct RoomsShown {
    /// Those that are open, and those that the house opens because anybody here may join them.
    pub rooms: Vec<RoomShown>,
    /// How many more there are: nothing is known of them until a member comes.
    pub closed: usize,
}

/// A room that was ended, or will be.
pub struct Shredded {
    /// The aliases that went with it.
    pub aliases: Vec<OwnedRoomAliasId>,
    /// Whether it is there until a member comes.
    pub waits: bool,
}

impl Engine {
    /// Every room that is open or that anybody here may join.
    pub async fn rooms_shown(&self) -> Result<RoomsShown, Error> {
        if !self.house.exists() {
            return Ok(RoomsShown { rooms: Vec::new(), closed: 0 });
        }
        let house = self.house.view()?;
        self.rooms.open_public().await?;
        let mut rooms: Vec<RoomShown> =
            self.rooms.all_open().iter().map(|room| self.shown_room(&house, room)).collect();
        rooms.sort_by(|a, b| a.room_id.cmp(&b.room_id));
        Ok(RoomsShown { rooms, closed: self.closed_rooms() })
    }

    /// One such room.
    pub async fn room_shown(&self, id: &RoomId) -> Result<RoomShown, Error> {
        let room = self.known_room(id).await?;
        Ok(self.shown_room(&*self.house.view()?, &room))
    }

    /// Ends a room: nothing of it opens afterwards, and every client that had it is told that it is out. At once where it
    /// is open or anybody here may join it; else as soon as a member comes, because only members' keys tell where it is.
    pub async fn shred_room(&self, id: &RoomId) -> Result<Shredded, Error> {
        let house = self.house.view()?;
        let aliases = house.aliases.iter().filter(|(_, alias)| alias.room == *id).map(|(alias, _)| alias.clone());
        let aliases = aliases.collect();
        match self.known_room(id).await {
            Ok(room) => self.rooms.end(&room).await?,
            // Every room is open, and this one is none of them.
            Err(Error::UnknownRoom) if self.closed_rooms() == 0 => return Err(Error::UnknownRoom),
            Err(Error::UnknownRoom) => {
                self.rooms.end_later(id).await?;
                return Ok(Shredded { aliases, waits: true });
            }
            Err(error) => return Err(error),
        }
        Ok(Shredded { aliases, waits: false })
    }

    /// Whether a room waits for a member to come, to be ended.
    pub fn is_doomed(&self, id: &RoomId) -> Result<bool, Error> {
        Ok(self.rooms.is_doomed(id)?)
    }

    /// Forgets a user in a room that is open or that anybody here may join, and that he has left: what he said and showed
    /// of himself goes, and his name where no other server has ever been in the room. Whether the name went.
    pub async fn erase_from_room(&self, id: &RoomId, user: &UserId) -> Result<bool, Error> {
        let room = self.known_room(id).await?;
        self.rooms.erase(&room, user).await.map_err(|error| match error {
            rooms::Error::StillIn => Error::StillIn,
            rooms::Error::UnknownUser => Error::UnknownUser,
            error => error.into(),
        })
    }

    fn closed_rooms(&self) -> usize {
        self.journals.slots.count(SlotKind::Room).saturating_sub(self.rooms.all_open().len())
    }

    async fn known_room(&self, id: &RoomId) -> Result<Arc<Room>, Error> {
        self.house.view()?;
        if let Some(room) = self.rooms.find(id) {
            return Ok(room);
        }
        self.rooms.open_public().await?;
        self.rooms.find(id).ok_or(Error::UnknownRoom)
    }

    fn shown_room(&self, house: &HouseLedger, room: &Room) -> RoomShown {
        let view = room.view();
        let state = &view.state;
        let public = house.listed.contains_key(&room.id);
        // What is in the directory, or open to everybody, is no secret here.
        let known = public || house.public.contains_key(&room.id);
        let only_known = |text: Option<String>| text.filter(|_| known);
        RoomShown {
            room_id: room.id.clone(),
            version: room.version.to_string(),
            name: only_known(state.name()),
            topic: only_known(state.topic()),
            avatar: only_known(state.avatar()),
            canonical_alias: only_known(state.canonical_alias()),
            room_type: state.room_type(),
            joined_members: state.joined().count(),
            joined_local_members: self.local_members(&view),
            invited_members: state.members().filter(|(_, how, _)| *how == MembershipState::Invite).count(),
            encryption: state.encryption(),
            join_rules: state.join_rule(),
            history_visibility: state.history_visibility(),
            guest_access: state.guests_can_join(),
            federatable: state.federates(),
            public,
            state_events: state.len(),
        }
    }

    fn local_members(&self, view: &View) -> usize {
        let ours = &self.rooms.policy().server_name;
        view.state.joined().filter(|user| user.server_name() == ours).count()
    }
}

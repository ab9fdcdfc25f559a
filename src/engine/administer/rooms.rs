//! Rooms as administrators see and end them.

use std::sync::Arc;

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde::Serialize;

use super::Error;
use crate::{
    engine::Engine,
    house::HouseLedger,
    rooms::{Room, View},
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
        let closed = self.journals.slots.count(SlotKind::Room).saturating_sub(rooms.len());
        Ok(RoomsShown { rooms, closed })
    }

    /// One such room.
    pub async fn room_shown(&self, id: &RoomId) -> Result<RoomShown, Error> {
        let room = self.known_room(id).await?;
        Ok(self.shown_room(&*self.house.view()?, &room))
    }

    /// Ends a room that is open or that anybody here may join: nothing of it opens afterwards, and every client that had it
    /// is told that it is out. Its aliases, which go with it.
    pub async fn shred_room(&self, id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, Error> {
        let house = self.house.view()?;
        let room = self.known_room(id).await?;
        let aliases = house.aliases.iter().filter(|(_, alias)| alias.room == *id).map(|(alias, _)| alias.clone());
        let aliases = aliases.collect();
        self.rooms.end(&room).await?;
        Ok(aliases)
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

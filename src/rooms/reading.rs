//! What somebody may read of a room: all of it as a member or where the world may, else what it was when he left.

use std::sync::Arc;

use ruma::{EventId, OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::Value;

use super::{Error, core::StateMap, entry::Entry, hall::Rooms, room::Room, view::View};
use crate::{
    accounts::{Account, vault::Fact},
    journal::Position,
};

/// A room as one reader may see it. Which events of its timeline he sees is decided one by one, by [`Sight`](super::show::Sight).
pub struct Reading {
    /// The room.
    pub room: Arc<Room>,
    /// The room as of the moment he asked.
    pub view: Arc<View>,
    /// The index behind the event by which the reader left; none for who reads the room as it is.
    until: Option<usize>,
}

impl Reading {
    /// The state the reader is told: the present one, or that of the moment he left.
    #[must_use]
    pub fn state(&self) -> Arc<StateMap> {
        self.view.state_before(self.until.unwrap_or(self.view.timeline.len()))
    }

    /// The state at a gap of the timeline, as `user` may know it: not of a time after he left, and of the moment he came
    /// when he came later.
    #[must_use]
    pub fn state_at(&self, gap: Position, user: &UserId) -> Arc<StateMap> {
        let until = self.until.unwrap_or(self.view.timeline.len());
        let index = self.view.index_of(gap).min(until);
        let state = self.view.state_before(index);
        if state.membership(user) == MembershipState::Join {
            return state;
        }
        let comes = |entry: &Entry| {
            entry.is("m.room.member", user.as_str()) && entry.membership() == Some(MembershipState::Join)
        };
        let came = self.view.timeline.iter().take(until).skip(index).position(comes);
        came.map_or(state, |came| self.view.state_before(index + came + 1))
    }
}

impl Rooms {
    /// The room as `account` may read it: he is joined, or it is open to the world, or he was in it and left.
    ///
    /// # Errors
    /// [`Error::NotJoined`] for everybody else, whether there is such a room or not.
    pub async fn readable(&self, id: &RoomId, account: &Account) -> Result<Reading, Error> {
        let room = self.reach(id, account).await.map_err(Error::hide_unknown)?;
        let view = room.view();
        if view.is_joined(&account.user_id) || view.state.history_visibility() == "world_readable" {
            return Ok(Reading { room, view, until: None });
        }
        let until = left_at(&view, id, account).ok_or(Error::NotJoined)?;
        Ok(Reading { room, view, until: Some(until) })
    }
}

impl Rooms {
    /// The rooms that `account` and `other` have both joined, by id.
    #[must_use]
    pub fn shared_with(&self, account: &Account, other: &UserId) -> Vec<OwnedRoomId> {
        let vault = account.view();
        let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let both = |view: &View| view.is_joined(&account.user_id) && view.is_joined(other);
        joined
            .filter(|(id, _)| self.find(id).is_some_and(|room| both(&room.view())))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// The index behind the event by which `account` left; none when he was never in the room, was banned or has forgotten it.
fn left_at(view: &View, id: &RoomId, account: &Account) -> Option<usize> {
    let vault = account.view();
    let Fact::Left(event) = &vault.rooms.get(id)?.fact else { return None };
    let event = event.get("event_id").and_then(Value::as_str)?;
    let entry = view.entry(<&EventId>::try_from(event).ok()?)?;
    let gone = view.state.membership(&account.user_id) == MembershipState::Leave;
    (gone && ends_stay(entry, &account.user_id)).then(|| view.index_after(entry.position))
}

fn ends_stay(entry: &Entry, user: &UserId) -> bool {
    entry.is("m.room.member", user.as_str())
        && entry.replaces().is_some_and(|event| event.membership() == Some(MembershipState::Join))
}

//! The lifetime in force in a room, and what administrators say of it by id or alias.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ruma::RoomId;

use super::{
    core::StateMap,
    hall::Rooms,
    lifetime::{Granted, Lifetimes},
};
use crate::store::Class;

/// How long a room's messages live, worked out whenever its state changes.
#[derive(Clone)]
pub struct Term {
    lifetimes: Arc<Lifetimes>,
    /// What an administrator says of this room.
    imposed: Option<Class>,
    granted: Granted,
}

impl Term {
    /// That of a room without state.
    pub(super) fn new(lifetimes: Arc<Lifetimes>, imposed: Option<Class>) -> Self {
        let granted = lifetimes.decide(imposed, None, None);
        Self { lifetimes, imposed, granted }
    }

    /// That of a room in which everything stays.
    #[cfg(test)]
    pub(super) fn unbounded() -> Self {
        Self::new(Arc::new(Lifetimes::of(Class::Forever)), None)
    }

    /// The class of what is said now.
    pub(super) fn class(&self) -> Class {
        self.granted.class
    }

    /// Whether clients work the lifetime out by themselves.
    pub(super) fn is_told(&self) -> bool {
        self.granted.told
    }

    /// How long it lives; nothing where it stays for ever.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.granted.class.lifetime()
    }

    /// Takes in the room's state.
    pub(super) fn follow(&mut self, state: &StateMap) {
        self.granted = self.lifetimes.granted(self.imposed, state);
    }

    /// Takes in what an administrator says; whether that is something else.
    pub(super) fn impose(&mut self, imposed: Option<Class>, state: &StateMap) -> bool {
        let other = self.imposed != imposed;
        self.imposed = imposed;
        self.follow(state);
        other
    }
}

impl Rooms {
    /// The term of a room of which nothing has been read yet.
    pub(super) fn term(&self, id: &RoomId) -> Term {
        Term::new(Arc::clone(&self.policy.lifetimes), self.imposed(id))
    }

    /// What administrators say of a room: by its id, else by an alias that leads to it now, the shortest of several.
    #[must_use]
    pub fn imposed(&self, id: &RoomId) -> Option<Class> {
        let lifetimes = &self.policy.lifetimes;
        if let Some(class) = lifetimes.rooms.get(id) {
            return Some(*class);
        }
        if lifetimes.aliases.is_empty() {
            return None;
        }
        let house = self.house.view().ok()?;
        let leads = |alias| self.living_alias(&house, alias).is_some_and(|entry| entry.room == id);
        lifetimes.aliases.iter().filter(|(alias, _)| leads(alias)).map(|(_, class)| *class).min()
    }

    /// The classes that the messages of open rooms are written in, and the default.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<Class> {
        let open = self.all_open();
        open.iter().map(|room| room.view().class()).chain([self.policy.lifetimes.default]).collect()
    }

    /// Asks again what administrators say of a room, of which an alias has changed. A closed one is asked when it opens.
    pub(super) async fn reconsider(&self, id: &RoomId) {
        if self.policy.lifetimes.aliases.is_empty() {
            return;
        }
        let Some(room) = self.find(id) else { return };
        let mut writer = room.writer.lock().await;
        if writer.view.impose(self.imposed(id)) {
            room.publish(&writer);
        }
    }
}

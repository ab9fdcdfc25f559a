//! Threads whose root has expired: what is known of the root while some of its thread lives.
//!
//! Every row of a thread says who began it and with an event of which type, so that it dies with the last of them and
//! nothing else has to be written. It says neither when nor what.

use ruma::{EventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Entry, ledger::RoomLedger, view::View};
use crate::{
    event::{EventKey, Relation},
    pseudonym::MemberId,
};

/// What is left of the root of a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its `type`.
    pub kind: Box<str>,
}

/// A [`Root`] as it lies in the rows of its thread.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredRoot {
    #[serde(rename = "s")]
    sender: MemberId,
    #[serde(rename = "k")]
    kind: Box<str>,
}

impl StoredRoot {
    /// What a row of a thread says of its root; nothing where that is not known.
    pub(super) fn of(root: Root, ledger: &RoomLedger) -> Option<Self> {
        Some(Self { sender: ledger.roster.id(&root.sender)?, kind: root.kind })
    }

    pub(super) fn reveal(self, ledger: &RoomLedger) -> Root {
        Root { sender: ledger.roster.shown(self.sender), kind: self.kind }
    }
}

/// The root of the thread that an event with this relation is in.
pub(super) fn root_key(relation: Option<&Relation>) -> Option<EventKey> {
    EventKey::of(relation?.target("m.thread")?)
}

impl View {
    /// What is known of the root of a thread, whether it has expired or not.
    #[must_use]
    pub(super) fn root(&self, key: EventKey) -> Option<Root> {
        let living = self.entry(&key.id()).map(Root::from);
        living.or_else(|| self.roots.get(&key).cloned())
    }

    /// What is left of a root that has expired, while some of its thread lives.
    #[must_use]
    pub fn expired_root(&self, key: EventKey) -> Option<&Root> {
        self.roots.get(&key).filter(|_| self.has_thread(key))
    }

    /// Whether some event of the thread under a root lives.
    pub(super) fn has_thread(&self, root: EventKey) -> bool {
        self.children(root).any(|child| root_key(child.relation()).is_some())
    }

    /// Whether anything is left of the thread under an event, be it that event alone.
    #[must_use]
    pub fn has_any_of(&self, root: &EventId) -> bool {
        self.holds(root) || EventKey::of(root).is_some_and(|key| self.has_thread(key))
    }

    /// Keeps what rows say of the roots that have expired.
    pub(super) fn keep_roots(&mut self, roots: impl IntoIterator<Item = (EventKey, Root)>) {
        for (key, root) in roots {
            if !self.holds(&key.id()) && self.has_thread(key) {
                self.roots.insert(key, root);
            }
        }
    }

    /// Lets go of the roots of which no thread lives any more.
    pub(super) fn forget_roots(&mut self) {
        let dead: Vec<EventKey> = self.roots.keys().filter(|key| !self.has_thread(**key)).copied().collect();
        for key in dead {
            self.roots.remove(&key);
        }
    }
}

impl From<&Entry> for Root {
    fn from(entry: &Entry) -> Self {
        Self { sender: entry.sender().to_owned(), kind: entry.kind().into() }
    }
}

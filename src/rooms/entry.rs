//! An event in its place, as an open room keeps it: some hundred bytes, whatever the event's size.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;
use ruma::{EventId, OwnedEventId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::core::StateMap;
use crate::{
    clock::Timestamp,
    event::{Digest, Event, EventKey, Relation},
    journal::Position,
};

/// An event in its place. What it says is read through the view: [`View::whole`](super::View::whole).
#[derive(Clone)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// Its coarse time.
    pub ts: Timestamp,
    /// The state before it.
    pub before: Arc<StateMap>,
    key: EventKey,
    head: Arc<Head>,
    more: Option<Arc<More>>,
}

/// What most events of a sender have in common.
#[derive(PartialEq, Eq, Hash)]
struct Head {
    sender: OwnedUserId,
    kind: Box<str>,
}

/// What most events have nothing of.
#[derive(Clone, Default)]
struct More {
    relation: Option<Box<Relation>>,
    replaces_content: bool,
    redacts: Option<OwnedEventId>,
    redacted_by: Option<Position>,
    state: Option<Arc<Event>>,
    replaces: Option<Arc<Event>>,
}

impl Entry {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> EventKey {
        self.key
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> OwnedEventId {
        self.key.id()
    }

    /// Its `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.head.kind
    }

    /// Who sent it.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        &self.head.sender
    }

    /// How it relates to another event; a redacted one does not.
    #[must_use]
    pub fn relation(&self) -> Option<&Relation> {
        self.more.as_ref()?.relation.as_deref()
    }

    /// Whether it can stand for what it replaces: it is encrypted or has an `m.new_content`.
    #[must_use]
    pub fn replaces_content(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.replaces_content)
    }

    /// The event it redacts.
    #[must_use]
    pub fn redacts(&self) -> Option<&EventId> {
        self.more.as_ref()?.redacts.as_deref()
    }

    /// Where the redaction stands that took its content.
    #[must_use]
    pub fn redacted_by(&self) -> Option<Position> {
        self.more.as_ref()?.redacted_by
    }

    /// The state event it is, in its redacted form once it is redacted.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<Event>> {
        self.more.as_ref()?.state.as_ref()
    }

    /// Whether it is a state event.
    #[must_use]
    pub fn is_state(&self) -> bool {
        self.state().is_some()
    }

    /// Its `state_key`, when it is a state event.
    #[must_use]
    pub fn state_key(&self) -> Option<&str> {
        self.state()?.state_key()
    }

    /// Whether it is a state event of this type and state key.
    #[must_use]
    pub fn is(&self, kind: &str, state_key: &str) -> bool {
        self.kind() == kind && self.state_key() == Some(state_key)
    }

    /// The membership it gives, when it is a member event.
    #[must_use]
    pub fn membership(&self) -> Option<MembershipState> {
        self.state()?.membership()
    }

    /// The state event it took the place of.
    #[must_use]
    pub fn replaces(&self) -> Option<&Arc<Event>> {
        self.more.as_ref()?.replaces.as_ref()
    }

    /// The entry once the redaction at `by` has taken its content; `state` is its redacted form where it is state.
    pub(super) fn redacted(&self, by: Position, state: Option<Arc<Event>>) -> Self {
        let replaces = self.replaces().cloned();
        let redacts = self.redacts().map(ToOwned::to_owned);
        let more = More { redacted_by: Some(by), state, replaces, redacts, ..More::default() };
        Self { more: Some(Arc::new(more)), ..self.clone() }
    }
}

impl Entry {
    /// The entry once a state event before it was redacted: `before` holds its redacted form.
    pub(super) fn after_redaction(&self, before: Arc<StateMap>, redacted: &Arc<Event>) -> Self {
        let mut entry = Self { before, ..self.clone() };
        if self.replaces().is_some_and(|replaced| replaced.id() == redacted.id())
            && let Some(more) = &mut entry.more
        {
            Arc::make_mut(more).replaces = Some(Arc::clone(redacted));
        }
        entry
    }
}

/// What the one writer of a timeline makes entries with.
#[derive(Default)]
pub(super) struct Heads(HashSet<Arc<Head>>);

/// Kinds of heads beyond which those that no entry uses any more are looked for.
const MANY_HEADS: usize = 256;

impl Heads {
    /// The entry of an event at `position`, in a room that had the state `before`.
    pub(super) fn entry(
        &mut self,
        digest: Digest,
        position: Position,
        before: Arc<StateMap>,
        replaces: Option<Arc<Event>>,
    ) -> Entry {
        let Digest { key, kind, sender, ts, depth: _, relation, replaces_content, redacts, state } = digest;
        let plain = relation.is_none() && redacts.is_none() && state.is_none();
        let relation = relation.map(Box::new);
        let more = More { relation, replaces_content, redacts, redacted_by: None, state, replaces };
        let more = (!plain).then(|| Arc::new(more));
        Entry { position, ts, before, key, head: self.head(Head { sender, kind }), more }
    }

    fn head(&mut self, head: Head) -> Arc<Head> {
        if let Some(known) = self.0.get(&head) {
            return Arc::clone(known);
        }
        if self.0.len() >= MANY_HEADS && self.0.len().is_power_of_two() {
            self.0.retain(|head| Arc::strong_count(head) > 1);
        }
        let head = Arc::new(head);
        self.0.insert(Arc::clone(&head));
        head
    }
}

impl Heads {
    /// Those that some entry uses.
    pub(super) fn in_use(&self) -> Self {
        Self(self.0.iter().filter(|head| Arc::strong_count(head) > 1).cloned().collect())
    }
}

/// A table from anything hashed to the number of an entry, in eight bytes each; who asks compares the entry itself.
pub(super) struct Tags {
    table: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Default for Tags {
    fn default() -> Self {
        Self { table: HashTable::new(), hasher: RandomState::new() }
    }
}

impl Tags {
    /// Notes the number of what was hashed.
    pub(super) fn put(&mut self, of: &impl Hash, number: u32) {
        let tag = self.tag(of);
        self.table.insert_unique(spread(tag), (tag, number), |(tag, _)| spread(*tag));
    }

    /// The first number noted for it that `fits`.
    pub(super) fn find(&self, of: &impl Hash, mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = self.tag(of);
        self.table.find(spread(tag), |(known, number)| *known == tag && fits(*number)).map(|(_, number)| *number)
    }

    /// The same table without the numbers before `first`.
    pub(super) fn starting(&self, first: u32) -> Self {
        let kept = || self.table.iter().filter(|(_, number)| *number >= first);
        let mut table = HashTable::with_capacity(kept().count());
        for (tag, number) in kept() {
            table.insert_unique(spread(*tag), (*tag, *number), |(tag, _)| spread(*tag));
        }
        Self { table, hasher: self.hasher.clone() }
    }

    fn tag(&self, of: &impl Hash) -> u32 {
        let hash = self.hasher.hash_one(of);
        u32::try_from(hash >> 32).unwrap_or_default()
    }
}

/// A hash whose high and low bits both depend on the whole tag.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 72, "{}", size_of::<Entry>());
    }

    #[test]
    fn a_tag_finds_every_number_noted_for_it() {
        let mut tags = Tags::default();
        for number in 0..5000_u32 {
            tags.put(&(number % 2500), number);
        }
        for value in 0..2500_u32 {
            let mut found = Vec::new();
            assert_eq!(
                tags.find(&value, |number| {
                    found.push(number);
                    false
                }),
                None
            );
            assert!(found.contains(&value) && found.contains(&(value + 2500)));
        }
        assert_eq!(tags.find(&9999_u32, |number| number % 2500 == 9999), None);
        let later = tags.starting(2600);
        assert_eq!(later.find(&99_u32, |number| number == 2599), None);
        assert_eq!(later.find(&100_u32, |number| number == 2600), Some(2600));
    }
}

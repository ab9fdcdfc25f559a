//! Lists: an account's rooms in order, filtered, and cut to ranges.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::Value;

use super::{
    recency::{Activity, Recency, activity},
    request::{Filters, List},
};
use crate::{
    accounts::vault::{Fact, VaultLedger},
    clock::Timestamp,
    journal::Position,
    rooms::{Room, Rooms, View},
    sync::parts,
};

/// A room an account has a part in.
pub(super) struct Candidate<'a> {
    /// Its id.
    pub(super) id: &'a OwnedRoomId,
    /// How the account stands to it.
    pub(super) fact: &'a Fact,
    /// The room, where it is open.
    pub(super) room: Option<(Arc<Room>, Arc<View>)>,
    /// Recency.
    pub(super) stamp: u64,
}

/// An account's rooms.
pub(super) struct Catalogue<'a> {
    /// Those it is in, invited to or knocking at, most recent first.
    pub(super) rooms: Vec<Candidate<'a>>,
    /// Those it has left and not forgotten.
    pub(super) left: Vec<Candidate<'a>>,
    /// Direct chats.
    pub(super) direct: BTreeSet<OwnedRoomId>,
    vault: &'a VaultLedger,
}

impl<'a> Catalogue<'a> {
    /// The rooms of `user`, without the invitations he does not want.
    pub(super) fn of(rooms: &Rooms, vault: &'a VaultLedger, user: &UserId, recency: &mut Recency) -> Self {
        let (mut all, mut left) = (Vec::new(), Vec::new());
        for (id, entry) in &vault.rooms {
            let room = rooms.find(id).map(|room| (Arc::clone(&room), room.view()));
            let candidate = Candidate { id, fact: &entry.fact, room, stamp: 0 };
            match &entry.fact {
                // The key comes before the event: until then there is nothing to show.
                Fact::Joined if !candidate.view().is_some_and(|view| view.is_joined(user)) => {}
                Fact::Invited(stripped) if !parts::shows_invitation(vault, stripped, user) => {}
                Fact::Left(_) => left.push(candidate),
                _ => all.push(candidate),
            }
        }
        let of = |id: &OwnedRoomId| all.binary_search_by(|candidate| candidate.id.cmp(id)).ok().map(|at| &all[at]);
        let ends = all.iter().map(|candidate| (candidate.id, candidate.end(user)));
        recency.retain(|id| vault.rooms.contains_key(id));
        recency.note(ends, |id| of(id).map_or(NEVER, |candidate| candidate.activity(user)));
        for candidate in &mut all {
            candidate.stamp = recency.stamp(candidate.id);
        }
        all.sort_by(|one, other| other.stamp.cmp(&one.stamp).then_with(|| one.id.cmp(other.id)));
        Self { rooms: all, left, direct: parts::direct_rooms(vault), vault }
    }

    /// The rooms of a list in order, and which of them its ranges show.
    #[must_use]
    pub(super) fn list(&self, list: &List) -> (Vec<&Candidate<'a>>, usize) {
        let spaces = list.filters.spaces.as_ref().map(|spaces| self.children(spaces));
        let all: Vec<_> =
            self.rooms.iter().filter(|candidate| self.matches(candidate, &list.filters, spaces.as_ref())).collect();
        let count = all.len();
        let Some(ranges) = &list.ranges else { return (all, count) };
        let within = |index: usize| {
            let index = index as u64;
            ranges.iter().any(|(from, to)| (*from..=*to).contains(&index))
        };
        let shown = all.into_iter().enumerate().filter(|(index, _)| within(*index)).map(|(_, candidate)| candidate);
        (shown.collect(), count)
    }

    /// The room, where the account is in it, invited to it or knocking at it.
    #[must_use]
    pub(super) fn find(&self, id: &RoomId) -> Option<&Candidate<'a>> {
        self.rooms.iter().find(|candidate| candidate.id == id)
    }

    fn matches(&self, candidate: &Candidate<'_>, filters: &Filters, children: Option<&BTreeSet<String>>) -> bool {
        let same = |wanted: Option<bool>, is: &dyn Fn() -> bool| wanted.is_none_or(|wanted| wanted == is());
        let kind = || candidate.text("m.room.create", "type");
        let tagged = |tags: &Vec<String>| tags.iter().any(|tag| self.has_tag(candidate.id, tag));
        same(filters.is_dm, &|| self.direct.contains(candidate.id))
            && same(filters.is_invite, &|| matches!(candidate.fact, Fact::Invited(_)))
            && same(filters.is_encrypted, &|| candidate.text("m.room.encryption", "algorithm").is_some())
            && filters.room_types.as_ref().is_none_or(|kinds| kinds.contains(&kind()))
            && filters.not_room_types.as_ref().is_none_or(|kinds| !kinds.contains(&kind()))
            && filters.tags.as_ref().is_none_or(tagged)
            && !filters.not_tags.as_ref().is_some_and(tagged)
            && children.is_none_or(|children| children.contains(candidate.id.as_str()))
            && filters.room_name_like.as_ref().is_none_or(|part| {
                let name = candidate.text("m.room.name", "name").unwrap_or_default();
                name.to_lowercase().contains(&part.to_lowercase())
            })
    }

    fn has_tag(&self, room: &OwnedRoomId, tag: &str) -> bool {
        let data = self.vault.room_data.get(&(room.clone(), "m.tag".to_owned()));
        data.and_then(|data| data.value.get("tags")?.get(tag)).is_some()
    }

    /// The rooms that joined spaces name as theirs.
    fn children(&self, spaces: &[String]) -> BTreeSet<String> {
        let joined = self.rooms.iter().filter(|candidate| *candidate.fact == Fact::Joined);
        let spaces = joined.filter(|candidate| spaces.iter().any(|space| space == candidate.id.as_str()));
        let views = spaces.filter_map(Candidate::view);
        let children = views.flat_map(|view| view.state.of_kind("m.space.child"));
        let living = children.filter(|child| child.content_text().contains("\"via\""));
        living.filter_map(|child| child.state_key().map(ToOwned::to_owned)).collect()
    }
}

const NEVER: Activity = Activity { arrived: Timestamp(0), ts: Timestamp(0), position: Position::START };

impl Candidate<'_> {
    /// The room's view, where it is open.
    #[must_use]
    pub(super) fn view(&self) -> Option<&Arc<View>> {
        self.room.as_ref().map(|(_, view)| view)
    }

    /// A field of a state event with an empty state key, as the account may know it.
    #[must_use]
    pub(super) fn text(&self, kind: &str, field: &str) -> Option<String> {
        let text = match self.fact {
            Fact::Invited(stripped) | Fact::Knocked(stripped) => {
                let is = |event: &&Value| event["type"] == kind && event["state_key"] == "";
                stripped.iter().find(is)?["content"][field].as_str().map(ToOwned::to_owned)
            }
            _ => self.view()?.state.find(kind, "")?.content_str(field),
        };
        text.filter(|text| !text.is_empty())
    }

    /// What moves when the room does: for who is not in it, his own membership.
    fn end(&self, user: &UserId) -> Position {
        match (self.fact, self.view()) {
            (Fact::Joined, Some(view)) => view.end(),
            _ => self.activity(user).position,
        }
    }

    fn activity(&self, user: &UserId) -> Activity {
        match (self.fact, self.view()) {
            (Fact::Joined, Some(view)) => activity(view),
            (_, Some(view)) => {
                let entry = view.state.member(user).and_then(|event| view.entry(event.id()));
                entry.map_or(NEVER, |entry| Activity {
                    arrived: view.arrived(entry),
                    ts: entry.ts,
                    position: entry.position,
                })
            }
            _ => NEVER,
        }
    }
}

//! What a room list shows of a room: counts, heroes, the name clients compute from (spec: client-server API, room summary).

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::core::StateMap;
use crate::event::{Shape, Unsigned, to_client};

/// The most heroes of a room (spec: `/sync`, room summary).
pub const MAX_HEROES: usize = 5;

/// The summary of a room for one viewer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many are joined.
    pub joined: u64,
    /// How many are invited.
    pub invited: u64,
    /// Who stands for the room when it has neither name nor canonical alias: joined and invited members other than the
    /// viewer, or those who were, the earliest first.
    pub heroes: Vec<OwnedUserId>,
    /// Whether the room has a name or canonical alias, so that its heroes do not matter.
    pub named: bool,
}

/// State events that an invited or knocking user is shown of the room, by type, all with the empty state key.
const STRIPPED: [&str; 8] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.member",
];

/// The stripped state that `user` is shown with an invitation or while knocking: what the room is, who asks, and the
/// user's own membership (spec: client-server API, stripped state).
#[must_use]
pub fn stripped_state(state: &StateMap, user: &UserId) -> Vec<serde_json::Value> {
    let own = state.member(user);
    let inviter =
        own.and_then(|event| state.member(event.sender())).filter(|event| event.state_key() != Some(user.as_str()));
    let named = STRIPPED.iter().filter_map(|kind| state.find(kind, ""));
    let events = named.chain(inviter).chain(own);
    events
        .filter_map(|event| serde_json::from_str(to_client(&**event, Shape::Stripped, &Unsigned::default()).get()).ok())
        .collect()
}

/// The summary of the room for `viewer`. Heroes are given for a named room too: sliding sync wants the avatar of a chat of two.
#[must_use]
pub fn summary(state: &StateMap, viewer: &UserId) -> Summary {
    let mut result =
        Summary { named: state.name().is_some() || state.canonical_alias().is_some(), ..Summary::default() };
    let mut present = Vec::new();
    let mut gone = Vec::new();
    for (user, membership, event) in state.members() {
        result.joined += u64::from(membership == MembershipState::Join);
        result.invited += u64::from(membership == MembershipState::Invite);
        if user == viewer {
            continue;
        }
        match membership {
            MembershipState::Join | MembershipState::Invite => present.push((event.ts(), user)),
            MembershipState::Leave | MembershipState::Ban => gone.push((event.ts(), user)),
            _ => {}
        }
    }
    let mut heroes = if present.is_empty() { gone } else { present };
    heroes.sort_unstable();
    result.heroes = heroes.into_iter().take(MAX_HEROES).map(|(_, user)| user.to_owned()).collect();
    result
}

#[cfg(test)]
mod tests {
    use ruma::RoomVersionId;
    use serde_json::json;

    use super::*;
    use crate::rooms::core::testing::{AL, BO, CY, TestRoom, al};

    #[test]
    fn heroes_are_others_and_the_gone_only_when_nobody_is_left() {
        let mut room = TestRoom::new(&RoomVersionId::V12);
        room.member(AL, CY, "invite").unwrap();
        room.member(AL, BO, "invite").unwrap();
        let seen = summary(&room.state, al());
        assert!((seen.joined, seen.invited, seen.named) == (1, 2, false));
        assert_eq!(seen.heroes.iter().map(|hero| hero.as_str()).collect::<Vec<_>>(), [CY, BO]);
        room.member(CY, CY, "leave").unwrap();
        assert_eq!(summary(&room.state, al()).heroes, [BO]);
        room.member(BO, BO, "leave").unwrap();
        assert_eq!(summary(&room.state, al()).heroes, [CY, BO]);
        room.state(AL, "m.room.name", "", &json!({"name": "x"})).unwrap();
        assert!(summary(&room.state, al()).named);
    }
}

//! Who may see an event (spec: client-server API, room history visibility).

use std::sync::Arc;

use ruma::{UserId, events::room::member::MembershipState};

use super::core::StateMap;
use crate::event::Event;

/// Whether `user` may see an event, given the state before it; `state` is the event where it is state.
///
/// `joined_after` tells whether he was joined at any time after the event: true for everybody who is joined now, and for one
/// who left after it. A change of the visibility itself, and his own member events, are seen when either side of the change
/// allows it.
#[must_use]
pub fn may_see(user: &UserId, joined_after: bool, state: Option<&Arc<Event>>, before: &StateMap) -> bool {
    let allowed = |state: &StateMap| allows(&state.history_visibility(), &state.membership(user), joined_after);
    if allowed(before) {
        return true;
    }
    state.is_some_and(|event| {
        let changes_sides = event.is("m.room.history_visibility", "") || event.is("m.room.member", user.as_str());
        changes_sides && allowed(&after(event, before))
    })
}

/// The rule itself: the visibility and a user's membership at an event, and whether he was joined after it.
#[must_use]
pub fn allows(visibility: &str, at_event: &MembershipState, joined_after: bool) -> bool {
    match visibility {
        "world_readable" => true,
        _ if *at_event == MembershipState::Join => true,
        "joined" => false,
        "invited" => *at_event == MembershipState::Invite,
        _ => joined_after,
    }
}

/// A user's membership at an event, his own change included, as `unsigned.membership` tells it (MSC4115).
#[must_use]
pub fn membership_at(user: &UserId, state: Option<&Arc<Event>>, before: &StateMap) -> MembershipState {
    match state {
        Some(event) if event.is("m.room.member", user.as_str()) => after(event, before).membership(user),
        _ => before.membership(user),
    }
}

fn after(event: &Arc<Event>, before: &StateMap) -> StateMap {
    let mut state = before.clone();
    state.insert(Arc::clone(event));
    state
}

#[cfg(test)]
mod tests {
    use ruma::RoomVersionId;
    use serde_json::json;

    use super::*;
    use crate::rooms::core::testing::{AL, BO, TestRoom};

    #[test]
    fn the_table_of_the_specification() {
        use MembershipState::{Ban, Invite, Join, Leave};
        let cases = [
            ("world_readable", Leave, false, true),
            ("world_readable", Ban, false, true),
            ("shared", Leave, false, false),
            ("shared", Leave, true, true),
            ("shared", Invite, false, false),
            ("shared", Join, false, true),
            ("invited", Invite, false, true),
            ("invited", Leave, true, false),
            ("invited", Join, false, true),
            ("joined", Invite, true, false),
            ("joined", Leave, true, false),
            ("joined", Join, false, true),
            ("nonsense", Leave, true, true),
            ("nonsense", Leave, false, false),
        ];
        for (visibility, membership, joined_after, expected) in cases {
            assert_eq!(
                allows(visibility, &membership, joined_after),
                expected,
                "{visibility} {membership} {joined_after}"
            );
        }
    }

    #[test]
    fn own_membership_and_the_change_of_visibility_are_seen_from_either_side() {
        let bo = <&UserId>::try_from(BO).unwrap();
        let mut room = TestRoom::new(&RoomVersionId::V12);
        room.state(AL, "m.room.history_visibility", "", &json!({"history_visibility": "joined"})).unwrap();
        room.member(AL, BO, "invite").unwrap();
        let before = room.state.clone();
        let message = room.message(AL, "before").unwrap();
        assert!(!may_see(bo, true, Some(&message), &before));
        room.member(BO, BO, "join").unwrap();
        let joined = Arc::clone(room.state.member(bo).unwrap());
        assert!(may_see(bo, true, Some(&joined), &before));
        assert_eq!(membership_at(bo, Some(&joined), &before), MembershipState::Join);
        assert_eq!(membership_at(bo, Some(&message), &before), MembershipState::Invite);
        let before = room.state.clone();
        room.member(BO, BO, "leave").unwrap();
        let left = Arc::clone(room.state.member(bo).unwrap());
        assert!(may_see(bo, false, Some(&left), &before));
        let gone = room.state.clone();
        let hidden = room.message(AL, "after").unwrap();
        assert!(!may_see(bo, false, Some(&hidden), &gone));
        room.state(AL, "m.room.history_visibility", "", &json!({"history_visibility": "world_readable"})).unwrap();
        let opened = Arc::clone(room.state.find("m.room.history_visibility", "").unwrap());
        assert!(may_see(bo, false, Some(&opened), &gone));
    }
}

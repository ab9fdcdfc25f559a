//! Who may see an event (spec: client-server API, room history visibility).

use std::sync::Arc;

use ruma::{UserId, events::room::member::MembershipState};

use super::core::StateMap;
use crate::event::Event;

/// Whether `user` may see `event`, given the state before it.
///
/// `joined_after` tells whether he was joined at any time after the event: true for everybody who is joined now, and for one
/// who left after it. A change of the visibility itself, and his own member events, are seen when either side of the change
/// allows it.
#[must_use]
pub fn may_see(user: &UserId, joined_after: bool, event: &Arc<Event>, before: &StateMap) -> bool {
    let allowed = |state: &StateMap| allows(&state.history_visibility(), &state.membership(user), joined_after);
    if allowed(before) {
        return true;
    }
    let changes_sides = event.is("m.room.history_visibility", "") || event.is("m.room.member", user.as_str());
    changes_sides && allowed(&after(event, before))
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
pub fn membership_at(user: &UserId, event: &Arc<Event>, before: &StateMap) -> MembershipState {
    if event.is("m.room.member", user.as_str()) {
        after(event, before).membership(user)
    } else {
        before.membership(user)
    }
}

fn after(event: &Arc<Event>, before: &StateMap) -> StateMap {
    let mut state = before.clone();
    state.insert(Arc::clone(event));
    state
}

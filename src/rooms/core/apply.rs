//! What an allowed event changes: the state after it, and what the runtime has to do about it.

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    events::room::member::MembershipState,
    room_version_rules::{AuthorizationRules, RoomVersionRules},
};

use super::{Access, StateMap};
use crate::event::Event;

/// What the runtime has to do because of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The state changed; the event replaced this one.
    State(Option<OwnedEventId>),
    /// A user's membership changed. A change of profile is not one.
    Membership {
        /// Whose.
        user: OwnedUserId,
        /// What it was; leave when there was none.
        from: MembershipState,
        /// What it is now.
        to: MembershipState,
    },
    /// A member's name or avatar changed while his membership stayed.
    Profile(OwnedUserId),
    /// The event asks to redact this one; [`may_redact`](super::may_redact) decides.
    Redact(OwnedEventId),
    /// Who may enter without being asked in changed: the key has to lie where they find it.
    Access(Access),
    /// Somebody who had the room's key must not have the next one: it rotates (`DESIGN` §2).
    RotateKey,
    /// The room was replaced by another.
    Replaced(Option<OwnedRoomId>),
    /// No local user is joined or invited any more: nothing here needs the room.
    Deserted,
}

/// The outcome of [`apply`].
pub struct Applied {
    /// The state after the event.
    pub state: StateMap,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
}

/// The effects of an allowed event on the state before it, in a room of these rules. `ours` says who may have a key to the
/// room here.
#[must_use]
pub fn apply(
    event: &Arc<Event>,
    before: &StateMap,
    rules: &RoomVersionRules,
    ours: &dyn Fn(&UserId) -> bool,
) -> Applied {
    let mut effects = Vec::new();
    let mut state = before.clone();
    if event.is_rejected() {
        return Applied { state, effects };
    }
    effects.extend(event.redacts().map(|target| Effect::Redact(target.to_owned())));
    if !event.is_state() {
        return Applied { state, effects };
    }
    let replaced = state.insert(Arc::clone(event));
    let replaced = replaced.as_deref();
    effects.push(Effect::State(replaced.map(Event::id).map(EventId::to_owned)));
    match event.kind() {
        "m.room.member" => membership(event, replaced, before, &state, ours, &mut effects),
        "m.room.join_rules" => access(before, &state, &rules.authorization, &mut effects),
        "m.room.tombstone" if event.state_key() == Some("") => effects.push(Effect::Replaced(state.replacement())),
        _ => {}
    }
    Applied { state, effects }
}

fn membership(
    event: &Event,
    replaced: Option<&Event>,
    before: &StateMap,
    after: &StateMap,
    ours: &dyn Fn(&UserId) -> bool,
    effects: &mut Vec<Effect>,
) {
    let Some(user) = event.state_key().and_then(|key| <&UserId>::try_from(key).ok()) else { return };
    let (from, to) = (before.membership(user), after.membership(user));
    if from == to {
        if replaced.is_some_and(|old| old.content_text() != event.content_text()) {
            effects.push(Effect::Profile(user.to_owned()));
        }
        return;
    }
    effects.push(Effect::Membership { user: user.to_owned(), from: from.clone(), to: to.clone() });
    if has_key(&from) && !has_key(&to) {
        // In a public room everybody finds the new key where the old one lay, but the old image of a left member's vault
        // must not open what comes after.
        effects.push(Effect::RotateKey);
        if ours(user) && !has_ours(after, ours) {
            effects.push(Effect::Deserted);
        }
    }
}

fn access(before: &StateMap, after: &StateMap, rules: &AuthorizationRules, effects: &mut Vec<Effect>) {
    let (from, to) = (before.access(rules), after.access(rules));
    if from != to {
        let rotates = !to.covers(&from);
        effects.push(Effect::Access(to));
        if rotates {
            effects.push(Effect::RotateKey);
        }
    }
}

/// Whether somebody of this membership holds the room's key: an invited user gets it with the invitation.
fn has_key(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite)
}

fn has_ours(state: &StateMap, ours: &dyn Fn(&UserId) -> bool) -> bool {
    state.members().any(|(user, membership, _)| ours(user) && has_key(&membership))
}

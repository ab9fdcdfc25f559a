//! What this server refuses although a room's authorisation rules allow it.

use ruma::{UserId, state_res::events::RoomPowerLevelsIntField};

use super::{Entry, Error, View, core::may_redact};
use crate::event::{Error as EventError, Event, EventKey, Relation};

/// State events of one room, members among them: all of them lie in memory, and in each new generation. Members are not
/// refused: accounts are bounded otherwise.
const MOST_STATE: usize = 20_000;

/// Whether a new event may follow what `view` shows.
///
/// # Errors
/// A redaction of another's event without the power to redact, a repeated annotation, a thread under an event that itself
/// relates to another (spec: client-server API, redactions, annotations, threading).
pub(super) fn check(event: &Event, view: &View) -> Result<(), Error> {
    if let Some(key) = event.state_key()
        && view.state.len() >= MOST_STATE
        && event.kind() != "m.room.member"
        && view.state.find(event.kind(), key).is_none()
    {
        return Err(Error::TooMuchState);
    }
    if event.kind() == "m.room.redaction" && !event.is_state() {
        return redaction(event, view);
    }
    match event.relation() {
        Some(relation) if !event.is_state() => relates(event, &relation, view),
        _ => Ok(()),
    }
}

fn redaction(event: &Event, view: &View) -> Result<(), Error> {
    let id = event.redacts().ok_or(Error::Event(EventError::Malformed))?;
    let (kind, sender) = match (view.entry(id), view.state.find_id(id)) {
        (Some(entry), _) => (entry.kind(), entry.sender()),
        (None, Some(state)) => (state.kind(), state.sender()),
        (None, None) => return Err(Error::UnknownEvent),
    };
    let own = sender == event.sender();
    if (own || is_moderator(view, event.sender())) && may_redact(event, (kind, sender), &view.state, &view.rules) {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

fn is_moderator(view: &View, user: &UserId) -> bool {
    let rules = &view.rules.authorization;
    view.state.power_of(user, rules) >= view.state.power_for(RoomPowerLevelsIntField::Redact, rules)
}

fn relates(event: &Event, relation: &Relation, view: &View) -> Result<(), Error> {
    if let Some(target) = relation.target("m.annotation") {
        let repeated = |other: &Entry| {
            other.sender() == event.sender()
                && other.kind() == event.kind()
                && other
                    .relation()
                    .is_some_and(|other| other.rel_type.as_deref() == Some("m.annotation") && other.key == relation.key)
        };
        if EventKey::of(target).is_some_and(|target| view.children(target).any(repeated)) {
            return Err(Error::DuplicateAnnotation);
        }
    }
    let root = relation.target("m.thread").and_then(|id| view.entry(id));
    if root.and_then(Entry::relation).is_some_and(|relation| relation.event_id.is_some()) {
        return Err(Error::NestedThread);
    }
    Ok(())
}

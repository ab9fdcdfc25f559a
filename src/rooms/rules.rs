//! What this server refuses although a room's authorisation rules allow it.

use ruma::{UserId, state_res::events::RoomPowerLevelsIntField};

use super::{Error, core::may_redact, view::View};
use crate::event::{Error as EventError, Event, Relation};

/// Whether a new event may follow what `view` shows.
///
/// # Errors
/// A redaction of another's event without the power to redact, a repeated annotation, a thread under an event that itself
/// relates to another (spec: client-server API, redactions, annotations, threading).
pub(super) fn check(event: &Event, view: &View) -> Result<(), Error> {
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
    let target = view.entry(id).map(|entry| &entry.event).or_else(|| view.state.find_id(id));
    let target = target.ok_or(Error::UnknownEvent)?;
    let own = target.sender() == event.sender();
    if (own || is_moderator(view, event.sender())) && may_redact(event, target, &view.state, &view.rules) {
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
        let repeated = |other: &Event| {
            other.sender() == event.sender()
                && other.kind() == event.kind()
                && other
                    .relation()
                    .is_some_and(|other| other.rel_type.as_deref() == Some("m.annotation") && other.key == relation.key)
        };
        let mut others = view.relations.get(target).into_iter().flatten();
        if others.any(|other| repeated(&other.event)) {
            return Err(Error::DuplicateAnnotation);
        }
    }
    let root = relation.target("m.thread").and_then(|id| view.entry(id));
    if root.and_then(|root| root.event.relation()).is_some_and(|relation| relation.event_id.is_some()) {
        return Err(Error::NestedThread);
    }
    Ok(())
}

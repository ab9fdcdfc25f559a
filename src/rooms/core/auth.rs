//! Authorisation of events (spec: server-server API, authorization rules), through ruma.

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId, UserId,
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
        events::RoomPowerLevelsIntField,
    },
};

use super::StateMap;
use crate::event::{Draft, Event};

/// Why an event is not allowed. ruma's own words name users, so they end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The content of the event lacks what its type needs.
    #[error("event content is not of its type's form")]
    Malformed,
    /// The event breaks a rule that does not depend on the room's state: its auth events are not the right ones.
    #[error("event is not authorised by its auth events")]
    AuthEvents,
    /// The state of the room does not allow the event.
    #[error("event is not allowed by the room's state")]
    Forbidden,
}

/// Whether an event built on `state` is allowed: its auth events are those the state gives, and the state allows it.
///
/// # Errors
/// The rule that forbids it.
pub fn authorise(event: &Event, state: &StateMap, rules: &RoomVersionRules) -> Result<(), Rejection> {
    let named = relevant(event.event_type(), event.sender(), event.state_key(), event.content(), state, rules)?;
    let fetch = |id: &EventId| {
        let mut known = named.iter().copied().chain(state.create());
        known.find(|known| known.id() == id).cloned()
    };
    authorise_with(event, state, rules, fetch)
}

/// As [`authorise`], for an event whose auth events `fetch` finds wherever they are.
///
/// # Errors
/// The rule that forbids it.
pub fn authorise_with(
    event: &Event,
    state: &StateMap,
    rules: &RoomVersionRules,
    fetch: impl Fn(&EventId) -> Option<Arc<Event>>,
) -> Result<(), Rejection> {
    let rules = &rules.authorization;
    check_state_independent_auth_rules(rules, event, fetch).map_err(|_| Rejection::AuthEvents)?;
    check_state_dependent_auth_rules(rules, event, |kind, key| state.find(&kind.to_string(), key).cloned())
        .map_err(|_| Rejection::Forbidden)
}

/// The ids of the state events that a new event must name as its auth events.
///
/// # Errors
/// [`Rejection::Malformed`] when the content is not of its type's form.
pub fn auth_events_for(
    draft: &Draft,
    state: &StateMap,
    rules: &RoomVersionRules,
) -> Result<Vec<OwnedEventId>, Rejection> {
    let content = serde_json::value::to_raw_value(&draft.content).map_err(|_| Rejection::Malformed)?;
    let kind = TimelineEventType::from(draft.kind.as_str());
    let events = relevant(&kind, &draft.sender, draft.state_key.as_deref(), &content, state, rules)?;
    Ok(events.into_iter().map(|event| event.id().to_owned()).collect())
}

/// Whether an allowed redaction of an event of its room may take effect: its sender has the power to redact, or comes from the server of the event's
/// sender (spec: room version 3, handling redactions).
///
/// The create event is never redacted: before version 11 it would lose the room's version.
#[must_use]
pub fn may_redact(
    redaction: &Event,
    (kind, author): (&str, &UserId),
    state: &StateMap,
    rules: &RoomVersionRules,
) -> bool {
    if kind == "m.room.create" {
        return false;
    }
    let sender = redaction.sender();
    let needed = state.power_for(RoomPowerLevelsIntField::Redact, &rules.authorization);
    sender.server_name() == author.server_name() || state.power_of(sender, &rules.authorization) >= needed
}

fn relevant<'a>(
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &serde_json::value::RawValue,
    state: &'a StateMap,
    rules: &RoomVersionRules,
) -> Result<Vec<&'a Arc<Event>>, Rejection> {
    let types = auth_types_for_event(kind, sender, state_key, content, &rules.authorization)
        .map_err(|_| Rejection::Malformed)?;
    Ok(types.iter().filter_map(|(kind, key)| state.find(&kind.to_string(), key)).collect())
}

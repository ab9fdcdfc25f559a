//! State resolution between forks of a room (spec: room versions 2 and 12), through ruma.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    room_version_rules::RoomVersionRules,
    state_res::{self, StateMap as IdMap, utils::event_id_set::EventIdSet},
};

use super::StateMap;
use crate::event::Event;

/// Why forks could not be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The room's version uses a resolution algorithm this server does not have.
    #[error("unsupported state resolution")]
    Unsupported,
    /// An event of the forks or of their auth chains is not known.
    #[error("an event needed to resolve state is missing")]
    Missing,
}

/// The one state that several forks resolve to. `fetch` finds events of the auth chains.
///
/// # Errors
/// [`ResolveError::Missing`] when `fetch` lacks an event that the result depends on.
pub fn resolve(
    forks: &[StateMap],
    rules: &RoomVersionRules,
    fetch: impl Fn(&EventId) -> Option<Arc<Event>>,
) -> Result<StateMap, ResolveError> {
    if let [only] = forks {
        return Ok(only.clone());
    }
    let algorithm = rules.state_res.v2_rules().ok_or(ResolveError::Unsupported)?;
    let known: HashMap<&EventId, &Arc<Event>> =
        forks.iter().flat_map(StateMap::iter).map(|event| (event.id(), event)).collect();
    let find = |id: &EventId| known.get(id).map(|event| Arc::clone(event)).or_else(|| fetch(id));
    let maps: Vec<IdMap<OwnedEventId>> = forks.iter().map(ids).collect();
    let chains = forks.iter().map(|fork| {
        let chain = chain(fork.iter().map(|event| event.id().to_owned()), &find);
        chain.map(|chain| chain.into_iter().collect::<EventIdSet<_>>())
    });
    let chains = chains.collect::<Result<Vec<_>, _>>()?;
    let resolved = state_res::resolve(&rules.authorization, algorithm, &maps, chains, find, |conflicted| {
        Some(subgraph(conflicted.values().flatten(), &find).into_iter().collect())
    });
    let resolved = resolved.map_err(|_| ResolveError::Missing)?;
    resolved.values().map(|id| find(id).ok_or(ResolveError::Missing)).collect()
}

fn ids(state: &StateMap) -> IdMap<OwnedEventId> {
    let keyed = state.iter().map(|event| {
        let key = (StateEventType::from(event.kind()), event.state_key().unwrap_or_default().to_owned());
        (key, event.id().to_owned())
    });
    keyed.collect()
}

/// The auth events of `from`, recursively, without `from` itself unless reached.
fn chain(
    from: impl Iterator<Item = OwnedEventId>,
    find: &impl Fn(&EventId) -> Option<Arc<Event>>,
) -> Result<BTreeSet<OwnedEventId>, ResolveError> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<OwnedEventId> = from.collect();
    while let Some(id) = open.pop() {
        let event = find(&id).ok_or(ResolveError::Missing)?;
        for auth in event.auth_events() {
            if seen.insert(auth.clone()) {
                open.push(auth.clone());
            }
        }
    }
    Ok(seen)
}

/// Every event on a path of auth events from one conflicted event to another, ends included (spec: room version 12).
fn subgraph<'a>(
    conflicted: impl Iterator<Item = &'a OwnedEventId>,
    find: &impl Fn(&EventId) -> Option<Arc<Event>>,
) -> BTreeSet<OwnedEventId> {
    let conflicted: BTreeSet<OwnedEventId> = conflicted.cloned().collect();
    let mut reaches: HashMap<OwnedEventId, bool> = HashMap::new();
    let mut open: Vec<(OwnedEventId, bool)> = conflicted.iter().map(|id| (id.clone(), false)).collect();
    while let Some((id, expanded)) = open.pop() {
        let Some(event) = find(&id) else { continue };
        if expanded {
            let below = event.auth_events().iter().any(|auth| reaches.get(auth).copied().unwrap_or(false));
            reaches.insert(id.clone(), below || conflicted.contains(&id));
        } else if !reaches.contains_key(&id) {
            open.push((id, true));
            let unseen = event.auth_events().iter().filter(|auth| !reaches.contains_key(*auth));
            open.extend(unseen.map(|auth| (auth.clone(), false)));
        }
    }
    reaches.into_iter().filter_map(|(id, reaches)| reaches.then_some(id)).collect()
}

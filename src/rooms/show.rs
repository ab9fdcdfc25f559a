//! How an entry of a room's view is shown to one viewer, and whether it is.
//!
//! Pure: reads views, writes client JSON. What is redacted is shown redacted wherever it stands: in the timeline, in state,
//! and in what another event replaced.

use std::{sync::Arc, time::Duration};

use imbl::Vector;
use ruma::{DeviceId, EventId, UserId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::{
    relations,
    view::{Entry, View},
    visibility,
};
use crate::{
    clock::Timestamp,
    event::{Event, Shape, Unsigned, to_client},
};

/// How long `unsigned.age` is told: an exact age is an exact time of receipt.
const AGED: Duration = Duration::from_mins(5);

/// Who looks.
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The device, where one asks: it alone is told its transaction ids.
    pub device: Option<&'a DeviceId>,
}

/// What one user may see of a room's timeline: [`may_see`] for many entries of one view.
pub struct Sight<'a> {
    user: &'a UserId,
    joined_until: Option<usize>,
}

impl<'a> Sight<'a> {
    /// The sight of `user` over `view`. Costs a walk over the timeline for who is not joined now.
    #[must_use]
    pub fn of(view: &View, user: &'a UserId) -> Self {
        let joined_until = if view.is_joined(user) {
            Some(usize::MAX)
        } else {
            view.timeline.iter().rposition(|entry| {
                entry.event.is("m.room.member", user.as_str())
                    && entry.replaces.as_ref().and_then(|event| event.membership()) == Some(MembershipState::Join)
            })
        };
        Self { user, joined_until }
    }

    /// Whether the user may see the entry at `index`.
    #[must_use]
    pub fn allows(&self, index: usize, entry: &Entry) -> bool {
        let joined_after = self.joined_until.is_some_and(|until| index < until);
        visibility::may_see(self.user, joined_after, &entry.event, &entry.before)
    }
}

/// Whether `user` may see an entry of `view`. For many entries use [`Sight`].
#[must_use]
pub fn may_see(view: &View, entry: &Entry, user: &UserId) -> bool {
    Sight::of(view, user).allows(view.index_of(entry.position), entry)
}

/// The client form of an entry, with everything its viewer is told beside it.
#[must_use]
pub fn show(view: &View, entry: &Entry, viewer: &Viewer<'_>, now: Timestamp, shape: Shape) -> Box<RawValue> {
    let bundle = view.relations.get(entry.event.id()).and_then(|children| bundled(view, entry, children, viewer, now));
    with_bundle(view, entry, viewer, now, shape, bundle.as_deref())
}

/// The client form of a state event, which may have no place in the timeline any more.
#[must_use]
pub fn show_state(view: &View, event: &Arc<Event>, viewer: &Viewer<'_>, now: Timestamp, shape: Shape) -> Box<RawValue> {
    match view.entry(event.id()) {
        Some(entry) => show(view, entry, viewer, now, shape),
        None => to_client(event, shape, &Unsigned::default()),
    }
}

/// The event as it stands now: redacted when it was redacted after the state it was taken from.
#[must_use]
pub fn as_it_stands(view: &View, event: &Arc<Event>) -> Arc<Event> {
    if let Some(entry) = view.entry(event.id()) {
        return Arc::clone(&entry.event);
    }
    let current = event.state_key().and_then(|key| view.state.find(event.kind(), key));
    Arc::clone(current.filter(|current| current.id() == event.id()).unwrap_or(event))
}

fn with_bundle(
    view: &View,
    entry: &Entry,
    viewer: &Viewer<'_>,
    now: Timestamp,
    shape: Shape,
    bundle: Option<&str>,
) -> Box<RawValue> {
    let redacted = entry.redacted_because.is_some();
    let age = entry.arrived.map(|arrived| now.since(arrived)).filter(|age| *age <= AGED);
    let own = entry
        .transaction
        .as_ref()
        .filter(|transaction| viewer.device == Some(&*transaction.device) && entry.event.sender() == viewer.user);
    // The content of what a redacted event replaced is part of what the redaction takes away.
    let replaced = entry.replaces.as_ref().filter(|_| !redacted).map(|event| as_it_stands(view, event));
    let membership = visibility::membership_at(viewer.user, &entry.event, &entry.before);
    let unsigned = Unsigned {
        age: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        transaction_id: own.map(|transaction| &*transaction.id),
        membership: Some(membership.as_str()),
        replaced: replaced.as_deref(),
        redacted_because: entry.redacted_because.as_deref(),
        relations: bundle,
    };
    to_client(&entry.event, shape, &unsigned)
}

/// `m.relations` of an entry others relate to; nothing when none of the relations is one that is bundled.
fn bundled(
    view: &View,
    entry: &Entry,
    children: &Vector<Arc<Entry>>,
    viewer: &Viewer<'_>,
    now: Timestamp,
) -> Option<String> {
    if children.is_empty() || entry.redacted_because.is_some() {
        return None;
    }
    let family = Family::of(view, children, viewer.user);
    let root = &entry.event;
    let edit = family.edit(root).map(|edit| with_bundle(view, edit, viewer, now, Shape::Full, None));
    let thread = relations::thread(root.sender(), viewer.user, family.entries());
    let latest = thread.and_then(|thread| view.entry(thread.latest)).map(|latest| {
        let children = view.relations.get(latest.event.id());
        let family = children.map(|children| Family::of(view, children, viewer.user));
        let edit = family.as_ref().and_then(|family| family.edit(&latest.event));
        let edit = edit.map(|edit| with_bundle(view, edit, viewer, now, Shape::Full, None));
        let bundle = relations::bundle(edit.as_deref(), None, &[]);
        with_bundle(view, latest, viewer, now, Shape::Full, bundle.as_deref())
    });
    let references: Vec<&EventId> = relations::references(family.entries()).collect();
    relations::bundle(edit.as_deref(), thread.as_ref().zip(latest.as_deref()), &references)
}

/// The events that relate to one event and that the viewer may see.
struct Family<'a>(Vec<(&'a Arc<Entry>, String)>);

impl<'a> Family<'a> {
    fn of(view: &View, children: &'a Vector<Arc<Entry>>, user: &UserId) -> Self {
        let sight = Sight::of(view, user);
        let seen = children.iter().filter_map(|child| {
            // Most relations are reactions, which are not bundled.
            if child.event.kind() == "m.reaction" || !sight.allows(view.index_of(child.position), child) {
                return None;
            }
            Some((child, child.event.relation()?.rel_type?))
        });
        Self(seen.collect())
    }

    fn entries(&self) -> impl Iterator<Item = relations::Entry<'_>> {
        self.0.iter().map(|(child, rel_type)| entry_of(&child.event, rel_type))
    }

    fn edit(&self, root: &Event) -> Option<&'a Arc<Entry>> {
        let target = relations::Target {
            sender: root.sender(),
            kind: root.kind(),
            is_state: root.is_state(),
            is_edit: root.relation().is_some_and(|relation| relation.target("m.replace").is_some()),
        };
        let valid = self.0.iter().filter(|(child, _)| {
            child.event.kind() == "m.room.encrypted" || child.event.content_text().contains("\"m.new_content\"")
        });
        let edit = relations::latest_edit(target, valid.map(|(child, rel_type)| entry_of(&child.event, rel_type)))?;
        self.0.iter().find(|(child, _)| child.event.id() == edit.id).map(|(child, _)| *child)
    }
}

fn entry_of<'a>(event: &'a Event, rel_type: &'a str) -> relations::Entry<'a> {
    relations::Entry {
        id: event.id(),
        ts: event.ts(),
        sender: event.sender(),
        kind: event.kind(),
        is_state: event.is_state(),
        rel_type,
    }
}

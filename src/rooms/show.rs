//! How an entry of a room's view is shown to one viewer, and whether it is.
//!
//! Pure: reads views, writes client JSON. What is redacted is shown redacted wherever it stands: in the timeline, in state,
//! and in what another event replaced.

use std::{sync::Arc, time::Duration};

use ruma::{DeviceId, EventId, OwnedEventId, UserId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::{Entry, View, Whole, relations, visibility};
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
                entry.is("m.room.member", user.as_str())
                    && entry.replaces().and_then(|event| event.membership()) == Some(MembershipState::Join)
            })
        };
        Self { user, joined_until }
    }

    /// Whether the user is joined, or was at some time that the timeline knows of.
    #[must_use]
    pub fn was_joined(&self) -> bool {
        self.joined_until.is_some()
    }

    /// Whether the user may see the entry at `index`.
    #[must_use]
    pub fn allows(&self, index: usize, entry: &Entry) -> bool {
        let joined_after = self.joined_until.is_some_and(|until| index < until);
        visibility::may_see(self.user, joined_after, entry.state(), &entry.before)
    }
}

/// Whether `user` may see an entry of `view`. For many entries use [`Sight`].
#[must_use]
pub fn may_see(view: &View, entry: &Entry, user: &UserId) -> bool {
    Sight::of(view, user).allows(view.index_of(entry.position), entry)
}

/// The client form of an entry, with everything its viewer is told beside it; `None` when what it says is gone.
#[must_use]
pub fn show(view: &View, entry: &Entry, viewer: &Viewer<'_>, now: Timestamp, shape: Shape) -> Option<Box<RawValue>> {
    let bundle = bundled(view, entry, viewer, now);
    with_bundle(view, entry, viewer, now, shape, bundle.as_deref())
}

/// The client form of a state event, which may have no place in the timeline any more.
#[must_use]
pub fn show_state(view: &View, event: &Arc<Event>, viewer: &Viewer<'_>, now: Timestamp, shape: Shape) -> Box<RawValue> {
    let shown = view.entry(event.id()).and_then(|entry| show(view, entry, viewer, now, shape));
    shown.unwrap_or_else(|| to_client(&**event, shape, &Unsigned::default()))
}

/// The event as it stands now: redacted when it was redacted after the state it was taken from.
#[must_use]
pub fn as_it_stands(view: &View, event: &Arc<Event>) -> Arc<Event> {
    if let Some(state) = view.entry(event.id()).and_then(Entry::state) {
        return Arc::clone(state);
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
) -> Option<Box<RawValue>> {
    let whole = view.whole(entry)?;
    let because = entry.redacted_by().and_then(|position| view.at(position));
    let because = because.and_then(|redaction| view.whole(redaction));
    let age = whole.arrived().map(|arrived| now.since(arrived)).filter(|age| *age <= AGED);
    let own = whole
        .transaction()
        .filter(|transaction| viewer.device == Some(&*transaction.device) && entry.sender() == viewer.user);
    // The content of what a redacted event replaced is part of what the redaction takes away.
    let is_redacted = entry.redacted_by().is_some();
    let replaced = entry.replaces().filter(|_| !is_redacted).map(|event| as_it_stands(view, event));
    let membership = visibility::membership_at(viewer.user, entry.state(), &entry.before);
    let unsigned = Unsigned {
        age: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        transaction_id: own.map(|transaction| &*transaction.id),
        membership: Some(membership.as_str()),
        replaced: replaced.as_deref().map(Into::into),
        redacted_because: because.as_ref().map(Whole::face),
        relations: bundle,
    };
    Some(to_client(whole.face(), shape, &unsigned))
}

/// `m.relations` of an entry others relate to; nothing when none of the relations is one that is bundled.
fn bundled(view: &View, root: &Entry, viewer: &Viewer<'_>, now: Timestamp) -> Option<String> {
    if root.redacted_by().is_some() {
        return None;
    }
    let family = Family::of(view, root, viewer.user);
    if family.is_empty() {
        return None;
    }
    let shown = |entry: &Entry, bundle: Option<&str>| with_bundle(view, entry, viewer, now, Shape::Full, bundle);
    let edit = family.edit(root).and_then(|edit| shown(edit, None));
    let thread = relations::thread(root.sender(), viewer.user, family.entries());
    let latest = thread.and_then(|thread| view.entry(thread.latest)).and_then(|latest| {
        let edit = Family::of(view, latest, viewer.user).edit(latest).and_then(|edit| shown(edit, None));
        let bundle = relations::bundle(edit.as_deref(), None, &[]);
        shown(latest, bundle.as_deref())
    });
    let references: Vec<&EventId> = relations::references(family.entries()).collect();
    relations::bundle(edit.as_deref(), thread.as_ref().zip(latest.as_deref()), &references)
}

/// The events that relate to one event and that the viewer may see.
struct Family<'a>(Vec<Child<'a>>);

struct Child<'a> {
    entry: &'a Entry,
    id: OwnedEventId,
    rel_type: &'a str,
}

impl<'a> Family<'a> {
    fn of(view: &'a View, root: &Entry, user: &UserId) -> Self {
        let mut sight = None;
        let seen = view.children(root.key()).filter_map(|entry| {
            // Most relations are reactions, which are not bundled.
            if entry.kind() == "m.reaction" {
                return None;
            }
            let sight = sight.get_or_insert_with(|| Sight::of(view, user));
            let rel_type = entry.relation()?.rel_type.as_deref()?;
            let allowed = sight.allows(view.index_of(entry.position), entry);
            allowed.then(|| Child { entry, id: entry.id(), rel_type })
        });
        Self(seen.collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn entries(&self) -> impl Iterator<Item = relations::Entry<'_>> {
        self.0.iter().map(Child::relation)
    }

    fn edit(&self, root: &Entry) -> Option<&'a Entry> {
        let target = relations::Target {
            sender: root.sender(),
            kind: root.kind(),
            is_state: root.is_state(),
            is_edit: root.relation().is_some_and(|relation| relation.target("m.replace").is_some()),
        };
        let valid = self.0.iter().filter(|child| child.entry.replaces_content());
        let edit = relations::latest_edit(target, valid.map(Child::relation))?;
        self.0.iter().find(|child| child.id == *edit.id).map(|child| child.entry)
    }
}

impl Child<'_> {
    fn relation(&self) -> relations::Entry<'_> {
        relations::Entry {
            id: &self.id,
            ts: self.entry.ts,
            sender: self.entry.sender(),
            kind: self.entry.kind(),
            is_state: self.entry.is_state(),
            rel_type: self.rel_type,
        }
    }
}

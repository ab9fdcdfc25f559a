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
    event::{Event, EventKey, Face, Shape, Unsigned, to_client},
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

/// The root of a thread that has expired, as a redacted event: some of its thread lives, and clients have no thread
/// without a root. Nothing when the viewer may see none of it.
///
/// It has the time of the oldest event of the thread; its redaction is nobody's and has an id that no event has.
#[must_use]
pub fn show_expired_root(
    view: &View,
    id: &EventId,
    viewer: &Viewer<'_>,
    now: Timestamp,
    shape: Shape,
) -> Option<Box<RawValue>> {
    let key = EventKey::of(id)?;
    let root = view.expired_root(key)?;
    let family = Family::of(view, key, viewer.user);
    let (thread, latest) = threaded(view, &root.sender, &family, viewer, now)?;
    let ts = family.0.first()?.entry.ts;
    let id = key.id();
    let because = EventKey::derived("lethe/v1/expired", &id).id();
    let face = Face {
        id: &id,
        room_id: &view.id,
        kind: &root.kind,
        sender: &root.sender,
        state_key: None,
        ts,
        redacts: None,
        content: "{}",
    };
    let redaction = Face { id: &because, kind: "m.room.redaction", redacts: Some(&id), ..face };
    let bundle = relations::bundle(None, Some((&thread, &*latest)), &[]);
    let unsigned = Unsigned { redacted_because: Some(redaction), relations: bundle.as_deref(), ..Unsigned::default() };
    Some(to_client(face, shape, &unsigned))
}

/// `m.relations` of an entry others relate to; nothing when none of the relations is one that is bundled. Of what was
/// redacted only the thread is left.
fn bundled(view: &View, root: &Entry, viewer: &Viewer<'_>, now: Timestamp) -> Option<String> {
    let family = Family::of(view, root.key(), viewer.user);
    if family.is_empty() {
        return None;
    }
    let thread = threaded(view, root.sender(), &family, viewer, now);
    let thread = thread.as_ref().map(|(thread, latest)| (thread, &**latest));
    if root.redacted_by().is_some() {
        return relations::bundle(None, thread, &[]);
    }
    let edit = family.edit(root).and_then(|edit| with_bundle(view, edit, viewer, now, Shape::Full, None));
    let references: Vec<&EventId> = relations::references(family.entries()).collect();
    relations::bundle(edit.as_deref(), thread, &references)
}

/// The thread under a root that `sender` sent, with its latest event.
fn threaded<'a>(
    view: &View,
    sender: &UserId,
    family: &'a Family<'_>,
    viewer: &Viewer<'_>,
    now: Timestamp,
) -> Option<(relations::Thread<'a>, Box<RawValue>)> {
    let shown = |entry: &Entry, bundle: Option<&str>| with_bundle(view, entry, viewer, now, Shape::Full, bundle);
    let thread = relations::thread(sender, viewer.user, family.entries())?;
    let latest = view.entry(thread.latest)?;
    let edit = Family::of(view, latest.key(), viewer.user).edit(latest).and_then(|edit| shown(edit, None));
    let bundle = relations::bundle(edit.as_deref(), None, &[]);
    Some((thread, shown(latest, bundle.as_deref())?))
}

/// The events that relate to one event and that the viewer may see.
struct Family<'a>(Vec<Child<'a>>);

struct Child<'a> {
    entry: &'a Entry,
    id: OwnedEventId,
    rel_type: &'a str,
}

impl<'a> Family<'a> {
    fn of(view: &'a View, root: EventKey, user: &UserId) -> Self {
        let mut sight = None;
        let seen = view.children(root).filter_map(|entry| {
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

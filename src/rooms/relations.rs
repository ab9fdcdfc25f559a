//! Aggregation of relations over a room's index (spec: client-server API, aggregations of child events).
//!
//! Bundled are `m.replace`, `m.thread` and `m.reference`; annotations are not (spec: server-side aggregation of annotations).

use ruma::{EventId, UserId};
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// What an index knows of an event that relates to another. Redacted events relate to nothing and are not given.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The event's id.
    pub id: &'a EventId,
    /// Its timestamp.
    pub ts: Timestamp,
    /// Who sent it.
    pub sender: &'a UserId,
    /// Its type.
    pub kind: &'a str,
    /// Whether it is a state event.
    pub is_state: bool,
    /// Its `rel_type`.
    pub rel_type: &'a str,
}

/// The event others relate to, as far as the rules ask about it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Who sent it.
    pub sender: &'a UserId,
    /// Its type.
    pub kind: &'a str,
    /// Whether it is a state event.
    pub is_state: bool,
    /// Whether it is itself an edit.
    pub is_edit: bool,
}

/// A thread seen from its root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Thread<'a> {
    /// How many events it has beside its root.
    pub count: usize,
    /// The newest of them by timeline.
    pub latest: &'a EventId,
    /// Whether the viewer sent one of them or the root.
    pub participated: bool,
}

/// The newest valid edit of `target`: by timestamp, then by the greater event id (spec: event replacements).
///
/// Valid is an edit by the same sender and of the same type, of an event that is neither state nor an edit itself. That it
/// has an `m.new_content` is asked of the event when it is shown, unless it is encrypted.
#[must_use]
pub fn latest_edit<'a>(target: Target<'_>, children: impl IntoIterator<Item = Entry<'a>>) -> Option<Entry<'a>> {
    if target.is_state || target.is_edit {
        return None;
    }
    let edits = children.into_iter().filter(|child| {
        child.rel_type == "m.replace" && child.sender == target.sender && child.kind == target.kind && !child.is_state
    });
    edits.max_by_key(|edit| (edit.ts, edit.id))
}

/// The thread under a root sent by `root_sender`, its children given in timeline order; none when it has no event.
#[must_use]
pub fn thread<'a>(
    root_sender: &UserId,
    viewer: &UserId,
    children: impl IntoIterator<Item = Entry<'a>>,
) -> Option<Thread<'a>> {
    let mut found: Option<Thread<'a>> = None;
    for child in children.into_iter().filter(|child| child.rel_type == "m.thread") {
        let thread = found.get_or_insert(Thread { count: 0, latest: child.id, participated: root_sender == viewer });
        thread.count += 1;
        thread.latest = child.id;
        thread.participated |= child.sender == viewer;
    }
    found
}

/// The ids of the events that refer to an event by `m.reference`, in the order given.
pub fn references<'a>(children: impl IntoIterator<Item = Entry<'a>>) -> impl Iterator<Item = &'a EventId> {
    children.into_iter().filter(|child| child.rel_type == "m.reference").map(|child| child.id)
}

/// The value of `m.relations`: what [`Unsigned::relations`](crate::event::Unsigned) takes.
///
/// `edit` and the event in `thread` are client forms of the whole events.
#[must_use]
pub fn bundle(
    edit: Option<&RawValue>,
    thread: Option<(&Thread<'_>, &RawValue)>,
    references: &[&EventId],
) -> Option<String> {
    let mut parts = Vec::new();
    if !references.is_empty() {
        let ids: Vec<String> = references.iter().map(|id| format!("{{\"event_id\":{}}}", quoted(id))).collect();
        parts.push(format!("\"m.reference\":{{\"chunk\":[{}]}}", ids.join(",")));
    }
    if let Some(edit) = edit {
        parts.push(format!("\"m.replace\":{}", edit.get()));
    }
    if let Some((thread, latest)) = thread {
        let Thread { count, participated, .. } = thread;
        let latest = latest.get();
        parts.push(format!(
            "\"m.thread\":{{\"count\":{count},\"current_user_participated\":{participated},\"latest_event\":{latest}}}"
        ));
    }
    (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(",")))
}

fn quoted(id: &EventId) -> String {
    serde_json::to_string(id).expect("an id is a string")
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, user_id};

    use super::*;

    fn entry<'a>(id: &'a EventId, ts: u64, sender: &'a UserId, rel_type: &'a str) -> Entry<'a> {
        Entry { id, ts: Timestamp(ts), sender, kind: "m.room.message", is_state: false, rel_type }
    }

    fn target() -> Target<'static> {
        Target { sender: user_id!("@al:ex.org"), kind: "m.room.message", is_state: false, is_edit: false }
    }

    #[test]
    fn the_newest_edit_wins_and_a_tie_goes_to_the_greater_id() {
        let al = user_id!("@al:ex.org");
        let edits = [
            entry(event_id!("$c"), 4, al, "m.replace"),
            entry(event_id!("$b"), 5, al, "m.replace"),
            entry(event_id!("$a"), 5, al, "m.replace"),
        ];
        assert!(latest_edit(target(), edits).unwrap().id == event_id!("$b"));
        assert!(latest_edit(target(), edits.into_iter().rev()).unwrap().id == event_id!("$b"));
    }

    #[test]
    fn nobody_edits_for_another_nor_edits_an_edit_nor_state() {
        let al = user_id!("@al:ex.org");
        let own = entry(event_id!("$a"), 1, al, "m.replace");
        let foreign = entry(event_id!("$b"), 9, user_id!("@bo:ex.org"), "m.replace");
        let other_kind = Entry { kind: "m.sticker", ..entry(event_id!("$c"), 9, al, "m.replace") };
        assert!(latest_edit(target(), [foreign, other_kind]).is_none());
        assert!(latest_edit(Target { is_edit: true, ..target() }, [own]).is_none());
        assert!(latest_edit(Target { is_state: true, ..target() }, [own]).is_none());
        assert!(latest_edit(target(), [own, foreign]).unwrap().id == own.id);
    }

    #[test]
    fn a_thread_counts_its_events_and_knows_who_took_part() {
        let (al, bo, cy) = (user_id!("@al:ex.org"), user_id!("@bo:ex.org"), user_id!("@cy:ex.org"));
        let children = [
            entry(event_id!("$1"), 9, bo, "m.thread"),
            entry(event_id!("$2"), 9, al, "m.replace"),
            entry(event_id!("$3"), 3, bo, "m.thread"),
        ];
        let seen = thread(al, bo, children).unwrap();
        assert!(seen.count == 2 && seen.latest == event_id!("$3") && seen.participated);
        assert!(thread(al, al, children).unwrap().participated);
        assert!(!thread(al, cy, children).unwrap().participated);
        assert!(thread(al, cy, []).is_none());
    }

    #[test]
    fn a_bundle_is_json() {
        let raw = RawValue::from_string("{\"type\":\"m.room.message\"}".to_owned()).unwrap();
        let seen = Thread { count: 2, latest: event_id!("$3"), participated: true };
        let text = bundle(Some(&raw), Some((&seen, &raw)), &[event_id!("$r")]).unwrap();
        assert_eq!(
            text,
            r#"{"m.reference":{"chunk":[{"event_id":"$r"}]},"m.replace":{"type":"m.room.message"},"m.thread":{"count":2,"current_user_participated":true,"latest_event":{"type":"m.room.message"}}}"#
        );
        assert!(bundle(None, None, &[]).is_none());
    }
}

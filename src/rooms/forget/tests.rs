//! A view that has forgotten is as if only the rest had ever been read.

use std::collections::BTreeSet;

use proptest::prelude::*;
use ruma::{OwnedEventId, RoomVersionId, UserId, server_name};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::{Digest, Draft, Event, EventKey, build::content_from, rules_of},
    rooms::{
        Entry,
        core::testing::{AL, TestRoom},
        ledger::RoomLedger,
        room::before,
        roots::{Root, root_key},
        show::as_it_stands,
        term::Term,
        view::Newest,
    },
};

/// What happens next, to the event that `of` chooses.
#[derive(Debug, Clone)]
enum Act {
    Say,
    Reply { of: usize },
    React { of: usize },
    Edit { of: usize },
    Redact { of: usize },
    Topic,
    Rename,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => Just(Act::Say),
        3 => any::<usize>().prop_map(|of| Act::Reply { of }),
        2 => any::<usize>().prop_map(|of| Act::React { of }),
        2 => any::<usize>().prop_map(|of| Act::Edit { of }),
        3 => any::<usize>().prop_map(|of| Act::Redact { of }),
        2 => Just(Act::Topic),
        1 => Just(Act::Rename),
    ];
    prop::collection::vec(act, 0..60)
}

struct Told {
    room: TestRoom,
    events: Vec<Arc<Event>>,
}

impl Told {
    fn of(acts: &[Act]) -> Self {
        let mut room = TestRoom::empty(&RoomVersionId::V11);
        let mut told = Vec::new();
        let mut note =
            |room: &mut TestRoom, kind: &str, key: Option<&str>, content: Value, redacts: Option<OwnedEventId>| {
                let sender = <&UserId>::try_from(AL).unwrap();
                let content = content_from(&content.to_string()).unwrap();
                let draft = match key {
                    Some(key) => Draft::state(&room.id.clone(), sender, kind, key, content),
                    None => Draft::message(&room.id.clone(), sender, kind, content),
                };
                told.push(room.send(Draft { redacts, ..draft }).unwrap().0);
            };
        let member = |name: &str| json!({"membership": "join", "displayname": name});
        note(&mut room, "m.room.create", Some(""), json!({"room_version": "11"}), None);
        note(&mut room, "m.room.member", Some(AL), member("al"), None);
        let levels = json!({"users": {AL: 100}, "state_default": 50});
        note(&mut room, "m.room.power_levels", Some(""), levels, None);
        note(&mut room, "m.room.join_rules", Some(""), json!({"join_rule": "public"}), None);
        for (number, act) in acts.iter().enumerate() {
            let known: Vec<OwnedEventId> = room.events.keys().cloned().collect();
            let pick = |of: usize| known[of % known.len()].clone();
            let relates = |rel_type: &str, of: usize| {
                json!({"msgtype": "m.text", "body": number.to_string(), "m.new_content": {},
                    "m.relates_to": {"rel_type": rel_type, "event_id": pick(of), "key": "x"}})
            };
            match act {
                Act::Say => note(&mut room, "m.room.message", None, json!({"msgtype": "m.text", "body": "b"}), None),
                Act::Reply { of } => note(&mut room, "m.room.message", None, relates("m.thread", *of), None),
                Act::React { of } => note(&mut room, "m.reaction", None, relates("m.annotation", *of), None),
                Act::Edit { of } => note(&mut room, "m.room.message", None, relates("m.replace", *of), None),
                Act::Topic => note(&mut room, "m.room.topic", Some(""), json!({"topic": number.to_string()}), None),
                Act::Rename => note(&mut room, "m.room.member", Some(AL), member(&number.to_string()), None),
                Act::Redact { of } => {
                    // Without its create event and its power levels there is no room.
                    let target = pick(*of);
                    let kept = ["m.room.create", "m.room.power_levels", "m.room.join_rules"];
                    if !kept.contains(&room.events[&target].kind()) {
                        note(&mut room, "m.room.redaction", None, json!({}), Some(target));
                    }
                }
            }
        }
        Self { room, events: told }
    }

    fn ledger(&self) -> RoomLedger {
        let rules = rules_of(&RoomVersionId::V11).unwrap();
        RoomLedger::empty(server_name!("ex.org").to_owned(), self.room.id.clone(), RoomVersionId::V11, rules)
    }

    /// What the row of an event says of the root of its thread.
    fn said_of_root(&self, event: &Arc<Event>) -> Option<(EventKey, Root)> {
        let key = root_key(Digest::of(event).unwrap().0.relation.as_ref())?;
        let root = &self.room.events[&key.id()];
        Some((key, Root { sender: root.sender().to_owned(), kind: root.kind().into() }))
    }

    /// The view of someone who was there from the first.
    fn live(&self) -> (View, Vec<Option<Arc<Event>>>) {
        let mut view = View::empty(&self.ledger(), None, Term::unbounded());
        let mut replaced = Vec::new();
        for (index, event) in self.events.iter().enumerate() {
            let current = event.state_key().and_then(|key| view.state.find(event.kind(), key)).cloned();
            replaced.push(current);
            push(&mut view, index, event, replaced[index].clone());
        }
        (view, replaced)
    }
}

fn push(view: &mut View, index: usize, event: &Arc<Event>, replaces: Option<Arc<Event>>) {
    let (digest, _) = Digest::of(event).unwrap();
    view.push(Newest { position: place(index), digest, replaces, body: None });
}

/// Seven events lie in each window.
fn place(index: usize) -> Position {
    Position::new(u32::try_from(index / 7).unwrap() + 1, (index % 7) as u64)
}

/// What can be asked of a view without reading bodies.
fn answers(view: &View, ids: &[OwnedEventId]) -> Vec<String> {
    let line = |entry: &Entry| {
        let relation = entry.relation().and_then(|relation| relation.event_id.clone());
        let replaces = entry.replaces().map(|event| as_it_stands(view, event).json());
        let place = (entry.position, entry.id(), entry.kind().to_owned(), entry.ts.0);
        format!(
            "{:?} {relation:?} {:?} {:?} {replaces:?}",
            (place.0.0, place.1, place.2, place.3),
            entry.redacted_by().map(|by| by.0),
            entry.state().map(|event| event.json())
        )
    };
    let mut answers: Vec<String> = view.timeline.iter().map(line).collect();
    for (index, id) in ids.iter().enumerate() {
        let key = EventKey::of(id).unwrap();
        let children: Vec<String> = view.children(key).map(line).collect();
        let thread = Some(ids[1].as_str());
        let served = [None, Some("main"), thread]
            .map(|thread| (view.served(id, place(index), thread), view.served_at(id, place(index), thread)));
        answers.push(format!("{:?} {children:?} {} {served:?}", view.entry(id).map(line), view.has_children(id)));
        answers.push(format!("{} {}", view.index_of(place(index)), view.index_after(place(index))));
    }
    let parents: BTreeSet<OwnedEventId> = view.parents().map(|(key, _)| key.id()).collect();
    answers.push(format!("{parents:?} {} {} {}", view.start().0, view.end().0, view.timeline.len()));
    for index in 0..=view.timeline.len() {
        let state = view.state_before(index);
        let state: Vec<String> = state.iter().map(|event| as_it_stands(view, event).json()).collect();
        answers.push(format!("{state:?}"));
    }
    answers
}

proptest! {
    #[test]
    fn to_forget_a_beginning_is_to_have_read_the_rest(acts in acts(), first in 0..70_usize, second in 0..70_usize) {
        let told = Told::of(&acts);
        let ids: Vec<OwnedEventId> = told.events.iter().map(|event| event.id().to_owned()).collect();
        let (mut live, replaced) = told.live();
        let whole = live.clone();
        let before_all = answers(&whole, &ids);
        let end = live.end();
        live.forget(first);
        live.forget(second);
        let gone = told.events.len() - live.timeline.len();
        prop_assert_eq!(gone, (first + second).min(told.events.len()));
        prop_assert!(live.end() == end, "nobody has to be told that something has expired");

        let rest = || told.events.iter().zip(&replaced).enumerate().skip(gone);
        let rows: Vec<_> = rest().map(|(index, (event, replaced))| (place(index), Digest::of(event).unwrap().0, replaced.clone())).collect();
        let mut read = View::empty(&told.ledger(), None, Term::unbounded());
        read.low = live.low;
        read.state = Arc::new(before(&whole.state, &rows));
        for (index, (event, replaced)) in rest() {
            push(&mut read, index, event, replaced.clone());
        }
        read.keep_roots(rest().filter_map(|(_, (event, _))| told.said_of_root(event)));
        prop_assert_eq!(answers(&live, &ids), answers(&read, &ids));
        prop_assert_eq!(before_all, answers(&whole, &ids), "a view from before stays as it is");

        // Both go on.
        for event in told.events.iter().take(3) {
            let (digest, _) = Digest::of(event).unwrap();
            if digest.state.is_none() {
                let position = Position(live.end().0 + (1 << 32));
                for view in [&mut live, &mut read] {
                    view.push(Newest { position, digest: Digest::of(event).unwrap().0, replaces: None, body: None });
                }
            }
        }
        prop_assert_eq!(answers(&live, &ids), answers(&read, &ids));
    }

    #[test]
    fn a_place_that_is_known_stays_known(acts in acts(), count in 0..70_usize) {
        let told = Told::of(&acts);
        let (mut live, _) = told.live();
        let known: Vec<Position> = (0..told.events.len()).map(place).collect();
        live.forget(count.min(told.events.len()));
        for (index, position) in known.iter().enumerate() {
            prop_assert_eq!(live.forgot_behind(*position), index + 1 < count.min(told.events.len()));
        }
    }
}

/// A view of windows, given by the times of their events and how long those live, zero for ever.
fn aged(windows: &[(&[u64], u64)]) -> View {
    let told = Told::of(&[]);
    let mut view = View::empty(&told.ledger(), None, Term::unbounded());
    for (serial, (times, _)) in windows.iter().enumerate() {
        for (index, ts) in times.iter().enumerate() {
            let (digest, _) = Digest::of(&told.events[1]).unwrap();
            let digest = Digest { ts: Timestamp(*ts), ..digest };
            let position = Position::new(u32::try_from(serial).unwrap() + 1, index as u64);
            view.push(Newest { position, digest, replaces: None, body: None });
        }
    }
    view
}

fn expired(windows: &[(&[u64], u64)], now: u64) -> usize {
    let lifetime = |position: Position| {
        let (_, lifetime) = windows[usize::try_from(position.0 >> 32).unwrap() - 1];
        (lifetime > 0).then(|| Duration::from_millis(lifetime))
    };
    aged(windows).expired(Timestamp(now), lifetime)
}

#[test]
fn what_is_older_than_its_lifetime_has_expired() {
    let windows: &[(&[u64], u64)] = &[(&[10, 20, 30], 100), (&[40, 50], 100)];
    let at = |now| expired(windows, now);
    assert_eq!([at(109), at(110), at(120), at(139), at(140), at(150), at(900)], [0, 1, 2, 3, 4, 5, 5]);
    assert_eq!(expired(&[(&[10, 20], 0)], u64::MAX), 0, "it lives for ever");
}

#[test]
fn what_stands_before_something_that_has_expired_goes_with_it() {
    // The lifetime was made shorter and longer again: the middle dies first.
    let windows: &[(&[u64], u64)] = &[(&[10, 20], 1000), (&[30, 40], 10), (&[50], 1000)];
    assert_eq!([expired(windows, 39), expired(windows, 40), expired(windows, 50)], [0, 3, 4]);
    assert_eq!([expired(windows, 1049), expired(windows, 1050)], [4, 5]);
}

#[test]
fn one_event_that_claims_another_time_takes_nothing_along() {
    // In the middle of a window: neither what is before it nor what follows it goes.
    assert_eq!(expired(&[(&[100, 1, 120], 50)], 149), 0);
    // From the future: it keeps what follows in its window for as long as nothing later has expired.
    let windows: &[(&[u64], u64)] = &[(&[9000, 110], 50), (&[200, 210], 50)];
    assert_eq!([expired(windows, 160), expired(windows, 249), expired(windows, 250)], [0, 0, 3]);
}

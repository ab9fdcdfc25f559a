//! One room's part of an answer: what is new since it was last told on this connection.

use std::{collections::BTreeSet, sync::Arc};

use imbl::OrdSet;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, value::RawValue};

use super::{
    connection::Sent,
    list::Candidate,
    request::Wanted,
    required::collect,
    response::{Hero, Named, RoomAnswer},
};
use crate::{
    accounts::vault::Fact,
    clock::Timestamp,
    event::{Event, Shape},
    journal::Position,
    rooms::{
        Entry, Rooms, View,
        core::StateMap,
        show::{Sight, Viewer, show, show_state},
        summary::summary,
    },
};

const MEMBER: &str = "m.room.member";

/// Who is told, and when.
pub(super) struct Teller<'a> {
    /// Rooms.
    pub(super) rooms: &'a Rooms,
    /// The viewer.
    pub(super) viewer: Viewer<'a>,
    /// Now.
    pub(super) now: Timestamp,
    /// When the client was last told anything: what came later is live.
    pub(super) last: Option<Timestamp>,
    /// Whose messages are not shown.
    pub(super) ignored: &'a BTreeSet<OwnedUserId>,
    /// Which names the answer uses.
    pub(super) is_final: bool,
}

/// What of a timeline is told.
struct Stretch<'a> {
    entries: Vec<&'a Entry>,
    limited: bool,
    expanded: bool,
    live: usize,
}

impl Teller<'_> {
    /// What there is to say of a room, and what will have been said; nothing when nothing changed.
    pub(super) fn room(
        &self,
        candidate: &Candidate<'_>,
        wanted: &Wanted,
        sent: Option<&Sent>,
        is_dm: bool,
        unread: (u64, u64),
    ) -> Option<(RoomAnswer, Sent)> {
        match (candidate.fact, candidate.view()) {
            (Fact::Joined, Some(view)) => self.joined(candidate, view, wanted, sent, is_dm, unread),
            (Fact::Invited(stripped), _) => self.outside(candidate, stripped, "invite", sent, is_dm),
            (Fact::Knocked(stripped), _) => self.outside(candidate, stripped, "knock", sent, is_dm),
            (Fact::Left(event), _) => self.left(candidate, event, sent),
            (Fact::Joined, None) => None,
        }
    }

    fn joined(
        &self,
        candidate: &Candidate<'_>,
        view: &View,
        wanted: &Wanted,
        sent: Option<&Sent>,
        is_dm: bool,
        unread: (u64, u64),
    ) -> Option<(RoomAnswer, Sent)> {
        let sent = sent.filter(|sent| sent.fact == Fact::Joined);
        let unmoved = sent.is_some_and(|sent| {
            sent.until == view.end()
                && wanted.limit <= sent.limit
                && wanted.rules == sent.rules
                && (sent.is_dm, sent.unread) == (is_dm, unread)
        });
        if unmoved {
            return None;
        }
        let stretch = self.stretch(view, sent, wanted.limit);
        let (state, members) = self.state(view, wanted, sent, &stretch);
        let moved = sent.is_none_or(|sent| sent.until != view.end());
        let nothing = !moved
            && stretch.entries.is_empty()
            && state.is_empty()
            && sent.is_some_and(|sent| (sent.is_dm, sent.unread) == (is_dm, unread));
        let mut answer = RoomAnswer {
            initial: sent.is_none(),
            required_state: state,
            limited: stretch.limited,
            num_live: Some(stretch.live),
            notification_count: Some(unread.0),
            highlight_count: Some(unread.1),
            membership: Some("join"),
            is_dm: changed(sent.map(|sent| &sent.is_dm), &is_dm).filter(|is_dm| *is_dm || sent.is_some()),
            bump_stamp: changed(sent.map(|sent| &sent.stamp), &candidate.stamp),
            ..RoomAnswer::default()
        };
        let told = self.about(&mut answer, view, sent, moved);
        let first = stretch.entries.first().map(|entry| entry.position);
        if let Some(first) = first.or_else(|| stretch.limited.then_some(view.low)) {
            answer.prev_batch = Some(self.rooms.page_token(candidate.id, first));
        }
        let timeline =
            stretch.entries.iter().filter_map(|entry| show(view, entry, &self.viewer, self.now, Shape::Sync));
        answer.named = self.named(timeline.collect(), None);
        answer.named.expanded = stretch.expanded;

        let gap = sent.is_none() || stretch.expanded || stretch.limited;
        let sent = Sent {
            fact: Fact::Joined,
            until: view.end(),
            from: match sent {
                Some(sent) if !gap => sent.from,
                _ => first.unwrap_or(Position(view.end().0.saturating_add(1))),
            },
            limit: match sent {
                Some(sent) if !gap => sent.limit.max(wanted.limit),
                _ => wanted.limit,
            },
            state: view.state.clone(),
            rules: wanted.rules.clone(),
            members,
            is_dm,
            unread,
            members_count: told,
            stamp: candidate.stamp,
        };
        // Asking for what has been told already changes what is remembered, and says nothing.
        Some((if nothing { RoomAnswer::silent() } else { answer }, sent))
    }

    /// The events to tell: what is new, or the latest `limit` when some of them were never told.
    fn stretch<'a>(&self, view: &'a View, sent: Option<&Sent>, limit: usize) -> Stretch<'a> {
        let sight = Sight::of(view, self.viewer.user);
        let new_from = sent.map_or(0, |sent| view.index_after(sent.until));
        let widens = sent.is_none_or(|sent| limit > sent.limit);
        let mut latest = Vec::new();
        // Events the client was not told of may have expired meanwhile.
        let hole = sent.is_some_and(|sent| view.forgot_behind(sent.until));
        let (mut more, mut more_new) = (false, hole);
        for (index, entry) in view.timeline.iter().enumerate().rev() {
            if !widens && index < new_from {
                break;
            }
            let hushed = !entry.is_state() && self.ignored.contains(entry.sender());
            if hushed || !sight.allows(index, entry) {
                continue;
            }
            if latest.len() == limit {
                (more, more_new) = (true, hole || index >= new_from);
                break;
            }
            latest.push((index, entry));
        }
        latest.reverse();
        let expanded = sent.is_some_and(|sent| latest.first().is_some_and(|(_, entry)| entry.position < sent.from));
        if sent.is_some() && !expanded {
            latest.retain(|(index, _)| *index >= new_from);
            more = more_new;
        }
        let live = latest.iter().filter(|(index, entry)| match sent {
            Some(_) => *index >= new_from,
            None => self.last.is_some_and(|last| view.arrived(entry) > last),
        });
        let live = live.count();
        let entries = latest.into_iter().map(|(_, entry)| entry).collect();
        Stretch { entries, limited: more, expanded: expanded && sent.is_some(), live }
    }

    /// The state to tell, and the members that will have been told because the timeline needs them.
    fn state(
        &self,
        view: &View,
        wanted: &Wanted,
        sent: Option<&Sent>,
        stretch: &Stretch<'_>,
    ) -> (Vec<Box<RawValue>>, OrdSet<OwnedUserId>) {
        let me = self.viewer.user;
        let mut events = collect(&wanted.rules, &view.state, me);
        if let Some(sent) = sent {
            let asked = |kind: &str, key: &str| sent.rules.iter().any(|rule| rule.matches(kind, key, me));
            events.retain(|(kind, key), event| differs(&sent.state, event) || !asked(kind, key));
        }
        let mut members = sent.map(|sent| sent.members.clone()).unwrap_or_default();
        if wanted.rules.iter().any(|rule| rule.lazy) {
            let mut needed: BTreeSet<&UserId> = BTreeSet::new();
            for entry in &stretch.entries {
                needed.insert(entry.sender());
                needed.extend(entry.state().and_then(|event| target(event)));
            }
            if let Some(sent) = sent.filter(|_| !stretch.limited) {
                let new = view.timeline.iter().skip(view.index_after(sent.until));
                needed.extend(new.filter_map(|entry| target(entry.state()?)));
            }
            for user in members.iter().map(|user| &**user).chain(needed.iter().copied()) {
                let Some(event) = view.state.member(user) else { continue };
                let known = members.contains(user) && sent.is_some_and(|sent| !differs(&sent.state, event));
                if !known {
                    events.insert((MEMBER, event.state_key().unwrap_or_default()), event);
                }
            }
            members.extend(needed.into_iter().map(ToOwned::to_owned));
        }
        let shown = events.into_values().map(|event| show_state(view, event, &self.viewer, self.now, Shape::Sync));
        (shown.collect(), members)
    }

    /// Name, avatar, heroes, counts: what changed of them; the counts.
    fn about(&self, answer: &mut RoomAnswer, view: &View, sent: Option<&Sent>, moved: bool) -> (u64, u64) {
        let before = sent.map(|sent| (sent.state.name(), sent.state.avatar()));
        let (name, avatar) = (view.state.name(), view.state.avatar());
        let unnamed = name.is_none() || avatar.is_none();
        let told = |before: Option<&Option<String>>, now: &Option<String>| match before {
            None => now.clone().map(Value::from),
            Some(before) => (before != now).then(|| Value::from(now.clone())),
        };
        answer.name = told(before.as_ref().map(|(name, _)| name), &name);
        answer.avatar = told(before.as_ref().map(|(_, avatar)| avatar), &avatar);
        let members_moved = sent.is_none_or(|sent| {
            let mut new = view.timeline.iter().skip(view.index_after(sent.until));
            moved && (view.forgot_behind(sent.until) || new.any(|entry| entry.kind() == MEMBER))
        });
        if let Some(sent) = sent.filter(|_| !members_moved && answer.name.is_none() && answer.avatar.is_none()) {
            return sent.members_count;
        }
        let seen = summary(&view.state, self.viewer.user);
        let counts = (seen.joined, seen.invited);
        answer.joined_count = changed(sent.map(|sent| &sent.members_count.0), &counts.0);
        answer.invited_count = changed(sent.map(|sent| &sent.members_count.1), &counts.1);
        if unnamed {
            let hero = |user: OwnedUserId| {
                let member = view.state.member(&user);
                let text = |field| member.and_then(|event| event.content_str(field)).filter(|text| !text.is_empty());
                Hero { displayname: text("displayname"), avatar_url: text("avatar_url"), user_id: user }
            };
            answer.heroes = Some(seen.heroes.into_iter().map(hero).collect());
        }
        counts
    }

    /// A room the account is invited to or knocks at.
    fn outside(
        &self,
        candidate: &Candidate<'_>,
        stripped: &[Value],
        membership: &'static str,
        sent: Option<&Sent>,
        is_dm: bool,
    ) -> Option<(RoomAnswer, Sent)> {
        if sent.is_some_and(|sent| sent.fact == *candidate.fact) {
            return None;
        }
        let answer = RoomAnswer {
            initial: true,
            name: candidate.text("m.room.name", "name").map(Value::from),
            avatar: candidate.text("m.room.avatar", "url").map(Value::from),
            is_dm: is_dm.then_some(true),
            bump_stamp: Some(candidate.stamp),
            membership: Some(membership),
            named: self.named(Vec::new(), Some(stripped.to_vec())),
            ..RoomAnswer::default()
        };
        Some((answer, Sent { is_dm, stamp: candidate.stamp, ..Sent::nothing(candidate.fact.clone()) }))
    }

    /// A room the account is out of: what it could still see, and the event that ended it.
    fn left(&self, candidate: &Candidate<'_>, event: &Value, sent: Option<&Sent>) -> Option<(RoomAnswer, Sent)> {
        if sent.is_some_and(|sent| sent.fact == *candidate.fact) {
            return None;
        }
        let shown = serde_json::value::to_raw_value(event).ok()?;
        let mut timeline = Vec::new();
        let was_in = sent.filter(|sent| sent.fact == Fact::Joined);
        if let (Some(view), Some(sent)) = (candidate.view(), was_in) {
            let end = event["event_id"].as_str().and_then(|id| view.entry(id.try_into().ok()?));
            let sight = Sight::of(view, self.viewer.user);
            let missed = view.timeline.iter().enumerate().skip(view.index_after(sent.until));
            let missed = missed.take_while(|(_, entry)| end.is_some_and(|end| entry.position < end.position));
            let seen = missed.filter(|(index, entry)| sight.allows(*index, entry));
            let seen: Vec<_> = seen.map(|(_, entry)| entry).collect();
            let first = seen.len().saturating_sub(sent.limit.max(1) - 1);
            timeline.extend(
                seen[first..].iter().filter_map(|entry| show(view, entry, &self.viewer, self.now, Shape::Sync)),
            );
        }
        timeline.push(shown.clone());
        let membership = if event["content"]["membership"] == "ban" { "ban" } else { "leave" };
        let answer = RoomAnswer {
            initial: sent.is_none(),
            num_live: Some(timeline.len()),
            required_state: vec![shown],
            membership: Some(membership),
            named: self.named(timeline, None),
            ..RoomAnswer::default()
        };
        Some((answer, Sent::nothing(candidate.fact.clone())))
    }

    fn named(&self, timeline: Vec<Box<RawValue>>, stripped: Option<Vec<Value>>) -> Named {
        Named { is_final: self.is_final, timeline, expanded: false, stripped }
    }
}

impl Sent {
    /// A room of which nothing but this was told.
    #[must_use]
    pub(super) fn nothing(fact: Fact) -> Self {
        Self {
            fact,
            until: Position::START,
            from: Position::START,
            limit: 0,
            state: Arc::default(),
            rules: Vec::new(),
            members: OrdSet::new(),
            is_dm: false,
            unread: (0, 0),
            members_count: (0, 0),
            stamp: 0,
        }
    }
}

impl RoomAnswer {
    /// An answer that is not sent.
    fn silent() -> Self {
        Self::default()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub(super) fn is_silent(&self) -> bool {
        self.membership.is_none()
    }
}

/// `now`, when it is not what was told before.
fn changed<T: PartialEq + Copy>(before: Option<&T>, now: &T) -> Option<T> {
    (before != Some(now)).then_some(*now)
}

/// Whether an event is not the one in its place in `state`.
fn differs(state: &StateMap, event: &Event) -> bool {
    let state_key = event.state_key().unwrap_or_default();
    state.find(event.kind(), state_key).is_none_or(|before| before.id() != event.id())
}

/// Whom a member event is about.
fn target(event: &Event) -> Option<&UserId> {
    if event.kind() != MEMBER {
        return None;
    }
    event.state_key().and_then(|user| <&UserId>::try_from(user).ok())
}

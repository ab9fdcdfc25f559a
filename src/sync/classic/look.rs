//! One look at everything an account has: what its device has not been told yet, and the point it stands at afterwards.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, value::RawValue};

use super::{
    answer::{Answer, Events, Invited, Joined, Knocked, Left, StateAt, Summary, Timeline},
    devices::Neighbours,
    ephemeral,
    filter::Filter,
    point::{Point, RoomPoint, Told},
    timeline::{Stretch, Window},
};
use crate::{
    accounts::{
        Session,
        vault::{Fact, VaultLedger, is_deleted},
    },
    clock::Timestamp,
    house::HouseLedger,
    journal::Position,
    push::Counters,
    rooms::{
        Room, Rooms, View, farewell,
        show::{Sight, Viewer},
        summary::summary,
    },
    sync::{parts, presence::Presence},
};

/// To-device messages of one answer (spec: send-to-device messaging, "servers should limit").
const MOST_MESSAGES: usize = 100;

/// Where a look starts.
#[derive(Clone)]
pub(super) enum Since {
    /// The device knows nothing.
    Nothing,
    /// It knows what a point says.
    Point(Arc<Point>),
    /// It knows something nobody remembers: it is told everything, as a continuation.
    Forgotten,
}

/// What a look needs.
pub(super) struct Look<'a> {
    pub(super) rooms: &'a Rooms,
    pub(super) counters: &'a Counters,
    pub(super) presence: &'a Presence,
    pub(super) session: &'a Session,
    pub(super) filter: &'a Filter,
    pub(super) full_state: bool,
    /// Which state is wanted beside timelines.
    pub(super) state_at: StateAt,
    /// Whether to-device messages are taken.
    pub(super) takes_messages: bool,
    pub(super) now: Timestamp,
    pub(super) steady: Duration,
    pub(super) vault: Arc<VaultLedger>,
    pub(super) house: Arc<HouseLedger>,
    pub(super) ignored: BTreeSet<OwnedUserId>,
    pub(super) since: &'a Since,
}

/// What a look found.
pub(super) struct Seen {
    pub(super) answer: Answer,
    pub(super) point: Point,
    /// When the next claim to be typing ends by itself, in steady time.
    pub(super) next_end: Option<Duration>,
}

impl Look<'_> {
    /// Looks.
    pub(super) fn look(&self, before: &Point) -> Seen {
        let mut seen = Seen { answer: Answer::default(), point: before.clone(), next_end: None };
        let mut near = Neighbours::default();
        for (id, entry) in &self.vault.rooms {
            if !self.filter.wants(id) {
                continue;
            }
            let known = before.rooms.get(id);
            match &entry.fact {
                Fact::Joined => self.joined(id, known, &mut seen, &mut near),
                Fact::Invited(stripped) => self.invited(id, stripped, known, &mut seen),
                Fact::Knocked(stripped) => Self::knocked(id, stripped, known, &mut seen),
                Fact::Left(event) => self.left(id, event, known, &mut seen, &mut near),
            }
        }
        for (id, _) in before.rooms.iter().filter(|(id, _)| !self.vault.rooms.contains_key(*id)) {
            self.vanished(id, before, &mut seen);
        }
        if self.vault.count != before.vault || self.initial() || self.forgotten() {
            seen.answer.account_data.events = self.account_data(before.vault);
        }
        self.presence(&near, &mut seen);
        if self.takes_messages {
            self.to_device(&mut seen);
        }
        seen.answer.device_lists = self.device_lists(before, &near);
        self.key_counts(&mut seen);
        seen.point.vault = self.vault.count;
        seen.point.devices = self.house.stamp;
        seen
    }

    /// Whether the device knows nothing.
    pub(super) fn initial(&self) -> bool {
        matches!(self.since, Since::Nothing)
    }

    fn forgotten(&self) -> bool {
        matches!(self.since, Since::Forgotten)
    }

    fn user(&self) -> &UserId {
        &self.session.account.user_id
    }

    fn window<'s>(&'s self, room: &'s Room, view: &'s View) -> Window<'s> {
        Window {
            rooms: self.rooms,
            room,
            view,
            filter: self.filter,
            viewer: Viewer { user: self.user(), device: Some(&self.session.device) },
            ignored: &self.ignored,
            now: self.now,
            after: self.state_at.is_end(),
        }
    }

    fn joined(&self, id: &OwnedRoomId, known: Option<&RoomPoint>, seen: &mut Seen, near: &mut Neighbours) {
        // A room that does not open yet is told of once it does.
        let Some(room) = self.rooms.find(id) else { return };
        let view = room.view();
        let (typing, typing_count) = room.typing.now(self.steady);
        if !typing.is_empty() {
            let end = room.typing.next_end();
            seen.next_end = [seen.next_end, end].into_iter().flatten().min();
        }
        let known = known.filter(|known| known.told == Told::Joined);
        let quiet = known.is_some_and(|known| {
            view.end() <= known.position
                && view.low == known.low
                && view.receipt_count == known.receipts
                && typing_count == known.typing
                && self.vault.count == seen.point.vault
        });
        if (quiet && !self.full_state) || !view.is_joined(self.user()) {
            return;
        }
        let fresh = known.is_none();
        let known = known.cloned().unwrap_or_else(|| RoomPoint::only(Told::Joined));
        let mut point = known.clone();
        let window = self.window(&room, &view);
        let end = view.end().max(known.position);
        let stretch = window.stretch(known.position, end, fresh, !self.initial());
        let mut news = Joined::default();
        let summarise = stretch.whole || stretch.renames() || self.full_state;
        let (summary, heroes) = if summarise { self.summary(&view) } else { (None, Vec::new()) };
        self.place(&window, stretch, &mut point, &heroes, &mut news, near);
        news.summary = summary;
        (point.position, point.low) = (end, view.low);

        let told = self.ephemeral(&room, &view, (&typing, typing_count), &known, &mut point, &mut news);
        let counts = self.counters.count(&self.session.account, &self.vault, &room, &view);
        let recounted = known.counts.as_ref() != Some(&counts);
        if self.filter.threads {
            news.unread_notifications = counts.main.into();
            // Clients take a room without the field to have nothing unread in any thread.
            let threads = counts.threads.iter().map(|(root, tally)| (root.clone(), (*tally).into()));
            news.unread_thread_notifications = (!counts.threads.is_empty()).then(|| threads.collect());
        } else {
            news.unread_notifications = counts.total().into();
        }
        point.counts = Some(counts);
        seen.point.rooms.insert(id.clone(), point);
        let has_state = news.state.as_ref().is_some_and(|state| !state.events().is_empty());
        let timeline = &news.timeline;
        if fresh || self.full_state || told || recounted || timeline.limited || !timeline.events.is_empty() || has_state
        {
            seen.answer.rooms.join.insert(id.clone(), news);
        }
    }

    /// Puts a stretch with its state into the news of a room.
    fn place(
        &self,
        window: &Window<'_>,
        mut stretch: Stretch,
        point: &mut RoomPoint,
        heroes: &[OwnedUserId],
        news: &mut Joined,
        near: &mut Neighbours,
    ) {
        if !self.initial() {
            let members = if stretch.whole { None } else { Some(stretch.members()) };
            match members {
                Some(members) => near.moved(self.user(), members),
                None => near.entered(&window.view.state),
            }
        }
        stretch.whole |= self.full_state;
        news.timeline = window.timeline(&stretch);
        news.state = Some(self.state_at.name(window.state(&stretch, heroes, &mut point.members)));
    }

    fn summary(&self, view: &View) -> (Option<Summary>, Vec<OwnedUserId>) {
        let summary = summary(&view.state, self.user());
        let heroes = if summary.named { Vec::new() } else { summary.heroes };
        let told = Summary {
            heroes: (!summary.named).then(|| heroes.clone()),
            joined: summary.joined,
            invited: summary.invited,
        };
        (Some(told), heroes)
    }

    /// Receipts, typing, account data. Whether there is anything to tell.
    fn ephemeral(
        &self,
        room: &Room,
        view: &View,
        (typing, typing_count): (&[OwnedUserId], u64),
        known: &RoomPoint,
        point: &mut RoomPoint,
        news: &mut Joined,
    ) -> bool {
        let marks = ephemeral::marks(&self.vault, room);
        let private = ephemeral::private_sum(&marks);
        let filter = &self.filter.ephemeral;
        let wants = |kind: &str| filter.wants(&room.id) && filter.wants_type(kind);
        if wants("m.receipt") {
            let wanted = ephemeral::Wanted {
                since: known.receipts,
                private: private != known.private,
                own: known.position < view.low && !view.timeline.is_empty(),
            };
            news.ephemeral.events.extend(ephemeral::receipts(view, self.user(), &self.vault, &wanted));
        }
        if wants("m.typing") && typing_count != known.typing {
            news.ephemeral.events.extend(ephemeral::typing(typing));
        }
        (point.receipts, point.typing, point.private) = (view.receipt_count, typing_count, private);
        let fully = ephemeral::fully_read(view, &marks, known.fully);
        news.account_data.events = self.room_data(&room.id, known);
        if let Some((event, position)) = fully {
            point.fully = position;
            if self.filter.room_data.wants(&room.id) && self.filter.room_data.wants_type("m.fully_read") {
                news.account_data.events.push(event);
            }
        }
        point.vault = self.vault.count;
        !news.ephemeral.events.is_empty() || !news.account_data.events.is_empty()
    }

    /// Account data of a room that changed since its device was told.
    fn room_data(&self, id: &RoomId, known: &RoomPoint) -> Vec<Box<RawValue>> {
        if !self.filter.room_data.wants(id) || known.vault == self.vault.count {
            return Vec::new();
        }
        let of_room = self.vault.room_data.range((id.to_owned(), String::new())..);
        let changed = of_room.take_while(|((room, _), _)| room == id).filter(|(_, data)| data.at > known.vault);
        let wanted = changed.filter(|((_, kind), _)| self.filter.room_data.wants_type(kind));
        let wanted = wanted.filter(|(_, data)| !self.initial() || !is_deleted(&data.value));
        wanted.filter_map(|((_, kind), data)| ephemeral::event(kind, &data.value)).collect()
    }

    fn account_data(&self, since: u64) -> Vec<Box<RawValue>> {
        let changed = self.vault.account_data.iter().filter(|(_, data)| data.at > since);
        let wanted = changed.filter(|(kind, _)| self.filter.account_data.wants_type(kind));
        let rules = crate::push::RULES;
        // Who knows nothing need not learn what is gone.
        let shown = wanted.filter(|(_, data)| !self.initial() || !is_deleted(&data.value));
        let own = shown.filter(|(kind, _)| *kind != rules);
        let mut events: Vec<_> = own.filter_map(|(kind, data)| ephemeral::event(kind, &data.value)).collect();
        // Clients rely on the rules being there, the predefined ones among them.
        let touched = self.vault.account_data.get(rules).is_some_and(|data| data.at > since);
        if (since == 0 || touched) && self.filter.account_data.wants_type(rules) {
            let global = crate::push::ruleset_of(&self.vault, self.user());
            events.extend(ephemeral::event(rules, &serde_json::json!({ "global": global })));
        }
        events
    }

    fn invited(&self, id: &OwnedRoomId, stripped: &[Value], known: Option<&RoomPoint>, seen: &mut Seen) {
        let told = Told::Invited(fingerprint(stripped));
        if known.is_some_and(|known| known.told == told) || !parts::shows_invitation(&self.vault, stripped, self.user())
        {
            return;
        }
        seen.point.rooms.insert(id.clone(), RoomPoint::only(told));
        seen.answer.rooms.invite.insert(id.clone(), Invited { invite_state: raw(stripped) });
    }

    fn knocked(id: &OwnedRoomId, stripped: &[Value], known: Option<&RoomPoint>, seen: &mut Seen) {
        let told = Told::Knocked(fingerprint(stripped));
        if known.is_some_and(|known| known.told == told) {
            return;
        }
        seen.point.rooms.insert(id.clone(), RoomPoint::only(told));
        seen.answer.rooms.knock.insert(id.clone(), Knocked { knock_state: raw(stripped) });
    }

    fn left(&self, id: &OwnedRoomId, event: &Value, known: Option<&RoomPoint>, seen: &mut Seen, near: &mut Neighbours) {
        let all = self.initial() || self.full_state;
        let told = known.is_some_and(|known| known.told == Told::Left);
        let is_news = !told && !self.initial();
        let wanted = is_news || (all && self.filter.include_leave);
        if !told {
            // Whoever reads on from the token does so from here.
            let position = self.rooms.find(id).map_or(Position::START, |room| room.view().end());
            seen.point.rooms.insert(id.clone(), RoomPoint { position, ..RoomPoint::only(Told::Left) });
            self.counters.forget(self.user(), id);
        }
        if !wanted {
            return;
        }
        let known = known.filter(|known| known.told == Told::Joined);
        let mut left = self.last_of(id, event, known, near).unwrap_or_else(|| {
            let events = serde_json::value::to_raw_value(event).into_iter().collect();
            let timeline = Timeline { events, limited: known.is_some(), prev_batch: None };
            let state = Some(self.state_at.name(Events::default()));
            Left { state, timeline, account_data: Events::default() }
        });
        if all {
            left.account_data.events = self.room_data(id, &RoomPoint::only(Told::Left));
        }
        seen.answer.rooms.leave.insert(id.clone(), left);
    }

    /// The last events of a membership, while the room is open for others.
    fn last_of(&self, id: &RoomId, event: &Value, known: Option<&RoomPoint>, near: &mut Neighbours) -> Option<Left> {
        let room = self.rooms.find(id)?;
        let view = room.view();
        let end = view.entry(event["event_id"].as_str()?.try_into().ok()?)?.position;
        let fresh = known.is_none();
        if fresh && !Sight::of(&view, self.user()).was_joined() {
            // Who refused an invitation saw nothing but the invitation.
            return None;
        }
        let mut point = known.cloned().unwrap_or_else(|| RoomPoint::only(Told::Left));
        if point.position >= end {
            return None;
        }
        let window = self.window(&room, &view);
        let stretch = window.stretch(point.position, end, fresh, !self.initial());
        let mut news = Joined::default();
        near.parted(&view.state);
        self.place(&window, stretch, &mut point, &[], &mut news, &mut Neighbours::default());
        let Joined { state, timeline, .. } = news;
        Some(Left { state, timeline, account_data: Events::default() })
    }

    /// A room the device knew and the account has nothing to do with any more: shredded, or left and forgotten.
    fn vanished(&self, id: &OwnedRoomId, before: &Point, seen: &mut Seen) {
        let told = before.rooms.get(id).is_some_and(|known| known.told != Told::Left);
        seen.point.rooms.remove(id);
        self.counters.forget(self.user(), id);
        if told && self.filter.wants(id) {
            let event = farewell(id, self.user(), self.now);
            let events = serde_json::value::to_raw_value(&event).into_iter().collect();
            let timeline = Timeline { events, ..Timeline::default() };
            seen.answer.rooms.leave.insert(id.clone(), Left { timeline, ..Left::default() });
        }
    }

    fn presence(&self, near: &Neighbours, seen: &mut Seen) {
        let since = (seen.point.presence, near.came());
        let (news, count) = self.presence.news(&self.vault, self.user(), since);
        seen.point.presence = count;
        let wanted = news.iter().filter(|(user, _)| self.filter.presence.wants_event("m.presence", user, || false));
        let events = wanted.filter_map(|(_, event)| serde_json::value::to_raw_value(event).ok());
        seen.answer.presence.events = events.collect();
    }

    fn to_device(&self, seen: &mut Seen) {
        let device = &self.session.device;
        let acknowledged = self.vault.devices.get(device).map_or(Position::START, |device| device.acknowledged);
        let after = seen.point.to_device.max(acknowledged);
        let messages = self.session.account.waiting(device, after, MOST_MESSAGES);
        if let Some((last, _)) = messages.last() {
            seen.point.to_device = *last;
        }
        seen.answer.to_device.events = messages.into_iter().map(|(_, message)| message).collect();
    }

    fn key_counts(&self, seen: &mut Seen) {
        let device = &self.session.device;
        let counts = parts::one_time_keys(&self.vault, device);
        let unused = parts::unused_fallback_keys(&self.house, self.user(), device);
        let keys = Arc::new((counts, unused));
        // A client that waits is told when its keys are used up.
        seen.answer.keys_changed = seen.point.keys.as_ref().is_some_and(|known| *known != keys);
        seen.answer.device_one_time_keys_count.clone_from(&keys.0);
        seen.answer.device_unused_fallback_key_types.clone_from(&keys.1);
        seen.point.keys = Some(keys);
    }
}

fn raw(values: &[Value]) -> Events {
    Events { events: values.iter().filter_map(|value| serde_json::value::to_raw_value(value).ok()).collect() }
}

/// Tells one invitation from the next within a process.
fn fingerprint(values: &[Value]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for value in values {
        value.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

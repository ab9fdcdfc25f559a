//! Searching ([spec](https://spec.matrix.org/latest/client-server-api/#server-side-search)).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    OwnedRoomId, OwnedUserId, UInt,
    api::client::search::search_events::v3::{
        Criteria, EventContext, EventContextResult, GroupingKey, OrderBy, Request, ResultCategories, ResultGroup,
        ResultGroupMap, ResultRoomEvents, SearchKeys, SearchResult, UserProfile,
    },
    events::room::member::MembershipState,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Value, value::to_raw_value};

use super::history::{Shower, event_filter};
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::RawJson},
    error::Error,
    journal::Position,
    rooms::{
        Entry, View,
        history::{Span, page_of},
    },
    search::{Found, Group, Hit, Keys, Query, Search, Terms},
};

/// Results of one page, when the client does not say.
const FEW: usize = 10;
/// The most results of one page: each may bring its surroundings along.
const MOST_RESULTS: usize = 100;
/// The most events of a result's surroundings, in each direction.
const MOST_AROUND: usize = 50;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(search)
}

/// `POST /_matrix/client/v3/search`
async fn search(services: Arc<Services>, request: Ruma<Request>) -> Result<RawJson, Error> {
    let mut categories = ResultCategories::new();
    let Some(criteria) = request.body.search_categories.room_events else { return told(&categories) };
    let (search, session) = (&services.engine.search, &request.session);
    let from = request.body.next_batch.as_deref().filter(|token| !token.is_empty());
    let from = from.map(|token| search.cursor(&session.user_id, token)).transpose()?;
    let around = asks_for_context(&request.raw).then(|| criteria.event_context.clone());
    let (keys, groups, state) = (keys(&criteria), groupings(&criteria), criteria.include_state == Some(true));
    let limit = criteria.filter.limit.map_or(FEW, bounded).clamp(1, MOST_RESULTS);
    let mut filter = criteria.filter;
    // The whole filter has to be of a bearable size; which rooms are looked into is decided before it is applied.
    event_filter(filter.clone())?;
    let (rooms, not_rooms) = (filter.rooms.take(), std::mem::take(&mut filter.not_rooms));
    let query = Query {
        terms: Terms::parse(&criteria.search_term),
        keys,
        // By default those that fit best come first.
        recent: matches!(criteria.order_by, Some(OrderBy::Recent)),
        rooms,
        not_rooms,
        filter: event_filter(filter)?,
        limit,
        from,
    };
    let mut results = ResultRoomEvents::new();
    if query.terms.is_empty() {
        results.count = Some(UInt::from(0_u32));
        categories.room_events = results;
        return told(&categories);
    }
    let found = search.search(session.account(), query).await?;
    let shown = Shown { services: &services, session };
    results.groups = groups.iter().map(|key| shown.group(search, &found, key)).collect();
    if state {
        results.state = shown.state(&found);
    }
    results.count = UInt::try_from(found.count).ok();
    results.next_batch = found.next.as_ref().map(|cursor| search.token(&session.user_id, cursor));
    results.results = found.hits.iter().map(|hit| shown.result(hit, around.as_ref())).collect();
    results.highlights = found.highlights.into_iter().collect();
    categories.room_events = results;
    told(&categories)
}

/// The answer. ruma's type leaves out a list of results that is empty, which clients look for.
fn told(categories: &ResultCategories) -> Result<RawJson, Error> {
    let text = if categories.room_events.results.is_empty() {
        let mut categories = serde_json::to_value(categories).map_err(|_| Error::internal())?;
        if let Some(events) = categories.get_mut("room_events").and_then(Value::as_object_mut) {
            events.insert("results".to_owned(), Value::Array(Vec::new()));
        }
        to_raw_value(&BTreeMap::from([("search_categories", categories)]))
    } else {
        to_raw_value(&BTreeMap::from([("search_categories", categories)]))
    };
    text.map(RawJson).map_err(|_| Error::internal())
}

/// Shows what was found to one session.
struct Shown<'a> {
    services: &'a Services,
    session: &'a Session,
}

impl Shown<'_> {
    fn result(&self, hit: &Hit, around: Option<&EventContext>) -> SearchResult {
        let shower = Shower::new(self.services, &hit.view, self.session);
        let mut result = SearchResult::new();
        result.rank = Some(f64::from(hit.score) / 1000.0);
        result.result = shower.entry(&hit.entry);
        if let Some(around) = around {
            result.context = self.context(hit, around, &shower);
        }
        result
    }

    fn context(&self, hit: &Hit, asked: &EventContext, shower: &Shower<'_>) -> EventContextResult {
        let (view, user) = (&hit.view, &self.session.user_id);
        let behind = Position(hit.entry.position.0.saturating_add(1));
        let read = |from: Position, backward: bool, limit: UInt| {
            let limit = bounded(limit).min(MOST_AROUND);
            let span = Span { from: Some(from), to: None, backward, limit };
            let none = (Vec::new(), Some(from));
            if limit == 0 { none } else { end_of(page_of(view, user, span, |_| true)) }
        };
        let (before, start) = read(hit.entry.position, true, asked.before_limit);
        let (after, end) = read(behind, false, asked.after_limit);
        let rooms = &self.services.engine.rooms;
        let token = |position| rooms.page_token(&hit.room.id, position);
        let mut context = EventContextResult::new();
        context.start = Some(token(start.unwrap_or_else(|| view.start())));
        context.end = Some(token(end.unwrap_or(behind)));
        if asked.include_profile {
            let shown = before.iter().chain(&after).chain([&hit.entry]);
            let senders: BTreeSet<OwnedUserId> = shown.map(|entry| entry.sender().to_owned()).collect();
            context.profile_info = profiles(&hit.entry, senders);
        }
        context.events_before = shower.entries(&before);
        context.events_after = shower.entries(&after);
        context
    }

    /// The state of each room as its reader may know it: of a room that was left, as it was then.
    fn state(&self, found: &Found) -> BTreeMap<OwnedRoomId, Vec<Raw<ruma::events::AnyStateEvent>>> {
        let mut states = BTreeMap::new();
        for hit in &found.hits {
            states.entry(hit.room.id.clone()).or_insert_with(|| {
                let shower = Shower::new(self.services, &hit.view, self.session);
                let parting = parting(&hit.view, &self.session.user_id);
                let state = parting.map_or(&hit.view.state, |entry| &entry.before);
                state.iter().map(|event| shower.state(event)).collect()
            });
        }
        states
    }

    fn group(&self, search: &Search, found: &Found, key: &GroupingKey) -> ResultGroupMap {
        let mut rooms: BTreeMap<OwnedRoomId, ResultGroup> = BTreeMap::new();
        let mut senders: BTreeMap<OwnedUserId, ResultGroup> = BTreeMap::new();
        for (order, hit) in found.hits.iter().enumerate() {
            let (room, sender) = (hit.room.id.clone(), hit.entry.sender().to_owned());
            let (group, entry) = match key {
                GroupingKey::Sender => (Group::Sender(sender.clone()), senders.entry(sender).or_default()),
                _ => (Group::Room(room.clone()), rooms.entry(room).or_default()),
            };
            entry.order.get_or_insert(UInt::try_from(order as u64 + 1).unwrap_or_default());
            entry.results.push(hit.entry.id());
            if found.next.is_some() {
                entry.next_batch = Some(search.token(&self.session.user_id, &hit.cursor(Some(group))));
            }
        }
        match key {
            GroupingKey::Sender => ResultGroupMap::Sender(senders),
            _ => ResultGroupMap::RoomId(rooms),
        }
    }
}

fn end_of(page: crate::rooms::history::Page) -> (Vec<Entry>, Option<Position>) {
    (page.chunk, page.end)
}

/// The names and avatars that users had when an event was sent.
fn profiles(entry: &Entry, users: BTreeSet<OwnedUserId>) -> BTreeMap<OwnedUserId, UserProfile> {
    let profile = |user: OwnedUserId| {
        let member = entry.before.member(&user)?;
        let mut profile = UserProfile::new();
        profile.displayname = member.content_str("displayname");
        profile.avatar_url = member.content_str("avatar_url").filter(|url| !url.is_empty()).map(Into::into);
        Some((user, profile))
    };
    users.into_iter().filter_map(profile).collect()
}

/// The event by which a user ended his membership; nothing while he is in the room.
fn parting<'a>(view: &'a View, user: &ruma::UserId) -> Option<&'a Entry> {
    if view.is_joined(user) {
        return None;
    }
    let ends = |entry: &&Entry| {
        let before = entry.replaces().and_then(|event| event.membership());
        entry.is("m.room.member", user.as_str()) && before == Some(MembershipState::Join)
    };
    view.timeline.iter().rev().find(ends)
}

fn keys(criteria: &Criteria) -> Keys {
    let asked = criteria.keys.as_deref().filter(|keys| !keys.is_empty());
    let wants = |key: &SearchKeys| asked.is_none_or(|keys| keys.contains(key));
    Keys {
        body: wants(&SearchKeys::ContentBody),
        name: wants(&SearchKeys::ContentName),
        topic: wants(&SearchKeys::ContentTopic),
    }
}

/// The ways of grouping asked for, each once; others than the specification's are passed over.
fn groupings(criteria: &Criteria) -> Vec<GroupingKey> {
    let asked = criteria.groupings.group_by.iter().filter_map(|group| group.key.as_ref());
    let known = [GroupingKey::RoomId, GroupingKey::Sender];
    let asked: Vec<_> = asked.collect();
    known.into_iter().filter(|key| asked.contains(&key)).collect()
}

/// Whether the client asks for the surroundings of results: ruma's type does not tell absence from the defaults.
fn asks_for_context(raw: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        search_categories: Categories,
    }
    #[derive(Deserialize)]
    struct Categories {
        room_events: Option<Events>,
    }
    #[derive(Deserialize)]
    struct Events {
        event_context: Option<serde::de::IgnoredAny>,
    }
    let body: Option<Body> = serde_json::from_slice(raw).ok();
    body.and_then(|body| body.search_categories.room_events).is_some_and(|events| events.event_context.is_some())
}

fn bounded(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)
}

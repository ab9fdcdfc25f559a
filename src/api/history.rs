//! Reading a room's timeline ([spec](https://spec.matrix.org/latest/client-server-api/#getting-events-for-a-room)).

use std::sync::Arc;

use ruma::{
    EventId, OwnedEventId, RoomId, UInt,
    api::{
        Direction,
        client::{
            context::get_context::v3 as context,
            filter::RoomEventFilter,
            message::get_message_events::v3 as messages,
            room::{get_event_by_timestamp::v1 as by_time, get_room_event::v3 as get_event},
        },
    },
    serde::Raw,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, page_request::PageRequest},
    clock::Timestamp,
    error::Error,
    event::{Event, Shape, filter::EventFilter},
    journal::Position,
    rooms::{
        Entry, Error as RoomError, View,
        core::StateMap,
        history::{MAX_PAGE, Span, around, at_time, members_of, page_of, passes, seen},
        show::{Viewer, as_it_stands, show, show_expired_root, show_state},
    },
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(get_messages).ruma(get_context).ruma(get_one_event).ruma(get_event_at)
}

/// The most events around one, or that relate to one, whatever the client asks for.
pub(super) const MAX_FEW: usize = 100;
/// The bytes after which a page of messages ends; one of ordinary events stays below.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// A `limit` as a client gives it.
pub(super) fn bounded(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE).min(MAX_PAGE)
}

/// The gap a token stands for: one of a page, or one of `/sync`. A sync token that is too old to be exact stands for the
/// end it was nearest to.
pub(super) fn gap(
    services: &Services,
    session: &Session,
    room: &RoomId,
    token: Option<&str>,
) -> Result<Option<Position>, Error> {
    let Some(text) = token.filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Some(position) = services.engine.rooms.read_page_token(room, text) {
        return Ok(Some(position));
    }
    let told = services.engine.syncs.position(&session.inner, text, room);
    match told {
        Some(told) => Ok(Some(Position(told.0.saturating_add(1)))),
        None if services.engine.syncs.gave(&session.inner, text) => Ok(None),
        None => Err(RoomError::BadToken.into()),
    }
}

/// A client's filter, ready for use.
pub(super) fn event_filter(filter: RoomEventFilter) -> Result<EventFilter, Error> {
    EventFilter::of_room(filter).map_err(|_| Error::invalid_param("The filter is too large"))
}

/// Shows the events of one room to one session.
pub(super) struct Shower<'a> {
    view: &'a View,
    viewer: Viewer<'a>,
    now: Timestamp,
}

impl<'a> Shower<'a> {
    pub(super) fn new(services: &Services, view: &'a View, session: &'a Session) -> Self {
        let viewer = Viewer { user: &session.user_id, device: Some(&session.device_id) };
        Self { view, viewer, now: services.clock.now() }
    }

    /// Nothing when what the event says is gone.
    pub(super) fn entry<T>(&self, entry: &Entry) -> Option<Raw<T>> {
        show(self.view, entry, &self.viewer, self.now, Shape::Full).map(Raw::from_json)
    }

    /// The event of an id, where there is something to show of it: it lives, or it is the root of a thread that does, or
    /// part of the state that its reader is told.
    pub(super) fn event<T>(&self, id: &EventId, state: &StateMap) -> Option<Raw<T>> {
        if let Some(entry) = seen(self.view, self.viewer.user, id) {
            return self.entry(entry);
        }
        if self.view.holds(id) {
            return None;
        }
        let expired = || state.find_id(id).map(|event| self.state(event));
        self.root(id).or_else(expired)
    }

    /// The root of a thread that has expired.
    fn root<T>(&self, id: &EventId) -> Option<Raw<T>> {
        show_expired_root(self.view, id, &self.viewer, self.now, Shape::Full).map(Raw::from_json)
    }

    /// The roots of threads.
    pub(super) fn roots<T>(&self, ids: &[OwnedEventId]) -> Vec<Raw<T>> {
        let root = |id: &OwnedEventId| match self.view.entry(id) {
            Some(entry) => self.entry(entry),
            None => self.root(id),
        };
        ids.iter().filter_map(root).collect()
    }

    pub(super) fn entries<T>(&self, entries: &[Entry]) -> Vec<Raw<T>> {
        entries.iter().filter_map(|entry| self.entry(entry)).collect()
    }

    /// As many of the entries as a page may have bytes, and those as clients get them.
    fn fitting<'e, T>(&self, entries: &'e [Entry]) -> (&'e [Entry], Vec<Raw<T>>) {
        let (mut bytes, mut shown) = (0, Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            if bytes >= MAX_PAGE_BYTES {
                return (&entries[..at], shown);
            }
            let entry = self.entry::<T>(entry);
            bytes += entry.as_ref().map_or(0, |entry| entry.json().get().len());
            shown.extend(entry);
        }
        (entries, shown)
    }

    pub(super) fn state<T>(&self, event: &Arc<Event>) -> Raw<T> {
        let event = as_it_stands(self.view, event);
        Raw::from_json(show_state(self.view, &event, &self.viewer, self.now, Shape::Full))
    }
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
async fn get_messages(services: Arc<Services>, request: Ruma<PageRequest>) -> Result<messages::Response, Error> {
    let PageRequest { page: body, has_direction, relations } = &request.body;
    let session = &request.session;
    let rooms = &services.engine.rooms;
    let view = rooms.readable(&body.room_id, session.account()).await?.view;
    if !has_direction {
        return Err(Error::missing_param("A query parameter is missing"));
    }
    let token = |text: Option<&str>| gap(&services, session, &body.room_id, text);
    let span = Span {
        from: token(body.from.as_deref())?,
        to: token(body.to.as_deref())?,
        backward: body.dir == Direction::Backward,
        limit: bounded(body.limit),
    };
    let filter = event_filter(body.filter.clone())?;
    let wanted = |entry: &Entry| passes(&view, &filter, entry) && relations.allows(entry);
    let page = page_of(&view, &session.user_id, span, wanted);
    let shower = Shower::new(&services, &view, session);
    let mut response = messages::Response::new();
    let (chunk, shown) = shower.fitting(&page.chunk);
    // The gap behind the last event shown, when not all are.
    let cut = chunk.last().filter(|_| chunk.len() < page.chunk.len());
    let cut = cut.map(|last| Position(last.position.0 + u64::from(!span.backward)));
    response.start = rooms.page_token(&body.room_id, page.start);
    response.end = cut.or(page.end).map(|end| rooms.page_token(&body.room_id, end));
    response.chunk = shown;
    if !body.filter.lazy_load_options.is_disabled() {
        response.state = members_of(&view, chunk).iter().map(|event| shower.state(event)).collect();
    }
    Ok(response)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
async fn get_context(services: Arc<Services>, request: Ruma<context::Request>) -> Result<context::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    let rooms = &services.engine.rooms;
    let view = rooms.readable(&body.room_id, session.account()).await?.view;
    let entry = seen(&view, &session.user_id, &body.event_id).ok_or(RoomError::UnknownEvent)?;
    let limit = bounded(body.limit).min(MAX_FEW);
    let found = around(&view, &session.user_id, entry, limit, &event_filter(body.filter.clone())?);
    let shower = Shower::new(&services, &view, session);
    let token = |position| rooms.page_token(&body.room_id, position);
    let mut response = context::Response::new();
    response.start = Some(token(found.before.end.unwrap_or_else(|| view.start())));
    response.end = Some(token(found.after.end.unwrap_or(found.after.start)));
    response.events_before = shower.entries(&found.before.chunk);
    response.event = Some(shower.entry(entry).ok_or(RoomError::UnknownEvent)?);
    response.events_after = shower.entries(&found.after.chunk);
    response.state = if body.filter.lazy_load_options.is_disabled() {
        found.state.iter().map(|event| shower.state(event)).collect()
    } else {
        let mut chunk = vec![entry.clone()];
        chunk.extend(found.before.chunk.iter().chain(&found.after.chunk).cloned());
        let others = found.state.iter().filter(|event| event.kind() != "m.room.member");
        others.chain(&members_of(&view, &chunk)).map(|event| shower.state(event)).collect()
    };
    Ok(response)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
async fn get_one_event(
    services: Arc<Services>,
    request: Ruma<get_event::Request>,
) -> Result<get_event::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    // Whoever may not see an event is not told whether its room is there.
    let hide = |error| if error == RoomError::NotJoined { RoomError::UnknownEvent } else { error };
    let reading = services.engine.rooms.readable(&body.room_id, session.account()).await.map_err(hide)?;
    let shown = Shower::new(&services, &reading.view, session).event(&body.event_id, &reading.state());
    let shown = shown.ok_or(RoomError::UnknownEvent)?;
    Ok(get_event::Response::new(shown))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
async fn get_event_at(services: Arc<Services>, request: Ruma<by_time::Request>) -> Result<by_time::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    let view = services.engine.rooms.readable(&body.room_id, session.account()).await?.view;
    let backward = body.dir == Direction::Backward;
    let entry = at_time(&view, &session.user_id, Timestamp(body.ts.get().into()), backward);
    let entry = entry.ok_or(RoomError::UnknownEvent)?;
    let ts = ruma::MilliSecondsSinceUnixEpoch(UInt::new_saturating(entry.ts.0));
    Ok(by_time::Response::new(entry.id(), ts))
}

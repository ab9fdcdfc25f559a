//! Reading a room's timeline ([spec](https://spec.matrix.org/latest/client-server-api/#getting-events-for-a-room)).

use std::sync::Arc;

use ruma::{
    RoomId, UInt,
    api::{
        Direction,
        client::{
            context::get_context::v3 as context,
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
    event::{Event, Shape},
    journal::Position,
    rooms::{
        Entry, Error as RoomError, View,
        history::{MAX_PAGE, Span, around, at_time, members_of, page_of, passes, seen},
        show::{Viewer, show, show_state},
    },
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(get_messages).ruma(get_context).ruma(get_one_event).ruma(get_event_at)
}

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
        None if text.starts_with('s') => Ok(None),
        None => Err(RoomError::BadToken.into()),
    }
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

    pub(super) fn entries<T>(&self, entries: &[Entry]) -> Vec<Raw<T>> {
        entries.iter().filter_map(|entry| self.entry(entry)).collect()
    }

    fn state<T>(&self, event: &Arc<Event>) -> Raw<T> {
        Raw::from_json(show_state(self.view, event, &self.viewer, self.now, Shape::Full))
    }
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
async fn get_messages(services: Arc<Services>, request: Ruma<PageRequest>) -> Result<messages::Response, Error> {
    let PageRequest { page: body, has_direction, relations } = &request.body;
    let session = &request.session;
    let rooms = &services.engine.rooms;
    let room = rooms.readable(&body.room_id, session.account()).await?;
    if !has_direction {
        return Err(Error::missing_param("A query parameter is missing"));
    }
    let view = room.view();
    let token = |text: Option<&str>| gap(&services, session, &body.room_id, text);
    let span = Span {
        from: token(body.from.as_deref())?,
        to: token(body.to.as_deref())?,
        backward: body.dir == Direction::Backward,
        limit: bounded(body.limit),
    };
    let wanted = |entry: &Entry| passes(&view, &body.filter, entry) && relations.allows(entry);
    let page = page_of(&view, &session.user_id, span, wanted);
    let shower = Shower::new(&services, &view, session);
    let mut response = messages::Response::new();
    response.start = rooms.page_token(&body.room_id, page.start);
    response.end = page.end.map(|end| rooms.page_token(&body.room_id, end));
    response.chunk = shower.entries(&page.chunk);
    if !body.filter.lazy_load_options.is_disabled() {
        response.state = members_of(&view, &page.chunk).iter().map(|event| shower.state(event)).collect();
    }
    Ok(response)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
async fn get_context(services: Arc<Services>, request: Ruma<context::Request>) -> Result<context::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    let rooms = &services.engine.rooms;
    let room = rooms.readable(&body.room_id, session.account()).await?;
    let view = room.view();
    let entry = seen(&view, &session.user_id, &body.event_id).ok_or(RoomError::UnknownEvent)?;
    let found = around(&view, &session.user_id, entry, bounded(body.limit), &body.filter);
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
    let room = services.engine.rooms.readable(&body.room_id, session.account()).await?;
    let view = room.view();
    let entry = seen(&view, &session.user_id, &body.event_id).ok_or(RoomError::UnknownEvent)?;
    let shown = Shower::new(&services, &view, session).entry(entry).ok_or(RoomError::UnknownEvent)?;
    Ok(get_event::Response::new(shown))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
async fn get_event_at(services: Arc<Services>, request: Ruma<by_time::Request>) -> Result<by_time::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    let room = services.engine.rooms.readable(&body.room_id, session.account()).await?;
    let view = room.view();
    let backward = body.dir == Direction::Backward;
    let entry = at_time(&view, &session.user_id, Timestamp(body.ts.get().into()), backward);
    let entry = entry.ok_or(RoomError::UnknownEvent)?;
    let ts = ruma::MilliSecondsSinceUnixEpoch(UInt::new_saturating(entry.ts.0));
    Ok(by_time::Response::new(entry.id(), ts))
}

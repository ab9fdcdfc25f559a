//! Looking into rooms without joining them ([spec](https://spec.matrix.org/latest/client-server-api/#room-previews)), and
//! the event stream from before `/sync`, of which that is what is left in use.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::http::{Method, Request};
use ruma::{
    EventId, RoomId, UInt,
    api::{
        IncomingRequest, Metadata,
        client::{
            filter::FilterDefinition,
            peeking::{
                get_current_state::v3::{self as peek, PaginationChunk},
                listen_to_new_events::v3 as listen,
            },
            room::Visibility,
        },
        error::DeserializationError,
    },
    presence::PresenceState,
    serde::Raw,
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services, Session,
        history::{Shower, gap},
        json::Json,
        session::Scheme,
    },
    error::Error,
    event::filter::EventFilter,
    journal::Position,
    rooms::{
        Error as RoomError, View,
        history::{MAX_PAGE, Span, page, seen},
    },
    sync::classic::{Answer, Ask, Filter, State, StateAt, Timeline},
};

/// The events of one room when its client names no number.
const PAGE: usize = 20;
/// The longest a client may wait: proxies cut longer silences.
const LONGEST: Duration = Duration::from_mins(1);

pub(super) fn routes(router: Routes) -> Routes {
    router
        .ruma(look_into)
        .ruma(listen)
        .ruma_at("/_matrix/client/v3/initialSync", initial_sync)
        .ruma_at("/_matrix/client/r0/initialSync", initial_sync)
        .ruma_at("/_matrix/client/v3/events/{event_id}", event)
        .ruma_at("/_matrix/client/r0/events/{event_id}", event)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/initialSync`
async fn look_into(services: Arc<Services>, request: Ruma<peek::Request>) -> Result<peek::Response, Error> {
    let (session, id) = (&request.session, &request.body.room_id);
    let rooms = &services.engine.rooms;
    let reading = rooms.readable(id, session.account()).await?;
    let view = &reading.view;
    let span = Span { from: None, to: None, backward: true, limit: number(&request, "limit")?.unwrap_or(PAGE) };
    let page = page(view, &session.user_id, span, &EventFilter::default());
    let shower = Shower::new(&services, view, session);
    let mut chunk = shower.entries(&page.chunk);
    chunk.reverse();
    let mut messages = PaginationChunk::new(chunk, rooms.page_token(id, page.start));
    messages.start = page.end.map(|end| rooms.page_token(id, end));
    let mut response = peek::Response::new(id.clone());
    response.messages = Some(messages);
    response.state = reading.state().iter().map(|event| shower.state(event)).collect();
    // Who only looks in from outside has no membership to tell.
    response.membership = view.state.member(&session.user_id).and_then(|event| event.membership());
    response.visibility = Some(if rooms.is_listed(id)? { Visibility::Public } else { Visibility::Private });
    response.account_data = account_data(session, id).into_iter().map(Raw::from_json).collect();
    Ok(response)
}

fn account_data(session: &Session, id: &RoomId) -> Vec<Box<RawValue>> {
    let vault = session.account().view();
    let of_room = vault.room_data.range((id.to_owned(), String::new())..).take_while(|((room, _), _)| room == id);
    let events = of_room.filter_map(|((_, kind), data)| {
        serde_json::value::to_raw_value(&json!({"type": kind, "content": data.value})).ok()
    });
    events.collect()
}

/// `GET /_matrix/client/v3/events`: of one room, which the caller may only look into, or of all his rooms.
async fn listen(services: Arc<Services>, request: Ruma<Old>) -> Result<Json, Error> {
    let timeout = number(&request, "timeout")?.and_then(|timeout| u64::try_from(timeout).ok()).unwrap_or(0);
    let timeout = Duration::from_millis(timeout).min(LONGEST);
    let from = request.parameter("from");
    match request.parameter("room_id") {
        None => stream(&services, &request.session, from, timeout).await,
        Some(id) => {
            let id = RoomId::parse(id).map_err(|_| Error::invalid_param("The room id is not one"))?;
            listen_to(&services, &request.session, &id, from.as_deref(), timeout).await
        }
    }
}

/// Waits for events of one room.
async fn listen_to(
    services: &Services,
    session: &Session,
    id: &RoomId,
    from: Option<&str>,
    timeout: Duration,
) -> Result<Json, Error> {
    let rooms = &services.engine.rooms;
    let mut stopping = services.stopping.clone();
    let mut timer = pin!(tokio::time::sleep(timeout));
    let mut over = timeout.is_zero();
    let mut from = gap(services, session, id, from)?;
    loop {
        let room = rooms.readable(id, session.account()).await?.room;
        // Subscribed before the look, so that nothing falls between the two.
        let mut news = room.subscribe();
        let view = room.view();
        let start = *from.get_or_insert_with(|| behind(&view));
        let span = Span { from: Some(start), to: None, backward: false, limit: MAX_PAGE };
        let page = page(&view, &session.user_id, span, &EventFilter::default());
        if over || *stopping.borrow() || !page.chunk.is_empty() {
            let chunk: Vec<Raw<Value>> = Shower::new(services, &view, session).entries(&page.chunk);
            let end = page.end.unwrap_or_else(|| behind(&view));
            let (start, end) = (rooms.page_token(id, start), rooms.page_token(id, end));
            return Ok(Json(json!({"start": start, "end": end, "chunk": chunk})));
        }
        tokio::select! {
            _ = news.changed() => {}
            () = &mut timer => over = true,
            _ = stopping.wait_for(|stop| *stop) => over = true,
        }
        services.engine.accounts.lives(&session.inner)?;
    }
}

/// The gap behind the newest event.
fn behind(view: &View) -> Position {
    Position(view.end().0.saturating_add(1))
}

/// Waits for events of every room of the caller.
async fn stream(
    services: &Services,
    session: &Session,
    from: Option<String>,
    timeout: Duration,
) -> Result<Json, Error> {
    let filter = || filter(MAX_PAGE, false);
    let from = match from {
        Some(from) => from,
        None => sync(services, session, None, filter()?, Duration::ZERO).await?.next_batch,
    };
    let answer = sync(services, session, Some(from.clone()), filter()?, timeout).await?;
    let mut chunk = Vec::new();
    for (id, room) in &answer.rooms.join {
        chunk.extend(room.timeline.events.iter().chain(&room.ephemeral.events).filter_map(|event| placed(event, id)));
    }
    for (id, room) in &answer.rooms.leave {
        chunk.extend(room.timeline.events.iter().filter_map(|event| placed(event, id)));
    }
    chunk.extend(answer.rooms.invite.keys().filter_map(|id| invitation(services, session, id)));
    chunk.extend(answer.presence.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok()));
    Ok(Json(json!({"start": from, "end": answer.next_batch, "chunk": chunk})))
}

/// `GET /_matrix/client/v3/initialSync`
async fn initial_sync(services: Arc<Services>, request: Ruma<Old>) -> Result<Json, Error> {
    let session = &request.session;
    let archived = request.parameter("archived").is_some_and(|archived| archived == "true");
    let filter = filter(number(&request, "limit")?.unwrap_or(PAGE), archived)?;
    let answer = sync(&services, session, None, filter, Duration::ZERO).await?;
    let listed = |id: &RoomId| services.engine.rooms.is_listed(id).unwrap_or_default();
    let mut rooms = Vec::new();
    for (id, room) in &answer.rooms.join {
        let info = Info { id, membership: "join", listed: listed(id), end: &answer.next_batch };
        rooms.push(info.of(&room.timeline, room.state.as_ref(), &room.account_data.events));
    }
    for (id, room) in &answer.rooms.leave {
        let info = Info { id, membership: "leave", listed: listed(id), end: &answer.next_batch };
        rooms.push(info.of(&room.timeline, room.state.as_ref(), &room.account_data.events));
    }
    for id in answer.rooms.invite.keys() {
        let mut room = json!({"room_id": id, "membership": "invite"});
        if let Some(event) = invitation(&services, session, id) {
            room["invite"] = event;
        }
        rooms.push(room);
    }
    let own = &answer.account_data.events;
    Ok(Json(json!({"end": answer.next_batch, "presence": answer.presence.events, "rooms": rooms, "account_data": own})))
}

/// What the old form of a first answer says of a room.
struct Info<'a> {
    id: &'a RoomId,
    membership: &'a str,
    listed: bool,
    end: &'a str,
}

impl Info<'_> {
    fn of(&self, timeline: &Timeline, state: Option<&State>, account_data: &[Box<RawValue>]) -> Value {
        let placed = |events: &[Box<RawValue>]| -> Vec<Value> {
            events.iter().filter_map(|event| placed(event, self.id)).collect()
        };
        let mut messages = json!({"chunk": placed(&timeline.events), "end": self.end});
        if let Some(start) = &timeline.prev_batch {
            messages["start"] = json!(start);
        }
        json!({
            "room_id": self.id,
            "membership": self.membership,
            "messages": messages,
            "state": state.map(|state| placed(state.events())).unwrap_or_default(),
            "visibility": if self.listed { "public" } else { "private" },
            "account_data": account_data,
        })
    }
}

/// An event of a sync answer, which does not name its room, with its room's id.
fn placed(event: &RawValue, room: &RoomId) -> Option<Value> {
    let mut event: Map<String, Value> = serde_json::from_str(event.get()).ok()?;
    event.insert("room_id".to_owned(), json!(room));
    Some(Value::Object(event))
}

/// The event that invites the caller to a room, while the room is open.
fn invitation(services: &Services, session: &Session, id: &RoomId) -> Option<Value> {
    let view = services.engine.rooms.find(id)?.view();
    let event = view.state.member(&session.user_id)?;
    let shown: Raw<Value> = Shower::new(services, &view, session).state(event);
    shown.deserialize().ok()
}

/// `GET /_matrix/client/v3/events/{eventId}`: an event of any room the caller is or was in.
async fn event(services: Arc<Services>, request: Ruma<Old>) -> Result<Json, Error> {
    let session = &request.session;
    let id = <&EventId>::try_from(request.arguments[0].as_str()).map_err(|_| RoomError::UnknownEvent)?;
    let rooms = &services.engine.rooms;
    for room in session.account().view().rooms.keys() {
        if rooms.find(room).is_none_or(|room| !room.view().holds(id)) {
            continue;
        }
        let Ok(reading) = rooms.readable(room, session.account()).await else { continue };
        if let Some(entry) = seen(&reading.view, &session.user_id, id) {
            let shown: Option<Raw<Value>> = Shower::new(&services, &reading.view, session).entry(entry);
            let shown = shown.ok_or(RoomError::UnknownEvent)?;
            return Ok(Json(shown.deserialize().map_err(|_| Error::internal())?));
        }
    }
    Err(RoomError::UnknownEvent.into())
}

fn filter(limit: usize, include_leave: bool) -> Result<Filter, Error> {
    let mut definition = FilterDefinition::default();
    definition.room.timeline.limit = UInt::try_from(limit).ok();
    definition.room.include_leave = include_leave;
    Ok(Filter::new(definition)?)
}

/// A sync that takes no to-device messages: the old answers have no place for them.
async fn sync(
    services: &Services,
    session: &Session,
    since: Option<String>,
    filter: Filter,
    timeout: Duration,
) -> Result<Answer, Error> {
    // Who waits for events is there; who asks once may be anywhere.
    let presence = if timeout.is_zero() { PresenceState::Offline } else { PresenceState::Online };
    let ask =
        Ask { since, filter, full_state: false, state_at: StateAt::End, takes_messages: false, timeout, presence };
    Ok(services.engine.syncs.sync(&session.inner, ask, services.stopping.clone()).await?)
}

/// A number in the query.
fn number<R: IncomingRequest<Authentication: Scheme>>(request: &Ruma<R>, name: &str) -> Result<Option<usize>, Error> {
    let number = request.parameter(name).map(|text| text.parse());
    number.transpose().map_err(|_| Error::invalid_param("A number in the query is not one"))
}

/// A request of the old stream, whose parameters its handler reads.
struct Old;

impl Metadata for Old {
    const METHOD: Method = listen::Request::METHOD;
    const RATE_LIMITED: bool = listen::Request::RATE_LIMITED;
    type Authentication = <listen::Request as Metadata>::Authentication;
    type PathBuilder = <listen::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = listen::Request::PATH_BUILDER;
}

impl IncomingRequest for Old {
    type EndpointError = <listen::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = listen::Response;

    fn try_from_http_request_inner(_: Request<&[u8]>, _: &[&str]) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

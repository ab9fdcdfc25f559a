//! Relations and threads ([spec](https://spec.matrix.org/latest/client-server-api/#relationships-api)).

use std::sync::Arc;

use ruma::{
    EventId, RoomId, UInt,
    api::{
        Direction,
        client::{
            relations::{
                get_relating_events::v1 as all, get_relating_events_with_rel_type::v1 as of_rel_type,
                get_relating_events_with_rel_type_and_event_type::v1 as of_both,
            },
            threads::get_threads::v1::{self as threads, IncludeThreads},
        },
    },
    serde::Raw,
};

use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services, Session,
        history::{MAX_FEW, Shower, bounded, gap},
    },
    error::Error,
    rooms::{
        Error as RoomError,
        history::{MAX_RECURSION, Related, Span, related, seen, threads as find_threads},
    },
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(relations).ruma(relations_of_type).ruma(relations_of_both).ruma(get_threads)
}

/// The size of a page whose client asks for none.
const PAGE: u32 = 50;

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}`
async fn relations(services: Arc<Services>, request: Ruma<all::Request>) -> Result<all::Response, Error> {
    let body = &request.body;
    let which = Related { rel_type: None, kind: None, recurse: body.recurse };
    let asked = Asked { room: &body.room_id, event: &body.event_id, which, from: &body.from, to: &body.to };
    let found = find(&services, &request.session, asked, &body.dir, body.limit).await?;
    let mut response = all::Response::new(found.chunk);
    (response.next_batch, response.prev_batch) = (found.next, found.prev);
    response.recursion_depth = found.depth;
    Ok(response)
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}`
async fn relations_of_type(
    services: Arc<Services>,
    request: Ruma<of_rel_type::Request>,
) -> Result<of_rel_type::Response, Error> {
    let body = &request.body;
    let which = Related { rel_type: Some(&request.arguments[2]), kind: None, recurse: body.recurse };
    let asked = Asked { room: &body.room_id, event: &body.event_id, which, from: &body.from, to: &body.to };
    let found = find(&services, &request.session, asked, &body.dir, body.limit).await?;
    let mut response = of_rel_type::Response::new(found.chunk);
    (response.next_batch, response.prev_batch) = (found.next, found.prev);
    response.recursion_depth = found.depth;
    Ok(response)
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`
async fn relations_of_both(
    services: Arc<Services>,
    request: Ruma<of_both::Request>,
) -> Result<of_both::Response, Error> {
    let body = &request.body;
    let (rel_type, kind) = (&request.arguments[2], &request.arguments[3]);
    let which = Related { rel_type: Some(rel_type), kind: Some(kind), recurse: body.recurse };
    let asked = Asked { room: &body.room_id, event: &body.event_id, which, from: &body.from, to: &body.to };
    let found = find(&services, &request.session, asked, &body.dir, body.limit).await?;
    let mut response = of_both::Response::new(found.chunk);
    (response.next_batch, response.prev_batch) = (found.next, found.prev);
    response.recursion_depth = found.depth;
    Ok(response)
}

struct Asked<'a> {
    room: &'a RoomId,
    event: &'a EventId,
    which: Related<'a>,
    from: &'a Option<String>,
    to: &'a Option<String>,
}

struct Found<T> {
    chunk: Vec<Raw<T>>,
    next: Option<String>,
    prev: Option<String>,
    depth: Option<UInt>,
}

async fn find<T>(
    services: &Services,
    session: &Session,
    asked: Asked<'_>,
    dir: &Direction,
    limit: Option<UInt>,
) -> Result<Found<T>, Error> {
    let rooms = &services.engine.rooms;
    let view = rooms.readable(asked.room, session.account()).await?.view;
    // An event that has expired is still what later ones relate to.
    if view.holds(asked.event) || !view.has_children(asked.event) {
        seen(&view, &session.user_id, asked.event).ok_or(RoomError::UnknownEvent)?;
    }
    let span = Span {
        from: gap(services, session, asked.room, asked.from.as_deref())?,
        to: gap(services, session, asked.room, asked.to.as_deref())?,
        backward: *dir == Direction::Backward,
        limit: bounded(limit.unwrap_or(UInt::from(PAGE))).min(MAX_FEW),
    };
    let page = related(&view, &session.user_id, asked.event, asked.which, span);
    Ok(Found {
        chunk: Shower::new(services, &view, session).entries(&page.chunk),
        next: page.end.map(|end| rooms.page_token(asked.room, end)),
        prev: span.from.map(|from| rooms.page_token(asked.room, from)),
        depth: asked.which.recurse.then(|| UInt::from(MAX_RECURSION)),
    })
}

/// `GET /_matrix/client/v1/rooms/{roomId}/threads`
async fn get_threads(services: Arc<Services>, request: Ruma<threads::Request>) -> Result<threads::Response, Error> {
    let (body, session) = (&request.body, &request.session);
    let rooms = &services.engine.rooms;
    let view = rooms.readable(&body.room_id, session.account()).await?.view;
    let from = gap(&services, session, &body.room_id, body.from.as_deref())?;
    let participated = body.include == IncludeThreads::Participated;
    let page = find_threads(
        &view,
        &session.user_id,
        participated,
        from,
        bounded(body.limit.unwrap_or(UInt::from(PAGE))).min(MAX_FEW),
    );
    let mut response = threads::Response::new(Shower::new(&services, &view, session).roots(&page.roots));
    response.next_batch = page.end.map(|end| rooms.page_token(&body.room_id, end));
    Ok(response)
}

//! Room state, read and set ([spec](https://spec.matrix.org/latest/client-server-api/#getting-events-for-a-room)).

use std::sync::Arc;

use ruma::api::client::state::{
    get_state_event_for_key::v3::{self as get_one, StateEventFormat},
    get_state_events::v3 as get_all,
    send_state_event::v3 as set,
};
use serde_json::{Value, json};

use super::delayed::{self, Delayable, Later};
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, history::Shower, json::Json, send::has_body},
    error::Error,
    event::build::content_from,
    rooms::show::as_it_stands,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(get_state).ruma(get_state_event).ruma(set_state_event)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state`
async fn get_state(services: Arc<Services>, request: Ruma<get_all::Request>) -> Result<get_all::Response, Error> {
    let session = &request.session;
    let reading = services.engine.rooms.readable(&request.body.room_id, session.account()).await?;
    let state = reading.state();
    let shower = Shower::new(&services, &reading.view, session);
    Ok(get_all::Response::new(state.iter().map(|event| shower.state(event)).collect()))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn get_state_event(services: Arc<Services>, request: Ruma<get_one::Request>) -> Result<get_one::Response, Error> {
    let (session, body) = (&request.session, &request.body);
    let reading = services.engine.rooms.readable(&body.room_id, session.account()).await?;
    let state = reading.state();
    let event = state.find(&request.arguments[1], &body.state_key);
    let event = as_it_stands(&reading.view, event.ok_or_else(|| Error::not_found("There is no such state"))?);
    if body.format != StateEventFormat::Event {
        return Ok(get_one::Response::new(event.content().to_owned()));
    }
    Ok(get_one::Response::new(Shower::new(&services, &reading.view, session).state::<Value>(&event).into_json()))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn set_state_event(services: Arc<Services>, request: Ruma<Delayable<set::Request>>) -> Result<Json, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let Delayable { request: set::Request { room_id, state_key, body, .. }, delay } = request.body;
    let kind = &request.arguments[1];
    if let Some(delay) = delay {
        let later = Later {
            room: room_id,
            kind,
            state_key: Some(state_key),
            content: (!request.raw.is_empty()).then(|| body.json().get()),
            delay: delayed::delay(&delay)?,
            transaction: None,
        };
        return delayed::put_off(&services, &request.session, later).await;
    }
    has_body(&request.raw)?;
    let content = content_from(body.json().get()).map_err(crate::rooms::Error::from)?;
    // Memberships of who is not in yet begin at the membership endpoints; all other state needs a member.
    let room = rooms.joined(&room_id, account).await?;
    let id = rooms.set_state(&room, account, kind, &state_key, content).await?;
    Ok(Json(json!({ "event_id": id })))
}

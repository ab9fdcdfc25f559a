//! Events sent later ([MSC4140](https://github.com/matrix-org/matrix-spec-proposals/pull/4140)): by a parameter of the
//! ordinary endpoints, or by one of its own; listed by who sent them, and cancelled, restarted or sent by whoever knows
//! their id, as the id cannot be guessed.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, Request};
use ruma::{
    OwnedRoomId,
    api::{
        IncomingRequest, Metadata,
        auth_scheme::NoAccessToken,
        client::delayed_events::{
            get_all_delayed_events::unstable as all,
            get_delayed_event::unstable as one,
            send_delayed_event::unstable as send,
            update_delayed_event::{UpdateAction, unstable_v1 as update_by_body, unstable_v2 as update},
        },
        error::DeserializationError,
    },
};
use serde_json::{Value, json};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, session::Under, untyped::query},
    delayed::{self, Plan, Shown},
    error::Error,
    event::build::content_from,
    rooms::Error as RoomError,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(send_later).ruma(list).ruma(show_one).ruma(change).ruma(change_by_body)
}

/// The query parameter of the ordinary endpoints.
const PARAMETER: &str = "org.matrix.msc4140.delay";

/// A request of type `R` that may ask for its event to be sent later.
pub(super) struct Delayable<R> {
    pub(super) request: R,
    /// The delay as it stands in the query.
    pub(super) delay: Option<String>,
}

/// An event that a client sends later.
pub(super) struct Later<'a> {
    pub(super) room: OwnedRoomId,
    pub(super) kind: &'a str,
    pub(super) state_key: Option<String>,
    /// The content as it came: absent when a client only repeats its transaction id.
    pub(super) content: Option<&'a str>,
    pub(super) delay: Duration,
    pub(super) transaction: Option<&'a str>,
}

/// Puts an event off; the answer with its id.
pub(super) async fn put_off(services: &Services, session: &Session, later: Later<'_>) -> Result<Json, Error> {
    let delayed = &services.engine.delayed;
    if let Some(id) = delayed.repeated(session.account(), &session.device_id, later.transaction) {
        return Ok(Json(json!({ "delay_id": id })));
    }
    let content = later.content.ok_or_else(|| Error::not_json("There is no content"))?;
    let plan = Plan {
        room: later.room,
        kind: later.kind.to_owned(),
        state_key: later.state_key,
        content: content_from(content).map_err(RoomError::from)?,
        delay: later.delay,
        device: session.device_id.clone(),
        transaction: later.transaction.map(ToOwned::to_owned),
    };
    let id = delayed.plan(session.account(), plan).await?;
    Ok(Json(json!({ "delay_id": id })))
}

/// A delay as it stands in a query: whole milliseconds.
pub(super) fn delay(text: &str) -> Result<Duration, Error> {
    text.parse().map(Duration::from_millis).map_err(|_| Error::invalid_param("The delay is not a number"))
}

/// `PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}`
async fn send_later(services: Arc<Services>, request: Ruma<send::Request>) -> Result<Json, Error> {
    let send::Request { room_id, txn_id, delay, state_key, content, .. } = request.body;
    super::send::transaction(&request.session, &txn_id)?;
    let later = Later {
        room: room_id,
        kind: &request.arguments[1],
        state_key,
        content: Some(content.json().get()),
        delay,
        transaction: Some(txn_id.as_str()),
    };
    put_off(&services, &request.session, later).await
}

/// `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events`
async fn list(services: Arc<Services>, request: Ruma<Filtered>) -> Result<Json, Error> {
    let Filtered { status, id } = request.body;
    let listed = services.engine.delayed.list(request.session.account());
    // What was sent or cancelled is not kept.
    let wanted = status.is_none_or(|status| status == "scheduled");
    let wanted = listed.iter().filter(|shown| wanted && id.as_ref().is_none_or(|id| *id == shown.id));
    Ok(Json(json!({ "delayed_events": wanted.map(show).collect::<Vec<_>>() })))
}

/// `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}`
async fn show_one(services: Arc<Services>, request: Ruma<one::Request>) -> Result<Json, Error> {
    let listed = services.engine.delayed.list(request.session.account());
    let found = listed.iter().find(|shown| shown.id == request.body.delay_id).ok_or(delayed::Error::NotFound)?;
    Ok(Json(show(found)))
}

/// `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}/{action}`
async fn change(services: Arc<Services>, request: Ruma<update::Request>) -> Result<update::Response, Error> {
    let update::Request { delay_id, action, .. } = request.body;
    if !act(&services, &delay_id, &action).await? {
        return Err(Error::unrecognised("Unrecognized action"));
    }
    Ok(update::Response::new())
}

/// `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}`: the proposal's earlier form.
async fn change_by_body(
    services: Arc<Services>,
    request: Ruma<Under<NoAccessToken, update_by_body::Request>>,
) -> Result<update_by_body::Response, Error> {
    let update_by_body::Request { delay_id, action, .. } = request.body.0;
    if !act(&services, &delay_id, &action).await? {
        return Err(Error::invalid_param("Unknown action"));
    }
    Ok(update_by_body::Response::new())
}

/// Whether there is such an action.
async fn act(services: &Services, id: &str, action: &UpdateAction) -> Result<bool, Error> {
    let delayed = &services.engine.delayed;
    match action {
        UpdateAction::Cancel => delayed.cancel(id).await?,
        UpdateAction::Restart => delayed.restart(id).await?,
        UpdateAction::Send => delayed.send(id).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn show(shown: &Shown) -> Value {
    let Shown { id, event, since } = shown;
    let mut value = json!({
        "delay_id": id,
        "room_id": event.room,
        "type": event.kind,
        "content": event.content,
        "delay": event.delay,
        "running_since": since.0,
    });
    if let Some(state_key) = &event.state_key {
        value["state_key"] = json!(state_key);
    }
    value
}

impl<R: Metadata> Metadata for Delayable<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Delayable<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        let delay = query(request.uri()).remove(PARAMETER);
        // Who repeats a transaction need not repeat its content; `Later` learns that there was none.
        let empty = delay.is_some() && request.body().is_empty();
        let request = if empty { request.map(|_| &b"{}"[..]) } else { request };
        Ok(Self { request: R::try_from_http_request_inner(request, path)?, delay })
    }
}

/// A request for the list, with the parameters of the proposal's later form.
struct Filtered {
    status: Option<String>,
    id: Option<String>,
}

impl Metadata for Filtered {
    const METHOD: Method = all::Request::METHOD;
    const RATE_LIMITED: bool = all::Request::RATE_LIMITED;
    type Authentication = <all::Request as Metadata>::Authentication;
    type PathBuilder = <all::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = all::Request::PATH_BUILDER;
}

impl IncomingRequest for Filtered {
    type EndpointError = <all::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(request: Request<&[u8]>, _path: &[&str]) -> Result<Self, DeserializationError> {
        let mut query = query(request.uri());
        Ok(Self { status: query.remove("status"), id: query.remove("delay_id") })
    }
}

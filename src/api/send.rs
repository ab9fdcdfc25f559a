//! Sending and redacting events ([spec](https://spec.matrix.org/latest/client-server-api/#sending-events-to-a-room)).

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, RoomId,
    api::client::{message::send_message_event::v3 as send, redact::redact_event::v3 as redact},
    canonical_json::CanonicalJsonValue,
};
use serde_json::json;

use super::delayed::{self, Delayable, Later};
use crate::{
    accounts::Standing,
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json},
    error::Error,
    event::{Draft, build::content_from},
    rooms::Transaction,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(send_event).ruma(redact_event)
}

/// The longest transaction id taken: it is stored with the event.
const MAX_TRANSACTION_ID: usize = 255;

pub(super) fn transaction(session: &Session, id: &ruma::TransactionId) -> Result<Transaction, Error> {
    if id.as_bytes().len() > MAX_TRANSACTION_ID {
        return Err(Error::invalid_param("The transaction id is too long"));
    }
    Ok(Transaction { device: session.device_id.clone(), id: id.to_string() })
}

/// Refuses a request without a body where the body is an event's content: ruma takes it for an empty object.
pub(super) fn has_body(raw: &[u8]) -> Result<(), Error> {
    if raw.is_empty() { Err(Error::not_json("The body is missing")) } else { Ok(()) }
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
async fn send_event(services: Arc<Services>, request: Ruma<Delayable<send::Request>>) -> Result<Json, Error> {
    let Delayable { request: send::Request { room_id, txn_id, body, .. }, delay } = request.body;
    let kind = &request.arguments[1];
    let transaction = transaction(&request.session, &txn_id)?;
    if let Some(delay) = delay {
        let later = Later {
            room: room_id,
            kind,
            state_key: None,
            content: (!request.raw.is_empty()).then(|| body.json().get()),
            delay: delayed::delay(&delay)?,
            transaction: Some(&transaction.id),
        };
        return delayed::put_off(&services, &request.session, later).await;
    }
    has_body(&request.raw)?;
    let content = content_from(body.json().get()).map_err(crate::rooms::Error::from)?;
    let draft = Draft::given(&room_id, &request.session.user_id, kind, content).map_err(crate::rooms::Error::from)?;
    let id = put(&services, &request.session, &room_id, draft, transaction).await?;
    Ok(Json(json!({ "event_id": id })))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
async fn redact_event(services: Arc<Services>, request: Ruma<redact::Request>) -> Result<redact::Response, Error> {
    let redact::Request { room_id, event_id, txn_id, reason, .. } = request.body;
    let transaction = transaction(&request.session, &txn_id)?;
    if request.session.standing == Standing::Suspended {
        own(&services, &request.session, &room_id, &event_id).await?;
    }
    let reason = reason.map(|reason| ("reason".to_owned(), CanonicalJsonValue::String(reason)));
    let content: CanonicalJsonObject = reason.into_iter().collect();
    let draft = Draft::message(&room_id, &request.session.user_id, "m.room.redaction", content);
    let draft = Draft { redacts: Some(event_id), ..draft };
    Ok(redact::Response::new(put(&services, &request.session, &room_id, draft, transaction).await?))
}

/// Fails unless the event is one's own: others' events are not for a suspended account to redact.
async fn own(services: &Services, session: &Session, room: &RoomId, event: &EventId) -> Result<(), Error> {
    let view = services.engine.rooms.joined(room, session.account()).await?.view();
    let said = view.entry(event).map(|entry| entry.sender().to_owned());
    let by = said.or_else(|| view.state.find_id(event).map(|event| event.sender().to_owned()));
    if by == Some(session.user_id.clone()) { Ok(()) } else { Err(Error::user_suspended("The account is suspended")) }
}

async fn put(
    services: &Services,
    session: &Session,
    room: &RoomId,
    draft: Draft,
    transaction: Transaction,
) -> Result<OwnedEventId, Error> {
    let rooms = &services.engine.rooms;
    let room = rooms.joined(room, session.account()).await?;
    services.engine.presence.did(&session.inner);
    Ok(rooms.send(&room, draft, Some(transaction)).await?)
}

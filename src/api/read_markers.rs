//! Receipts, read markers, typing ([spec](https://spec.matrix.org/latest/client-server-api/#receipts)).

use std::sync::Arc;

use ruma::{
    api::client::{
        read_marker::set_read_marker::v3 as markers,
        receipt::create_receipt::v3::{self as receipt, ReceiptType},
        typing::create_typing_event::v3::{self as typing, Typing},
    },
    events::receipt::ReceiptThread,
};

use crate::{
    accounts::vault::ReadKind,
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(create_receipt).ruma(set_read_markers).ruma(set_typing)
}

/// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
async fn create_receipt(services: Arc<Services>, request: Ruma<receipt::Request>) -> Result<receipt::Response, Error> {
    let body = &request.body;
    let kind = match body.receipt_type {
        ReceiptType::Read => ReadKind::Public,
        ReceiptType::ReadPrivate => ReadKind::Private,
        ReceiptType::FullyRead => ReadKind::Fully,
        _ => return Err(Error::invalid_param("There is no such receipt type")),
    };
    let thread = match &body.thread {
        ReceiptThread::Unthreaded => None,
        thread => thread.as_str().map(ToOwned::to_owned),
    };
    if kind == ReadKind::Fully && thread.is_some() {
        return Err(Error::invalid_param("A read marker stands in no thread"));
    }
    let rooms = &services.engine.rooms;
    let room = rooms.joined(&body.room_id, request.session.account()).await?;
    services.engine.presence.did(&request.session.inner);
    rooms.read(&room, request.session.account(), kind, thread, &body.event_id).await?;
    Ok(receipt::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
async fn set_read_markers(
    services: Arc<Services>,
    request: Ruma<markers::Request>,
) -> Result<markers::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let markers::Request { room_id, fully_read, read_receipt, private_read_receipt, .. } = request.body;
    let room = rooms.joined(&room_id, account).await?;
    let given =
        [(ReadKind::Fully, fully_read), (ReadKind::Public, read_receipt), (ReadKind::Private, private_read_receipt)];
    for (kind, event) in given {
        if let Some(event) = event {
            rooms.read(&room, account, kind, None, &event).await?;
        }
    }
    Ok(markers::Response::new())
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
async fn set_typing(services: Arc<Services>, request: Ruma<typing::Request>) -> Result<typing::Response, Error> {
    let body = &request.body;
    if body.user_id != request.session.user_id {
        return Err(Error::forbidden("You cannot type for another user"));
    }
    let rooms = &services.engine.rooms;
    let room = rooms.joined(&body.room_id, request.session.account()).await?;
    let lasting = match &body.state {
        Typing::Yes(info) => Some(info.timeout),
        Typing::No => None,
    };
    services.engine.presence.did(&request.session.inner);
    if room.typing.set(&body.user_id, lasting, services.clock.monotonic()) {
        rooms.notify(&room);
    }
    Ok(typing::Response::new())
}

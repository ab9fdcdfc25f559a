//! Notices from the operator.

use axum::routing::MethodFilter;
use ruma::{CanonicalJsonObject, OwnedUserId};
use serde_json::{Value, json};

use super::{Call, operation};
use crate::{
    api::Routes,
    error::Error,
    rooms::{Notice, Transaction},
};

pub(super) fn routes(router: Routes) -> Routes {
    let at = "/_synapse/admin/v1/send_server_notice";
    router
        .route(at, operation(MethodFilter::POST, send))
        .route(&format!("{at}/{{p5}}"), operation(MethodFilter::PUT, send))
}

/// `POST /_synapse/admin/v1/send_server_notice`, and `PUT` with a transaction id behind it.
async fn send(call: Call) -> Result<Value, Error> {
    let user: OwnedUserId = call.needed("user_id")?;
    let content: CanonicalJsonObject = call.needed("content")?;
    let kind: Option<String> = call.field("type")?;
    let id = call.argument(0);
    let transaction =
        (!id.is_empty()).then(|| Transaction { device: call.session.device_id.clone(), id: id.to_owned() });
    let kind = kind.unwrap_or_else(|| "m.room.message".to_owned());
    let notice = Notice { kind, state_key: call.field("state_key")?, content, transaction };
    Ok(json!({ "event_id": call.services.engine.send_notice(&user, notice).await? }))
}

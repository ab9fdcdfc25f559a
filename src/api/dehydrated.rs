//! Dehydrated devices ([MSC3814](https://github.com/matrix-org/matrix-spec-proposals/pull/3814)).

use std::sync::Arc;

use ruma::{
    OwnedDeviceId,
    api::client::dehydrated_device::{
        delete_dehydrated_device::unstable as delete, get_dehydrated_device::unstable as get,
        get_events::unstable as events, put_dehydrated_device::unstable as put,
    },
};
use serde_json::{Value, json};

use super::register::new_device;
use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services, Session,
        json::Json,
        untyped::{Untyped, untyped},
    },
    e2ee::Upload,
    error::Error,
    journal::Position,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(keep).ruma(show).ruma(end).ruma(read).ruma(read_by_query)
}

untyped! {
    /// Reads a dehydrated device's messages, in the form that some clients use.
    ReadByQuery: GET "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events"
}

/// `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn keep(services: Arc<Services>, request: Ruma<put::Request>) -> Result<put::Response, Error> {
    let put::Request { device_id, initial_device_display_name: name, device_data, .. } = request.body;
    let device = new_device(Some(device_id), name, false)?;
    let id = device.id.ok_or_else(|| Error::missing_param("The device id is missing"))?;
    let data: Value = serde_json::from_str(device_data.json().get())?;
    let keys = Upload::parse(&request.raw)?;
    services.engine.e2ee.dehydrate(request.session.account(), id.clone(), device.name, data, keys).await?;
    Ok(put::Response::new(id))
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn show(services: Arc<Services>, request: Ruma<get::Request>) -> Result<Json, Error> {
    let kept = services.engine.e2ee.dehydrated(request.session.account())?;
    Ok(Json(json!({ "device_id": kept.device, "device_data": kept.data })))
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn end(services: Arc<Services>, request: Ruma<delete::Request>) -> Result<delete::Response, Error> {
    let device = services.engine.e2ee.drop_dehydrated(request.session.account()).await?;
    Ok(delete::Response::new(device))
}

/// `POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`
async fn read(services: Arc<Services>, request: Ruma<events::Request>) -> Result<Json, Error> {
    let events::Request { device_id, next_batch, .. } = request.body;
    let (events, end, _) = batch(&services, &request.session, &device_id, next_batch.as_deref())?;
    // Who reads so goes on until a batch is empty.
    Ok(Json(json!({ "events": events, "next_batch": end })))
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`
async fn read_by_query(services: Arc<Services>, request: Ruma<ReadByQuery>) -> Result<Json, Error> {
    let device = OwnedDeviceId::from(request.arguments[0].as_str());
    let (events, end, more) = batch(&services, &request.session, &device, request.body.parameter("from"))?;
    let mut answer = json!({ "events": events });
    // Who reads so goes on until there is no token.
    if more {
        answer["next_batch"] = json!(end);
    }
    Ok(Json(answer))
}

/// A batch of messages, the token behind it, and whether there are more.
fn batch(
    services: &Services,
    session: &Session,
    device: &OwnedDeviceId,
    from: Option<&str>,
) -> Result<(Vec<Value>, String, bool), Error> {
    let from = from.filter(|text| !text.is_empty());
    let from = from.map(|text| text.parse().map(Position).map_err(|_| Error::invalid_param("This is no token")));
    let batch = services.engine.e2ee.dehydrated_messages(session.account(), device, from.transpose()?)?;
    let messages = batch.messages.iter().filter_map(|message| serde_json::from_str(message.get()).ok());
    Ok((messages.collect(), batch.end.0.to_string(), batch.more))
}

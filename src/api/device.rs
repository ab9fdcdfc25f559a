//! Devices of one's own ([spec](https://spec.matrix.org/latest/client-server-api/#device-management)).

use std::sync::Arc;

use ruma::{
    DeviceId, OwnedDeviceId,
    api::client::device::{
        delete_device::v3 as delete, delete_devices::v3 as delete_many, get_device::v3 as one, get_devices::v3 as all,
        update_device::v3 as update,
    },
};
use serde_json::{Value, json};

use super::{register::LONGEST_DEVICE_NAME, uiaa};
use crate::{
    accounts::vault,
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, uiaa::Interactive},
    error::Error,
};

/// Milliseconds of a day: no finer time of a device's use is known.
const DAY: u64 = 86_400_000;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(devices).ruma(device).ruma(rename).ruma(remove).ruma(remove_many)
}

/// `GET /_matrix/client/v3/devices`
async fn devices(_services: Arc<Services>, request: Ruma<all::Request>) -> Result<Json, Error> {
    let view = request.session.account().view();
    let devices: Vec<Value> = view.devices.iter().map(|(id, device)| show(id, device)).collect();
    Ok(Json(json!({ "devices": devices })))
}

/// `GET /_matrix/client/v3/devices/{deviceId}`
async fn device(_services: Arc<Services>, request: Ruma<one::Request>) -> Result<Json, Error> {
    let view = request.session.account().view();
    let id = request.body.device_id;
    let device = view.devices.get(&id).ok_or_else(|| Error::unknown_device("Unknown device"))?;
    Ok(Json(show(&id, device)))
}

/// `PUT /_matrix/client/v3/devices/{deviceId}`
async fn rename(services: Arc<Services>, request: Ruma<update::Request>) -> Result<update::Response, Error> {
    let update::Request { device_id, display_name, .. } = request.body;
    if display_name.as_ref().is_some_and(|name| name.chars().count() > LONGEST_DEVICE_NAME) {
        return Err(Error::invalid_param("The device name is too long"));
    }
    let account = request.session.account();
    if display_name.is_none() && account.view().devices.contains_key(&device_id) {
        return Ok(update::Response::new());
    }
    services.engine.accounts.rename_device(account, &device_id, display_name).await?;
    Ok(update::Response::new())
}

/// `DELETE /_matrix/client/v3/devices/{deviceId}`
async fn remove(
    services: Arc<Services>,
    request: Ruma<Interactive<delete::Request>>,
) -> Result<delete::Response, Error> {
    let Interactive { request: body, auth } = request.body;
    end(&services, &request.session, auth, vec![body.device_id]).await?;
    Ok(delete::Response::new())
}

/// `POST /_matrix/client/v3/delete_devices`
async fn remove_many(
    services: Arc<Services>,
    request: Ruma<Interactive<delete_many::Request>>,
) -> Result<delete_many::Response, Error> {
    let Interactive { request: body, auth } = request.body;
    end(&services, &request.session, auth, body.devices).await?;
    Ok(delete_many::Response::new())
}

/// Ends those of `devices` that exist, once the user has proven who he is.
async fn end(
    services: &Services,
    session: &Session,
    auth: Option<uiaa::Auth>,
    mut devices: Vec<OwnedDeviceId>,
) -> Result<(), Error> {
    uiaa::password(services, session, "delete devices", auth).await?;
    let view = session.account().view();
    devices.retain(|id| view.devices.contains_key(id));
    devices.sort();
    devices.dedup();
    Ok(services.engine.accounts.end_devices(session.account(), &devices).await?)
}

/// A device as its owner sees it. Where it was is not known, and ruma's type would say so with a null; a dehydrated one was
/// never seen.
fn show(id: &DeviceId, device: &vault::Device) -> Value {
    let mut shown = json!({ "device_id": id });
    if device.seen_day > 0 {
        shown["last_seen_ts"] = shown_day(device.seen_day).into();
    }
    if let Some(name) = &device.name {
        shown["display_name"] = name.as_str().into();
    }
    shown
}

/// A day as clients get it: milliseconds since the epoch.
pub(super) fn shown_day(day: u64) -> u64 {
    day.saturating_mul(DAY)
}

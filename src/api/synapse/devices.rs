//! Devices of an account. Only its vault knows them all, so a cold account shows those whose keys are public and changes
//! none. What a device is called is its owner's.

use axum::routing::MethodFilter;
use ruma::OwnedDeviceId;
use serde_json::{Value, json};

use super::{Call, operation, refuse};
use crate::{
    api::{Routes, device::shown_day},
    engine::administer::DeviceShown,
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    let devices = "/_synapse/admin/v2/users/{p4}/devices";
    let one = operation(MethodFilter::GET, show)
        .merge(operation(MethodFilter::DELETE, remove))
        .merge(refuse(MethodFilter::PUT, "What a device is called is its owner's"));
    router
        .route(devices, operation(MethodFilter::GET, list))
        .route(&format!("{devices}/{{p6}}"), one)
        .route("/_synapse/admin/v2/users/{p4}/delete_devices", operation(MethodFilter::POST, remove_many))
}

/// `GET /_synapse/admin/v2/users/{userId}/devices`
async fn list(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    let devices = call.services.engine.devices(&user)?;
    let shown: Vec<Value> = devices.iter().map(|device| shown(device, user.as_str())).collect();
    Ok(json!({ "total": shown.len(), "devices": shown }))
}

/// `GET /_synapse/admin/v2/users/{userId}/devices/{deviceId}`
async fn show(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    let devices = call.services.engine.devices(&user)?;
    let device = devices.iter().find(|device| device.id == call.argument(1));
    device.map(|device| shown(device, user.as_str())).ok_or_else(|| Error::unknown_device("Unknown device"))
}

/// `DELETE /_synapse/admin/v2/users/{userId}/devices/{deviceId}`
async fn remove(call: Call) -> Result<Value, Error> {
    let device = OwnedDeviceId::from(call.argument(1));
    call.services.engine.end_devices(&call.user()?, &[device]).await?;
    Ok(json!({}))
}

/// `POST /_synapse/admin/v2/users/{userId}/delete_devices`
async fn remove_many(call: Call) -> Result<Value, Error> {
    let devices: Vec<OwnedDeviceId> = call.needed("devices")?;
    call.services.engine.end_devices(&call.user()?, &devices).await?;
    Ok(json!({}))
}

fn shown(device: &DeviceShown, user: &str) -> Value {
    json!({
        "device_id": device.id,
        "user_id": user,
        "display_name": null,
        "last_seen_ip": null,
        "last_seen_user_agent": null,
        "last_seen_ts": device.seen_day.map(shown_day),
    })
}

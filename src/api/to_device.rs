//! Messages between devices ([spec](https://spec.matrix.org/latest/client-server-api/#send-to-device-messaging)).

use std::sync::Arc;

use ruma::{
    api::client::to_device::send_event_to_device::v3::{Request, Response},
    to_device::DeviceIdOrAllDevices,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(send)
}

/// `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`
async fn send(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let Request { event_type, txn_id, messages, .. } = request.body;
    let messages = messages.into_iter().map(|(user, devices)| {
        let devices = devices.into_iter().map(|(device, content)| match device {
            DeviceIdOrAllDevices::DeviceId(device) => (Some(device), content.into_json()),
            DeviceIdOrAllDevices::AllDevices => (None, content.into_json()),
        });
        (user, devices.collect())
    });
    let sender = (&*request.session.user_id, &request.session.device_id);
    let e2ee = &services.engine.e2ee;
    e2ee.send_to_devices(sender, &event_type.to_string(), txn_id.as_str(), messages.collect()).await?;
    Ok(Response::new())
}

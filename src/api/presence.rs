//! Who is online ([spec](https://spec.matrix.org/latest/client-server-api/#presence)).

use std::sync::Arc;

use ruma::{
    api::client::presence::{get_presence::v3 as get, set_presence::v3 as set},
    presence::PresenceState,
};

use super::account_data::own;
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
};

/// The longest status message in bytes: a line of text.
const LONGEST_STATUS: usize = 1024;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(presence).ruma(set_presence)
}

/// `GET /_matrix/client/v3/presence/{userId}/status`
async fn presence(services: Arc<Services>, request: Ruma<get::Request>) -> Result<Json, Error> {
    let vault = request.session.account().view();
    let told = services.engine.presence.of(&vault, &request.session.user_id, &request.body.user_id);
    told.map(Json).ok_or_else(|| Error::forbidden("You are not allowed to see their presence"))
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
async fn set_presence(services: Arc<Services>, request: Ruma<set::Request>) -> Result<set::Response, Error> {
    let set::Request { user_id, presence, status_msg, .. } = request.body;
    own(&request.session, &user_id)?;
    if !matches!(presence, PresenceState::Online | PresenceState::Offline | PresenceState::Unavailable) {
        return Err(Error::invalid_param("There is no such presence"));
    }
    if status_msg.as_ref().is_some_and(|status| status.len() > LONGEST_STATUS) {
        return Err(Error::too_large("The status message is too long"));
    }
    services.engine.presence.say(&request.session.inner, presence, status_msg);
    Ok(set::Response::new())
}

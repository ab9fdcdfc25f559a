//! Who is online ([spec](https://spec.matrix.org/latest/client-server-api/#presence)): nobody is told.

use std::sync::Arc;

use ruma::{
    api::client::presence::{get_presence::v3 as get, set_presence::v3 as set},
    presence::PresenceState,
};

use super::account_data::own;
use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(presence).ruma(set_presence)
}

/// `GET /_matrix/client/v3/presence/{userId}/status`
async fn presence(_services: Arc<Services>, _request: Ruma<get::Request>) -> Result<get::Response, Error> {
    Ok(get::Response::new(PresenceState::Offline))
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
async fn set_presence(_services: Arc<Services>, request: Ruma<set::Request>) -> Result<set::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    Ok(set::Response::new())
}

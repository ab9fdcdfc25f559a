//! The account itself ([spec](https://spec.matrix.org/latest/client-server-api/#account-management)): whose it is.

use std::sync::Arc;

use ruma::api::client::account::whoami::v3 as who;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(whoami)
}

/// `GET /_matrix/client/v3/account/whoami`
async fn whoami(_services: Arc<Services>, request: Ruma<who::Request>) -> Result<who::Response, Error> {
    let mut response = who::Response::new(request.session.user_id, false);
    response.device_id = Some(request.session.device_id);
    Ok(response)
}

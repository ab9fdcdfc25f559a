//! The account itself ([spec](https://spec.matrix.org/latest/client-server-api/#account-management)): whose it is, its
//! password, its end.

use std::sync::Arc;

use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus, change_password::v3 as password, deactivate::v3 as deactivate,
    get_3pids::v3 as threepids, whoami::v3 as who,
};
use serde_json::json;

use super::uiaa;
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, uiaa::Interactive},
    error::Error,
    secret::SecretText,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(whoami).ruma(change_password).ruma(end).ruma(third_party_ids)
}

/// `GET /_matrix/client/v3/account/whoami`
async fn whoami(_services: Arc<Services>, request: Ruma<who::Request>) -> Result<who::Response, Error> {
    let mut response = who::Response::new(request.session.user_id, false);
    response.device_id = Some(request.session.device_id);
    Ok(response)
}

/// `POST /_matrix/client/v3/account/password`
async fn change_password(
    services: Arc<Services>,
    request: Ruma<Interactive<password::Request>>,
) -> Result<password::Response, Error> {
    let session = needed(request.session)?;
    let Interactive { request, auth } = request.body;
    uiaa::password(&services, &session, "change password", auth).await?;
    let new = SecretText::new(request.new_password);
    services.engine.accounts.change_password(&session.inner, new, request.logout_devices).await?;
    Ok(password::Response::new())
}

/// `POST /_matrix/client/v3/account/deactivate`
async fn end(
    services: Arc<Services>,
    request: Ruma<Interactive<deactivate::Request>>,
) -> Result<deactivate::Response, Error> {
    let session = needed(request.session)?;
    let Interactive { request, auth } = request.body;
    uiaa::password(&services, &session, "deactivate", auth).await?;
    services.engine.deactivate(&session.user_id, request.erase).await?;
    Ok(deactivate::Response::new(ThirdPartyIdRemovalStatus::Success))
}

/// `GET /_matrix/client/v3/account/3pid`: no email address or phone number is ever stored.
async fn third_party_ids(_services: Arc<Services>, _request: Ruma<threepids::Request>) -> Result<Json, Error> {
    Ok(Json(json!({ "threepids": [] })))
}

/// The session of an endpoint that the specification opens to who has lost his: here there is no other proof.
fn needed(session: Option<Session>) -> Result<Session, Error> {
    session.ok_or_else(|| Error::missing_token("Missing access token"))
}

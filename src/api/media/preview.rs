//! Previews of pages; where they are off, the endpoint does not exist.

use std::sync::Arc;

use ruma::api::client::authenticated_media::get_media_preview::v1 as page;

use crate::{
    api::{Ruma, Services, Session, json::Json},
    error::Error,
};

/// `GET /_matrix/client/v1/media/preview_url`. The newest version is shown, whatever time is asked for.
pub(super) async fn preview(services: Arc<Services>, request: Ruma<page::Request>) -> Result<Json, Error> {
    preview_for(&services, &request.session, &request.body.url).await
}

/// The preview of the page at `address`.
pub(super) async fn preview_for(services: &Services, session: &Session, address: &str) -> Result<Json, Error> {
    Ok(Json(services.engine.media.preview(&session.user_id, address).await?.into()))
}

//! The endpoints that were used before media needed a token. Here they need one too: without it they answer as if
//! nothing existed, as the specification lets servers that have frozen them.
#![expect(deprecated, reason = "ruma calls them what they are")]

use std::sync::Arc;

use axum::{body::Body, http::Response};
use ruma::api::{
    auth_scheme::AccessTokenOptional,
    client::media::{
        get_content::v3 as download, get_content_as_filename::v3 as download_as,
        get_content_thumbnail::v3 as thumbnail, get_media_config::v3 as config, get_media_preview::v3 as page,
    },
};

use super::{download::deliver, draw_for, most, preview::preview_for};
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, ruma::Unread, session::Under},
    error::Error,
};

/// A request of type `R` that may come with a token.
type Welcome<R> = Under<AccessTokenOptional, R>;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma_stream(fetch).ruma_stream(fetch_as).ruma_stream(draw).ruma(limits).ruma(preview)
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`
async fn fetch(
    services: Arc<Services>,
    request: Ruma<Welcome<download::Request>>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    known(request.session.as_ref())?;
    let wanted = request.body.0;
    deliver(&services, (&wanted.server_name, &wanted.media_id), wanted.timeout_ms, None, &unread.headers).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}`
async fn fetch_as(
    services: Arc<Services>,
    request: Ruma<Welcome<download_as::Request>>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    known(request.session.as_ref())?;
    let wanted = request.body.0;
    let name = Some(wanted.filename);
    deliver(&services, (&wanted.server_name, &wanted.media_id), wanted.timeout_ms, name, &unread.headers).await
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`
async fn draw(
    services: Arc<Services>,
    request: Ruma<Welcome<thumbnail::Request>>,
    _unread: Unread,
) -> Result<Response<Body>, Error> {
    known(request.session.as_ref())?;
    let wanted = request.body.0;
    let place = (&*wanted.server_name, wanted.media_id.as_str());
    draw_for(&services, place, wanted.timeout_ms, (wanted.width, wanted.height), wanted.method).await
}

/// `GET /_matrix/media/v3/config`
async fn limits(services: Arc<Services>, _request: Ruma<config::Request>) -> Result<config::Response, Error> {
    Ok(config::Response::new(most(&services)))
}

/// `GET /_matrix/media/v3/preview_url`
async fn preview(services: Arc<Services>, request: Ruma<page::Request>) -> Result<Json, Error> {
    preview_for(&services, &request.session, &request.body.url).await
}

fn known(session: Option<&Session>) -> Result<(), Error> {
    session.map(|_| ()).ok_or_else(|| Error::not_found("Media needs a token"))
}

//! Media ([spec](https://spec.matrix.org/latest/client-server-api/#content-repository)): only with a token.

mod download;
mod headers;
mod legacy;
mod preview;
mod range;
mod upload;

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Response};
use ruma::{
    ServerName, UInt,
    api::client::authenticated_media::{get_content_thumbnail::v1 as thumbnail, get_media_config::v1 as config},
    media::Method,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, ruma::Unread},
    error::Error,
    media::{MediaId, Wanted},
};

pub(super) fn routes(router: Routes) -> Routes {
    let router = router.ruma(upload::make).ruma_stream(upload::take).ruma_stream(upload::take_at);
    let router = router.ruma_stream(download::fetch).ruma_stream(download::fetch_as);
    legacy::routes(router.ruma_stream(draw).ruma(limits).ruma(preview::preview))
}

/// A door for fuzz targets: how content that was uploaded so is described, and which of its thousand bytes are asked for.
#[cfg(any(test, fuzzing))]
pub(crate) fn content(info: &crate::media::Info, range: &[u8]) -> (String, Option<std::ops::Range<u64>>) {
    use axum::http::{HeaderMap, HeaderValue, header};
    let mut described = HeaderMap::new();
    headers::describe(&mut described, info.content_type.as_deref(), info.filename.as_deref());
    let text = described[header::CONTENT_DISPOSITION].to_str().expect("visible characters").to_owned();
    let mut asking = HeaderMap::new();
    asking.extend(HeaderValue::from_bytes(range).ok().map(|range| (header::RANGE, range)));
    let asked = range::asked(&asking, 1000, &HeaderValue::from_static("\"x\""));
    let part = if let range::Asked::Part(part) = asked { Some(part) } else { None };
    (text, part)
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
async fn draw(
    services: Arc<Services>,
    request: Ruma<thumbnail::Request>,
    _unread: Unread,
) -> Result<Response<Body>, Error> {
    let wanted = request.body;
    let place = (&*wanted.server_name, wanted.media_id.as_str());
    draw_for(&services, place, wanted.timeout_ms, (wanted.width, wanted.height), wanted.method).await
}

/// The thumbnail of the picture at `place` for a frame of `(width, height)`.
async fn draw_for(
    services: &Services,
    place: (&ServerName, &str),
    patience: Duration,
    (width, height): (UInt, UInt),
    method: Option<Method>,
) -> Result<Response<Body>, Error> {
    let side = |length: UInt| u32::try_from(u64::from(length)).unwrap_or(u32::MAX);
    let wanted = Wanted { width: side(width), height: side(height), crop: method == Some(Method::Crop) };
    if wanted.width == 0 || wanted.height == 0 {
        return Err(Error::invalid_param("A thumbnail has at least one pixel"));
    }
    let id = find(services, place)?;
    settled(services, id, patience).await?;
    let thumbnail = services.engine.media.thumbnail(id, wanted).await?;
    let name = format!("thumbnail.{}", thumbnail.extension());
    let mut response = Response::new(Body::from(thumbnail.bytes.clone()));
    headers::describe(response.headers_mut(), Some(thumbnail.content_type), Some(&name));
    Ok(response)
}

/// `GET /_matrix/client/v1/media/config`
async fn limits(services: Arc<Services>, _request: Ruma<config::Request>) -> Result<config::Response, Error> {
    Ok(config::Response::new(most(&services)))
}

/// The id at a place that can only be here: other servers are not asked.
fn find(services: &Services, (server, id): (&ServerName, &str)) -> Result<MediaId, Error> {
    let here = *server == services.engine.accounts.policy().server_name;
    MediaId::parse(id).filter(|_| here).ok_or_else(|| Error::not_found("Unknown media"))
}

/// Waits until it is clear whether `id` has content, at most for `patience`, and not while the server stops.
async fn settled(services: &Services, id: MediaId, patience: Duration) -> Result<(), Error> {
    let mut stopping = services.stopping.clone();
    // Every arm may be dropped: each only waits.
    tokio::select! {
        arrived = services.engine.media.arrived(id, patience) => Ok(arrived?),
        _ = stopping.wait_for(|stop| *stop) => Err(crate::media::Error::NotYetUploaded.into()),
    }
}

fn most(services: &Services) -> UInt {
    UInt::try_from(services.engine.media.policy().max_upload).unwrap_or(UInt::MAX)
}

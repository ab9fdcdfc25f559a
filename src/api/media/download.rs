//! Content on its way out: whole or in part.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
    response::IntoResponse,
};
use ruma::{
    ServerName,
    api::client::authenticated_media::{get_content::v1 as download, get_content_as_filename::v1 as download_as},
};

use super::{
    find, headers,
    range::{Asked, asked},
    settled,
};
use crate::{
    api::{Ruma, Services, ruma::Unread},
    error::Error,
    media::{Blob, MediaId},
};

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
pub(super) async fn fetch(
    services: Arc<Services>,
    request: Ruma<download::Request>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    let wanted = request.body;
    deliver(&services, (&wanted.server_name, &wanted.media_id), wanted.timeout_ms, None, &unread.headers).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
pub(super) async fn fetch_as(
    services: Arc<Services>,
    request: Ruma<download_as::Request>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    let wanted = request.body;
    let name = Some(wanted.filename);
    deliver(&services, (&wanted.server_name, &wanted.media_id), wanted.timeout_ms, name, &unread.headers).await
}

/// The blob at `place`, under `name` instead of its own, or the part of it that `asking` asks for.
pub(super) async fn deliver(
    services: &Services,
    place: (&ServerName, &str),
    patience: Duration,
    name: Option<String>,
    asking: &HeaderMap,
) -> Result<Response<Body>, Error> {
    let id = find(services, place)?;
    settled(services, id, patience).await?;
    let blob = services.engine.media.open(id).await?;
    Ok(show(id, blob, name, asking))
}

fn show(id: MediaId, blob: Blob, name: Option<String>, asking: &HeaderMap) -> Response<Body> {
    let tag = HeaderValue::try_from(format!("\"{}\"", id.text())).unwrap_or(HeaderValue::from_static("\"\""));
    let mut described = HeaderMap::new();
    let name = name.or_else(|| blob.info.filename.clone());
    headers::describe(&mut described, blob.info.content_type.as_deref(), name.as_deref());
    described.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    described.insert(header::ETAG, tag.clone());
    let length = blob.length();
    let mut response = match asked(asking, length, &tag) {
        _ if has_it(asking, &tag) => response(304, Body::empty()),
        Asked::Whole => response(200, Body::new(blob.into_body())),
        Asked::Part(range) => {
            let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            place_header(&mut described, place);
            response(206, Body::new(blob.into_part(range)))
        }
        Asked::Nothing => {
            let mut refused = Error::no_such_range("There are no such bytes").into_response();
            place_header(refused.headers_mut(), format!("bytes */{length}"));
            return refused;
        }
    };
    *response.headers_mut() = described;
    response
}

/// Whether the client has the content that `tag` stands for, and asks only whether it is still so.
fn has_it(asking: &HeaderMap, tag: &HeaderValue) -> bool {
    let tags = asking.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = |held: &str| held == "*" || held.strip_prefix("W/").unwrap_or(held).as_bytes() == tag.as_bytes();
    tags.flat_map(|list| list.split(',')).any(|held| known(held.trim()))
}

fn place_header(headers: &mut HeaderMap, place: String) {
    if let Ok(place) = HeaderValue::try_from(place) {
        headers.insert(header::CONTENT_RANGE, place);
    }
}

fn response(status: u16, body: Body) -> Response<Body> {
    Response::builder().status(status).body(body).unwrap_or_else(|_| Error::internal().into_response())
}

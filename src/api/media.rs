//! Media ([spec](https://spec.matrix.org/latest/client-server-api/#content-repository)): only with a token.
//!
//! The endpoints without one answer as if nothing existed. URLs are not previewed: the server contacts nobody unasked.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use ruma::{
    OwnedMxcUri, ServerName, UInt,
    api::client::{
        authenticated_media::{
            get_content::v1 as download, get_content_as_filename::v1 as download_as,
            get_content_thumbnail::v1 as thumbnail, get_media_config::v1 as config,
        },
        media::create_content::v3 as upload,
    },
    http_headers::{ContentDisposition, ContentDispositionType},
    media::Method,
};

use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services, Session,
        ruma::{BODY_TIMEOUT, collect},
    },
    error::Error,
    media::{Blob, Info, MediaId, Upload, Wanted},
};

/// The slowest line an upload may come over, bytes a second: whoever is slower holds memory that others wait for.
const SLOWEST: u64 = 8 << 10;
/// The largest upload that does not say how long it is. Clients say so.
const MOST_UNDECLARED: usize = 4 << 20;
/// What browsers may show in place, by the specification; everything else is offered as a file.
const INLINE: &[&str] = &[
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];
/// Content never runs, wherever it is shown.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; \
     object-src 'self';",
);
/// A blob never changes; a day is the longest a browser may outlive its end.
const CACHING: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");
const UNKNOWN_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) fn routes(router: Routes) -> Routes {
    without_token(
        router
            .ruma_stream(create)
            .ruma_stream(fetch)
            .ruma_stream(fetch_as)
            .ruma_stream(draw)
            .ruma(limits)
            .ruma(old_limits),
    )
}

/// `POST /_matrix/media/v3/upload`
async fn create(services: Arc<Services>, request: Ruma<upload::Request>, body: Body) -> Result<Response<Body>, Error> {
    let Ruma { body: asked, session, .. } = request;
    let info = Info::new(asked.content_type, asked.filename);
    let id = receive(&services, &session, info, body).await?;
    let server = &services.engine.accounts.policy().server_name;
    let uri = OwnedMxcUri::from(format!("mxc://{server}/{}", id.text()));
    answer(upload::Response::new(uri))
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
async fn fetch(
    services: Arc<Services>,
    request: Ruma<download::Request>,
    _body: Body,
) -> Result<Response<Body>, Error> {
    let blob = find(&services, &request.body.server_name, &request.body.media_id).await?;
    Ok(show(blob, None))
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn fetch_as(
    services: Arc<Services>,
    request: Ruma<download_as::Request>,
    _body: Body,
) -> Result<Response<Body>, Error> {
    let request = request.body;
    let blob = find(&services, &request.server_name, &request.media_id).await?;
    Ok(show(blob, Some(request.filename)))
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
async fn draw(
    services: Arc<Services>,
    request: Ruma<thumbnail::Request>,
    _body: Body,
) -> Result<Response<Body>, Error> {
    let request = request.body;
    let side = |length: UInt| u32::try_from(u64::from(length)).unwrap_or(u32::MAX);
    let wanted =
        Wanted { width: side(request.width), height: side(request.height), crop: request.method == Some(Method::Crop) };
    if wanted.width == 0 || wanted.height == 0 {
        return Err(Error::invalid_param("A thumbnail has at least one pixel"));
    }
    let id = local(&services, &request.server_name, &request.media_id)?;
    let thumbnail = services.engine.media.thumbnail(id, wanted).await?;
    let mut response = Response::new(Body::from(thumbnail.bytes.clone()));
    protect(
        response.headers_mut(),
        HeaderValue::from_static(thumbnail.content_type),
        ContentDispositionType::Inline,
        None,
    );
    Ok(response)
}

/// `GET /_matrix/client/v1/media/config`
async fn limits(services: Arc<Services>, _request: Ruma<config::Request>) -> Result<config::Response, Error> {
    Ok(config::Response::new(most(&services)))
}

/// `GET /_matrix/media/v3/config`
#[expect(deprecated, reason = "clients that know nothing newer ask here")]
async fn old_limits(
    services: Arc<Services>,
    _request: Ruma<ruma::api::client::media::get_media_config::v3::Request>,
) -> Result<ruma::api::client::media::get_media_config::v3::Response, Error> {
    Ok(ruma::api::client::media::get_media_config::v3::Response::new(most(&services)))
}

/// The endpoints that were used before media needed a token.
#[expect(deprecated, reason = "they are answered, and say that there is nothing")]
fn without_token(router: Routes) -> Routes {
    use ruma::api::client::media::{get_content, get_content_as_filename, get_content_thumbnail};
    async fn nothing<R: ruma::api::IncomingRequest>(
        _services: Arc<Services>,
        _request: Ruma<R>,
        _body: Body,
    ) -> Result<Response<Body>, Error>
    where
        R::Authentication: crate::api::session::Scheme,
    {
        Err(Error::not_found("Media needs a token"))
    }
    router
        .ruma_stream(nothing::<get_content::v3::Request>)
        .ruma_stream(nothing::<get_content_as_filename::v3::Request>)
        .ruma_stream(nothing::<get_content_thumbnail::v3::Request>)
}

/// Takes a body in, piece by piece when it says how long it is.
async fn receive(services: &Services, session: &Session, info: Info, body: Body) -> Result<MediaId, Error> {
    let media = &services.engine.media;
    let Some(length) = body.size_hint().exact() else {
        let most = usize::try_from(media.policy().max_upload).unwrap_or(usize::MAX).min(MOST_UNDECLARED);
        let whole = collect(body, most).await?;
        let mut upload = media.upload(&session.user_id, whole.len() as u64).await?;
        upload.push(&whole).await?;
        return Ok(upload.finish(info).await?);
    };
    let upload = media.upload(&session.user_id, length).await?;
    let patience = BODY_TIMEOUT + Duration::from_secs(length / SLOWEST);
    let received = tokio::time::timeout(patience, pour(body, upload)).await;
    let upload = received.map_err(|_| Error::too_slow("The body did not arrive in time"))??;
    Ok(upload.finish(info).await?)
}

async fn pour(mut body: Body, mut upload: Upload) -> Result<Upload, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("The body could not be read"))?;
        if let Ok(piece) = frame.into_data() {
            upload.push(&piece).await?;
        }
    }
    Ok(upload)
}

async fn find(services: &Services, server: &ServerName, id: &str) -> Result<Blob, Error> {
    let id = local(services, server, id)?;
    Ok(services.engine.media.open(id).await?)
}

/// The id of a blob that can only be here: other servers are not asked.
fn local(services: &Services, server: &ServerName, id: &str) -> Result<MediaId, Error> {
    let here = *server == services.engine.accounts.policy().server_name;
    MediaId::parse(id).filter(|_| here).ok_or_else(|| Error::not_found("Unknown media"))
}

fn show(blob: Blob, filename: Option<String>) -> Response<Body> {
    let content_type = blob.info.content_type.as_deref();
    let bare = content_type.and_then(|text| text.split(';').next()).map(|text| text.trim().to_ascii_lowercase());
    let inline = bare.is_some_and(|bare| INLINE.contains(&bare.as_str()));
    let content_type = content_type.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or(UNKNOWN_TYPE);
    let disposition = if inline { ContentDispositionType::Inline } else { ContentDispositionType::Attachment };
    let filename = filename.or_else(|| blob.info.filename.clone());
    let mut response = Response::new(Body::new(blob.into_body()));
    protect(response.headers_mut(), content_type, disposition, filename);
    response
}

/// The headers of everything that came from somebody else. There is no `Last-Modified`: it would tell when.
fn protect(
    headers: &mut HeaderMap,
    content_type: HeaderValue,
    disposition: ContentDispositionType,
    filename: Option<String>,
) {
    let filename = filename.map(|name| harmless(&name)).filter(|name| !name.is_empty());
    let disposition = ContentDisposition::new(disposition).with_filename(filename).to_string();
    let disposition = HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static("attachment"));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::CACHE_CONTROL, CACHING);
}

/// A file name without what leads elsewhere, cannot be seen, or turns text around.
fn harmless(name: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let name: String = name.chars().filter(|c| !hidden(*c)).map(|c| if "/\\".contains(c) { '_' } else { c }).collect();
    name.trim_start_matches('.').to_owned()
}

fn most(services: &Services) -> UInt {
    UInt::try_from(services.engine.media.policy().max_upload).unwrap_or(UInt::MAX)
}

fn answer<T: ruma::api::OutgoingResponse>(response: T) -> Result<Response<Body>, Error> {
    use ruma::api::OutgoingResponseExt;
    let response = response.try_into_http_response::<Vec<u8>>().map_err(|_| Error::internal())?;
    Ok(response.map(Body::from))
}

//! Content on its way in.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, http::Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedMxcUri, UInt,
    api::client::media::{
        create_content::v3 as upload, create_content_async::v3 as fill, create_mxc_uri::v1 as create,
    },
};
use serde_json::json;

use super::find;
use crate::{
    api::{
        Ruma, Services, Session,
        json::Json,
        ruma::{Unread, collect},
    },
    error::Error,
    media::{Claim, Info, MediaId, Upload},
};

/// The slowest line an upload may come over, bytes a second: whoever is slower holds memory that others wait for.
const SLOWEST: u64 = 8 << 10;
/// Over how long an upload's pace is taken.
const MINUTE: Duration = Duration::from_mins(1);
/// The largest upload that does not say how long it is. Clients say so.
const MOST_UNDECLARED: usize = 4 << 20;

/// `POST /_matrix/media/v1/create`
pub(super) async fn make(services: Arc<Services>, request: Ruma<create::Request>) -> Result<create::Response, Error> {
    let (id, until) = services.engine.media.create(&request.session.user_id)?;
    let mut response = create::Response::new(uri(&services, id));
    response.unused_expires_at = UInt::new(until.0).map(MilliSecondsSinceUnixEpoch);
    Ok(response)
}

/// `POST /_matrix/media/v3/upload`
pub(super) async fn take(
    services: Arc<Services>,
    request: Ruma<upload::Request>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    let Ruma { body: asked, session, .. } = request;
    let info = Info::new(asked.content_type, asked.filename);
    let id = receive(&services, &session, None, info, unread.body).await?;
    answer(upload::Response::new(uri(&services, id)))
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
pub(super) async fn take_at(
    services: Arc<Services>,
    request: Ruma<fill::Request>,
    unread: Unread,
) -> Result<Response<Body>, Error> {
    let Ruma { body: asked, session, .. } = request;
    let id = find(&services, (&asked.server_name, &asked.media_id))?;
    let claim = services.engine.media.claim(&session.user_id, id).await?;
    let info = Info::new(asked.content_type, asked.filename);
    receive(&services, &session, Some(claim), info, unread.body).await?;
    answer(Json(json!({})))
}

/// Takes a body in, piece by piece when it says how long it is.
async fn receive(
    services: &Services,
    session: &Session,
    claim: Option<Claim>,
    info: Info,
    body: Body,
) -> Result<MediaId, Error> {
    let media = &services.engine.media;
    let _one = services.gate.upload(session)?;
    let Some(length) = body.size_hint().exact() else {
        let most = usize::try_from(media.policy().max_upload).unwrap_or(usize::MAX).min(MOST_UNDECLARED);
        let whole = collect(body, most, None).await?;
        let mut upload = media.upload(&session.user_id, claim, whole.len() as u64).await?;
        upload.push(&whole).await?;
        return Ok(upload.finish(info).await?);
    };
    let upload = media.upload(&session.user_id, claim, length).await?;
    let upload = pour(body, upload).await?;
    Ok(upload.finish(info).await?)
}

/// Takes pieces as they come, and gives up when too few have come in a minute.
async fn pour(mut body: Body, mut upload: Upload) -> Result<Upload, Error> {
    let mut minute = pin!(tokio::time::sleep(MINUTE));
    let mut arrived = 0;
    loop {
        // A frame that has not come yet is not lost when the minute ends first.
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut minute => {
                if arrived < SLOWEST * MINUTE.as_secs() {
                    return Err(Error::too_slow("The body did not arrive in time"));
                }
                arrived = 0;
                minute.as_mut().reset(tokio::time::Instant::now() + MINUTE);
                continue;
            }
        };
        let Some(frame) = frame else { return Ok(upload) };
        let frame = frame.map_err(|_| Error::bad_request("The body could not be read"))?;
        if let Ok(piece) = frame.into_data() {
            arrived += piece.len() as u64;
            upload.push(&piece).await?;
        }
    }
}

fn uri(services: &Services, id: MediaId) -> OwnedMxcUri {
    format!("mxc://{}/{}", services.engine.accounts.policy().server_name, id.text()).into()
}

fn answer<T: ruma::api::OutgoingResponse>(response: T) -> Result<Response<Body>, Error> {
    use ruma::api::OutgoingResponseExt;
    let response = response.try_into_http_response::<Vec<u8>>().map_err(|_| Error::internal())?;
    Ok(response.map(Body::from))
}

//! The rooms that two users share ([spec](https://spec.matrix.org/latest/client-server-api/#mutual-rooms)).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    OwnedRoomId, RoomId, UInt, UserId,
    api::client::membership::get_mutual_rooms::{unstable as proposed, v1 as mutual},
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session},
    error::Error,
};

/// The most rooms of one page.
const MAX_PAGE: usize = 100;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(mutual_rooms).ruma(all_mutual_rooms)
}

/// `GET /_matrix/client/v1/mutual_rooms`
async fn mutual_rooms(services: Arc<Services>, request: Ruma<mutual::Request>) -> Result<mutual::Response, Error> {
    let shared = shared(&services, &request.session, &request.body.user_id)?;
    let from = request.body.from.as_deref().map(read_token).transpose()?;
    let start = from.map_or(0, |last| shared.partition_point(|room| *room <= last));
    let page: Vec<OwnedRoomId> = shared.iter().skip(start).take(MAX_PAGE).cloned().collect();
    let more = start + page.len() < shared.len();
    let count = UInt::try_from(shared.len()).unwrap_or(UInt::MAX);
    let mut response = mutual::Response::new(count, page);
    response.next_batch = response.joined.last().filter(|_| more).map(|last| token(last));
    Ok(response)
}

/// `GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms`: in one page, because clients that know this
/// path do not agree on the names of its tokens.
async fn all_mutual_rooms(
    services: Arc<Services>,
    request: Ruma<proposed::Request>,
) -> Result<proposed::Response, Error> {
    Ok(proposed::Response::new(shared(&services, &request.session, &request.body.user_id)?))
}

/// The rooms that the caller and `other` have both joined, by id.
fn shared(services: &Services, session: &Session, other: &UserId) -> Result<Vec<OwnedRoomId>, Error> {
    if *other == session.user_id || other.validate_historical().is_err() {
        return Err(Error::invalid_param("Shared rooms are those with another user"));
    }
    Ok(services.engine.rooms.shared_with(session.account(), other))
}

/// The place behind a room.
fn token(last: &RoomId) -> String {
    URL_SAFE_NO_PAD.encode(last.as_bytes())
}

fn read_token(text: &str) -> Result<OwnedRoomId, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let room = bytes.and_then(|bytes| OwnedRoomId::try_from(String::from_utf8(bytes).ok()?).ok());
    room.ok_or_else(|| Error::invalid_param("There is no such page"))
}

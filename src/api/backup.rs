//! Key backups ([spec](https://spec.matrix.org/latest/client-server-api/#server-side-key-backups)).

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedRoomId, RoomId,
    api::client::backup::{
        RoomKeyBackup, add_backup_keys, add_backup_keys_for_room, add_backup_keys_for_session, create_backup_version,
        delete_backup_keys, delete_backup_keys_for_room, delete_backup_keys_for_session, delete_backup_version,
        get_backup_info, get_backup_keys, get_backup_keys_for_room, get_backup_keys_for_session,
        get_latest_backup_info, update_backup_version,
    },
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json},
    e2ee::{BackupInfo, BackupState, RoomKeys},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router
        .ruma(create)
        .ruma(latest)
        .ruma(info)
        .ruma(update)
        .ruma(delete)
        .ruma(put_all)
        .ruma(put_room)
        .ruma(put_session)
        .ruma(list_all)
        .ruma(list_room)
        .ruma(find_session)
        .ruma(delete_all)
        .ruma(delete_room)
        .ruma(delete_session)
}

/// What a client says of a version.
#[derive(Deserialize)]
struct Description {
    algorithm: String,
    auth_data: Value,
    version: Option<String>,
}

/// `POST /_matrix/client/v3/room_keys/version`
async fn create(services: Arc<Services>, request: Ruma<create_backup_version::v3::Request>) -> Result<Json, Error> {
    let body: Description = serde_json::from_slice(&request.raw)?;
    let account = request.session.account();
    let version = services.engine.e2ee.create_backup(account, body.algorithm, body.auth_data).await?;
    Ok(Json(json!({ "version": version.to_string() })))
}

/// `GET /_matrix/client/v3/room_keys/version`
async fn latest(services: Arc<Services>, request: Ruma<get_latest_backup_info::v3::Request>) -> Result<Json, Error> {
    Ok(shown(&services.engine.e2ee.backup(request.session.account(), None)?))
}

/// `GET /_matrix/client/v3/room_keys/version/{version}`
async fn info(services: Arc<Services>, request: Ruma<get_backup_info::v3::Request>) -> Result<Json, Error> {
    Ok(shown(&services.engine.e2ee.backup(request.session.account(), Some(&request.body.version))?))
}

/// `PUT /_matrix/client/v3/room_keys/version/{version}`
async fn update(services: Arc<Services>, request: Ruma<update_backup_version::v3::Request>) -> Result<Json, Error> {
    let body: Description = serde_json::from_slice(&request.raw)?;
    let account = request.session.account();
    let data = (body.algorithm, body.auth_data);
    services.engine.e2ee.update_backup(account, &request.body.version, data, body.version).await?;
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/room_keys/version/{version}`
async fn delete(services: Arc<Services>, request: Ruma<delete_backup_version::v3::Request>) -> Result<Json, Error> {
    services.engine.e2ee.delete_backup(request.session.account(), &request.body.version).await?;
    Ok(Json(json!({})))
}

/// `PUT /_matrix/client/v3/room_keys/keys`
async fn put_all(services: Arc<Services>, request: Ruma<add_backup_keys::v3::Request>) -> Result<Json, Error> {
    let rooms = request.body.rooms.into_iter().map(|(room, backup)| (room, raw(backup)));
    put(&services, &request.session, &request.body.version, rooms.collect()).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}`
async fn put_room(
    services: Arc<Services>,
    request: Ruma<add_backup_keys_for_room::v3::Request>,
) -> Result<Json, Error> {
    let sessions = raw(RoomKeyBackup::new(request.body.sessions));
    put(&services, &request.session, &request.body.version, RoomKeys::from([(request.body.room_id, sessions)])).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn put_session(
    services: Arc<Services>,
    request: Ruma<add_backup_keys_for_session::v3::Request>,
) -> Result<Json, Error> {
    let sessions = BTreeMap::from([(request.body.session_id, request.body.session_data.into_json())]);
    put(&services, &request.session, &request.body.version, RoomKeys::from([(request.body.room_id, sessions)])).await
}

/// `GET /_matrix/client/v3/room_keys/keys`
async fn list_all(services: Arc<Services>, request: Ruma<get_backup_keys::v3::Request>) -> Result<Json, Error> {
    let keys = services.engine.e2ee.backed_up(request.session.account(), &request.body.version, None, None).await?;
    let rooms: BTreeMap<OwnedRoomId, Value> =
        keys.into_iter().map(|(room, sessions)| (room, json!({ "sessions": sessions }))).collect();
    Ok(Json(json!({ "rooms": rooms })))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}`
async fn list_room(
    services: Arc<Services>,
    request: Ruma<get_backup_keys_for_room::v3::Request>,
) -> Result<Json, Error> {
    let (account, room) = (request.session.account(), &request.body.room_id);
    let mut keys = services.engine.e2ee.backed_up(account, &request.body.version, Some(room), None).await?;
    Ok(Json(json!({ "sessions": keys.remove(room).unwrap_or_default() })))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn find_session(
    services: Arc<Services>,
    request: Ruma<get_backup_keys_for_session::v3::Request>,
) -> Result<Json, Error> {
    let (account, body) = (request.session.account(), &request.body);
    let place = (Some(&*body.room_id), Some(&*body.session_id));
    let keys = services.engine.e2ee.backed_up(account, &body.version, place.0, place.1).await?;
    let key = keys.into_values().flat_map(BTreeMap::into_values).next();
    let key = key.ok_or_else(|| Error::not_found("There is no such key"))?;
    Ok(Json(serde_json::from_str(key.get())?))
}

/// `DELETE /_matrix/client/v3/room_keys/keys`
async fn delete_all(services: Arc<Services>, request: Ruma<delete_backup_keys::v3::Request>) -> Result<Json, Error> {
    remove(&services, &request.session, &request.body.version, None, None).await
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`
async fn delete_room(
    services: Arc<Services>,
    request: Ruma<delete_backup_keys_for_room::v3::Request>,
) -> Result<Json, Error> {
    remove(&services, &request.session, &request.body.version, Some(&request.body.room_id), None).await
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
async fn delete_session(
    services: Arc<Services>,
    request: Ruma<delete_backup_keys_for_session::v3::Request>,
) -> Result<Json, Error> {
    let body = &request.body;
    remove(&services, &request.session, &body.version, Some(&body.room_id), Some(&body.session_id)).await
}

async fn put(services: &Services, session: &Session, version: &str, keys: RoomKeys) -> Result<Json, Error> {
    Ok(state(services.engine.e2ee.back_up(session.account(), version, keys).await?))
}

async fn remove(
    services: &Services,
    session: &Session,
    version: &str,
    room: Option<&RoomId>,
    key: Option<&str>,
) -> Result<Json, Error> {
    Ok(state(services.engine.e2ee.delete_keys(session.account(), version, room, key).await?))
}

fn state(state: BackupState) -> Json {
    Json(json!({ "count": state.count, "etag": state.etag.to_string() }))
}

fn shown(info: &BackupInfo) -> Json {
    Json(json!({
        "algorithm": info.backup.algorithm,
        "auth_data": info.backup.auth_data,
        "count": info.state.count,
        "etag": info.state.etag.to_string(),
        "version": info.version.to_string(),
    }))
}

fn raw(backup: RoomKeyBackup) -> BTreeMap<String, Box<RawValue>> {
    backup.sessions.into_iter().map(|(session, data)| (session, data.into_json())).collect()
}

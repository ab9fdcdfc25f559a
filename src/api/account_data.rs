//! What clients keep with their account ([spec](https://spec.matrix.org/latest/client-server-api/#client-config)), and
//! the tags of rooms.

use std::sync::Arc;

use ruma::{
    OwnedRoomId, RoomId, UserId,
    api::client::{
        config::{
            get_global_account_data::v3 as get_global, get_room_account_data::v3 as get_room,
            set_global_account_data::v3 as set_global, set_room_account_data::v3 as set_room,
        },
        tag::{create_tag::v3 as set_tag, delete_tag::v3 as delete_tag, get_tags::v3 as tags},
    },
};
use serde_json::{Map, Value, json};

use crate::{
    accounts::{
        self, Account,
        vault::{ReadKey, ReadKind, VaultChange, VaultLedger, is_deleted, value_size},
    },
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, untyped::untyped},
    error::Error,
    push,
};

/// Types of global account data one account may have.
const MOST_TYPES: usize = 1000;
/// Types of account data in one room.
const MOST_ROOM_TYPES: usize = 100;
/// The longest type in bytes, as for events.
const LONGEST_TYPE: usize = 255;
/// The largest value in bytes, as for events.
const LARGEST: usize = 64 * 1024;
/// All account data of one account in bytes: it lies in memory as long as the account is open, in several times its size,
/// and clients hold all of it too.
const MOST_BYTES: usize = 4 << 20;
/// Tags of one room.
const MOST_TAGS: usize = 100;

untyped! {
    /// Deletes account data (MSC3391).
    DeleteGlobal: DELETE "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}"
}
untyped! {
    /// Deletes account data of a room (MSC3391).
    DeleteRoom: DELETE
        "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}"
}

/// The type under which the tags of a room lie.
const TAGS: &str = "m.tag";
/// The type under which clients see how far they have read.
const FULLY_READ: &str = "m.fully_read";

pub(super) fn routes(router: Routes) -> Routes {
    let router = router.ruma(global).ruma(put_global).ruma(delete_global).ruma(room).ruma(put_room).ruma(delete_room);
    router.ruma(tags_of).ruma(put_tag).ruma(remove_tag)
}

/// Refuses requests about somebody else's account.
pub(super) fn own(session: &Session, user: &UserId) -> Result<(), Error> {
    if session.user_id == user { Ok(()) } else { Err(Error::forbidden("This is not your account")) }
}

/// `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn global(_services: Arc<Services>, request: Ruma<get_global::Request>) -> Result<Json, Error> {
    own(&request.session, &request.body.user_id)?;
    let view = request.session.account().view();
    let kind = request.body.event_type.to_string();
    if kind == push::RULES {
        return Ok(Json(json!({ "global": push::ruleset_of(&view, &request.session.user_id) })));
    }
    let data = view.account_data.get(&kind).filter(|data| !is_deleted(&data.value)).ok_or_else(absent)?;
    Ok(Json(data.value.clone()))
}

/// `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn put_global(
    services: Arc<Services>,
    request: Ruma<set_global::Request>,
) -> Result<set_global::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    let kind = request.body.event_type.to_string();
    let value = check(&kind, &request.raw)?;
    store(&services, request.session.account(), move |vault| put_in_account(vault, kind, value)).await?;
    Ok(set_global::Response::new())
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}`
async fn delete_global(services: Arc<Services>, request: Ruma<DeleteGlobal>) -> Result<Json, Error> {
    let kind = deletable(&request.session, &request.arguments[0], &request.arguments[1])?;
    let known = request.session.account().view().account_data.contains_key(&kind);
    if known {
        store(&services, request.session.account(), move |vault| put_in_account(vault, kind, json!({}))).await?;
    }
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn room(services: Arc<Services>, request: Ruma<get_room::Request>) -> Result<Json, Error> {
    own(&request.session, &request.body.user_id)?;
    let view = request.session.account().view();
    let (room, kind) = (request.body.room_id, request.body.event_type.to_string());
    if kind == FULLY_READ {
        return fully_read(&services, &view, room).map(Json).ok_or_else(absent);
    }
    let data = view.room_data.get(&(room, kind)).filter(|data| !is_deleted(&data.value)).ok_or_else(absent)?;
    Ok(Json(data.value.clone()))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn put_room(services: Arc<Services>, request: Ruma<set_room::Request>) -> Result<set_room::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    let kind = request.body.event_type.to_string();
    let value = check(&kind, &request.raw)?;
    let room = request.body.room_id;
    let change = move |vault: &VaultLedger| put_in_room(vault, room, kind, Some(value));
    store(&services, request.session.account(), change).await?;
    Ok(set_room::Response::new())
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn delete_room(services: Arc<Services>, request: Ruma<DeleteRoom>) -> Result<Json, Error> {
    let kind = deletable(&request.session, &request.arguments[0], &request.arguments[2])?;
    let room = RoomId::parse(request.arguments[1].as_str()).map_err(|_| Error::invalid_param("Not a room id"))?;
    let known = request.session.account().view().room_data.contains_key(&(room.clone(), kind.clone()));
    if known {
        let change = move |vault: &VaultLedger| put_in_room(vault, room, kind, Some(json!({})));
        store(&services, request.session.account(), change).await?;
    }
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
async fn tags_of(_services: Arc<Services>, request: Ruma<tags::Request>) -> Result<Json, Error> {
    own(&request.session, &request.body.user_id)?;
    let tags = read_tags(&request.session.account().view(), &request.body.room_id);
    Ok(Json(json!({ "tags": tags })))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
async fn put_tag(services: Arc<Services>, request: Ruma<set_tag::Request>) -> Result<set_tag::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    let set_tag::Request { room_id, tag, .. } = request.body;
    if tag.len() > LONGEST_TYPE || request.raw.len() > LARGEST / MOST_TAGS {
        return Err(Error::too_large("The tag is too large"));
    }
    let info: Map<String, Value> =
        if request.raw.is_empty() { Map::new() } else { serde_json::from_slice(&request.raw)? };
    let change = move |vault: &VaultLedger| {
        let mut tags = read_tags(vault, &room_id);
        if tags.len() >= MOST_TAGS && !tags.contains_key(&tag) {
            return Err(accounts::Error::TooMany.into());
        }
        tags.insert(tag, Value::Object(info));
        put_in_room(vault, room_id, TAGS.to_owned(), Some(json!({ "tags": tags })))
    };
    store(&services, request.session.account(), change).await?;
    Ok(set_tag::Response::new())
}

/// `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
async fn remove_tag(
    services: Arc<Services>,
    request: Ruma<delete_tag::Request>,
) -> Result<delete_tag::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    let delete_tag::Request { room_id, tag, .. } = request.body;
    if !read_tags(&request.session.account().view(), &room_id).contains_key(&tag) {
        return Ok(delete_tag::Response::new());
    }
    let change = move |vault: &VaultLedger| {
        let mut tags = read_tags(vault, &room_id);
        tags.remove(&tag);
        put_in_room(vault, room_id, TAGS.to_owned(), Some(json!({ "tags": tags })))
    };
    store(&services, request.session.account(), change).await?;
    Ok(delete_tag::Response::new())
}

/// What a client may store under `kind`: an object, where the server does not write itself.
fn check(kind: &str, raw: &[u8]) -> Result<Value, Error> {
    if matches!(kind, FULLY_READ | push::RULES) {
        return Err(Error::server_controlled("This account data is written by the server"));
    }
    if kind.len() > LONGEST_TYPE || raw.len() > LARGEST {
        return Err(Error::too_large("The account data is too large"));
    }
    let value: Value = serde_json::from_slice(raw)?;
    if value.is_object() { Ok(value) } else { Err(Error::bad_json("Account data is an object")) }
}

/// The type of account data that its owner wants deleted.
fn deletable(session: &Session, user: &str, kind: &str) -> Result<String, Error> {
    own(session, <&UserId>::try_from(user).map_err(|_| Error::invalid_param("Not a user id"))?)?;
    check(kind, b"{}")?;
    Ok(kind.to_owned())
}

/// The changes that put `value` into the account. What was deleted makes room for what is new.
fn put_in_account(vault: &VaultLedger, kind: String, value: Value) -> Result<Vec<VaultChange>, Error> {
    let mut changes = Vec::new();
    if vault.account_data.len() >= MOST_TYPES && !vault.account_data.contains_key(&kind) {
        let deleted = vault.account_data.iter().find(|(_, data)| is_deleted(&data.value));
        let (deleted, _) = deleted.ok_or(accounts::Error::TooMany)?;
        changes.push(VaultChange::AccountData(deleted.clone(), None));
    }
    changes.push(VaultChange::AccountData(kind, Some(value)));
    Ok(changes)
}

/// The changes that put `value` into a room that the account knows.
fn put_in_room(
    vault: &VaultLedger,
    room: OwnedRoomId,
    kind: String,
    value: Option<Value>,
) -> Result<Vec<VaultChange>, Error> {
    if !vault.rooms.contains_key(&room) {
        return Err(Error::not_found("Unknown room"));
    }
    let name = (room, kind);
    let types = || vault.room_data.range((name.0.clone(), String::new())..).take_while(|((of, _), _)| *of == name.0);
    let mut changes = Vec::new();
    if types().count() >= MOST_ROOM_TYPES && !vault.room_data.contains_key(&name) {
        let deleted = types().find(|(_, data)| is_deleted(&data.value));
        let ((_, deleted), _) = deleted.ok_or(accounts::Error::TooMany)?;
        changes.push(VaultChange::RoomData(name.0.clone(), deleted.clone(), None));
    }
    changes.push(VaultChange::RoomData(name.0, name.1, value));
    Ok(changes)
}

fn read_tags(vault: &VaultLedger, room: &RoomId) -> Map<String, Value> {
    let data = vault.room_data.get(&(room.to_owned(), TAGS.to_owned()));
    let tags = data.and_then(|data| data.value.get("tags")).and_then(Value::as_object);
    tags.cloned().unwrap_or_default()
}

/// The marker as clients see it: on an event that is still served, when the room is open.
fn fully_read(services: &Services, vault: &VaultLedger, room: OwnedRoomId) -> Option<Value> {
    let open = services.engine.rooms.find(&room);
    let mark = vault.read.get(&ReadKey { room, kind: ReadKind::Fully, thread: None })?;
    let served = open.and_then(|open| open.view().served(&mark.event, mark.position, None));
    Some(json!({ "event_id": served.as_ref().unwrap_or(&mark.event) }))
}

async fn store(
    services: &Services,
    account: &Account,
    change: impl FnOnce(&VaultLedger) -> Result<Vec<VaultChange>, Error> + Send,
) -> Result<(), Error> {
    let decide = |vault: &VaultLedger| {
        let changes = change(vault)?;
        if changes.iter().any(|change| too_much(vault, change)) {
            return Err(accounts::Error::TooMany.into());
        }
        Ok::<_, Error>(changes)
    };
    account.vault.try_change(&services.engine.journals, decide).await?;
    account.notify();
    Ok(())
}

/// Whether a change adds to more account data than there may be.
fn too_much(vault: &VaultLedger, change: &VaultChange) -> bool {
    let (before, after) = match change {
        VaultChange::AccountData(kind, after) => (vault.account_data.get(kind), after),
        VaultChange::RoomData(room, kind, after) => (vault.room_data.get(&(room.clone(), kind.clone())), after),
        _ => return false,
    };
    let before = before.map_or(0, |data| value_size(&data.value));
    let after = after.as_ref().map_or(0, value_size);
    after > before && vault.data_bytes - before + after > MOST_BYTES
}

fn absent() -> Error {
    Error::not_found("No such account data")
}

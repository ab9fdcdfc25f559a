//! Rooms: those that are open, and those that anybody here may join. Deleting one destroys its key.

use axum::routing::MethodFilter;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedRoomId, RoomId};
use serde_json::{Value, json};

use super::{Call, operation, page::page, refuse};
use crate::{
    api::Routes,
    engine::administer::{RoomShown, Shredded},
    error::Error,
};

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const DELETE: MethodFilter = MethodFilter::DELETE;

const WHO_IS_IN: &str = "Who is in a room and what it says is for its members";
const NOT_FORGED: &str = "Nothing is sent or joined in the name of another";

pub(super) fn routes(router: Routes) -> Routes {
    let at = |path: &str| format!("/_synapse/admin/{path}");
    router
        .route(&at("v1/rooms"), operation(GET, list))
        .route(&at("v1/rooms/{p4}"), operation(GET, show).merge(operation(DELETE, delete)))
        .route(&at("v2/rooms/{p4}"), operation(DELETE, delete_later))
        .route(&at("v2/rooms/{p4}/delete_status"), operation(GET, status_of_room))
        .route(&at("v2/rooms/delete_status/{p5}"), operation(GET, status))
        .route(&at("v1/rooms/{p4}/members"), refuse(GET, WHO_IS_IN))
        .route(&at("v1/rooms/{p4}/state"), refuse(GET, WHO_IS_IN))
        .route(&at("v1/rooms/{p4}/messages"), refuse(GET, WHO_IS_IN))
        .route(&at("v1/rooms/{p4}/make_room_admin"), refuse(POST, NOT_FORGED))
        .route(&at("v1/join/{p4}"), refuse(POST, NOT_FORGED))
}

/// `GET /_synapse/admin/v1/rooms`
async fn list(call: Call) -> Result<Value, Error> {
    let (public, empty) = (call.flag("public_rooms")?, call.flag("empty_rooms")?);
    let term = call.query.get("search_term").map(|term| term.to_lowercase());
    let wanted = |room: &RoomShown| {
        let texts = [room.name.as_deref(), room.canonical_alias.as_deref(), Some(room.room_id.as_str())];
        let found = term
            .as_ref()
            .is_none_or(|term| texts.into_iter().flatten().any(|text| text.to_lowercase().contains(term.as_str())));
        found
            && public.is_none_or(|public| room.public == public)
            && empty.is_none_or(|empty| (room.joined_members == 0) == empty)
    };
    let shown_rooms = call.services.engine.rooms_shown().await?;
    let rooms = shown_rooms.rooms.iter().filter(|room| wanted(room)).map(shown).collect();
    let fields = [
        "name",
        "canonical_alias",
        "joined_members",
        "joined_local_members",
        "version",
        "encryption",
        "federatable",
        "public",
        "join_rules",
        "guest_access",
        "history_visibility",
        "state_events",
    ];
    let page = page(rooms, &call.query, &fields)?;
    let mut answer = json!({ "rooms": page.items, "offset": page.from, "total_rooms": page.total });
    if let Some(next) = page.next() {
        answer["next_batch"] = json!(next);
    }
    if let Some(previous) = page.previous() {
        answer["prev_batch"] = json!(previous);
    }
    Ok(answer)
}

/// A room as Synapse shows it: names where anybody here may know them, nobody's id.
fn shown(room: &RoomShown) -> Value {
    json!({
        "room_id": room.room_id,
        "name": room.name,
        "topic": room.topic,
        "avatar": room.avatar,
        "canonical_alias": room.canonical_alias,
        "joined_members": room.joined_members,
        "joined_local_members": room.joined_local_members,
        "joined_local_devices": null,
        "version": room.version,
        "creator": null,
        "encryption": room.encryption,
        "federatable": room.federatable,
        "public": room.public,
        "join_rules": room.join_rules,
        "guest_access": if room.guest_access { "can_join" } else { "forbidden" },
        "history_visibility": room.history_visibility,
        "state_events": room.state_events,
        "room_type": room.room_type,
    })
}

/// `GET /_synapse/admin/v1/rooms/{roomId}`
async fn show(call: Call) -> Result<Value, Error> {
    Ok(shown(&call.services.engine.room_shown(&room(call.argument(0))?).await?))
}

/// `DELETE /_synapse/admin/v1/rooms/{roomId}`
async fn delete(call: Call) -> Result<Value, Error> {
    shred(&call).await
}

/// `DELETE /_synapse/admin/v2/rooms/{roomId}`: done before it is answered.
async fn delete_later(call: Call) -> Result<Value, Error> {
    shred(&call).await?;
    Ok(json!({ "delete_id": URL_SAFE_NO_PAD.encode(call.argument(0)) }))
}

async fn shred(call: &Call) -> Result<Value, Error> {
    if call.field::<String>("new_room_user_id")?.is_some() {
        return Err(Error::bad_request("Members are not moved to another room"));
    }
    if call.field("purge")? == Some(false) {
        return Err(Error::bad_request("A room is deleted whole or not at all"));
    }
    let Shredded { aliases, .. } = call.services.engine.shred_room(&room(call.argument(0))?).await?;
    Ok(json!({
        "kicked_users": null,
        "failed_to_kick_users": [],
        "local_aliases": aliases,
        "new_room_id": null,
    }))
}

/// `GET /_synapse/admin/v2/rooms/{roomId}/delete_status`
async fn status_of_room(call: Call) -> Result<Value, Error> {
    Ok(json!({ "results": [deleted(&call, call.argument(0)).await?] }))
}

/// `GET /_synapse/admin/v2/rooms/delete_status/{deleteId}`
async fn status(call: Call) -> Result<Value, Error> {
    let room = URL_SAFE_NO_PAD.decode(call.argument(0)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    deleted(&call, &room.ok_or_else(unknown)?).await
}

/// A deletion is complete when nothing of the room is here, and waits while no member has come.
async fn deleted(call: &Call, id: &str) -> Result<Value, Error> {
    let (engine, room) = (&call.services.engine, room(id)?);
    if engine.room_shown(&room).await.is_ok() {
        return Err(unknown());
    }
    let status = if engine.is_doomed(&room)? { "scheduled" } else { "complete" };
    let nobody = json!({ "kicked_users": null, "failed_to_kick_users": [], "local_aliases": [], "new_room_id": null });
    let delete_id = URL_SAFE_NO_PAD.encode(id);
    Ok(json!({ "delete_id": delete_id, "room_id": id, "status": status, "shutdown_room": nobody }))
}

fn room(text: &str) -> Result<OwnedRoomId, Error> {
    RoomId::parse(text).map_err(|_| Error::invalid_param("This is not a room id"))
}

fn unknown() -> Error {
    Error::not_found("No such deletion")
}

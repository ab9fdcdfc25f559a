//! New rooms, and rooms that take the place of old ones
//! ([spec](https://spec.matrix.org/latest/client-server-api/#creation)).

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject,
    api::client::room::{
        Visibility,
        create_room::v3::{Request, Response, RoomPreset},
        upgrade_room::v3 as upgrade,
    },
    serde::Raw,
};
use serde::Deserialize;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
    rooms::{
        Wish,
        create::{InitialState, Preset},
    },
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(create_room).ruma(upgrade_room)
}

/// `POST /_matrix/client/v3/createRoom`
async fn create_room(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let account = request.session.account();
    let room = services.engine.rooms.create(account, wish(request.body)?).await?;
    Ok(Response::new(room.id.clone()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/upgrade`
async fn upgrade_room(services: Arc<Services>, request: Ruma<upgrade::Request>) -> Result<upgrade::Response, Error> {
    let (rooms, account, body) = (&services.engine.rooms, request.session.account(), request.body);
    let room = rooms.joined(&body.room_id, account).await?;
    let replacement = rooms.upgrade(&room, account, body.new_version, body.additional_creators).await?;
    Ok(upgrade::Response::new(replacement))
}

fn wish(request: Request) -> Result<Wish, Error> {
    if !request.invite_3pid.is_empty() {
        return Err(Error::threepid_denied("Third-party identifiers are not supported"));
    }
    let preset = match request.preset {
        None => None,
        Some(RoomPreset::PrivateChat) => Some(Preset::Private),
        Some(RoomPreset::TrustedPrivateChat) => Some(Preset::TrustedPrivate),
        Some(RoomPreset::PublicChat) => Some(Preset::Public),
        Some(_) => return Err(Error::bad_json("There is no such preset")),
    };
    let initial_state = request.initial_state.iter().map(state).collect::<Result<_, _>>()?;
    Ok(Wish {
        version: request.room_version,
        preset,
        published: request.visibility == Visibility::Public,
        name: request.name,
        topic: request.topic,
        alias_name: request.room_alias_name,
        initial_state,
        creation_content: object(request.creation_content.as_ref())?,
        power_level_content_override: object(request.power_level_content_override.as_ref())?,
        invite: request.invite,
        is_direct: request.is_direct,
    })
}

fn state<T>(raw: &Raw<T>) -> Result<InitialState, Error> {
    #[derive(Deserialize)]
    struct Given {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        state_key: String,
        content: CanonicalJsonObject,
    }
    let Given { kind, state_key, content } =
        serde_json::from_str(raw.json().get()).map_err(|_| Error::bad_json("The initial state is not state"))?;
    Ok(InitialState { kind, state_key, content })
}

fn object<T>(raw: Option<&Raw<T>>) -> Result<CanonicalJsonObject, Error> {
    let Some(raw) = raw else { return Ok(CanonicalJsonObject::new()) };
    serde_json::from_str(raw.json().get()).map_err(|_| Error::bad_json("The content is not canonical JSON"))
}

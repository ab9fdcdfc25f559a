//! What rooms are, alone and in the tree of a space
//! ([spec](https://spec.matrix.org/latest/client-server-api/#querying-rooms-within-a-space)).

use std::sync::Arc;

use ruma::api::client::{room::get_summary::v1 as get_summary, space::get_hierarchy::v1 as get_hierarchy};
use serde_json::{Value, json};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
    rooms::{
        TreeToken,
        spaces::{MAX_DEPTH, MAX_PAGE, Walk},
    },
};

pub(super) fn routes(router: Routes) -> Routes {
    router
        .ruma(summary)
        .ruma_at("/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}", summary)
        .ruma(hierarchy)
}

/// `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`
async fn summary(services: Arc<Services>, request: Ruma<get_summary::Request>) -> Result<Json, Error> {
    let Some(session) = &request.session else {
        return Err(Error::missing_token("Rooms are shown to users of this server"));
    };
    let rooms = &services.engine.rooms;
    let id = rooms.named(&request.body.room_id_or_alias)?;
    Ok(Json(rooms.room_card(&id, session.account()).await?))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`
async fn hierarchy(services: Arc<Services>, request: Ruma<get_hierarchy::Request>) -> Result<Json, Error> {
    let (body, rooms) = (&request.body, &services.engine.rooms);
    let space = &body.room_id;
    let depth = body.max_depth.map_or(MAX_DEPTH, |depth| u8::try_from(depth).unwrap_or(MAX_DEPTH).min(MAX_DEPTH));
    let asked = TreeToken { shown: 0, depth, suggested: body.suggested_only };
    let from = match body.from.as_deref() {
        None => asked,
        Some(from) => {
            let token = rooms.read_tree_token(space, from);
            let token = token.ok_or_else(|| Error::invalid_param("There is no such page"))?;
            if (body.max_depth.is_some() && token.depth != depth) || (body.suggested_only && !token.suggested) {
                return Err(Error::invalid_param("The pages of a tree are walked in one way"));
            }
            token
        }
    };
    let limit = body.limit.map_or(MAX_PAGE, |limit| usize::try_from(limit).unwrap_or(MAX_PAGE)).clamp(1, MAX_PAGE);
    let found = rooms.hierarchy(space, request.session.account(), &Walk { from, limit }).await?;
    let mut answer = json!({"rooms": found.rooms});
    if let Some(next) = found.next {
        answer["next_batch"] = Value::String(rooms.tree_token(space, next));
    }
    Ok(Json(answer))
}

//! What rooms are, alone and in the tree of a space
//! ([spec](https://spec.matrix.org/latest/client-server-api/#querying-rooms-within-a-space)).

use std::sync::Arc;

use ruma::{
    UInt,
    api::client::{room::get_summary::v1 as get_summary, space::get_hierarchy::v1 as get_hierarchy},
};
use serde_json::{Value, json};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
    rooms::spaces::{MAX_PAGE, Walk},
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
    let body = &request.body;
    let number = |value: UInt| usize::try_from(u64::from(value)).unwrap_or(usize::MAX);
    let skip = body.from.as_deref().map_or(Ok(0), str::parse);
    let walk = Walk {
        suggested_only: body.suggested_only,
        max_depth: body.max_depth.map(number),
        skip: skip.map_err(|_| Error::invalid_param("There is no such page"))?,
        limit: body.limit.map_or(MAX_PAGE, number).clamp(1, MAX_PAGE),
    };
    let (shown, more) = services.engine.rooms.hierarchy(&body.room_id, request.session.account(), &walk).await?;
    let mut answer = json!({"rooms": shown});
    if more {
        answer["next_batch"] = Value::String(walk.skip.saturating_add(walk.limit).to_string());
    }
    Ok(Json(answer))
}

//! Aliases and the directory of public rooms ([spec](https://spec.matrix.org/latest/client-server-api/#room-aliases)).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use ruma::{
    UInt,
    api::{
        IncomingRequestExt,
        auth_scheme::AccessToken,
        client::{
            alias::{create_alias::v3 as create_alias, delete_alias::v3 as delete_alias, get_alias::v3 as get_alias},
            directory::{
                get_public_rooms::v3 as public_rooms, get_public_rooms_filtered::v3 as search_rooms,
                get_room_visibility::v3 as get_visibility, set_room_visibility::v3 as set_visibility,
            },
            room::{Visibility, aliases::v3 as aliases},
        },
    },
};
use serde_json::{Value, json};

use crate::{
    accounts::Account,
    api::{
        Routes, Ruma, RumaRouter, Services,
        json::Json,
        session::{Needs, Scheme},
    },
    error::Error,
    rooms::directory::Search,
};

pub(super) fn routes(router: Routes) -> Routes {
    router
        .ruma(resolve_alias)
        .ruma(put_alias)
        .ruma(remove_alias)
        .ruma(list_aliases)
        .ruma(is_listed)
        .ruma(set_listed)
        .ruma(search_public_rooms)
        .answer::<public_rooms::Request>(&get(list_public_rooms))
}

/// The most rooms of one page of the directory.
const MAX_PAGE: usize = 100;

/// `GET /_matrix/client/v3/directory/room/{roomAlias}`
async fn resolve_alias(
    services: Arc<Services>,
    request: Ruma<get_alias::Request>,
) -> Result<get_alias::Response, Error> {
    let id = services.engine.rooms.resolve(&request.body.room_alias)?;
    Ok(get_alias::Response::new(id, vec![services.engine.rooms.policy().server_name.clone()]))
}

/// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
async fn put_alias(
    services: Arc<Services>,
    request: Ruma<create_alias::Request>,
) -> Result<create_alias::Response, Error> {
    let create_alias::Request { room_alias, room_id, .. } = &request.body;
    services.engine.rooms.add_alias(room_alias, room_id, request.session.account()).await?;
    Ok(create_alias::Response::new())
}

/// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
async fn remove_alias(
    services: Arc<Services>,
    request: Ruma<delete_alias::Request>,
) -> Result<delete_alias::Response, Error> {
    services.engine.rooms.remove_alias(&request.body.room_alias, request.session.account()).await?;
    Ok(delete_alias::Response::new())
}

/// `GET /_matrix/client/v3/rooms/{roomId}/aliases`
async fn list_aliases(services: Arc<Services>, request: Ruma<aliases::Request>) -> Result<aliases::Response, Error> {
    let found = services.engine.rooms.aliases(&request.body.room_id, request.session.account()).await?;
    Ok(aliases::Response::new(found))
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
async fn is_listed(
    services: Arc<Services>,
    request: Ruma<get_visibility::Request>,
) -> Result<get_visibility::Response, Error> {
    let listed = services.engine.rooms.is_listed(&request.body.room_id)?;
    // Whether a room that is not listed exists is nobody's business.
    Ok(get_visibility::Response::new(if listed { Visibility::Public } else { Visibility::Private }))
}

/// `PUT /_matrix/client/v3/directory/list/room/{roomId}`
async fn set_listed(
    services: Arc<Services>,
    request: Ruma<set_visibility::Request>,
) -> Result<set_visibility::Response, Error> {
    let listed = request.body.visibility == Visibility::Public;
    services.engine.rooms.list(&request.body.room_id, request.session.account(), listed).await?;
    Ok(set_visibility::Response::new())
}

/// `POST /_matrix/client/v3/publicRooms`
async fn search_public_rooms(services: Arc<Services>, request: Ruma<search_rooms::Request>) -> Result<Json, Error> {
    let body = request.body;
    if body.server.is_some_and(|server| server != services.engine.rooms.policy().server_name) {
        return Err(Error::bad_gateway("Other servers cannot be reached"));
    }
    let types = body.filter.room_types.iter();
    let types: Vec<Option<String>> = types.map(|kind| kind.as_str().map(ToOwned::to_owned)).collect();
    let search = Search {
        term: body.filter.generic_search_term,
        types: (!types.is_empty()).then_some(types),
        ..page(body.since.as_deref(), body.limit)?
    };
    listing(&services, request.session.account(), &search).await.map(Json)
}

/// `GET /_matrix/client/v3/publicRooms`: for users of this server, unlike the specification's, which is for everybody.
async fn list_public_rooms(State(services): State<Arc<Services>>, request: Request<Body>) -> Response {
    let answer = async {
        let request = request.map(|_| ());
        let session = <AccessToken as Scheme>::session(&services, &request, Needs::Unlocked).await?;
        let request = request.map(|()| &[][..]);
        let asked = public_rooms::Request::try_from_http_request(request, &[] as &[&str])?;
        if asked.server.is_some_and(|server| server != services.engine.rooms.policy().server_name) {
            return Err(Error::bad_gateway("Other servers cannot be reached"));
        }
        listing(&services, session.account(), &page(asked.since.as_deref(), asked.limit)?).await
    };
    match answer.await {
        Ok(found) => axum::Json(found).into_response(),
        Err(error) => error.into_response(),
    }
}

fn page(since: Option<&str>, limit: Option<UInt>) -> Result<Search, Error> {
    let skip = since.map_or(Ok(0), str::parse).map_err(|_| Error::invalid_param("There is no such page"))?;
    let limit = limit.map_or(MAX_PAGE, |limit| usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE));
    Ok(Search { skip, limit: limit.clamp(1, MAX_PAGE), ..Search::default() })
}

async fn listing(services: &Services, account: &Account, search: &Search) -> Result<Value, Error> {
    let found = services.engine.rooms.listing(account, search).await?;
    let mut answer = json!({"chunk": found.rooms, "total_room_count_estimate": found.total});
    for (field, place) in [("next_batch", found.next), ("prev_batch", found.previous)] {
        if let Some(place) = place {
            answer[field] = Value::String(place.to_string());
        }
    }
    Ok(answer)
}

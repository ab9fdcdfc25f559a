//! What any server may ask, federating or not: the keys this one signs with
//! ([spec](https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys)), and what software it is.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        Routes, Services,
        body::{MAX_STRANGERS_BODY, collect},
        json,
    },
    error::Error,
};

/// How long others may go on trusting the keys without asking again; at most 7 days are believed.
const VALID: Duration = Duration::from_hours(24);
/// How coarse the end of that time is.
const VALID_STEP: Duration = Duration::from_hours(1);

pub(super) fn routes(router: Routes) -> Routes {
    router
        .route("/_matrix/key/v2/server", get(own))
        .route("/_matrix/key/v2/server/{key}", get(own))
        .route("/_matrix/key/v2/query", post(query_many))
        .route("/_matrix/key/v2/query/{server}", get(query))
        .route("/_matrix/key/v2/query/{server}/{key}", get(query))
        .route("/_matrix/federation/v1/version", get(version))
}

#[derive(Deserialize)]
struct Query {
    server_keys: Map<String, Value>,
}

/// `GET /_matrix/key/v2/server`
async fn own(State(services): State<Arc<Services>>) -> Result<axum::Json<Value>, Error> {
    keys(&services).map(axum::Json)
}

/// `GET /_matrix/key/v2/query/{serverName}`: as a notary, this server speaks for itself alone and asks nobody.
async fn query(
    State(services): State<Arc<Services>>,
    Path(asked): Path<Vec<(String, String)>>,
) -> Result<axum::Json<Value>, Error> {
    answer(&services, asked.iter().any(|(name, value)| name == "server" && *value == name_of(&services)))
}

/// `POST /_matrix/key/v2/query`
async fn query_many(State(services): State<Arc<Services>>, request: Request<Body>) -> Result<axum::Json<Value>, Error> {
    let body = collect(request.into_body(), MAX_STRANGERS_BODY, None).await?;
    json::check(&body)?;
    let asked: Query =
        serde_json::from_slice(&body).map_err(|_| Error::bad_json("The body has an unexpected shape"))?;
    answer(&services, asked.server_keys.contains_key(&name_of(&services)))
}

/// `GET /_matrix/federation/v1/version`. Which version it is helps nobody but an attacker.
async fn version() -> axum::Json<Value> {
    axum::Json(json!({"server": {"name": "Lethe"}}))
}

fn answer(services: &Services, own: bool) -> Result<axum::Json<Value>, Error> {
    let found = if own { vec![keys(services)?] } else { Vec::new() };
    Ok(axum::Json(json!({ "server_keys": found })))
}

fn name_of(services: &Services) -> String {
    services.config.server.name.to_string()
}

fn keys(services: &Services) -> Result<Value, Error> {
    let until = services.clock.now().after(VALID).floor_to(VALID_STEP);
    services.engine.published_keys(&services.config.server.name, until).ok_or_else(Error::internal)
}

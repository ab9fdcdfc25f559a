//! Stored filters ([spec](https://spec.matrix.org/latest/client-server-api/#filtering)).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::api::client::filter::{create_filter::v3 as create, get_filter::v3 as get};
use serde_json::Value;

use super::account_data::own;
use crate::{
    accounts::{
        self,
        vault::{VaultChange, VaultLedger},
    },
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
    sync::classic::Filter,
};

/// Filters one account may have: a client has one or two for each of its settings.
const MOST_FILTERS: usize = 200;
/// The largest filter in bytes.
const LARGEST_FILTER: usize = 16 * 1024;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(create).ruma(get)
}

/// `POST /_matrix/client/v3/user/{userId}/filter`
async fn create(services: Arc<Services>, request: Ruma<create::Request>) -> Result<create::Response, Error> {
    own(&request.session, &request.body.user_id)?;
    if request.raw.len() > LARGEST_FILTER {
        return Err(Error::too_large("The filter is too large"));
    }
    // As it came: a filter may say what this server does not know yet.
    let filter: Value = serde_json::from_slice(&request.raw)?;
    Filter::stored(&filter)?;
    let id = name(&filter);
    let mut full = false;
    let decide = |vault: &VaultLedger| {
        if vault.filters.contains_key(&id) {
            return Vec::new();
        }
        full = vault.filters.len() >= MOST_FILTERS;
        if full { Vec::new() } else { vec![VaultChange::Filter(id.clone(), filter)] }
    };
    request.session.account().vault.change(&services.engine.journals, decide).await?;
    if full { Err(accounts::Error::TooMany.into()) } else { Ok(create::Response::new(id)) }
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
async fn get(_services: Arc<Services>, request: Ruma<get::Request>) -> Result<Json, Error> {
    own(&request.session, &request.body.user_id)?;
    let filter = request.session.account().view().filters.get(&request.body.filter_id).cloned();
    filter.map(Json).ok_or_else(|| Error::not_found("Unknown filter"))
}

/// The id of a filter follows from what it says, so that asking twice stores it once. It never starts with a brace,
/// which in a sync request marks a filter in place of an id.
fn name(filter: &Value) -> String {
    let hash = blake3::hash(filter.to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_bytes()[..12])
}

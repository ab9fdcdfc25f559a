//! What an account has been notified of ([spec](https://spec.matrix.org/latest/client-server-api/#listing-notifications)).

use std::sync::Arc;

use ruma::api::client::push::get_notifications::v3 as get;
use serde_json::{Map, Value};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
    push::history::{MOST_SHOWN, Place, page},
};

/// Notifications of one page when the client does not say.
const USUAL: usize = 20;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(notifications)
}

/// `GET /_matrix/client/v3/notifications`
async fn notifications(services: Arc<Services>, request: Ruma<get::Request>) -> Result<Json, Error> {
    let get::Request { from, limit, only, .. } = request.body;
    let account = Arc::clone(request.session.account());
    let server = services.engine.journals.slots.server_key();
    let from = from.map(|text| {
        let place = Place::decode(&text, &server, &account.user_id);
        place.ok_or_else(|| Error::invalid_param("This is no token of this list"))
    });
    let from = from.transpose()?;
    let limit = limit.map_or(USUAL, |limit| usize::try_from(u64::from(limit)).unwrap_or(MOST_SHOWN));
    let highlighted = only.as_deref() == Some("highlight");
    // Events may have to be read from the disk.
    let looking = tokio::task::spawn_blocking({
        let (engine, account) = (Arc::clone(&services.engine), Arc::clone(&account));
        move || page(&engine.rooms, &engine.counters, &account, (from.as_ref(), limit, highlighted))
    });
    let found = looking.await.map_err(|_| Error::internal())?;
    let mut answer = Map::new();
    answer.insert("notifications".to_owned(), Value::Array(found.notifications));
    if let Some(next) = found.next {
        answer.insert("next_token".to_owned(), next.encode(&server, &account.user_id, services.random.as_ref()).into());
    }
    Ok(Json(Value::Object(answer)))
}

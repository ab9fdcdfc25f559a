//! What the server forgets and when, so that clients forget with it (MSC1763).

use std::sync::Arc;

use ruma::api::client::retention::get_retention_configuration::unstable::Request;
use serde_json::{Map, Value, json};

use crate::{
    accounts::vault::Fact,
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
    store::Class,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(configuration)
}

/// `GET /_matrix/client/unstable/org.matrix.msc1763/retention/configuration`
///
/// Beside the default, the rooms of the asker whose lifetime does not follow from their state.
async fn configuration(services: Arc<Services>, request: Ruma<Request>) -> Result<Json, Error> {
    let rooms = &services.engine.rooms;
    let lifetimes = &rooms.policy().lifetimes;
    let mut policies = Map::new();
    if lifetimes.default != Class::Forever {
        policies.insert("*".to_owned(), bounds([("max_lifetime", lifetimes.default)]));
    }
    let vault = request.session.account().view();
    for (id, entry) in &vault.rooms {
        let room = rooms.find(id).filter(|_| entry.fact == Fact::Joined);
        if let Some(view) = room.map(|room| room.view()).filter(|view| !view.tells_lifetime()) {
            policies.insert(id.to_string(), bounds([("max_lifetime", view.class())]));
        }
    }
    let limits = bounds([("min", lifetimes.least), ("max", lifetimes.most)]);
    Ok(Json(json!({ "policies": policies, "limits": { "max_lifetime": limits } })))
}

/// Classes in milliseconds, by name. One without an end is left out, which ruma's type would write as null: a client may
/// take that for nothing at all.
fn bounds<const N: usize>(named: [(&str, Class); N]) -> Value {
    let ends = named.into_iter().filter_map(|(name, class)| {
        let millis = u64::try_from(class.lifetime()?.as_millis()).ok()?;
        Some((name.to_owned(), Value::from(millis)))
    });
    Value::Object(ends.collect())
}

//! Accounts for which the usual limit of rate does not hold: bots that have much to do.

use axum::routing::MethodFilter;
use serde_json::{Value, json};

use super::{Call, operation};
use crate::{api::Routes, error::Error};

pub(super) fn routes(router: Routes) -> Routes {
    let all = operation(MethodFilter::GET, show)
        .merge(operation(MethodFilter::POST, set))
        .merge(operation(MethodFilter::DELETE, remove));
    router.route("/_synapse/admin/v1/users/{p4}/override_ratelimit", all)
}

/// `GET /_synapse/admin/v1/users/{userId}/override_ratelimit`: nothing where the usual limit holds, zeros where none does.
async fn show(call: Call) -> Result<Value, Error> {
    let user = call.services.engine.user(&call.user()?)?;
    Ok(if user.unlimited { no_limit() } else { json!({}) })
}

/// `POST /_synapse/admin/v1/users/{userId}/override_ratelimit`
async fn set(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    for field in ["messages_per_second", "burst_count"] {
        if call.field::<u64>(field)?.unwrap_or(0) != 0 {
            return Err(Error::invalid_param("An account has the usual limit or, with zeros, none"));
        }
    }
    call.services.engine.note(&user, |entry| entry.unlimited = true).await?;
    Ok(no_limit())
}

/// `DELETE /_synapse/admin/v1/users/{userId}/override_ratelimit`
async fn remove(call: Call) -> Result<Value, Error> {
    call.services.engine.note(&call.user()?, |entry| entry.unlimited = false).await?;
    Ok(json!({}))
}

fn no_limit() -> Value {
    json!({ "messages_per_second": 0, "burst_count": 0 })
}

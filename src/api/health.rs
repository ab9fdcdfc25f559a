//! Whether the server answers, and whether it can do its work: for supervisors and proxies.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, routing::get};

use crate::{
    api::{Routes, Services},
    error::Error,
};

/// How long the commit thread may take to answer: a merge or a slow disk delays it by seconds, a dead one for ever.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes(router: Routes) -> Routes {
    router.route("/health", get(|| async { "OK" })).route("/ready", get(ready))
}

/// Ready is who would take a write now. A server that is asleep is ready: logins work, and the first of them wakes it.
async fn ready(State(services): State<Arc<Services>>) -> Result<&'static str, Error> {
    if *services.stopping.borrow() {
        return Err(Error::unavailable("The server is stopping"));
    }
    match tokio::time::timeout(PATIENCE, services.engine.check()).await {
        Ok(Ok(())) => Ok("OK"),
        Ok(Err(_)) => Err(Error::unavailable("The server cannot write")),
        Err(_) => Err(Error::unavailable("The server is too busy to write")),
    }
}

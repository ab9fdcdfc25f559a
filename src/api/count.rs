//! Counting how requests end: totals without names, for monitoring.

use std::sync::{Arc, OnceLock};

use axum::{
    body::Body,
    extract::State,
    http::{Request, Response},
    middleware::Next,
};

use crate::{
    api::{Services, Session},
    metrics::{Outcome, Somebody},
};

/// Whom a request turned out to speak for; filled in when its token is looked up.
#[derive(Clone, Default)]
struct Speaker(Arc<OnceLock<Somebody>>);

/// Lets the request pass and counts its answer. Only the API's own paths count: supervisors are nobody's activity.
pub(super) async fn count(
    State(services): State<Arc<Services>>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    if !request.uri().path().starts_with("/_matrix/") {
        return next.run(request).await;
    }
    let speaker = Speaker::default();
    request.extensions_mut().insert(speaker.clone());
    let response = next.run(request).await;
    let outcome = Outcome::of_status(response.status().as_u16());
    services.engine.metrics.answered(outcome, speaker.0.get().copied());
    response
}

/// Notes that `request` speaks for `session`.
pub(super) fn note(services: &Services, request: &Request<()>, session: &Session) {
    if let Some(speaker) = request.extensions().get::<Speaker>() {
        let _ = speaker.0.set(services.engine.metrics.somebody(session.user_id.as_str()));
    }
}

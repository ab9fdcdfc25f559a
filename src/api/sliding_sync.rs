//! Simplified sliding sync (MSC4186), at its unstable path and the one it is to have.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::Query,
    http::{self, Method},
};
use ruma::{
    api::{IncomingRequest, Metadata, client::sync::sync_events::v5, error::DeserializationError},
    presence::PresenceState,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::RawJson},
    error::Error,
};

/// What the query says. The body is read by `sync`: ruma's type knows neither its final form nor all of its filters.
struct Request {
    pos: Option<String>,
    timeout: Option<u64>,
    presence: PresenceState,
}

impl Metadata for Request {
    const METHOD: Method = v5::Request::METHOD;
    const RATE_LIMITED: bool = v5::Request::RATE_LIMITED;
    type Authentication = <v5::Request as Metadata>::Authentication;
    type PathBuilder = <v5::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = v5::Request::PATH_BUILDER;
}

impl IncomingRequest for Request {
    type EndpointError = <v5::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = v5::Response;

    fn try_from_http_request_inner(request: http::Request<&[u8]>, _: &[&str]) -> Result<Self, DeserializationError> {
        let query: BTreeMap<String, String> =
            Query::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
        let timeout = query.get("timeout").and_then(|text| text.parse().ok());
        let presence = query.get("set_presence").map_or(PresenceState::Online, |text| text.as_str().into());
        Ok(Self { pos: query.get("pos").cloned(), timeout, presence })
    }
}

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(sync).ruma_at("/_matrix/client/v4/sync", sync)
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
async fn sync(services: Arc<Services>, request: Ruma<Request>) -> Result<RawJson, Error> {
    let Request { pos, timeout, presence } = request.body;
    let _there = services.engine.presence.sync(&request.session.inner, &presence);
    let stopping = services.stopping.clone();
    let answer = services.sliding.answer(&request.session.inner, &request.raw, pos, timeout, stopping);
    Ok(RawJson(answer.await?))
}

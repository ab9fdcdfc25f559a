//! What a client asks of `/messages`, where ruma's type says too little or too early.

use std::collections::BTreeMap;

use axum::{
    extract::Query,
    http::{Method, Request},
};
use ruma::api::{
    IncomingRequest, Metadata, client::message::get_message_events::v3 as messages, error::DeserializationError,
};
use serde::Deserialize;

use crate::rooms::Entry;

/// A request for a page of a timeline.
pub(super) struct PageRequest {
    /// As ruma has it; backwards when `dir` is missing.
    pub(super) page: messages::Request,
    /// Whether `dir` is there, as the specification demands: who may not read the room is to learn only that.
    pub(super) has_direction: bool,
    /// Which relations are asked for.
    pub(super) relations: RelationFilter,
}

/// Which relations events may have, a part of the filter that is not in the specification yet (MSC3874).
#[derive(Default, Deserialize)]
pub(super) struct RelationFilter {
    #[serde(rename = "org.matrix.msc3874.rel_types")]
    only: Option<Vec<String>>,
    #[serde(default, rename = "org.matrix.msc3874.not_rel_types")]
    not: Vec<String>,
}

impl RelationFilter {
    /// Whether an event's relation, or that it has none, fits.
    pub(super) fn allows(&self, entry: &Entry) -> bool {
        if self.only.is_none() && self.not.is_empty() {
            return true;
        }
        let kind = entry.relation().and_then(|relation| relation.rel_type.as_deref());
        let listed = |kinds: &[String]| kind.is_some_and(|kind| kinds.iter().any(|listed| listed == kind));
        self.only.as_deref().is_none_or(listed) && !listed(&self.not)
    }
}

impl Metadata for PageRequest {
    const METHOD: Method = messages::Request::METHOD;
    const RATE_LIMITED: bool = messages::Request::RATE_LIMITED;
    type Authentication = <messages::Request as Metadata>::Authentication;
    type PathBuilder = <messages::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = messages::Request::PATH_BUILDER;
}

impl IncomingRequest for PageRequest {
    type EndpointError = <messages::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = messages::Response;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        let (mut parts, body) = request.into_parts();
        let query: BTreeMap<String, String> = Query::try_from_uri(&parts.uri).map(|it| it.0).unwrap_or_default();
        let has_direction = query.contains_key("dir");
        if !has_direction {
            let separator = if parts.uri.query().is_some() { '&' } else { '?' };
            parts.uri = format!("{}{separator}dir=b", parts.uri).parse().unwrap_or(parts.uri);
        }
        let relations = query.get("filter").map(|filter| serde_json::from_str(filter)).transpose()?.unwrap_or_default();
        let page = messages::Request::try_from_http_request_inner(Request::from_parts(parts, body), path)?;
        Ok(Self { page, has_direction, relations })
    }
}

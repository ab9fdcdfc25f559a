//! Endpoints that need a token here although the specification opens them to everybody.

use axum::http::{Method, Request};
use ruma::api::{
    IncomingRequest, Metadata, auth_scheme::AccessToken, error::DeserializationError, path_builder::PathBuilder,
};

/// A request of type `R` that needs an access token.
pub struct Authenticated<R>(pub R);

impl<R: Metadata<PathBuilder: PathBuilder>> Metadata for Authenticated<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = AccessToken;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Authenticated<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        R::try_from_http_request_inner(request, path).map(Self)
    }
}

//! Endpoints that treat tokens in another way here than the specification says.

use std::marker::PhantomData;

use axum::http::{Method, Request};
use ruma::api::{
    IncomingRequest, Metadata,
    auth_scheme::{AccessToken, AuthScheme},
    error::DeserializationError,
    path_builder::PathBuilder,
};

/// A request of type `R` under the authentication `A`.
pub struct Under<A, R>(pub R, PhantomData<A>);

/// A request of type `R` that needs an access token.
pub type Authenticated<R> = Under<AccessToken, R>;

impl<A: AuthScheme, R: Metadata<PathBuilder: PathBuilder>> Metadata for Under<A, R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = A;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<A: AuthScheme, R: IncomingRequest> IncomingRequest for Under<A, R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        R::try_from_http_request_inner(request, path).map(|request| Self(request, PhantomData))
    }
}

//! Requests that ruma has no type for: of proposals, or in a form that clients use and the specification does not know.

use std::collections::BTreeMap;

use axum::{extract::Query, http::Uri};

/// A request that ruma has no type for.
pub(super) trait Untyped {
    /// A parameter of its query.
    fn parameter(&self, name: &str) -> Option<&str>;
}

/// Defines a request with a token. Its handler reads the path's parameters from
/// [`Ruma::arguments`](super::Ruma::arguments), its body from [`Ruma::raw`](super::Ruma::raw), its query by
/// [`Untyped::parameter`].
macro_rules! untyped {
    ($(#[doc = $doc:literal])+ $name:ident: $method:ident $path:literal) => {
        $(#[doc = $doc])+
        struct $name(std::collections::BTreeMap<String, String>);

        impl crate::api::untyped::Untyped for $name {
            fn parameter(&self, name: &str) -> Option<&str> {
                self.0.get(name).map(String::as_str)
            }
        }

        impl ruma::api::Metadata for $name {
            const METHOD: axum::http::Method = axum::http::Method::$method;
            const RATE_LIMITED: bool = false;
            type Authentication = ruma::api::auth_scheme::AccessToken;
            type PathBuilder = ruma::api::path_builder::SinglePath;
            const PATH_BUILDER: Self::PathBuilder = ruma::api::path_builder::SinglePath::new($path);
        }

        impl ruma::api::IncomingRequest for $name {
            type EndpointError = ruma::api::error::Error;
            type OutgoingResponse = crate::api::json::Json;

            fn try_from_http_request_inner(
                request: axum::http::Request<&[u8]>,
                _path: &[&str],
            ) -> Result<Self, ruma::api::error::DeserializationError> {
                Ok(Self(crate::api::untyped::query(request.uri())))
            }
        }
    };
}

pub(super) use untyped;

/// The parameters of a query; none when it cannot be read.
pub(super) fn query(uri: &Uri) -> BTreeMap<String, String> {
    Query::try_from_uri(uri).map(|Query(query)| query).unwrap_or_default()
}

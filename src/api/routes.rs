//! The router while families add themselves, and beside it the list of what it answers: `doc/api.md` is made from it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request},
    response::IntoResponse,
    routing::{MethodFilter, MethodRouter, on},
};
use ruma::api::{IncomingRequest, path_builder::PathBuilder};

use super::{
    ruma::route_template,
    services::Services,
    session::{Needs, Scheme},
};
use crate::error::Error;

/// The router while families add themselves.
#[derive(Default)]
pub struct Routes {
    router: Router<Arc<Services>>,
    operations: Vec<Operation>,
}

/// A method and path that the server knows.
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path as ruma writes it, with its parameters in braces.
    pub path: String,
    /// How it is refused, when it is: the error that everybody gets who may ask at all.
    pub refusal: Option<Refusal>,
}

/// The answer to an operation of a feature that this server does not have.
pub type Refusal = fn() -> Error;

impl Routes {
    /// Adds a route that is no operation of the client-server API, or that ruma cannot parse.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter<Arc<Services>>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    /// Answers the operation `R` with `refusal`, whatever its body says; a token that `R` needs is asked for first.
    #[must_use]
    pub fn refuse<R>(mut self, refusal: Refusal) -> Self
    where
        R: IncomingRequest<Authentication: Scheme>,
    {
        for path in R::PATH_BUILDER.all_paths() {
            self = self.add::<R>(path, refuser::<R::Authentication>(R::METHOD, refusal), Some(refusal));
        }
        self
    }

    /// As [`Routes::refuse`], for an operation that ruma has no type for; `S` says whether it needs a token.
    #[must_use]
    pub fn refuse_at<S: Scheme>(mut self, method: Method, path: &str, refusal: Refusal) -> Self {
        self.operations.push(Operation { method: method.clone(), path: path.to_owned(), refusal: Some(refusal) });
        self.route(&route_template(path), refuser::<S>(method, refusal))
    }

    /// Answers the operation `R` with `methods`: a handler that reads the request itself.
    #[must_use]
    pub fn answer<R: IncomingRequest>(mut self, methods: &MethodRouter<Arc<Services>>) -> Self {
        for path in R::PATH_BUILDER.all_paths() {
            self = self.add::<R>(path, methods.clone(), None);
        }
        self
    }

    /// Adds the operation `R` at `path`.
    pub(super) fn operation<R: IncomingRequest>(self, path: &str, methods: MethodRouter<Arc<Services>>) -> Self {
        self.add::<R>(path, methods, None)
    }

    fn add<R: IncomingRequest>(
        mut self,
        path: &str,
        methods: MethodRouter<Arc<Services>>,
        refusal: Option<Refusal>,
    ) -> Self {
        self.operations.push(Operation { method: R::METHOD, path: path.to_owned(), refusal });
        self.route(&route_template(path), methods)
    }

    /// The router alone.
    pub(super) fn into_router(self) -> Router<Arc<Services>> {
        self.router
    }

    /// What it answers.
    pub(super) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// The method of `R` as the router wants it.
pub(super) fn filter<R: IncomingRequest>() -> MethodFilter {
    filter_of(R::METHOD)
}

fn filter_of(method: Method) -> MethodFilter {
    MethodFilter::try_from(method).expect("every method of the specification has a filter")
}

fn refuser<S: Scheme>(method: Method, refusal: Refusal) -> MethodRouter<Arc<Services>> {
    on(filter_of(method), move |State(services): State<Arc<Services>>, request: Request<Body>| async move {
        let head = Request::from_parts(request.into_parts().0, ());
        match S::session(&services, &head, Needs::Unlocked).await {
            Ok(_) => refusal().into_response(),
            Err(error) => error.into_response(),
        }
    })
}

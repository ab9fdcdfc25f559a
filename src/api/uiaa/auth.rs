//! What clients send as `auth`, in every form they do.

use axum::http::{Method, Request};
use ruma::api::{
    IncomingRequest, Metadata, auth_scheme::AuthScheme, client::uiaa::AuthType, error::DeserializationError,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::secret::SecretText;

/// A request of type `R` with its `auth` apart: ruma's type knows neither the legacy forms nor a session of `null`.
///
/// An empty body counts as an empty object: clients probe for flows with it.
pub struct Interactive<R> {
    /// The request, whose own `auth` is absent.
    pub request: R,
    /// What the client sent to authenticate.
    pub auth: Option<Auth>,
}

/// What a client sends to authenticate; every field may be absent or `null`.
#[derive(Default, Deserialize)]
pub struct Auth {
    /// The stage it tries.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The session it goes on with.
    pub session: Option<String>,
    identifier: Option<Identifier>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: Option<String>,
    user: Option<String>,
}

impl Auth {
    /// Whether it tries `stage`.
    #[must_use]
    pub fn is(&self, stage: &AuthType) -> bool {
        self.kind.as_deref() == Some(stage.as_str())
    }

    /// Whom it names: by an identifier or in the legacy field.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.identifier {
            Some(identifier) if identifier.kind.as_deref() == Some("m.id.user") => identifier.user.as_deref(),
            Some(_) => None,
            None => self.user.as_deref(),
        }
    }

    /// The password it carries.
    #[must_use]
    pub fn password(&self) -> Option<SecretText> {
        self.password.clone().map(SecretText::new)
    }

    /// The registration token it carries.
    #[must_use]
    pub fn token(&self) -> Option<SecretText> {
        self.token.clone().map(SecretText::new)
    }
}

impl Drop for Auth {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.password);
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

impl<R: Metadata<Authentication: AuthScheme>> Metadata for Interactive<R> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest> IncomingRequest for Interactive<R> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = R::OutgoingResponse;

    fn try_from_http_request_inner(request: Request<&[u8]>, path: &[&str]) -> Result<Self, DeserializationError> {
        let (parts, body) = request.into_parts();
        let mut object: Map<String, Value> = if body.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(body).map_err(DeserializationError::Json)?
        };
        let auth = object.remove("auth").unwrap_or_default();
        let auth = serde_json::from_value(auth).map_err(DeserializationError::Json)?;
        let body = zeroize::Zeroizing::new(serde_json::to_vec(&object).map_err(DeserializationError::Json)?);
        let request = R::try_from_http_request_inner(Request::from_parts(parts, &body), path)?;
        Ok(Self { request, auth })
    }
}

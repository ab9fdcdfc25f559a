//! Requests that cannot be read: which code says so. Parsers' own texts quote the input and are dropped here.

use ruma::api::{
    auth_scheme::ExtractTokenError,
    error::{DeserializationError, FromHttpRequestError, HeaderDeserializationError},
};

use super::Error;

impl From<FromHttpRequestError> for Error {
    fn from(error: FromHttpRequestError) -> Self {
        match error {
            FromHttpRequestError::Deserialization(error) => error.into(),
            FromHttpRequestError::MethodMismatch { .. } => Self::wrong_method("Unrecognized method"),
            _ => Self::bad_request("Unreadable request"),
        }
    }
}

impl From<DeserializationError> for Error {
    fn from(error: DeserializationError) -> Self {
        match error {
            DeserializationError::Json(error) => error.into(),
            DeserializationError::Query(error) if is_missing_field(&error) => {
                Self::missing_param("A query parameter is missing")
            }
            DeserializationError::Header(HeaderDeserializationError::MissingHeader(_)) => {
                Self::missing_param("A header is missing")
            }
            DeserializationError::Query(_) => Self::invalid_param("A query parameter is invalid"),
            DeserializationError::Ident(_) => Self::invalid_param("An identifier is invalid"),
            _ => Self::invalid_param("A parameter is invalid"),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        if !error.is_data() {
            Self::not_json("The body is not JSON")
        } else if is_missing_field(&error) {
            Self::missing_param("The body lacks a required field")
        } else {
            Self::bad_json("The body has an unexpected shape")
        }
    }
}

impl From<ExtractTokenError> for Error {
    fn from(_: ExtractTokenError) -> Self {
        Self::missing_token("Missing access token")
    }
}

/// Whether serde stopped at an absent field: it has no other way to say so than its text.
fn is_missing_field(error: &impl std::fmt::Display) -> bool {
    error.to_string().starts_with("missing field")
}

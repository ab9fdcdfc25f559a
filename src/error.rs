//! What goes wrong, as clients see it: the only place where Matrix error codes and HTTP statuses are chosen.
//!
//! Every layer has its own error facts; their translation (`impl From<layer::Error> for Error`) lives in this file or
//! under `error/`. A message is a fixed text: nothing a client sent, and nothing a parser said about it, is ever echoed.

mod layers;
mod parse;

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use ruma::{
    RoomVersionId,
    api::{
        OutgoingResponseExt,
        client::uiaa::{UiaaInfo, UiaaResponse},
        error::{
            Error as MatrixError, ErrorBody, ErrorKind, IncompatibleRoomVersionErrorData, LimitExceededErrorData,
            RetryAfter, StandardErrorBody, UnknownTokenErrorData, WrongRoomKeysVersionErrorData,
        },
    },
};

/// An answer that is not the one the client hoped for ([spec](https://spec.matrix.org/latest/client-server-api/#standard-error-response)).
///
/// Made by the named constructors, so that a handler says what happened and this module says how it is answered.
pub struct Error(Box<Inner>);

enum Inner {
    Standard {
        status: StatusCode,
        kind: ErrorKind,
        message: &'static str,
    },
    Uiaa(UiaaInfo),
    /// One with fields that ruma's type has no room for.
    Extended {
        status: StatusCode,
        body: serde_json::Value,
    },
}

/// Constructors that only pair a code with its status.
macro_rules! plain {
    ($($(#[doc = $doc:literal])+ $name:ident: $status:ident $kind:ident;)+) => {
        impl Error {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $name(message: &'static str) -> Self {
                    Self::standard(StatusCode::$status, ErrorKind::$kind, message)
                }
            )+
        }
    };
}

plain! {
    /// 403: the caller may not do this.
    forbidden: FORBIDDEN Forbidden;
    /// 403: the invitee takes no invitations from the caller.
    invite_blocked: FORBIDDEN InviteBlocked;
    /// 404: this thing does not exist, or the caller may not know that it does.
    not_found: NOT_FOUND NotFound;
    /// 404: a device the caller named does not exist.
    unknown_device: NOT_FOUND NotFound;
    /// 400: the body is not JSON.
    not_json: BAD_REQUEST NotJson;
    /// 400: the body is JSON of the wrong shape.
    bad_json: BAD_REQUEST BadJson;
    /// 400: a parameter that is needed is absent.
    missing_param: BAD_REQUEST MissingParam;
    /// 400: a parameter has a value that cannot be meant.
    invalid_param: BAD_REQUEST InvalidParam;
    /// 400: a request that is refused for a reason without a code of its own.
    bad_request: BAD_REQUEST Unknown;
    /// 400: the room could not be made from what was asked for.
    invalid_room_state: BAD_REQUEST InvalidRoomState;
    /// 400: a state change that the room cannot take.
    bad_state: BAD_REQUEST BadState;
    /// 400: an alias in a state event does not point at the room.
    bad_alias: BAD_REQUEST BadAlias;
    /// 400: the same annotation was sent before.
    duplicate_annotation: BAD_REQUEST DuplicateAnnotation;
    /// 400: the event a subscription is to begin with is not in the thread.
    not_in_thread: BAD_REQUEST NotInThread;
    /// 409: the user stopped following the thread after the event his client wants to follow it for.
    conflicting_unsubscription: CONFLICT ConflictingUnsubscription;
    /// 400: the user name is taken.
    user_in_use: BAD_REQUEST UserInUse;
    /// 400: the user name contains what it must not.
    invalid_username: BAD_REQUEST InvalidUsername;
    /// 400: the user name, alias or namespace belongs to somebody else.
    exclusive: BAD_REQUEST Exclusive;
    /// 400: the password is too easy to guess.
    weak_password: BAD_REQUEST WeakPassword;
    /// 400: the room alias is taken.
    room_in_use: BAD_REQUEST RoomInUse;
    /// 409: the alias exists already.
    alias_conflict: CONFLICT Unknown;
    /// 400: the room version is not one this server can make.
    unsupported_room_version: BAD_REQUEST UnsupportedRoomVersion;
    /// 400: the `pos` of a sliding sync is not known any more; the client starts afresh.
    unknown_pos: BAD_REQUEST UnknownPos;
    /// 400: one key of a profile is too long.
    key_too_large: BAD_REQUEST KeyTooLarge;
    /// 400: the whole profile would be too large.
    profile_too_large: BAD_REQUEST ProfileTooLarge;
    /// 403: this third-party identifier may not be used.
    threepid_denied: FORBIDDEN ThreepidDenied;
    /// 403: it was not proven that a third-party identifier is the caller's.
    threepid_unverified: FORBIDDEN ThreepidAuthFailed;
    /// 400: third-party identifiers of this kind are not supported.
    threepid_medium: BAD_REQUEST ThreepidMediumNotSupported;
    /// 400: the server cannot check whether a join is allowed.
    unable_to_authorise_join: BAD_REQUEST UnableToAuthorizeJoin;
    /// 403: the invitation is one that cannot be turned down.
    cannot_leave_room: FORBIDDEN CannotLeaveServerNoticeRoom;
    /// 403: the login name and password do not fit, or the account does not exist.
    wrong_credentials: FORBIDDEN Forbidden;
    /// 403: the account was deactivated.
    user_deactivated: FORBIDDEN UserDeactivated;
    /// 401: the account is locked; ruma adds that the client keeps what it has.
    user_locked: UNAUTHORIZED UserLocked;
    /// 403: the account is suspended and may not take part.
    user_suspended: FORBIDDEN UserSuspended;
    /// 403: guests may not do this.
    guest_forbidden: FORBIDDEN GuestAccessForbidden;
    /// 401: this needs an access token.
    missing_token: UNAUTHORIZED MissingToken;
    /// 404: there is no such endpoint.
    unrecognised: NOT_FOUND Unrecognized;
    /// 405: there is such an endpoint, with another method.
    wrong_method: METHOD_NOT_ALLOWED Unrecognized;
    /// 405: this is written by the server alone.
    server_controlled: METHOD_NOT_ALLOWED BadJson;
    /// 413: more bytes than are taken.
    too_large: PAYLOAD_TOO_LARGE TooLarge;
    /// 416: the content has no such bytes.
    no_such_range: RANGE_NOT_SATISFIABLE Unknown;
    /// 408: the body did not arrive in time.
    too_slow: REQUEST_TIMEOUT Unknown;
    /// 409: media was already uploaded to this address.
    cannot_overwrite_media: CONFLICT CannotOverwriteMedia;
    /// 504: the media is announced but has not arrived.
    not_yet_uploaded: GATEWAY_TIMEOUT NotYetUploaded;
    /// 501: the feature exists in the specification and not here.
    unsupported: NOT_IMPLEMENTED Unrecognized;
    /// 502: another server did not answer as it should.
    bad_gateway: BAD_GATEWAY ConnectionFailed;
    /// 503: the server cannot do this now and will be able to later: it is asleep, full or stopping.
    unavailable: SERVICE_UNAVAILABLE Unknown;
}

impl Error {
    /// 401: the token is not known. A soft logout lets the client keep its keys and log in again as the same device.
    #[must_use]
    pub fn unknown_token(soft_logout: bool) -> Self {
        let mut data = UnknownTokenErrorData::new();
        data.soft_logout = soft_logout;
        Self::standard(StatusCode::UNAUTHORIZED, ErrorKind::UnknownToken(data), "Unknown token")
    }

    /// 429: too many requests of this kind; the client waits for `retry_after` (header and body).
    #[must_use]
    pub fn limit_exceeded(retry_after: Duration) -> Self {
        let mut data = LimitExceededErrorData::new();
        data.retry_after = Some(RetryAfter::Delay(retry_after));
        Self::standard(StatusCode::TOO_MANY_REQUESTS, ErrorKind::LimitExceeded(data), "Too many requests")
    }

    /// 400: a join needs a room version that the other side does not know.
    #[must_use]
    pub fn incompatible_room_version(version: RoomVersionId) -> Self {
        let kind = ErrorKind::IncompatibleRoomVersion(IncompatibleRoomVersionErrorData::new(version));
        Self::standard(StatusCode::BAD_REQUEST, kind, "Incompatible room version")
    }

    /// 403: the key backup has moved on; `current` is its version.
    #[must_use]
    pub fn wrong_backup_version(current: String) -> Self {
        let data = WrongRoomKeysVersionErrorData::new(current);
        Self::standard(StatusCode::FORBIDDEN, ErrorKind::WrongRoomKeysVersion(data), "Wrong backup version")
    }

    /// 400: a signature on keys that must be there is not, or is wrong.
    #[must_use]
    pub fn invalid_signature(message: &'static str) -> Self {
        // ruma knows this code as text only.
        let kind = serde_json::from_value(serde_json::json!({ "errcode": "M_INVALID_SIGNATURE" }));
        Self::standard(StatusCode::BAD_REQUEST, kind.unwrap_or(ErrorKind::Unknown), message)
    }

    /// 400: an event may wait no longer than `most` (MSC4140).
    #[must_use]
    pub fn delay_too_long(most: Duration) -> Self {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Self::delayed("M_MAX_DELAY_EXCEEDED", "The delay is too long", Some(most))
    }

    /// 400: the account has put off as many events as it may (MSC4140).
    #[must_use]
    pub fn too_many_delayed() -> Self {
        Self::delayed("M_MAX_DELAYED_EVENTS_EXCEEDED", "Too many events wait to be sent", None)
    }

    fn delayed(code: &'static str, message: &'static str, most: Option<u64>) -> Self {
        let mut body =
            serde_json::json!({ "errcode": "M_UNKNOWN", "error": message, "org.matrix.msc4140.errcode": code });
        if let Some(most) = most {
            body["org.matrix.msc4140.max_delay"] = most.into();
        }
        Self(Box::new(Inner::Extended { status: StatusCode::BAD_REQUEST, body }))
    }

    /// 401 without an error code: the client goes through user-interactive authentication
    /// ([spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)).
    #[must_use]
    pub fn uiaa(info: UiaaInfo) -> Self {
        Self(Box::new(Inner::Uiaa(info)))
    }

    /// 500: a fault of this server. Says nothing about it; the log line beside it does, without identifiers.
    #[must_use]
    pub fn internal() -> Self {
        Self::standard(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown, "Internal server error")
    }

    /// The HTTP status this is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &*self.0 {
            Inner::Standard { status, .. } | Inner::Extended { status, .. } => *status,
            Inner::Uiaa(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// The Matrix error code; none for a round of user-interactive authentication.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        match &*self.0 {
            Inner::Standard { kind, .. } => Some(kind.errcode().to_string()),
            Inner::Extended { body, .. } => body["errcode"].as_str().map(ToOwned::to_owned),
            Inner::Uiaa(_) => None,
        }
    }

    /// Whether it says nothing about what the client sent: the same request may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.status().is_server_error() || self.status() == StatusCode::TOO_MANY_REQUESTS
    }

    /// The error body for use inside a UIA response: what was wrong with the stage just tried.
    #[must_use]
    pub fn into_standard_body(self) -> Option<Box<StandardErrorBody>> {
        match *self.0 {
            Inner::Standard { kind, message, .. } => Some(Box::new(StandardErrorBody::new(kind, message.to_owned()))),
            Inner::Uiaa(_) | Inner::Extended { .. } => None,
        }
    }

    fn standard(status: StatusCode, kind: ErrorKind, message: &'static str) -> Self {
        Self(Box::new(Inner::Standard { status, kind, message }))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let response = match *self.0 {
            Inner::Standard { status, kind, message } => {
                let body = StandardErrorBody::new(kind, message.to_owned());
                MatrixError::new(status, ErrorBody::Standard(body)).try_into_http_response::<Vec<u8>>()
            }
            Inner::Extended { status, body } => {
                MatrixError::new(status, ErrorBody::Json(body)).try_into_http_response::<Vec<u8>>()
            }
            Inner::Uiaa(info) => UiaaResponse::AuthResponse(info).try_into_http_response::<Vec<u8>>(),
        };
        response.map_or_else(|_| last_resort(), |response| response.map(Body::from))
    }
}

/// The answer when not even an error can be written.
fn last_resort() -> Response<Body> {
    let mut response = Response::new(Body::from(r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

//! The few pages a browser is shown: for clients that do not know a way of logging in or proving something
//! ([spec](https://spec.matrix.org/latest/client-server-api/#fallback)). They are fixed texts: nothing a client sent is in them.

use axum::http::{HeaderValue, Response, header};
use ruma::{
    api::{BytesBody, OutgoingResponse, client::uiaa::AuthType, error::IntoHttpError},
    http_headers::TEXT_HTML_UTF8,
};

/// A page may talk to this server and load nothing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
);

/// A page.
pub(super) struct Page(&'static str);

/// The page that logs in.
pub(super) fn login() -> Page {
    Page(include_str!("pages/login.html"))
}

/// The page that proves one stage of user-interactive authentication, if the stage is one that this server asks for.
pub(super) fn stage(kind: &AuthType) -> Option<Page> {
    match kind {
        AuthType::Password => Some(Page(include_str!("pages/password.html"))),
        AuthType::RegistrationToken => Some(Page(include_str!("pages/token.html"))),
        AuthType::Dummy => Some(Page(include_str!("pages/dummy.html"))),
        _ => None,
    }
}

impl OutgoingResponse for Page {
    type Body = BytesBody;

    fn try_into_http_response_inner(self) -> Result<Response<BytesBody>, IntoHttpError> {
        let mut response = Response::new(BytesBody(self.0.as_bytes().to_vec()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, TEXT_HTML_UTF8);
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Ok(response)
    }
}

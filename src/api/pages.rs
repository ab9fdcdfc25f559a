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

/// A page of this title with this form and what happens when it is sent.
macro_rules! page {
    ($title:literal, $form:literal, $script:literal) => {
        Page(concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
            $title,
            "</title>\n<style>\n",
            include_str!("pages/style.css"),
            "</style>\n</head>\n<body>\n<h1>",
            $title,
            "</h1>\n<form id=\"form\">\n",
            include_str!($form),
            "</form>\n<p id=\"say\" role=\"status\"></p>\n<script>\n",
            include_str!($script),
            "</script>\n</body>\n</html>\n",
        ))
    };
}

/// The page that logs in.
pub(super) fn login() -> Page {
    page!("Log in", "pages/login.html", "pages/login.js")
}

/// The page that proves one stage of user-interactive authentication, if the stage is one that this server asks for.
pub(super) fn stage(kind: &AuthType) -> Option<Page> {
    match kind {
        AuthType::Password => Some(page!("Confirm with your password", "pages/password.html", "pages/stage.js")),
        AuthType::RegistrationToken => Some(page!("Register with a token", "pages/token.html", "pages/stage.js")),
        AuthType::Dummy => Some(page!("Continue", "pages/dummy.html", "pages/stage.js")),
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

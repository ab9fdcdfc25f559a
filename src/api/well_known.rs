//! Where clients, servers and people find this server, when it serves the domain of its own name.

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse, routing::get};
use ruma::api::client::discovery::{
    discover_homeserver::{self, HomeserverInfo},
    discover_support::{self, Contact, ContactRole},
};
use serde_json::json;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(client).ruma(support).route("/.well-known/matrix/server", get(server))
}

/// `GET /.well-known/matrix/client` ([spec](https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixclient))
async fn client(
    services: Arc<Services>,
    _request: Ruma<discover_homeserver::Request>,
) -> Result<discover_homeserver::Response, Error> {
    let config = &services.config;
    let base_url = config.well_known.client.as_ref().or(config.server.base_url.as_ref()).ok_or_else(absent)?;
    Ok(discover_homeserver::Response::new(HomeserverInfo::new(base_url.clone())))
}

/// `GET /.well-known/matrix/server` ([spec](https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver))
async fn server(State(services): State<Arc<Services>>) -> Result<impl IntoResponse, Error> {
    let server = services.config.well_known.server.as_ref().ok_or_else(absent)?;
    Ok(axum::Json(json!({ "m.server": server })))
}

/// `GET /.well-known/matrix/support` ([spec](https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixsupport))
async fn support(
    services: Arc<Services>,
    _request: Ruma<discover_support::Request>,
) -> Result<discover_support::Response, Error> {
    let config = &services.config.well_known;
    let contact = config.support_email.clone().map(|address| Contact::with_email_address(ContactRole::Admin, address));
    if contact.is_none() && config.support_page.is_none() {
        return Err(absent());
    }
    let mut response = discover_support::Response::with_contacts(contact.into_iter().collect());
    response.support_page.clone_from(&config.support_page);
    Ok(response)
}

fn absent() -> Error {
    Error::not_found("Not configured")
}

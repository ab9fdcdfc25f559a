//! The client-server API: one endpoint family a file, handlers that parse, call and answer.
//!
//! Owns routing, reading of requests, CORS and the form of answers; decides nothing about rooms or accounts.
//!
//! To add a family: a file under `api/` with `pub(super) fn routes(router: Routes) -> Routes` that chains
//! `.ruma(handler)` for each endpoint, and one line in [`router`].

mod body;
mod front;
mod gate;
pub mod json;
mod routes;
pub mod ruma;
pub mod services;
pub mod session;
pub mod uiaa;

mod account;
mod account_data;
mod backup;
mod capabilities;
mod count;
mod create_room;
mod dehydrated;
mod delayed;
mod device;
mod directory;
mod discovery;
mod filter;
mod health;
mod history;
mod keys;
mod login;
mod media;
mod membership;
mod moderation;
mod mutual_rooms;
mod notifications;
mod openid;
mod page_request;
mod pages;
mod peeking;
mod presence;
mod profile;
mod push;
mod read_markers;
mod refused;
mod register;
mod relations;
mod reports;
mod retention;
mod search;
mod send;
mod server_keys;
mod shared_secret;
mod sliding_sync;
mod spaces;
mod state;
mod synapse;
mod sync;
mod thirdparty;
mod threads;
mod to_device;
mod untyped;
mod user_directory;
mod voip;
mod well_known;

use std::sync::Arc;

use axum::Router;
use tower_http::catch_panic::CatchPanicLayer;

#[cfg(any(test, fuzzing))]
pub(crate) use self::media::content;
pub use self::{
    front::answer,
    gate::Gate,
    openid::OpenIds,
    routes::{Operation, Refusal, Routes},
    ruma::{Ruma, RumaRouter},
    services::Services,
    session::{Authenticate, BoxFuture, Doorkeeper, Session},
    shared_secret::Nonces,
};
use crate::error::Error;

/// Every endpoint, ready to be served through [`answer`].
pub fn router(services: Arc<Services>) -> Router {
    families()
        .into_router()
        .method_not_allowed_fallback(|| async { Error::wrong_method("Unrecognized method") })
        .fallback(|| async { Error::unrecognised("Unrecognized request") })
        .layer(CatchPanicLayer::custom(front::Panicked))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&services), count::count))
        .with_state(services)
}

/// Every operation of the client-server API that this server answers, and those it refuses.
#[must_use]
pub fn operations() -> Vec<Operation> {
    families().into_operations()
}

fn families() -> Routes {
    let families: &[fn(Routes) -> Routes] = &[
        account::routes,
        account_data::routes,
        backup::routes,
        capabilities::routes,
        create_room::routes,
        dehydrated::routes,
        delayed::routes,
        device::routes,
        directory::routes,
        discovery::routes,
        filter::routes,
        health::routes,
        history::routes,
        keys::routes,
        login::routes,
        media::routes,
        membership::routes,
        moderation::routes,
        mutual_rooms::routes,
        peeking::routes,
        notifications::routes,
        openid::routes,
        presence::routes,
        profile::routes,
        push::routes,
        read_markers::routes,
        refused::routes,
        register::routes,
        relations::routes,
        reports::routes,
        retention::routes,
        search::routes,
        send::routes,
        server_keys::routes,
        shared_secret::routes,
        sliding_sync::routes,
        spaces::routes,
        state::routes,
        sync::routes,
        synapse::routes,
        thirdparty::routes,
        threads::routes,
        to_device::routes,
        uiaa::routes,
        user_directory::routes,
        voip::routes,
        well_known::routes,
    ];
    families.iter().fold(Routes::default(), |router, add| add(router))
}

#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

//! Syncing ([spec](https://spec.matrix.org/latest/client-server-api/#syncing)).

use std::sync::Arc;

use axum::http::Response;
use ruma::{
    api::{
        OutgoingBodyJson, OutgoingResponse,
        client::{
            filter::FilterDefinition,
            sync::sync_events::v3::{Filter as Asked, Request},
        },
        error::IntoHttpError,
    },
    exports::serde::Serialize,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session},
    error::Error,
    sync::classic::{Answer, Ask, Error as SyncError, Filter, StateAt},
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(sync)
}

/// `GET /_matrix/client/v3/sync`
async fn sync(services: Arc<Services>, request: Ruma<Request>) -> Result<Synced, Error> {
    let proposed = request.parameter("org.matrix.msc4222.use_state_after").is_some_and(|asked| asked == "true");
    let Request { filter, since, full_state, timeout, use_state_after, set_presence, .. } = request.body;
    let state_at = match (use_state_after, proposed) {
        (true, _) => StateAt::End,
        (false, true) => StateAt::EndAsProposed,
        (false, false) => StateAt::Start,
    };
    let ask = Ask {
        since,
        filter: filter_of(&request.session, filter)?,
        full_state,
        state_at,
        takes_messages: true,
        timeout: timeout.unwrap_or_default(),
        presence: set_presence,
    };
    let answer = services.engine.syncs.sync(&request.session.inner, ask, services.stopping.clone()).await?;
    Ok(Synced(answer))
}

/// The filter a client gave, or the one it stored under the id it gave.
fn filter_of(session: &Session, asked: Option<Asked>) -> Result<Filter, SyncError> {
    match asked {
        None => Filter::new(FilterDefinition::default()),
        Some(Asked::FilterDefinition(definition)) => Filter::new(definition),
        Some(Asked::FilterId(id)) => {
            let vault = session.account().view();
            Filter::stored(vault.filters.get(&id).ok_or(SyncError::Filter)?)
        }
        Some(_) => Err(SyncError::Filter),
    }
}

/// An answer, written as it is.
struct Synced(Answer);

/// The body of a [`Synced`] answer.
#[derive(Serialize, OutgoingBodyJson)]
#[serde(transparent)]
struct Body(Answer);

impl OutgoingResponse for Synced {
    type Body = Body;

    fn try_into_http_response_inner(self) -> Result<Response<Body>, IntoHttpError> {
        Ok(Response::new(Body(self.0)))
    }
}

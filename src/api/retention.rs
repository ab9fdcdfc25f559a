//! What the server forgets and when, so that clients forget with it (MSC1763).

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    api::client::retention::{
        RoomIdOrAllRooms,
        get_retention_configuration::unstable::{LifetimeLimits, Request, Response, RetentionLimits},
    },
    events::room::retention::RoomRetentionEventContent,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(configuration)
}

/// `GET /_matrix/client/unstable/org.matrix.msc1763/retention/configuration`
async fn configuration(services: Arc<Services>, _request: Ruma<Request>) -> Result<Response, Error> {
    let config = &services.config.retention;
    let policy = RoomRetentionEventContent::new().at_most(config.default.0).ok_or_else(Error::internal)?;
    let limits = LifetimeLimits::from_range(config.min.0..=config.max.0).ok_or_else(Error::internal)?;
    let policies = BTreeMap::from([(RoomIdOrAllRooms::AllRooms, policy)]);
    Ok(Response::new(policies, RetentionLimits::new(None, Some(limits))))
}

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
    accounts::vault::Fact,
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
    store::Class,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(configuration)
}

/// `GET /_matrix/client/unstable/org.matrix.msc1763/retention/configuration`
///
/// Beside the default, the rooms of the asker whose lifetime does not follow from their state.
async fn configuration(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let rooms = &services.engine.rooms;
    let lifetimes = &rooms.policy().lifetimes;
    let mut policies = BTreeMap::new();
    if lifetimes.default != Class::Forever {
        policies.insert(RoomIdOrAllRooms::AllRooms, policy(lifetimes.default)?);
    }
    let vault = request.session.account().view();
    for (id, entry) in &vault.rooms {
        let room = rooms.find(id).filter(|_| entry.fact == Fact::Joined);
        if let Some(view) = room.map(|room| room.view()).filter(|view| !view.tells_lifetime()) {
            policies.insert(RoomIdOrAllRooms::RoomId(id.clone()), policy(view.class())?);
        }
    }
    let mut limits = LifetimeLimits::new();
    if let Some(least) = lifetimes.least.lifetime() {
        limits = limits.at_least(least).ok_or_else(Error::internal)?;
    }
    if let Some(most) = lifetimes.most.lifetime() {
        limits = limits.at_most(most).ok_or_else(Error::internal)?;
    }
    Ok(Response::new(policies, RetentionLimits::new(None, Some(limits))))
}

/// The content of a room's event that would say this class: without an end, nothing.
fn policy(class: Class) -> Result<RoomRetentionEventContent, Error> {
    let content = RoomRetentionEventContent::new();
    match class.lifetime() {
        Some(lifetime) => content.at_most(lifetime).ok_or_else(Error::internal),
        None => Ok(content),
    }
}

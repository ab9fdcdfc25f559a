//! What the server and this account can do ([spec](https://spec.matrix.org/latest/client-server-api/#capabilities-negotiation)).

use std::sync::Arc;

use ruma::api::client::discovery::get_capabilities::v3::{
    Capabilities, ChangePasswordCapability, GetLoginTokenCapability, ProfileFieldsCapability, Request, Response,
    RoomVersionStability, RoomVersionsCapability, ThirdPartyIdChangesCapability,
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(capabilities)
}

/// `GET /_matrix/client/v3/capabilities`
async fn capabilities(services: Arc<Services>, _request: Ruma<Request>) -> Result<Response, Error> {
    let rooms = &services.config.rooms;
    let versions = rooms.versions.iter().map(|version| (version.clone(), RoomVersionStability::Stable)).collect();
    let mut capabilities = Capabilities::new();
    capabilities.change_password = ChangePasswordCapability::new(true);
    capabilities.room_versions = RoomVersionsCapability::new(rooms.default_version.clone(), versions);
    capabilities.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    capabilities.get_login_token = GetLoginTokenCapability::new(false);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    Ok(Response::new(capabilities))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_version_that_can_be_configured_can_be_made() {
        let configured = crate::config::Config::default().rooms.versions;
        assert_eq!(configured, crate::event::SUPPORTED);
    }
}

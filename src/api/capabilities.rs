//! What the server and this account can do ([spec](https://spec.matrix.org/latest/client-server-api/#capabilities-negotiation)).

use std::sync::Arc;

use ruma::api::client::discovery::get_capabilities::v3::{
    AccountModerationCapability, Capabilities, ProfileFieldsCapability, Request, RoomVersionStability,
    RoomVersionsCapability,
};

use serde_json::json;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, json::Json},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(capabilities)
}

/// `GET /_matrix/client/v3/capabilities`
async fn capabilities(services: Arc<Services>, request: Ruma<Request>) -> Result<Json, Error> {
    let rooms = &services.config.rooms;
    let versions = rooms.versions.iter().map(|version| (version.clone(), RoomVersionStability::Stable)).collect();
    let mut capabilities = Capabilities::new();
    capabilities.room_versions = RoomVersionsCapability::new(rooms.default_version.clone(), versions);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    let is_admin = request.session.is_admin(&services)?;
    capabilities.account_moderation = AccountModerationCapability::new(is_admin, is_admin);
    let mut capabilities = serde_json::to_value(&capabilities).map_err(|_| Error::internal())?;
    // What is as the specification's default has it, ruma leaves out; clients and people look for it.
    for (name, enabled) in [
        ("m.change_password", true),
        ("m.set_displayname", true),
        ("m.set_avatar_url", true),
        ("m.3pid_changes", false),
        ("m.get_login_token", true),
    ] {
        capabilities[name] = json!({ "enabled": enabled });
    }
    Ok(Json(json!({ "capabilities": capabilities })))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_version_that_can_be_configured_can_be_made() {
        let configured = crate::config::Config::default().rooms.versions;
        assert_eq!(configured, crate::event::SUPPORTED);
    }
}

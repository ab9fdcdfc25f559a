//! Features of the specification that this server does not have, and the error that the specification has for each:
//! third-party identifiers, other ways to log in, bridges, application services, policy servers.

use std::future::ready;

use axum::http::Method;
use ruma::api::{
    auth_scheme::AccessToken,
    client::{
        account::{
            ThirdPartyIdRemovalStatus, add_3pid, bind_3pid, delete_3pid::v3 as delete_3pid,
            request_3pid_management_token_via_email, request_3pid_management_token_via_msisdn,
            request_password_change_token_via_email, request_password_change_token_via_msisdn,
            request_registration_token_via_email, request_registration_token_via_msisdn,
            unbind_3pid::v3 as unbind_3pid,
        },
        appservice::{request_ping, set_room_visibility},
        discovery::{discover_policy_server, get_authorization_server_metadata},
        session::{sso_login, sso_login_with_provider},
        thirdparty::{
            get_location_for_protocol, get_location_for_room_alias, get_protocol, get_user_for_protocol,
            get_user_for_user_id,
        },
    },
};

use crate::{
    api::{Routes, Ruma, RumaRouter},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    bridges(logins(third_party_ids(router))).refuse::<discover_policy_server::Request>(not_found)
}

/// Email addresses and phone numbers: none is ever stored, so that none can be found. The capability
/// `m.3pid_changes` says so.
fn third_party_ids(router: Routes) -> Routes {
    router
        .refuse::<request_3pid_management_token_via_email::v3::Request>(medium)
        .refuse::<request_3pid_management_token_via_msisdn::v3::Request>(medium)
        .refuse::<request_password_change_token_via_email::v3::Request>(denied)
        .refuse::<request_password_change_token_via_msisdn::v3::Request>(denied)
        .refuse::<request_registration_token_via_email::v3::Request>(denied)
        .refuse::<request_registration_token_via_msisdn::v3::Request>(denied)
        .refuse::<add_3pid::v3::Request>(denied)
        .refuse::<bind_3pid::v3::Request>(denied)
        .refuse_at::<AccessToken>(Method::POST, "/_matrix/client/v3/account/3pid", unverified)
        .refuse_at::<AccessToken>(Method::POST, "/_matrix/client/r0/account/3pid", unverified)
        .ruma(|_, _: Ruma<delete_3pid::Request>| {
            ready(Ok(delete_3pid::Response::new(ThirdPartyIdRemovalStatus::NoSupport)))
        })
        .ruma(|_, _: Ruma<unbind_3pid::Request>| {
            ready(Ok(unbind_3pid::Response::new(ThirdPartyIdRemovalStatus::NoSupport)))
        })
}

/// Single sign-on and OAuth 2.0: `GET /login` offers none of them.
fn logins(router: Routes) -> Routes {
    router
        .refuse::<sso_login::v3::Request>(unrecognised)
        .refuse::<sso_login_with_provider::v3::Request>(unrecognised)
        .refuse::<get_authorization_server_metadata::v1::Request>(unrecognised)
}

/// Bridges to other networks and application services: there are none, so that nobody is found through one.
fn bridges(router: Routes) -> Routes {
    router
        .refuse::<get_protocol::v3::Request>(not_found)
        .refuse::<get_location_for_protocol::v3::Request>(not_found)
        .refuse::<get_location_for_room_alias::v3::Request>(not_found)
        .refuse::<get_user_for_protocol::v3::Request>(not_found)
        .refuse::<get_user_for_user_id::v3::Request>(not_found)
        .refuse::<request_ping::v1::Request>(no_service)
        .refuse::<set_room_visibility::v3::Request>(no_service)
}

fn medium() -> Error {
    Error::threepid_medium("Email addresses and phone numbers are not used here")
}

fn denied() -> Error {
    Error::threepid_denied("Email addresses and phone numbers are not used here")
}

fn unverified() -> Error {
    Error::threepid_unverified("Email addresses and phone numbers are not used here")
}

fn unrecognised() -> Error {
    Error::unrecognised("Unrecognized request")
}

fn not_found() -> Error {
    Error::not_found("Not found")
}

fn no_service() -> Error {
    Error::forbidden("You are not an application service")
}

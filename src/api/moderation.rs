//! What administrators do to accounts ([spec](https://spec.matrix.org/latest/client-server-api/#server-administration)).

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    UserId,
    api::client::admin::{
        get_user_info::v3 as whois, is_user_locked::v1 as is_locked, is_user_suspended::v1 as is_suspended,
        lock_user::v1 as lock, suspend_user::v1 as suspend,
    },
};
use serde_json::{Value, json};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json},
    error::Error,
    house::AccountEntry,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(locked).ruma(set_locked).ruma(suspended).ruma(set_suspended).ruma(who_is)
}

/// `GET /_matrix/client/v1/admin/lock/{userId}`
async fn locked(services: Arc<Services>, request: Ruma<is_locked::Request>) -> Result<is_locked::Response, Error> {
    let entry = look(&services, &request.session, &request.body.user_id)?;
    Ok(is_locked::Response::new(entry.locked))
}

/// `PUT /_matrix/client/v1/admin/lock/{userId}`
async fn set_locked(services: Arc<Services>, request: Ruma<lock::Request>) -> Result<lock::Response, Error> {
    let lock::Request { user_id, locked, .. } = request.body;
    touch(&services, &request.session, &user_id)?;
    services.engine.accounts.note(&user_id, |entry| entry.locked = locked).await?;
    Ok(lock::Response::new(locked))
}

/// `GET /_matrix/client/v1/admin/suspend/{userId}`
async fn suspended(
    services: Arc<Services>,
    request: Ruma<is_suspended::Request>,
) -> Result<is_suspended::Response, Error> {
    let entry = look(&services, &request.session, &request.body.user_id)?;
    Ok(is_suspended::Response::new(entry.suspended))
}

/// `PUT /_matrix/client/v1/admin/suspend/{userId}`
async fn set_suspended(services: Arc<Services>, request: Ruma<suspend::Request>) -> Result<suspend::Response, Error> {
    let suspend::Request { user_id, suspended, .. } = request.body;
    touch(&services, &request.session, &user_id)?;
    services.engine.accounts.note(&user_id, |entry| entry.suspended = suspended).await?;
    Ok(suspend::Response::new(suspended))
}

/// `GET /_matrix/client/v3/admin/whois/{userId}`
async fn who_is(services: Arc<Services>, request: Ruma<whois::Request>) -> Result<Json, Error> {
    let user = &request.body.user_id;
    if request.session.user_id != *user {
        request.session.check_admin(&services)?;
    }
    find(&services, user)?;
    Ok(Json(sessions_of(&services, user)?))
}

/// The devices of an account, as far as they are known: what an open vault says of them, or those whose keys are
/// public. Addresses and programs are never kept, so a connection is a day and nothing else.
pub(super) fn sessions_of(services: &Services, user: &UserId) -> Result<Value, Error> {
    let engine = &services.engine;
    let devices: BTreeMap<String, Value> = if let Some(account) = engine.accounts.open(user) {
        let view = account.view();
        let seen = |day| json!({ "sessions": [{ "connections": [{ "last_seen": super::device::shown_day(day) }] }] });
        view.devices.iter().map(|(id, device)| (id.to_string(), seen(device.seen_day))).collect()
    } else {
        let house = engine.house.view()?;
        house.devices_of(user.localpart()).map(|(id, _)| (id.to_string(), json!({ "sessions": [] }))).collect()
    };
    Ok(json!({ "user_id": user, "devices": devices }))
}

/// The account that an administrator wants to know about: his own, or one that is not an administrator's.
fn look(services: &Services, session: &Session, user: &UserId) -> Result<AccountEntry, Error> {
    session.check_admin(services)?;
    let entry = find(services, user)?;
    if entry.admin && session.user_id != *user {
        return Err(Error::forbidden("The user is an administrator too"));
    }
    Ok(entry)
}

/// As [`look`], for what may not be done to oneself.
fn touch(services: &Services, session: &Session, user: &UserId) -> Result<(), Error> {
    let entry = look(services, session, user)?;
    if entry.admin { Err(Error::forbidden("This is your own account")) } else { Ok(()) }
}

/// What is known of an account of this server. Only who may know has come so far.
pub(super) fn find(services: &Services, user: &UserId) -> Result<AccountEntry, Error> {
    let accounts = &services.engine.accounts;
    if user.server_name() != accounts.policy().server_name {
        return Err(Error::invalid_param("The user is not one of this server"));
    }
    accounts.entry(user)?.ok_or_else(|| Error::not_found("Unknown user"))
}

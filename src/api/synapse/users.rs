//! Accounts.

use std::future::ready;

use axum::routing::MethodFilter;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{Answer, Call, operation, page::page, refuse};
use crate::{
    accounts::Reset,
    api::{Routes, moderation},
    engine::administer::UserShown,
    error::Error,
    house::{HouseChange, Profile},
    secret::SecretText,
};

const GET: MethodFilter = MethodFilter::GET;
const PUT: MethodFilter = MethodFilter::PUT;
const POST: MethodFilter = MethodFilter::POST;

pub(super) fn routes(router: Routes) -> Routes {
    let at = |path: &str| format!("/_synapse/admin/{path}");
    router
        .route(&at("v2/users"), operation(GET, |call: Call| ready(list(&call, false))))
        .route(&at("v3/users"), operation(GET, |call: Call| ready(list(&call, true))))
        .route(&at("v2/users/{p4}"), operation(GET, show).merge(operation(PUT, put)))
        .route(&at("v1/users/{p4}/admin"), operation(GET, is_admin).merge(operation(PUT, set_admin)))
        .route(&at("v1/deactivate/{p4}"), operation(POST, deactivate))
        .route(&at("v1/reset_password/{p4}"), operation(POST, reset_password))
        .route(&at("v1/suspend/{p4}"), operation(PUT, suspend))
        .route(&at("v1/whois/{p4}"), operation(GET, who_is))
        .route(&at("v1/users/{p4}/joined_rooms"), operation(GET, joined_rooms))
        .route(&at("v1/username_available"), operation(GET, is_available))
        .route(&at("v1/users/{p4}/login"), refuse(POST, "Nobody logs in as another: only the account holds its key"))
}

/// `GET /_synapse/admin/v2/users` and `v3`, which understands `deactivated` differently. Who ended is not listed: his name is
/// not kept.
fn list(call: &Call, only_deactivated: bool) -> Result<Value, Error> {
    let text = |name: &str| call.query.get(name).filter(|text| !text.is_empty()).map(|text| text.to_lowercase());
    let (id, name) = (text("user_id"), text("name"));
    let (admins, locked) = (call.flag("admins")?, call.flag("locked")?.unwrap_or(false));
    if only_deactivated && call.flag("deactivated")? == Some(true) {
        return Ok(json!({ "users": [], "total": 0 }));
    }
    let wanted = |user: &UserShown| {
        let shown = user.displayname.as_ref().map(|name| name.to_lowercase()).unwrap_or_default();
        let found = match (&name, &id) {
            (Some(name), _) => user.user_id.localpart().contains(name) || shown.contains(name),
            (None, Some(id)) => user.user_id.as_str().contains(id),
            (None, None) => true,
        };
        found && admins.is_none_or(|admins| user.admin == admins) && (locked || !user.locked)
    };
    let users = call.services.engine.users()?;
    let users = users.iter().filter(|user| wanted(user)).map(shown).collect();
    let fields = [
        "name",
        "displayname",
        "avatar_url",
        "admin",
        "locked",
        "suspended",
        "is_guest",
        "deactivated",
        "shadow_banned",
        "user_type",
        "creation_ts",
        "last_seen_ts",
    ];
    let page = page(users, &call.query, &fields)?;
    let mut answer = json!({ "users": page.items, "total": page.total });
    if let Some(next) = page.next() {
        answer["next_token"] = json!(next.to_string());
    }
    Ok(answer)
}

/// An account as Synapse shows it. When it was made and last used, and by which applications, is not kept.
fn shown(user: &UserShown) -> Value {
    json!({
        "name": user.user_id,
        "displayname": user.displayname,
        "avatar_url": user.avatar_url,
        "admin": user.admin,
        "locked": user.locked,
        "suspended": user.suspended,
        "deactivated": false,
        "erased": false,
        "is_guest": false,
        "shadow_banned": false,
        "user_type": null,
        "appservice_id": null,
        "creation_ts": null,
        "last_seen_ts": null,
        "consent_server_notice_sent": null,
        "consent_version": null,
        "consent_ts": null,
        "threepids": [],
        "external_ids": [],
    })
}

/// `GET /_synapse/admin/v2/users/{userId}`
async fn show(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    let accounts = &call.services.engine.accounts;
    if accounts.has_ended(&user)? {
        let erased = accounts.is_erased(&user)?;
        return Ok(json!({ "name": user, "deactivated": true, "erased": erased, "admin": false, "locked": false }));
    }
    Ok(shown(&call.services.engine.user(&user)?))
}

/// `PUT /_synapse/admin/v2/users/{userId}`: makes or changes an account.
async fn put(call: Call) -> Result<Answer, Error> {
    let user = call.user()?;
    check_supported(&call)?;
    let engine = &call.services.engine;
    let deactivated: Option<bool> = call.field("deactivated")?;
    if engine.accounts.has_ended(&user)? {
        return match deactivated {
            Some(true) => show(call).await.map(Answer::from),
            _ => Err(Error::bad_request("An account that has ended does not come back")),
        };
    }
    let known = engine.accounts.exists(&user)?;
    let (user, mut waits) = if known { (user, false) } else { (make(&call, &user).await?, false) };
    let (admin, locked): (Option<bool>, Option<bool>) = (call.field("admin")?, call.field("locked")?);
    if known && admin == Some(false) && user == call.session.user_id {
        return Err(Error::bad_request("You may not demote yourself"));
    }
    if locked == Some(true) && user == call.session.user_id {
        return Err(Error::bad_request("This is your own account"));
    }
    if admin.is_some() || locked.is_some() {
        engine
            .note(&user, |entry| {
                entry.admin = admin.unwrap_or(entry.admin);
                entry.locked = locked.unwrap_or(entry.locked);
            })
            .await?;
    }
    for field in ["displayname", "avatar_url"] {
        if let Some(text) = call.field::<String>(field)? {
            set_profile(&call, &user, field, text).await?;
        }
    }
    if let Some(password) = call.field::<String>("password")?.filter(|_| known) {
        let end_devices = call.field("logout_devices")?.unwrap_or(true);
        let reset = engine.accounts.reset_password(&user, SecretText::new(password), end_devices).await?;
        waits = reset == Reset::Waits;
    }
    if deactivated == Some(true) {
        engine.deactivate(&user, false).await?;
        return Ok(
            json!({ "name": user, "deactivated": true, "erased": false, "admin": false, "locked": false }).into()
        );
    }
    let mut body = shown(&engine.user(&user)?);
    if waits {
        body["password_waits"] = json!(true);
    }
    Ok(Answer { body, created: !known })
}

/// Refuses what accounts here cannot have.
fn check_supported(call: &Call) -> Result<(), Error> {
    for field in ["threepids", "external_ids"] {
        if call.field::<Vec<Value>>(field)?.is_some_and(|items| !items.is_empty()) {
            return Err(Error::bad_request("Email addresses, phone numbers and other identities are not kept here"));
        }
    }
    if call.field::<String>("user_type")?.is_some() {
        return Err(Error::bad_request("Accounts have no types here"));
    }
    Ok(())
}

/// Makes the account that `user` names. Where Matrix ids are random, only its login name is as asked.
async fn make(call: &Call, user: &UserId) -> Result<OwnedUserId, Error> {
    let password: String = call.needed("password")?;
    let admin = call.field("admin")?.unwrap_or(false);
    let accounts = &call.services.engine.accounts;
    let name = accounts.folded(user.localpart());
    let shown: Option<String> = call.field("displayname")?;
    let made = accounts.register(&name, SecretText::new(password), None, admin, |_, localpart| {
        let profile = shown.filter(|name| !name.is_empty());
        let profile = profile.map(|name| Profile([("displayname".to_owned(), Value::String(name))].into()));
        Ok(profile.map(|profile| HouseChange::Profile(localpart.to_owned(), Some(profile))).into_iter().collect())
    });
    Ok(made.await?.0.user_id.clone())
}

async fn set_profile(call: &Call, user: &UserId, field: &str, text: String) -> Result<(), Error> {
    let value = crate::api::profile::check(field, Value::String(text))?;
    let engine = &call.services.engine;
    let changed = engine.accounts.set_profile_field_of(user, field.to_owned(), value).await?;
    if let (true, Some(account)) = (changed, engine.accounts.open(user)) {
        engine.rooms.show_profile(&account, None).await;
        engine.rooms.notify_neighbours(&account);
    }
    Ok(())
}

/// `GET /_synapse/admin/v1/users/{userId}/admin`
async fn is_admin(call: Call) -> Result<Value, Error> {
    let user = call.services.engine.user(&call.user()?)?;
    Ok(json!({ "admin": user.admin }))
}

/// `PUT /_synapse/admin/v1/users/{userId}/admin`
async fn set_admin(call: Call) -> Result<Value, Error> {
    let (user, admin): (_, bool) = (call.user()?, call.needed("admin")?);
    if !admin && user == call.session.user_id {
        return Err(Error::bad_request("You may not demote yourself"));
    }
    call.services.engine.note(&user, |entry| entry.admin = admin).await?;
    Ok(json!({}))
}

/// `POST /_synapse/admin/v1/deactivate/{userId}`
async fn deactivate(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    let erase = call.field("erase")?.unwrap_or(false);
    if !call.services.engine.accounts.has_ended(&user)? {
        call.services.engine.deactivate(&user, erase).await?;
    }
    Ok(json!({ "id_server_unbind_result": "success" }))
}

/// `POST /_synapse/admin/v1/reset_password/{userId}`. A cold account gets the password when it comes: `waits` says so.
async fn reset_password(call: Call) -> Result<Value, Error> {
    let (user, password) = (call.user()?, SecretText::new(call.needed("new_password")?));
    let end_devices = call.field("logout_devices")?.unwrap_or(true);
    let reset = call.services.engine.accounts.reset_password(&user, password, end_devices).await?;
    Ok(if reset == Reset::Waits { json!({ "waits": true }) } else { json!({}) })
}

/// `PUT /_synapse/admin/v1/suspend/{userId}`
async fn suspend(call: Call) -> Result<Value, Error> {
    let (user, suspended): (_, bool) = (call.user()?, call.needed("suspend")?);
    if user == call.session.user_id {
        return Err(Error::bad_request("This is your own account"));
    }
    call.services.engine.note(&user, |entry| entry.suspended = suspended).await?;
    Ok(json!({ format!("user_{user}_suspended"): suspended }))
}

/// `GET /_synapse/admin/v1/whois/{userId}`
async fn who_is(call: Call) -> Result<Value, Error> {
    let user = call.user()?;
    call.services.engine.user(&user)?;
    moderation::sessions_of(&call.services, &user)
}

/// `GET /_synapse/admin/v1/users/{userId}/joined_rooms`
async fn joined_rooms(call: Call) -> Result<Value, Error> {
    let rooms = call.services.engine.joined_rooms(&call.user()?)?;
    Ok(json!({ "total": rooms.len(), "joined_rooms": rooms }))
}

/// `GET /_synapse/admin/v1/username_available`
async fn is_available(call: Call) -> Result<Value, Error> {
    let name = call.query.get("username").ok_or_else(|| Error::missing_param("A query parameter is missing"))?;
    let accounts = &call.services.engine.accounts;
    accounts.check_name(&accounts.folded(name))?;
    Ok(json!({ "available": true }))
}

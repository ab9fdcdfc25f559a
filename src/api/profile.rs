//! Profiles ([spec](https://spec.matrix.org/latest/client-server-api/#profiles)). Only who has an account here may ask.

use std::sync::Arc;

use axum::http::Method;
use ruma::{
    MxcUri, OwnedUserId,
    api::{
        IncomingRequest, Metadata,
        client::profile::{
            delete_profile_field::v3 as delete, get_profile::v3 as whole, get_profile_field::v3 as field,
            set_profile_field::v3 as set,
        },
        error::DeserializationError,
    },
};
use serde_json::{Map, Value, json};

use super::account_data::own;
use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session, json::Json, session::Authenticated, untyped::query},
    error::Error,
    house::Profile,
};

/// The longest display name in characters: every room of the account repeats it.
const LONGEST_NAME: usize = 256;
/// The longest avatar address in bytes.
const LONGEST_AVATAR: usize = 1000;
/// The longest name of a time zone in bytes: the longest there are have about thirty.
const LONGEST_ZONE: usize = 64;
/// The parameter that says in which rooms a name or avatar is shown (MSC4466): `all`, `unchanged`, `none`.
const REACH: &str = "computer.gingershaped.msc4466.propagate_to";

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(profile).ruma(profile_field).ruma(set_field).ruma(delete_field)
}

/// `GET /_matrix/client/v3/profile/{userId}`
async fn profile(services: Arc<Services>, request: Ruma<Authenticated<whole::Request>>) -> Result<Json, Error> {
    let profile = find(&services, &request.body.0.user_id)?;
    Ok(Json(Value::Object(profile.0.into_iter().collect())))
}

/// `GET /_matrix/client/v3/profile/{userId}/{keyName}`
async fn profile_field(services: Arc<Services>, request: Ruma<Authenticated<field::Request>>) -> Result<Json, Error> {
    let field::Request { user_id, field, .. } = request.body.0;
    let value = find(&services, &user_id)?.0.remove(field.as_str());
    let value = value.ok_or_else(|| Error::not_found("The profile has no such field"))?;
    Ok(Json(json!({ field.as_str(): value })))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
async fn set_field(services: Arc<Services>, request: Ruma<SetField>) -> Result<set::Response, Error> {
    let SetField { user_id, field, reach } = request.body;
    own(&request.session, &user_id)?;
    check_name(&field)?;
    let mut body: Map<String, Value> = serde_json::from_slice(&request.raw)?;
    let value = body.remove(&field).ok_or_else(|| Error::missing_param("The field is missing"))?;
    let value = check(&field, value)?;
    change(&services, &request.session, field, value, reach.as_deref()).await?;
    Ok(set::Response::new())
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
async fn delete_field(services: Arc<Services>, request: Ruma<DeleteField>) -> Result<delete::Response, Error> {
    let DeleteField { request: delete::Request { user_id, field, .. }, reach } = request.body;
    own(&request.session, &user_id)?;
    change(&services, &request.session, field.as_str().to_owned(), None, reach.as_deref()).await?;
    Ok(delete::Response::new())
}

/// The profile of `user`, if there is one: nobody is asked about the users of other servers.
fn find(services: &Services, user: &OwnedUserId) -> Result<Profile, Error> {
    services.engine.accounts.profile(user)?.ok_or_else(|| Error::not_found("Unknown user"))
}

/// What a field becomes; the two that rooms repeat are texts, and an empty one is none.
pub(super) fn check(field: &str, value: Value) -> Result<Option<Value>, Error> {
    match (field, value) {
        ("displayname" | "avatar_url", Value::Null) => Ok(None),
        ("displayname" | "avatar_url", Value::String(text)) if text.is_empty() => Ok(None),
        ("displayname", Value::String(text)) if text.chars().count() > LONGEST_NAME => {
            Err(Error::invalid_param("The display name is too long"))
        }
        ("avatar_url", Value::String(text)) if text.len() > LONGEST_AVATAR => {
            Err(Error::invalid_param("The address of the avatar is too long"))
        }
        // Clients would load it from wherever it says. A word leads nowhere, and other servers take it.
        ("avatar_url", Value::String(text))
            if (text.contains("//") || text.contains(':')) && !<&MxcUri>::from(text.as_str()).is_valid() =>
        {
            Err(Error::invalid_param("An avatar is media of a Matrix server"))
        }
        ("displayname" | "avatar_url" | "m.tz", value) if !value.is_string() => {
            Err(Error::bad_json("The field is a text"))
        }
        ("m.tz", Value::String(zone)) if !is_zone(&zone) => Err(Error::invalid_param("This is no time zone")),
        (_, value) => Ok(Some(value)),
    }
}

/// Whether a text looks like a name of the time zone database.
fn is_zone(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"_+-".contains(&c));
    text.len() <= LONGEST_ZONE && text.split('/').all(part)
}

/// Whether a field may be set: the specification's own and those of its grammar for names.
fn check_name(field: &str) -> Result<(), Error> {
    let named = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_.-".contains(&c);
    if field.starts_with(|c: char| c.is_ascii_lowercase()) && field.bytes().all(named) {
        Ok(())
    } else {
        Err(Error::invalid_param("This is no name of a profile field"))
    }
}

async fn change(
    services: &Services,
    session: &Session,
    field: String,
    value: Option<Value>,
    reach: Option<&str>,
) -> Result<(), Error> {
    let (account, engine) = (session.account(), &services.engine);
    let before = engine.accounts.profile(&account.user_id)?.unwrap_or_default();
    let in_rooms = matches!(field.as_str(), "displayname" | "avatar_url");
    if !engine.accounts.set_profile_field(account, field.clone(), value).await? {
        return Ok(());
    }
    match reach {
        _ if !in_rooms => {}
        Some("none") => {}
        Some("unchanged") => engine.rooms.show_profile(account, Some((&field, before.text(&field)))).await,
        _ => engine.rooms.show_profile(account, None).await,
    }
    engine.rooms.notify_neighbours(account);
    Ok(())
}

/// Whose field is set and which; the body is read by the handler, because `null` and an empty text unset.
struct SetField {
    user_id: OwnedUserId,
    field: String,
    reach: Option<String>,
}

/// A deletion with the parameter that ruma's type has no room for.
struct DeleteField {
    request: delete::Request,
    reach: Option<String>,
}

impl Metadata for DeleteField {
    const METHOD: Method = delete::Request::METHOD;
    const RATE_LIMITED: bool = delete::Request::RATE_LIMITED;
    type Authentication = <delete::Request as Metadata>::Authentication;
    type PathBuilder = <delete::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = delete::Request::PATH_BUILDER;
}

impl IncomingRequest for DeleteField {
    type EndpointError = <delete::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = delete::Response;

    fn try_from_http_request_inner(
        request: axum::http::Request<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let reach = query(request.uri()).remove(REACH);
        Ok(Self { request: delete::Request::try_from_http_request_inner(request, path)?, reach })
    }
}

impl Metadata for SetField {
    const METHOD: Method = set::Request::METHOD;
    const RATE_LIMITED: bool = set::Request::RATE_LIMITED;
    type Authentication = <set::Request as Metadata>::Authentication;
    type PathBuilder = <set::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = set::Request::PATH_BUILDER;
}

impl IncomingRequest for SetField {
    type EndpointError = <set::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = set::Response;

    fn try_from_http_request_inner(
        request: axum::http::Request<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let reach = query(request.uri()).remove(REACH);
        let [user, field] = path else { unreachable!("the path has two parameters") };
        Ok(Self { user_id: OwnedUserId::try_from(*user)?, field: (*field).to_owned(), reach })
    }
}

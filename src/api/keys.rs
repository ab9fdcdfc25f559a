//! Devices' keys ([spec](https://spec.matrix.org/latest/client-server-api/#key-management-api)).

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedUserId,
    api::client::keys::{claim_keys, get_key_changes, get_keys, upload_keys, upload_signatures, upload_signing_keys},
    serde::Raw,
};
use serde_json::{Value, json};

use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services,
        json::Json,
        uiaa::{self, Interactive},
    },
    e2ee::{self, Signed, SigningKeys, Upload, Wanted},
    error::Error,
    sync::parts::People,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(upload).ruma(query).ruma(claim).ruma(changes).ruma(upload_signing).ruma(sign)
}

/// `POST /_matrix/client/v3/keys/upload`
async fn upload(services: Arc<Services>, request: Ruma<upload_keys::v3::Request>) -> Result<Json, Error> {
    // One-time keys are issued in the order of the body, which ruma's type does not keep.
    let upload = Upload::parse(&request.raw)?;
    let session = &request.session;
    let counts = services.engine.e2ee.upload_keys(session.account(), &session.device_id, upload).await?;
    Ok(Json(json!({ "one_time_key_counts": counts })))
}

/// `POST /_matrix/client/v3/keys/query`
async fn query(services: Arc<Services>, request: Ruma<get_keys::v3::Request>) -> Result<Json, Error> {
    let found = services.engine.e2ee.query(request.session.account(), &request.body.device_keys)?;
    Ok(Json(json!({
        "device_keys": found.devices,
        "master_keys": found.master,
        "self_signing_keys": found.self_signing,
        "user_signing_keys": found.user_signing,
        "failures": failures(found.unreached),
    })))
}

/// `POST /_matrix/client/v3/keys/claim`
async fn claim(services: Arc<Services>, request: Ruma<claim_keys::v3::Request>) -> Result<Json, Error> {
    let wanted = request.body.one_time_keys.into_iter().map(|(user, devices)| {
        (user, devices.into_iter().map(|(device, algorithm)| (device, algorithm.to_string())).collect())
    });
    let claimed = services.engine.e2ee.claim(wanted.collect::<Wanted>()).await?;
    let keys: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = claimed
        .keys
        .into_iter()
        .map(|(user, devices)| (user, devices.into_iter().map(|(id, key)| (id, BTreeMap::from([key]))).collect()))
        .collect();
    Ok(Json(json!({ "one_time_keys": keys, "failures": failures(claimed.unreached) })))
}

/// `GET /_matrix/client/v3/keys/changes`: everybody in shared rooms whose devices have ever changed. That is more than
/// what changed between the two tokens and never less; clients look at each of them again.
async fn changes(services: Arc<Services>, request: Ruma<get_key_changes::v3::Request>) -> Result<Json, Error> {
    let account = request.session.account();
    let house = services.engine.house.view()?;
    let people = People::of(&services.engine.rooms, account, &account.view(), &People::default());
    let changed: Vec<_> = people.users().filter(|user| house.stamps.contains_key(user.localpart())).collect();
    Ok(Json(json!({ "changed": changed, "left": [] })))
}

/// `POST /_matrix/client/v3/keys/device_signing/upload`: only what replaces keys asks for the password.
async fn upload_signing(
    services: Arc<Services>,
    request: Ruma<Interactive<upload_signing_keys::v3::Request>>,
) -> Result<Json, Error> {
    let Interactive { request: body, auth } = request.body;
    let keys = SigningKeys {
        master: value(body.master_key)?,
        self_signing: value(body.self_signing_key)?,
        user_signing: value(body.user_signing_key)?,
    };
    let (e2ee, account) = (&services.engine.e2ee, request.session.account());
    match e2ee.upload_signing_keys(account, keys.clone(), false).await {
        Err(e2ee::Error::Unauthorised) => {
            uiaa::password(&services, &request.session, "upload signing keys", auth).await?;
            e2ee.upload_signing_keys(account, keys, true).await?;
        }
        done => done?,
    }
    Ok(Json(json!({})))
}

/// `POST /_matrix/client/v3/keys/signatures/upload`
async fn sign(services: Arc<Services>, request: Ruma<upload_signatures::v3::Request>) -> Result<Json, Error> {
    let mut signed = Signed::default();
    for (user, objects) in &request.body.signed_keys {
        let objects = objects.iter().map(|(id, object)| Ok((id.to_owned(), serde_json::from_str(object.get())?)));
        signed.insert(user.clone(), objects.collect::<Result<_, Error>>()?);
    }
    let refusals = services.engine.e2ee.upload_signatures(request.session.account(), signed).await?;
    let failures: BTreeMap<OwnedUserId, BTreeMap<String, Value>> = refusals
        .into_iter()
        .map(|(user, refused)| {
            let bodies = refused.into_iter().map(|(id, error)| (id, json!(Error::from(error).into_standard_body())));
            (user, bodies.collect())
        })
        .collect();
    Ok(Json(json!({ "failures": failures })))
}

/// Other servers are not reached from here.
fn failures(servers: Vec<String>) -> BTreeMap<String, Value> {
    let body = json!(Error::bad_gateway("The server could not be reached").into_standard_body());
    servers.into_iter().map(|server| (server, body.clone())).collect()
}

fn value<T>(raw: Option<Raw<T>>) -> Result<Option<Value>, Error> {
    Ok(raw.map(|raw| serde_json::from_str(raw.json().get())).transpose()?)
}

//! Stages proven in a browser, for clients that do not know them
//! ([spec](https://spec.matrix.org/latest/client-server-api/#fallback)).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::Response,
    response::IntoResponse,
    routing::post,
};
use ruma::api::client::uiaa::{AuthType, get_uiaa_fallback_page::v3::Request};
use serde::Deserialize;

use super::{Auth, Purpose};
use crate::{
    api::{
        Routes, Ruma, RumaRouter, Services,
        body::{MAX_STRANGERS_BODY, collect},
        gate, json,
        pages::{self, Page},
    },
    error::Error,
    rate::{Kind, Source},
    secret::SecretText,
};

pub(in crate::api) fn routes(router: Routes) -> Routes {
    let paths = ["r0", "v3"].map(|version| format!("/_matrix/client/{version}/auth/{{p4}}/fallback/web"));
    paths.iter().fold(router.ruma(page), |router, path| router.route(path, post(submit)))
}

/// `GET /_matrix/client/v3/auth/{authType}/fallback/web`
async fn page(services: Arc<Services>, request: Ruma<Request>) -> Result<Page, Error> {
    stage_of(&services, &request.body.auth_type, &request.body.session)?;
    pages::stage(&request.body.auth_type).ok_or_else(unknown)
}

#[derive(Deserialize)]
struct Named {
    session: String,
}

/// `POST /_matrix/client/v3/auth/{authType}/fallback/web`: what the page sends.
async fn submit(
    State(services): State<Arc<Services>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Named>, QueryRejection>,
    request: axum::http::Request<Body>,
) -> Response<Body> {
    let answer = async {
        let address = gate::address(&request);
        let _seat = services.gate.enter(address)?;
        let (Path(kind), Query(Named { session })) = (path.map_err(|_| unknown())?, query.map_err(|_| unknown())?);
        let body = collect(request.into_body(), MAX_STRANGERS_BODY, None).await?;
        json::check(&body)?;
        let given: Auth = serde_json::from_slice(&body)?;
        let kind = AuthType::from(kind);
        let purpose = stage_of(&services, &kind, &session)?;
        let proof = prove(&services, &kind, &purpose, &given, address).await?;
        services.interactive.prove(&services, &purpose, Some(session), proof);
        Ok(serde_json::json!({}))
    };
    answer.await.map_or_else(Error::into_response, |answer| axum::Json(answer).into_response())
}

/// What the session is for, when `kind` is the stage it asks for.
fn stage_of(services: &Services, kind: &AuthType, session: &str) -> Result<Purpose, Error> {
    let purpose = services.interactive.purpose(services, session).ok_or_else(unknown)?;
    let asked = match purpose.user {
        Some(_) => AuthType::Password,
        None => super::registration_flow(services),
    };
    if asked == *kind { Ok(purpose) } else { Err(unknown()) }
}

async fn prove(
    services: &Services,
    kind: &AuthType,
    purpose: &Purpose,
    given: &Auth,
    address: Source,
) -> Result<SecretText, Error> {
    match (kind, &purpose.user) {
        (AuthType::Password, Some(user)) => {
            let accounts = &services.engine.accounts;
            let account = accounts.open(user).ok_or_else(unknown)?;
            let password = given.password().ok_or_else(|| Error::missing_param("The password is missing"))?;
            let name = account.login_name();
            services.gate.try_password(address, &name)?;
            accounts.check_password(&name, password).await?;
            Ok(SecretText::new(String::new()))
        }
        (AuthType::RegistrationToken, None) => {
            services.gate.pass(Kind::Registration, address)?;
            super::check_registration_token(services, given)
        }
        (AuthType::Dummy, None) => Ok(SecretText::new(String::new())),
        _ => Err(unknown()),
    }
}

fn unknown() -> Error {
    Error::not_found("Unknown session or stage")
}

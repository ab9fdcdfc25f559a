//! How one can log in ([spec](https://spec.matrix.org/latest/client-server-api/#login)).

use std::sync::Arc;

use ruma::api::client::session::get_login_types::v3::{LoginType, PasswordLoginType, Request, Response};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(flows)
}

/// `GET /_matrix/client/v3/login`
async fn flows(_services: Arc<Services>, _request: Ruma<Request>) -> Result<Response, Error> {
    Ok(Response::new(vec![LoginType::Password(PasswordLoginType::new())]))
}

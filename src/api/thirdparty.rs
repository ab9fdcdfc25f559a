//! Bridges to other networks: there are none ([spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3thirdpartyprotocols)).

use std::{collections::BTreeMap, sync::Arc};

use ruma::api::client::thirdparty::get_protocols::v3::{Request, Response};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(protocols)
}

/// `GET /_matrix/client/v3/thirdparty/protocols`
async fn protocols(_services: Arc<Services>, _request: Ruma<Request>) -> Result<Response, Error> {
    Ok(Response::new(BTreeMap::new()))
}

//! Registration tokens. How often one was used is not counted: `uses_allowed` is what is left, `completed` is null.

use axum::routing::MethodFilter;
use serde_json::{Value, json};

use super::{Call, operation};
use crate::{
    api::Routes,
    clock::Timestamp,
    engine::administer::{NewToken, TokenShown},
    error::Error,
};

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;

pub(super) fn routes(router: Routes) -> Routes {
    let tokens = "/_synapse/admin/v1/registration_tokens";
    let one =
        operation(GET, show).merge(operation(MethodFilter::PUT, change)).merge(operation(MethodFilter::DELETE, revoke));
    router
        .route(tokens, operation(GET, list))
        .route(&format!("{tokens}/new"), operation(POST, create))
        .route(&format!("{tokens}/{{p5}}"), one)
}

/// `GET /_synapse/admin/v1/registration_tokens`
async fn list(call: Call) -> Result<Value, Error> {
    let valid = call.flag("valid")?;
    let tokens = call.services.engine.tokens()?;
    let wanted = tokens.iter().filter(|token| valid.is_none_or(|valid| token.valid == valid));
    Ok(json!({ "registration_tokens": wanted.map(shown).collect::<Vec<_>>() }))
}

/// `GET /_synapse/admin/v1/registration_tokens/{token}`
async fn show(call: Call) -> Result<Value, Error> {
    Ok(shown(&call.services.engine.token(call.argument(0))?))
}

/// `POST /_synapse/admin/v1/registration_tokens/new`
async fn create(call: Call) -> Result<Value, Error> {
    let length: Option<u64> = call.field("length")?;
    let mut text: Option<String> = call.field("token")?;
    if let (Some(length), None) = (length, &text) {
        let length = usize::try_from(length).ok().filter(|length| (1..=64).contains(length));
        let length = length.ok_or_else(|| Error::invalid_param("The length is not 1 to 64"))?;
        text = Some(random_text(&call, length));
    }
    let (uses, expires) = (call.field("uses_allowed")?, end(&call)?.and_then(|End(end)| end));
    Ok(shown(&call.services.engine.create_token(NewToken { text, uses, expires }).await?))
}

/// `PUT /_synapse/admin/v1/registration_tokens/{token}`
async fn change(call: Call) -> Result<Value, Error> {
    let uses: Option<u64> = call.field("uses_allowed")?;
    let sets_uses = call.body.contains_key("uses_allowed");
    let end = end(&call)?;
    let changed = call.services.engine.change_token(call.argument(0), |token| {
        if sets_uses {
            token.left = uses;
        }
        if let Some(End(end)) = end {
            token.expires = end.map(|end| end.0);
        }
    });
    Ok(shown(&changed.await?))
}

/// `DELETE /_synapse/admin/v1/registration_tokens/{token}`
async fn revoke(call: Call) -> Result<Value, Error> {
    call.services.engine.revoke_token(call.argument(0)).await?;
    Ok(json!({}))
}

/// When a token ends; never when empty.
struct End(Option<Timestamp>);

/// When the token ends, if the body says so: an absent field says nothing, null says never.
fn end(call: &Call) -> Result<Option<End>, Error> {
    if !call.body.contains_key("expiry_time") {
        return Ok(None);
    }
    let end: Option<u64> = call.field("expiry_time")?;
    if end.is_some_and(|end| end <= call.services.clock.now().0) {
        return Err(Error::invalid_param("The token would have ended already"));
    }
    Ok(Some(End(end.map(Timestamp))))
}

fn random_text(call: &Call, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bytes = call.services.random.bytes::<64>();
    bytes.iter().take(length).map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()
}

fn shown(token: &TokenShown) -> Value {
    json!({
        "token": token.token,
        "uses_allowed": token.uses_left,
        "pending": 0,
        "completed": null,
        "expiry_time": token.expires,
    })
}

//! OpenID tokens.

use std::time::Duration;

use serde_json::json;

use crate::server::{TestServer, encode};

#[tokio::test]
async fn a_token_tells_others_who_its_user_is_for_an_hour() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let path = format!("user/{}/openid/request_token", encode(&al.user_id));
    bo.post(&path, &json!({})).await.refused(403, "M_FORBIDDEN");
    let given = al.post(&path, &json!({})).await.ok();
    assert_eq!((&given["token_type"], &given["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(given["matrix_server_name"], "localhost");
    let token = given["access_token"].as_str().expect("a token");
    let userinfo = |token: &str| format!("/_matrix/federation/v1/openid/userinfo?access_token={}", encode(token));
    assert_eq!(server.get(&userinfo(token)).await.ok(), json!({"sub": al.user_id}));
    // It is good for nothing else, and nothing else is good for it.
    let whoami = format!("/_matrix/client/v3/account/whoami?access_token={}", encode(token));
    server.get(&whoami).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&userinfo(&al.token)).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get("/_matrix/federation/v1/openid/userinfo").await.refused(401, "M_MISSING_TOKEN");
    server.clock.advance(Duration::from_hours(1));
    server.get(&userinfo(token)).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn an_account_that_has_ended_proves_nothing() {
    let server = TestServer::open().await;
    let (al, _bo) = (server.register("al").await, server.register("bo").await);
    let given = al.post(&format!("user/{}/openid/request_token", encode(&al.user_id)), &json!({})).await.ok();
    let token = encode(given["access_token"].as_str().expect("a token"));
    al.post("account/deactivate", &json!({"auth": al.auth()})).await.ok();
    let userinfo = format!("/_matrix/federation/v1/openid/userinfo?access_token={token}");
    server.get(&userinfo).await.refused(401, "M_UNKNOWN_TOKEN");
}

//! Registration, login, sessions, passwords and devices, over HTTP and over restarts.

use serde_json::json;

use crate::server::{Client, TestServer};

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";

#[tokio::test]
async fn an_account_is_made_and_found_again() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let who = alice.get("account/whoami").await.ok();
    assert_eq!(who, json!({"user_id": "@alice:localhost", "device_id": alice.device_id}));
    server.restart().await;
    assert_eq!(alice.get("account/whoami").await.ok(), who);
    let second = server.login(&alice).await;
    assert_ne!(second.device_id, alice.device_id);
    alice.post("logout", &json!({})).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    second.get("account/whoami").await.ok();
    server.restart().await;
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    second.get("account/whoami").await.ok();
}

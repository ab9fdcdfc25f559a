//! Logging a further device in by a token, and proving things in a browser.

use std::time::Duration;

use serde_json::{Value, json};

use super::{LOGIN, REGISTER};
use crate::server::{Client, TestServer};

const GET_TOKEN: &str = "/_matrix/client/v1/login/get_token";

fn by(token: &Value) -> Value {
    json!({"type": "m.login.token", "token": token})
}

#[tokio::test]
async fn a_login_token_is_good_once_and_for_two_minutes() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    assert_eq!(alice.post(GET_TOKEN, &json!({})).await.status, 401);
    let ask = json!({"auth": alice.auth()});
    let given = alice.post(GET_TOKEN, &ask).await.ok();
    assert_eq!(given["expires_in_ms"], 120_000);
    let mut body = by(&given["login_token"]);
    body["initial_device_display_name"] = json!("tablet");
    let answer = server.post(LOGIN, &body).await.ok();
    let tablet = Client::new(&server, &answer, alice.password.clone());
    assert_eq!((&tablet.user_id, tablet.device_id != alice.device_id), (&alice.user_id, true));
    assert_eq!(tablet.get(&format!("devices/{}", tablet.device_id)).await.ok()["display_name"], "tablet");
    server.post(LOGIN, &body).await.refused(403, "M_FORBIDDEN");

    let late = alice.post(GET_TOKEN, &ask).await.ok();
    server.clock.advance(Duration::from_mins(2));
    server.post(LOGIN, &by(&late["login_token"])).await.refused(403, "M_FORBIDDEN");
    // It ends with the device that asked for it, and with the process.
    let orphan = tablet.post(GET_TOKEN, &ask).await.ok();
    tablet.post("logout", &json!({})).await.ok();
    server.post(LOGIN, &by(&orphan["login_token"])).await.refused(403, "M_FORBIDDEN");
    let lost = alice.post(GET_TOKEN, &ask).await.ok();
    server.restart().await;
    server.post(LOGIN, &by(&lost["login_token"])).await.refused(403, "M_FORBIDDEN");
    // No token is good for requests, and none is a login token but those.
    let mut stranger = alice.clone();
    lost["login_token"].as_str().expect("a token").clone_into(&mut stranger.token);
    stranger.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    server.post(LOGIN, &by(&json!(alice.token))).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn every_login_token_is_proven_for_anew() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let session = alice.post(GET_TOKEN, &json!({})).await.json()["session"].clone();
    let mut auth = alice.auth();
    auth["session"] = session.clone();
    alice.post(GET_TOKEN, &json!({"auth": auth})).await.ok();
    assert_eq!(alice.post(GET_TOKEN, &json!({"auth": {"session": session}})).await.status, 401);
    let survives = alice.post(GET_TOKEN, &json!({"auth": alice.auth()})).await.ok();
    let change = json!({"new_password": "another one", "auth": alice.auth()});
    alice.post("account/password", &change).await.ok();
    server.post(LOGIN, &by(&survives["login_token"])).await.ok();
}

#[tokio::test]
async fn stages_can_be_proven_in_a_browser() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let session = alice.post("account/deactivate", &json!({})).await.json()["session"].clone();
    let page = |stage: &str, session: &Value| {
        format!("/_matrix/client/v3/auth/{stage}/fallback/web?session={}", session.as_str().expect("a session"))
    };
    let shown = server.get(&page("m.login.password", &session)).await;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(shown.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    assert!(String::from_utf8_lossy(&shown.body).contains("window.onAuthDone"));
    server.get(&page("m.login.dummy", &session)).await.refused(404, "M_NOT_FOUND");
    server.get(&page("m.login.password", &json!("unknown"))).await.refused(404, "M_NOT_FOUND");
    let path = page("m.login.password", &session);
    server.post(&path, &json!({"password": "wrong"})).await.refused(403, "M_FORBIDDEN");
    let unproven = json!({"auth": {"session": session}});
    assert_eq!(alice.post("account/deactivate", &unproven).await.status, 401);
    server.post(&path, &json!({"password": alice.password})).await.ok();
    alice.post("account/deactivate", &unproven).await.ok();

    let body = json!({"username": "bob", "password": "x"});
    let session = server.post(REGISTER, &body).await.json()["session"].clone();
    server.post(&page("m.login.dummy", &session), &json!({})).await.ok();
    let body = json!({"username": "bob", "password": "x", "auth": {"session": session}});
    server.post(REGISTER, &body).await.ok();
    let login = server.get("/_matrix/static/client/login/?device_id=X").await;
    assert!(login.status == 200 && String::from_utf8_lossy(&login.body).contains("matrixLogin.onLogin"));
}

#[tokio::test]
async fn a_registration_token_can_be_proven_in_a_browser() {
    let server =
        TestServer::with("[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0").await;
    let token = server.server().services().registration.bootstrap().expect("a token").expose().to_owned();
    let session = server.post(REGISTER, &json!({})).await.json()["session"].as_str().expect("a session").to_owned();
    let page = format!("/_matrix/client/v3/auth/m.login.registration_token/fallback/web?session={session}");
    assert_eq!(server.get(&page).await.status, 200);
    server.post(&page, &json!({"token": "wrong"})).await.refused(403, "M_FORBIDDEN");
    server.post(&page, &json!({})).await.refused(400, "M_MISSING_PARAM");
    server.post(&page, &json!({"token": token})).await.ok();
    let body = json!({"username": "alice", "password": "x", "auth": {"session": session}});
    server.post(REGISTER, &body).await.ok();
}

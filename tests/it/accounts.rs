//! Registration, login, sessions, passwords and devices, over HTTP and over restarts.

mod commands;
mod erase;
mod login;
mod moderation;
mod random;
mod reset;
mod synapse;

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const REFRESH: &str = "/_matrix/client/v3/refresh";

fn login(user: &str, password: &str) -> Value {
    json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password})
}

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
    // What ended is not to be kept: a soft logout is for tokens that refresh.
    let ended = alice.get("account/whoami").await;
    ended.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(ended.json()["soft_logout"].as_bool(), None);
    second.get("account/whoami").await.ok();
    server.restart().await;
    let ended = alice.get("account/whoami").await;
    ended.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(ended.json()["soft_logout"].as_bool(), None);
    second.get("account/whoami").await.ok();
    let third = server.login(&alice).await;
    third.send("POST", "logout/all", b"").await.ok();
    for client in [&second, &third] {
        client.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn registration_probes_are_asked_for_a_flow() {
    let server = TestServer::open().await;
    for body in ["", "{}", r#"{"initial_device_display_name":"x"}"#, r#"{"auth":null}"#, r#"{"auth":{}}"#] {
        let answer = server.send("POST", REGISTER, &[], body.as_bytes()).await;
        assert_eq!((answer.status, answer.errcode().as_str()), (401, ""), "{body}");
        let asked = answer.json();
        assert_eq!(asked["flows"], json!([{"stages": ["m.login.dummy"]}]));
        assert!(asked["session"].is_string() && asked["params"].is_object());
    }
    let body = json!({"username": "Alice", "password": "x"});
    let session = server.post(REGISTER, &body).await.json()["session"].clone();
    let body = json!({
        "username": "Alice", "password": "x", "inhibit_login": true,
        "auth": {"type": "m.login.dummy", "session": session},
    });
    assert_eq!(server.post(REGISTER, &body).await.ok(), json!({"user_id": "@alice:localhost"}));
    server.post(REGISTER, &body).await.refused(400, "M_USER_IN_USE");
    let body = json!({"username": "a b", "auth": {"type": "m.login.dummy"}});
    server.post(REGISTER, &body).await.refused(400, "M_INVALID_USERNAME");
    server.post(REGISTER, &json!({"auth": {"type": "m.login.dummy"}})).await.refused(400, "M_MISSING_PARAM");
    let reserved = json!({"username": "_bridge_bob", "auth": {"type": "m.login.dummy"}});
    server.post(REGISTER, &reserved).await.refused(400, "M_EXCLUSIVE");
    server.post(&format!("{REGISTER}?kind=guest"), &json!({})).await.refused(403, "M_FORBIDDEN");
    let available = |name: &str| format!("{REGISTER}/available?username={name}");
    assert_eq!(server.get(&available("bob")).await.ok(), json!({"available": true}));
    server.get(&available("alice")).await.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn one_name_is_given_once() {
    let server = TestServer::open().await;
    let body = json!({"username": "alice", "password": "x", "auth": {"type": "m.login.dummy"}});
    let (one, other) = tokio::join!(server.post(REGISTER, &body), server.post(REGISTER, &body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn weak_passwords_and_closed_doors_refuse() {
    let server = TestServer::with("[registration]\nmode = \"open\"").await;
    let body = json!({"username": "alice", "password": "password1", "auth": {"type": "m.login.dummy"}});
    server.post(REGISTER, &body).await.refused(400, "M_WEAK_PASSWORD");
    let server = TestServer::with("[registration]\nmode = \"closed\"").await;
    server.post(REGISTER, &json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn logging_in_takes_every_form_and_tells_nobody_who_exists() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    for user in ["alice", "@alice:localhost", "Alice"] {
        assert_eq!(server.post(LOGIN, &login(user, &alice.password)).await.ok()["user_id"], "@alice:localhost");
    }
    let legacy = json!({"type": "m.login.password", "user": "alice", "password": alice.password, "device_id": "D"});
    assert_eq!(server.post(LOGIN, &legacy).await.ok()["device_id"], "D");
    let wrong = server.post(LOGIN, &login("alice", "wrong")).await;
    wrong.refused(403, "M_FORBIDDEN");
    for user in ["nobody", "@alice:elsewhere"] {
        let unknown = server.post(LOGIN, &login(user, "wrong")).await;
        assert_eq!((unknown.status, &unknown.body), (403, &wrong.body));
    }
    server.post(LOGIN, &json!({"type": "m.login.token", "token": "x"})).await.refused(403, "M_FORBIDDEN");
    server.post(LOGIN, &json!({"type": "m.login.sso", "token": "x"})).await.refused(400, "M_UNKNOWN");
    server.post(LOGIN, &json!({})).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn tokens_are_refreshed_over_a_restart() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let mut body = login("alice", &alice.password);
    body["refresh_token"] = json!(true);
    let answer = server.post(LOGIN, &body).await.ok();
    let short = Client::new(&server, &answer, alice.password.clone());
    let refresh = json!({"refresh_token": answer["refresh_token"]});
    let lifetime = answer["expires_in_ms"].as_u64().expect("a lifetime");
    short.get("account/whoami").await.ok();
    server.clock.advance(Duration::from_millis(lifetime));
    let ended = short.get("account/whoami").await;
    ended.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(ended.json()["soft_logout"], true);
    let fresh = server.post(REFRESH, &refresh).await.ok();
    assert_eq!(fresh["refresh_token"], refresh["refresh_token"], "it stays good, and clients look for it");
    server.restart().await;
    let mut client = short.clone();
    fresh["access_token"].as_str().expect("a token").clone_into(&mut client.token);
    assert_eq!(client.get("account/whoami").await.json()["soft_logout"], true);
    let fresh = server.post(REFRESH, &refresh).await.ok();
    fresh["access_token"].as_str().expect("a token").clone_into(&mut client.token);
    assert_eq!(client.get("account/whoami").await.ok()["device_id"], json!(short.device_id));
    client.post("logout", &json!({})).await.ok();
    server.post(REFRESH, &refresh).await.refused(401, "M_UNKNOWN_TOKEN");
    server.post(REFRESH, &json!({"refresh_token": alice.token})).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_changed_password_ends_the_others_and_keeps_ones_own_session() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (second, old) = (server.login(&alice).await, alice.password.clone());
    let change = |auth: Value| json!({"new_password": "a new one", "auth": auth});
    let asked = alice.post("account/password", &change(Value::Null)).await;
    assert_eq!((asked.status, asked.errcode().as_str()), (401, ""));
    assert_eq!(asked.json()["flows"], json!([{"stages": ["m.login.password"]}]));
    let wrong = json!({"type": "m.login.password", "user": "alice", "password": "wrong"});
    let refused = alice.post("account/password", &change(wrong)).await;
    refused.refused(401, "M_FORBIDDEN");
    assert!(refused.json()["flows"].is_array() && refused.json()["session"].is_string());
    alice.post("account/password", &change(alice.auth())).await.ok();
    alice.get("account/whoami").await.ok();
    second.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    server.restart().await;
    alice.get("account/whoami").await.ok();
    second.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    server.post(LOGIN, &login("alice", &old)).await.refused(403, "M_FORBIDDEN");
    server.post(LOGIN, &login("alice", "a new one")).await.ok();
}

#[tokio::test]
async fn a_registration_token_is_good_for_as_many_accounts_as_it_says() {
    let mut server = TestServer::open_with("").await;
    let toml = "[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0";
    let tokens = TestServer::with(toml).await;
    let bootstrap = tokens.server().services().registration.bootstrap().expect("a token").expose().to_owned();
    let body = |name: &str, token: &str| json!({"username": name, "password": "x", "auth": {"type": "m.login.registration_token", "token": token}});
    let asked = tokens.post(REGISTER, &json!({})).await.json();
    assert_eq!(asked["flows"], json!([{"stages": ["m.login.registration_token"]}]));
    tokens.post(REGISTER, &body("alice", "wrong")).await.refused(401, "M_FORBIDDEN");
    tokens.post(REGISTER, &body("alice", &bootstrap)).await.ok();
    let once = administer(&tokens, lethe::admin::Request::TokenCreate { uses: Some(1), expires_in: None }).await;
    let valid = |token: &str| format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={token}");
    assert_eq!(tokens.get(&valid(&once[0])).await.ok(), json!({"valid": true}));
    tokens.post(REGISTER, &body("bob", &once[0])).await.ok();
    assert_eq!(tokens.get(&valid(&once[0])).await.ok(), json!({"valid": false}));
    tokens.post(REGISTER, &body("carol", &once[0])).await.refused(401, "M_FORBIDDEN");
    let short = administer(&tokens, lethe::admin::Request::TokenCreate { uses: None, expires_in: Some(60) }).await;
    tokens.clock.advance(Duration::from_hours(2));
    tokens.post(REGISTER, &body("carol", &short[0])).await.refused(401, "M_FORBIDDEN");
    server.get(&valid("x")).await.refused(403, "M_FORBIDDEN");
    server.restart().await;
}

#[tokio::test]
async fn the_first_token_stays_the_same() {
    let mut server = TestServer::start().await;
    let token =
        |server: &TestServer| server.server().services().registration.bootstrap().expect("a token").expose().to_owned();
    let before = token(&server);
    server.restart().await;
    assert_eq!(token(&server), before);
}

#[tokio::test]
async fn administrators_make_accounts() {
    let server = TestServer::open().await;
    let add = || lethe::admin::Request::UserAdd { localpart: "alice".to_owned(), password: None, admin: false };
    let lines = administer(&server, add()).await;
    let password = lines[1].strip_prefix("Password: ").expect("a password");
    assert_eq!(server.post(LOGIN, &login("alice", password)).await.ok()["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn devices_are_named_and_ended_with_a_password() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (second, third) = (server.login(&alice).await, server.login(&alice).await);
    let device = format!("devices/{}", second.device_id);
    alice.put(&device, &json!({"display_name": "phone"})).await.ok();
    let shown = alice.get(&device).await.ok();
    assert_eq!(shown["display_name"], "phone");
    assert_eq!(shown["last_seen_ts"].as_u64().expect("a time") % 86_400_000, 0);
    assert!(shown.get("last_seen_ip").is_none());
    assert_eq!(alice.get("devices").await.ok()["devices"].as_array().expect("devices").len(), 3);
    alice.get("devices/NONE").await.refused(404, "M_NOT_FOUND");
    alice.put("devices/NONE", &json!({"display_name": "x"})).await.refused(404, "M_NOT_FOUND");
    let session = alice.delete(&device, &json!({})).await.json()["session"].clone();
    let mut auth = alice.auth();
    auth["session"] = session.clone();
    alice.delete(&device, &json!({"auth": auth})).await.ok();
    second.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    // What was proven in a session counts for what it was proven for.
    let proven = json!({"auth": {"session": session}, "devices": [third.device_id, "NONE"]});
    let again = json!({"new_password": "x", "auth": {"session": session}});
    assert_eq!(alice.post("account/password", &again).await.status, 401);
    alice.post("delete_devices", &proven).await.ok();
    third.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let bob = server.register("bob").await;
    let stolen = json!({"auth": alice.auth(), "devices": [bob.device_id]});
    bob.post("delete_devices", &stolen).await.refused(403, "M_FORBIDDEN");
    let mut wrong = bob.auth();
    wrong["password"] = json!("not it");
    let asked = bob.post("delete_devices", &json!({"auth": wrong, "devices": [bob.device_id]})).await;
    asked.refused(401, "M_FORBIDDEN");
    assert!(asked.json()["flows"].is_array(), "one's own password may be tried again");
    bob.get("account/whoami").await.ok();
}

#[tokio::test]
async fn a_deactivated_account_leaves_and_is_gone() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = alice.post("createRoom", &json!({"preset": "public_chat"})).await.ok();
    let room = room["room_id"].as_str().expect("a room").to_owned();
    bob.post(&format!("join/{}", encode(&room)), &json!({})).await.ok();
    assert_eq!(bob.post("account/deactivate", &json!({})).await.status, 401);
    bob.post("account/deactivate", &json!({"auth": bob.auth()})).await.ok();
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let member = format!("rooms/{}/state/m.room.member/{}", encode(&room), encode(&bob.user_id));
    assert_eq!(alice.get(&member).await.ok()["membership"], "leave");
    server.restart().await;
    server.post(LOGIN, &login("bob", &bob.password)).await.refused(403, "M_FORBIDDEN");
    alice.get("profile/@bob:localhost").await.refused(404, "M_NOT_FOUND");
    let again = json!({"username": "bob", "password": "another password", "auth": {"type": "m.login.dummy"}});
    server.post(REGISTER, &again).await.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn after_the_last_account_the_server_begins_anew() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    alice.post("account/deactivate", &json!({"auth": alice.auth(), "erase": true})).await.ok();
    server.restart().await;
    let again = json!({"username": "alice", "password": "another password", "auth": {"type": "m.login.dummy"}});
    server.post(REGISTER, &again).await.refused(400, "M_USER_IN_USE");
    let bob = server.register("bob").await;
    server.restart().await;
    bob.get("account/whoami").await.ok();
}

#[tokio::test]
async fn a_shared_secret_registers() {
    let server = TestServer::open_with("shared_secret = \"shared_secret\"").await;
    let path = "/_synapse/admin/v1/register";
    let nonce = server.get(path).await.ok()["nonce"].clone();
    let body = json!({"nonce": nonce, "username": "alice", "password": "x", "mac": "00", "admin": false});
    server.post(path, &body).await.refused(403, "M_FORBIDDEN");
    server.post(path, &body).await.refused(400, "M_UNKNOWN");
    TestServer::open().await.get(path).await.refused(400, "M_UNKNOWN");
}

/// The lines of the server's answer to its administrator.
pub(crate) async fn administer(server: &TestServer, request: lethe::admin::Request) -> Vec<String> {
    match ask(server, request).await {
        lethe::admin::Answer::Done { lines, .. } => lines,
        lethe::admin::Answer::Failed { reason, .. } => panic!("{reason}"),
    }
}

/// What the server answers its administrator's program.
async fn administer_data(server: &TestServer, request: lethe::admin::Request) -> Value {
    match ask(server, request).await {
        lethe::admin::Answer::Done { data, .. } => data,
        lethe::admin::Answer::Failed { reason, .. } => panic!("{reason}"),
    }
}

/// Whether what the administrator asked can be done later; it cannot now.
async fn refused_until(server: &TestServer, request: lethe::admin::Request) -> bool {
    match ask(server, request).await {
        lethe::admin::Answer::Done { lines, .. } => panic!("{lines:?}"),
        lethe::admin::Answer::Failed { later, .. } => later,
    }
}

async fn ask(server: &TestServer, request: lethe::admin::Request) -> lethe::admin::Answer {
    let mut config = lethe::config::Config::default();
    config.storage.data = server.directory.path().join("data");
    let asked = tokio::task::spawn_blocking(move || lethe::admin::ask(&config, &request));
    asked.await.expect("no panic").expect("answered")
}

/// An administrator's account with a device.
pub(crate) async fn administrator(server: &TestServer, name: &str) -> Client {
    let password = format!("the password of {name}");
    let secret = lethe::secret::SecretText::new(password.clone());
    let request = lethe::admin::Request::UserAdd { localpart: name.to_owned(), password: Some(secret), admin: true };
    administer(server, request).await;
    let answer = server.post(LOGIN, &login(name, &password)).await.ok();
    Client::new(server, &answer, password)
}

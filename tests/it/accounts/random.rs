//! Matrix ids that are not login names.

use serde_json::json;

use super::{LOGIN, REGISTER, login};
use crate::server::{Client, TestServer, encode};

const RANDOM: &str = r#"
[accounts]
localpart = "random"
argon2_memory = "64KiB"
argon2_passes = 1
password_guesses_log10 = 0
[registration]
mode = "open"
"#;

#[tokio::test]
async fn others_see_an_id_that_does_not_log_in() {
    let mut server = TestServer::with(RANDOM).await;
    let password = "her password";
    let body = json!({"username": "Alice", "password": password, "auth": {"type": "m.login.dummy"}});
    let alice = Client::new(&server, &server.post(REGISTER, &body).await.ok(), password.to_owned());
    let localpart = alice.user_id.trim_start_matches('@').trim_end_matches(":localhost").to_owned();
    assert!(localpart.len() == 12 && localpart != "alice");
    server.post(REGISTER, &body).await.refused(400, "M_USER_IN_USE");
    let available = |name: &str| format!("{REGISTER}/available?username={name}");
    server.get(&available("alice")).await.refused(400, "M_USER_IN_USE");
    server
        .post(REGISTER, &json!({"password": "x", "auth": {"type": "m.login.dummy"}}))
        .await
        .refused(400, "M_MISSING_PARAM");
    server.restart().await;
    for id in [localpart.as_str(), &alice.user_id] {
        server.post(LOGIN, &login(id, password)).await.refused(403, "M_FORBIDDEN");
    }
    let second = server.post(LOGIN, &login("alice", password)).await.ok();
    assert_eq!(second["user_id"], json!(alice.user_id));
    assert_eq!(alice.get("account/whoami").await.ok()["user_id"], json!(alice.user_id));
    assert_eq!(alice.get(&format!("profile/{}", encode(&alice.user_id))).await.ok(), json!({}));
    alice.get("profile/@alice:localhost").await.refused(404, "M_NOT_FOUND");

    // Clients prove the password under the id they know; the owner may give his login name.
    let change = |new: &str, user: &str, old: &str| json!({"new_password": new, "auth": {"type": "m.login.password", "user": user, "password": old}});
    alice.post("account/password", &change("second", &alice.user_id, password)).await.ok();
    alice.post("account/password", &change("third", "alice", "second")).await.ok();
    server.restart().await;
    server.post(LOGIN, &login("alice", password)).await.refused(403, "M_FORBIDDEN");
    server.post(LOGIN, &login("alice", "third")).await.ok();

    let other = json!({"username": "bob", "password": "x", "auth": {"type": "m.login.dummy"}});
    let bob = Client::new(&server, &server.post(REGISTER, &other).await.ok(), "x".to_owned());
    let auth = json!({"auth": {"type": "m.login.password", "user": alice.user_id, "password": "third"}});
    alice.post("account/deactivate", &auth).await.ok();
    server.restart().await;
    server.post(LOGIN, &login("alice", "third")).await.refused(403, "M_FORBIDDEN");
    bob.get("account/whoami").await.ok();
    // The login name is free again: whoever has it next has another Matrix id.
    let next = server.post(REGISTER, &body).await.ok();
    assert_ne!(next["user_id"], json!(alice.user_id));
}

#[tokio::test]
async fn an_id_that_was_random_is_nobodys_name() {
    let mut server = TestServer::with(RANDOM).await;
    let register = |name: &str| json!({"username": name, "password": "x", "auth": {"type": "m.login.dummy"}});
    let alice = Client::new(&server, &server.post(REGISTER, &register("alice")).await.ok(), "x".to_owned());
    let bob = Client::new(&server, &server.post(REGISTER, &register("bob")).await.ok(), "x".to_owned());
    bob.post("account/deactivate", &json!({"auth": bob.auth()})).await.ok();
    server.reconfigure(&RANDOM.replace("random", "name")).await;
    alice.get("account/whoami").await.ok();
    for client in [&alice, &bob] {
        let localpart = client.user_id.trim_start_matches('@').trim_end_matches(":localhost");
        server.post(REGISTER, &register(localpart)).await.refused(400, "M_USER_IN_USE");
    }
    server.post(REGISTER, &register("carol")).await.ok();
}

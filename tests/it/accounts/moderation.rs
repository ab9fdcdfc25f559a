//! What administrators do to accounts: locking, suspending, looking.

use std::time::Duration;

use serde_json::json;

use super::{LOGIN, administrator, login};
use crate::server::{TestServer, encode};

fn admin(what: &str, user: &str) -> String {
    format!("/_matrix/client/v1/admin/{what}/{}", encode(user))
}

#[tokio::test]
async fn only_an_administrator_moderates_and_not_his_like() {
    let server = TestServer::open().await;
    let (root, other) = (administrator(&server, "root").await, administrator(&server, "other").await);
    let alice = server.register("alice").await;
    for what in ["lock", "suspend"] {
        let field = if what == "lock" { "locked" } else { "suspended" };
        let (on, off) = (json!({ field: true }), json!({ field: false }));
        // Who may not know learns nothing about who exists.
        for user in ["@bob:localhost", &root.user_id, "@x:elsewhere"] {
            alice.get(&admin(what, user)).await.refused(403, "M_FORBIDDEN");
            alice.put(&admin(what, user), &on).await.refused(403, "M_FORBIDDEN");
        }
        assert_eq!(root.get(&admin(what, &alice.user_id)).await.ok(), off);
        assert_eq!(root.put(&admin(what, &alice.user_id), &on).await.ok(), on);
        assert_eq!(root.get(&admin(what, &alice.user_id)).await.ok(), on);
        assert_eq!(root.put(&admin(what, &alice.user_id), &off).await.ok(), off);
        root.put(&admin(what, &alice.user_id), &json!({})).await.refused(400, "M_MISSING_PARAM");
        assert_eq!(root.get(&admin(what, &root.user_id)).await.ok(), off);
        for user in [&root, &other] {
            root.put(&admin(what, &user.user_id), &on).await.refused(403, "M_FORBIDDEN");
        }
        root.get(&admin(what, &other.user_id)).await.refused(403, "M_FORBIDDEN");
        root.get(&admin(what, "@nobody:localhost")).await.refused(404, "M_NOT_FOUND");
        root.put(&admin(what, "@x:elsewhere"), &on).await.refused(400, "M_INVALID_PARAM");
    }
    let may = json!({"suspend": true, "lock": true});
    assert_eq!(root.get("capabilities").await.ok()["capabilities"]["m.account_moderation"], may);
    assert!(alice.get("capabilities").await.ok()["capabilities"]["m.account_moderation"].is_null());
}

#[tokio::test]
async fn a_locked_account_can_only_log_out() {
    let mut server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    let alice = server.register("alice").await;
    let second = server.login(&alice).await;
    let since = alice.get("sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let path = format!("sync?timeout=30000&since={since}");
    let poll = tokio::spawn({
        let alice = alice.clone();
        async move { alice.get(&path).await }
    });
    root.put(&admin("lock", &alice.user_id), &json!({"locked": true})).await.ok();
    let poll = tokio::time::timeout(Duration::from_secs(10), poll).await.expect("the poll ends").expect("no panic");
    poll.refused(401, "M_USER_LOCKED");
    server.restart().await;
    // The house sleeps: the credentials of a locked account wake it and open nothing.
    let refused = alice.get("account/whoami").await;
    refused.refused(401, "M_USER_LOCKED");
    assert_eq!(refused.json()["soft_logout"], true);
    server.post(LOGIN, &login("alice", &alice.password)).await.refused(401, "M_USER_LOCKED");
    server.post(LOGIN, &login("alice", "wrong")).await.refused(403, "M_FORBIDDEN");
    second.post("logout", &json!({})).await.ok();
    second.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let found = root.post("user_directory/search", &json!({"search_term": "alice"})).await.ok();
    assert_eq!(found["results"], json!([]));
    root.put(&admin("lock", &alice.user_id), &json!({"locked": false})).await.ok();
    alice.get("account/whoami").await.ok();
    root.put(&admin("lock", &alice.user_id), &json!({"locked": true})).await.ok();
    alice.post("logout/all", &json!({})).await.ok();
}

#[tokio::test]
async fn a_locked_account_does_not_refresh() {
    let server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    let alice = server.register("alice").await;
    let mut body = login("alice", &alice.password);
    body["refresh_token"] = json!(true);
    let refresh = json!({"refresh_token": server.post(LOGIN, &body).await.ok()["refresh_token"]});
    root.put(&admin("lock", &alice.user_id), &json!({"locked": true})).await.ok();
    server.post(super::REFRESH, &refresh).await.refused(401, "M_USER_LOCKED");
    root.put(&admin("lock", &alice.user_id), &json!({"locked": false})).await.ok();
    server.post(super::REFRESH, &refresh).await.ok();
}

#[tokio::test]
async fn a_suspended_account_reads_and_leaves_and_takes_no_part() {
    let mut server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let made = json!({"preset": "public_chat", "invite": []});
    let room = |answer: serde_json::Value| encode(answer["room_id"].as_str().expect("a room"));
    let (hers, his) =
        (room(alice.post("createRoom", &made).await.ok()), room(bob.post("createRoom", &made).await.ok()));
    bob.post(&format!("join/{hers}"), &json!({})).await.ok();
    let text = json!({"msgtype": "m.text", "body": "x"});
    let said = |answer: serde_json::Value| encode(answer["event_id"].as_str().expect("an event"));
    let his_word = said(bob.put(&format!("rooms/{hers}/send/m.room.message/1"), &text).await.ok());
    let her_word = said(alice.put(&format!("rooms/{hers}/send/m.room.message/1"), &text).await.ok());
    root.put(&admin("suspend", &alice.user_id), &json!({"suspended": true})).await.ok();
    server.restart().await;
    root.get("account/whoami").await.ok();
    let (me, him) = (encode(&alice.user_id), json!({"user_id": bob.user_id}));
    for (method, path, body) in [
        ("POST", "createRoom".to_owned(), json!({})),
        ("POST", format!("join/{his}"), json!({})),
        ("POST", format!("rooms/{his}/join"), json!({})),
        ("POST", format!("knock/{his}"), json!({})),
        ("POST", format!("rooms/{hers}/invite"), him.clone()),
        ("POST", format!("rooms/{hers}/kick"), him.clone()),
        ("POST", format!("rooms/{hers}/ban"), him.clone()),
        ("POST", format!("rooms/{hers}/unban"), him),
        ("POST", format!("rooms/{hers}/upgrade"), json!({"new_version": "12"})),
        ("PUT", format!("rooms/{hers}/send/m.room.message/2"), text),
        (
            "PUT",
            format!("/_matrix/client/unstable/org.matrix.msc4140/rooms/{hers}/delayed_event/m.room.message/9"),
            json!({"delay": 1, "content": {}}),
        ),
        ("PUT", format!("rooms/{hers}/state/m.room.name/"), json!({"name": "x"})),
        ("PUT", format!("rooms/{hers}/state/m.room.member/{me}"), json!({"membership": "join"})),
        ("PUT", format!("rooms/{hers}/redact/{his_word}/3"), json!({})),
        ("PUT", format!("profile/{me}/displayname"), json!({"displayname": "x"})),
        ("PUT", format!("profile/{me}/avatar_url"), json!({"avatar_url": ""})),
        ("DELETE", format!("profile/{me}/displayname"), json!({})),
        ("PUT", "directory/room/%23x%3Alocalhost".to_owned(), json!({"room_id": "!x"})),
        ("DELETE", "directory/room/%23x%3Alocalhost".to_owned(), json!({})),
        ("PUT", format!("directory/list/room/{hers}"), json!({"visibility": "public"})),
    ] {
        let answer = alice.send(method, &path, body.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.errcode().as_str()), (403, "M_USER_SUSPENDED"), "{method} {path}");
    }
    alice.get("sync").await.ok();
    alice.get(&format!("rooms/{hers}/messages?dir=b")).await.ok();
    alice.put(&format!("rooms/{hers}/redact/{her_word}/4"), &json!({})).await.ok();
    alice.put(&format!("user/{me}/account_data/org.example"), &json!({})).await.ok();
    alice.post(&format!("rooms/{hers}/leave"), &json!({})).await.ok();
    let second = server.login(&alice).await;
    second.post("createRoom", &json!({})).await.refused(403, "M_USER_SUSPENDED");
    second.post("logout", &json!({})).await.ok();
    root.put(&admin("suspend", &alice.user_id), &json!({"suspended": false})).await.ok();
    alice.post("createRoom", &json!({})).await.ok();
}

#[tokio::test]
async fn whois_tells_days_and_no_addresses() {
    let mut server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    let alice = server.register("alice").await;
    let path = |user: &str| format!("admin/whois/{}", encode(user));
    let day = 1_800_000_000_000_u64 / 86_400_000 * 86_400_000;
    let expected = json!({
        "user_id": alice.user_id,
        "devices": { alice.device_id.as_str(): {"sessions": [{"connections": [{"last_seen": day}]}]} },
    });
    assert_eq!(alice.get(&path(&alice.user_id)).await.ok(), expected);
    assert_eq!(root.get(&path(&alice.user_id)).await.ok(), expected);
    alice.get(&path(&root.user_id)).await.refused(403, "M_FORBIDDEN");
    alice.get(&path("@nobody:localhost")).await.refused(403, "M_FORBIDDEN");
    root.get(&path("@nobody:localhost")).await.refused(404, "M_NOT_FOUND");
    root.get(&path("@x:elsewhere")).await.refused(400, "M_INVALID_PARAM");
    server.restart().await;
    assert_eq!(root.get(&path(&alice.user_id)).await.ok()["devices"], json!({}), "a cold account keeps its devices");
}

//! What an account keeps and shows: account data, tags, filters, push rules, pushers, profiles, the user directory.

use serde_json::json;

use crate::server::{Client, TestServer, encode};

async fn room_of(client: &Client) -> String {
    let room = client.post("createRoom", &json!({"preset": "public_chat"})).await.ok();
    room["room_id"].as_str().expect("a room").to_owned()
}

#[tokio::test]
async fn account_data_lasts_and_is_ones_own() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let data = |kind: &str| format!("user/{}/account_data/{kind}", encode("@alice:localhost"));
    alice.get(&data("m.direct")).await.refused(404, "M_NOT_FOUND");
    alice.put(&data("m.direct"), &json!({"@bob:localhost": ["!r"]})).await.ok();
    alice.put(&data("m.secret_storage.default_key"), &json!({"key": "k"})).await.ok();
    bob.get(&data("m.direct")).await.refused(403, "M_FORBIDDEN");
    bob.put(&data("m.direct"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.put(&data("m.push_rules"), &json!({})).await.refused(405, "M_BAD_JSON");
    alice.put(&data("m.fully_read"), &json!({})).await.refused(405, "M_BAD_JSON");
    alice.put(&data("x"), &json!([])).await.refused(400, "M_BAD_JSON");
    alice.put(&data("x"), &json!({"x": "x".repeat(70_000)})).await.refused(413, "M_TOO_LARGE");
    let room = room_of(&alice).await;
    let of_room = |kind: &str| format!("user/@alice:localhost/rooms/{}/{kind}", encode(&room));
    alice.put(&of_room("account_data/m.marked_unread"), &json!({"unread": true})).await.ok();
    alice.put(&of_room("account_data/m.fully_read"), &json!({"event_id": "$x"})).await.refused(405, "M_BAD_JSON");
    alice.put("user/@alice:localhost/rooms/!none/account_data/x", &json!({})).await.refused(404, "M_NOT_FOUND");
    alice.put(&of_room("tags/m.favourite"), &json!({"order": 0.25})).await.ok();
    alice.put(&of_room("tags/u.x"), &json!({})).await.ok();
    alice.delete(&of_room("tags/u.x"), &json!({})).await.ok();
    server.restart().await;
    assert_eq!(alice.get(&data("m.direct")).await.ok(), json!({"@bob:localhost": ["!r"]}));
    assert_eq!(alice.get(&data("m.secret_storage.default_key")).await.ok(), json!({"key": "k"}));
    assert_eq!(alice.get(&of_room("account_data/m.marked_unread")).await.ok(), json!({"unread": true}));
    assert_eq!(alice.get(&of_room("tags")).await.ok(), json!({"tags": {"m.favourite": {"order": 0.25}}}));
}

#[tokio::test]
async fn the_same_filter_has_the_same_id() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let path = format!("user/{}/filter", encode(&alice.user_id));
    let filter = json!({"room": {"timeline": {"limit": 20}}, "org.example.unknown": true});
    let id = alice.post(&path, &filter).await.ok()["filter_id"].clone();
    assert_eq!(alice.post(&path, &filter).await.ok()["filter_id"], id);
    assert_ne!(alice.post(&path, &json!({})).await.ok()["filter_id"], id);
    let stored = format!("{path}/{}", id.as_str().expect("an id"));
    assert_eq!(alice.get(&stored).await.ok(), filter);
    alice.get(&format!("{path}/none")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn push_rules_and_pushers_are_kept() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let rules = alice.get("pushrules/").await.ok();
    assert_eq!(rules["global"]["override"][0]["rule_id"], ".m.rule.master");
    alice.put("pushrules/global/room/!r:localhost", &json!({"actions": []})).await.ok();
    alice.put("pushrules/global/override/.m.rule.master/enabled", &json!({"enabled": true})).await.ok();
    alice.put("pushrules/global/content/word", &json!({"actions": ["notify"], "pattern": "word"})).await.ok();
    alice.put("pushrules/global/content/word/actions", &json!({"actions": []})).await.ok();
    alice.put("pushrules/global/override/.mine", &json!({"actions": []})).await.refused(400, "M_INVALID_PARAM");
    alice.delete("pushrules/global/override/.m.rule.master", &json!({})).await.refused(400, "M_INVALID_PARAM");
    alice.get("pushrules/global/content/none").await.refused(404, "M_NOT_FOUND");
    let pusher = |kind: serde_json::Value| {
        json!({
            "app_id": "app", "pushkey": "key", "kind": kind, "app_display_name": "App", "lang": "en",
            "device_display_name": "Phone", "data": {"url": "https://push.example/_matrix/push/v1/notify"},
        })
    };
    let second = server.login(&alice).await;
    second.post("pushers/set", &pusher(json!("http"))).await.ok();
    alice.post("pushers/set", &pusher(json!("email"))).await.refused(400, "M_INVALID_PARAM");
    server.restart().await;
    assert_eq!(alice.get("pushrules/global/content/word/actions").await.ok(), json!({"actions": []}));
    assert_eq!(alice.get("pushrules/global/override/.m.rule.master/enabled").await.ok(), json!({"enabled": true}));
    assert_eq!(alice.get("pushrules/global/room/!r:localhost").await.ok()["enabled"], true);
    alice.delete("pushrules/global/room/!r:localhost", &json!({})).await.ok();
    alice.get("pushrules/global/room/!r:localhost").await.refused(404, "M_NOT_FOUND");
    let listed = alice.get("pushers").await.ok();
    assert_eq!((&listed["pushers"][0]["pushkey"], &listed["pushers"][0]["kind"]), (&json!("key"), &json!("http")));
    second.post("logout", &json!({})).await.ok();
    assert_eq!(alice.get("pushers").await.ok(), json!({"pushers": []}));
}

#[tokio::test]
async fn profiles_reach_rooms_and_other_accounts() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&alice).await;
    let path = format!("profile/{}", encode(&alice.user_id));
    alice.put(&format!("{path}/displayname"), &json!({"displayname": "Al"})).await.ok();
    alice.put(&format!("{path}/m.tz"), &json!({"m.tz": "Europe/Berlin"})).await.ok();
    assert_eq!(bob.get(&path).await.ok(), json!({"displayname": "Al", "m.tz": "Europe/Berlin"}));
    assert_eq!(bob.get(&format!("{path}/displayname")).await.ok(), json!({"displayname": "Al"}));
    let member = format!("rooms/{}/state/m.room.member/{}", encode(&room), encode(&alice.user_id));
    assert_eq!(alice.get(&member).await.ok(), json!({"membership": "join", "displayname": "Al"}));
    bob.put(&format!("{path}/displayname"), &json!({"displayname": "x"})).await.refused(403, "M_FORBIDDEN");
    alice.put(&format!("{path}/displayname"), &json!({})).await.refused(400, "M_MISSING_PARAM");
    let long = "x".repeat(300);
    alice.put(&format!("{path}/{long}"), &json!({long.as_str(): 1})).await.refused(400, "M_KEY_TOO_LARGE");
    alice.put(&format!("{path}/x"), &json!({"x": "x".repeat(70_000)})).await.refused(400, "M_PROFILE_TOO_LARGE");
    alice.delete(&format!("{path}/displayname"), &json!({})).await.ok();
    alice.get(&format!("{path}/displayname")).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get(&member).await.ok(), json!({"membership": "join"}));
    bob.get("profile/@nobody:localhost").await.refused(404, "M_NOT_FOUND");
    server.get("/_matrix/client/v3/profile/@alice:localhost").await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn strangers_do_not_find_each_other() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let search = json!({"search_term": "Ali"});
    let found = bob.post("user_directory/search", &search).await.ok();
    assert_eq!(found, json!({"results": [], "limited": false}));
    let room = room_of(&alice).await;
    bob.post(&format!("join/{}", encode(&room)), &json!({})).await.ok();
    let found = bob.post("user_directory/search", &search).await.ok();
    assert_eq!(found["results"][0]["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn what_is_not_kept_is_said_so() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    assert_eq!(alice.get("account/3pid").await.ok(), json!({"threepids": []}));
    let email = json!({"client_secret": "x", "email": "a@b", "send_attempt": 1});
    alice.post("account/3pid/email/requestToken", &email).await.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    alice.put("presence/@alice:localhost/status", &json!({"presence": "online"})).await.ok();
    assert_eq!(alice.get("presence/@alice:localhost/status").await.ok()["presence"], "offline");
}

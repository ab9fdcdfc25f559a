//! What Synapse's tools ask of its administration API.

use serde_json::{Value, json};

use super::{LOGIN, administrator, login};
use crate::server::{Client, TestServer, encode};

fn at(path: &str) -> String {
    format!("/_synapse/admin/{path}")
}

async fn scene() -> (TestServer, Client, Client) {
    let server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    let alice = server.register("alice").await;
    (server, root, alice)
}

#[tokio::test]
async fn only_administrators_are_answered() {
    let (server, root, alice) = scene().await;
    let version = server.get(&at("v1/server_version")).await.ok();
    assert!(version["server_version"].as_str().is_some_and(|version| version.starts_with("Lethe ")));
    let user = encode(&alice.user_id);
    for (method, path) in [
        ("GET", "v2/users".to_owned()),
        ("GET", "v3/users".to_owned()),
        ("GET", format!("v2/users/{user}")),
        ("PUT", format!("v2/users/{user}")),
        ("GET", format!("v1/users/{user}/admin")),
        ("PUT", format!("v1/users/{user}/admin")),
        ("POST", format!("v1/deactivate/{user}")),
        ("POST", format!("v1/reset_password/{user}")),
        ("PUT", format!("v1/suspend/{user}")),
        ("GET", format!("v1/whois/{user}")),
        ("GET", format!("v1/users/{user}/joined_rooms")),
        ("GET", format!("v2/users/{user}/devices")),
        ("DELETE", format!("v2/users/{user}/devices/x")),
        ("POST", format!("v2/users/{user}/delete_devices")),
        ("GET", "v1/registration_tokens".to_owned()),
        ("POST", "v1/registration_tokens/new".to_owned()),
        ("GET", "v1/registration_tokens/x".to_owned()),
        ("GET", "v1/rooms".to_owned()),
        ("GET", "v1/rooms/!x".to_owned()),
        ("DELETE", "v1/rooms/!x".to_owned()),
        ("DELETE", "v2/rooms/!x".to_owned()),
        ("POST", "v1/send_server_notice".to_owned()),
        ("PUT", "v1/send_server_notice/1".to_owned()),
    ] {
        let answer = alice.send(method, &at(&path), b"{{{").await;
        assert_eq!((answer.status, answer.errcode().as_str()), (403, "M_FORBIDDEN"), "{method} {path}");
        let stranger = server.send(method, &at(&path), &[], b"").await;
        assert_eq!((stranger.status, stranger.errcode().as_str()), (401, "M_MISSING_TOKEN"), "{method} {path}");
    }
    for (method, path) in [
        ("POST", format!("v1/users/{user}/login")),
        ("GET", "v1/rooms/!x/members".to_owned()),
        ("GET", "v1/rooms/!x/state".to_owned()),
        ("POST", "v1/rooms/!x/make_room_admin".to_owned()),
        ("PUT", format!("v2/users/{user}/devices/x")),
    ] {
        root.send(method, &at(&path), b"{}").await.refused(404, "M_UNRECOGNIZED");
    }
}

#[tokio::test]
async fn accounts_are_listed_made_and_changed() {
    let (mut server, root, alice) = scene().await;
    let bob = at("v2/users/@bob:localhost");
    root.get(&bob).await.refused(404, "M_NOT_FOUND");
    root.put(&bob, &json!({"displayname": "Bob"})).await.refused(400, "M_MISSING_PARAM");
    let made = root.put(&bob, &json!({"password": "his password", "displayname": "Bob", "admin": false})).await;
    assert_eq!(made.status, 201);
    let shown = made.json();
    assert_eq!((&shown["name"], &shown["displayname"]), (&json!("@bob:localhost"), &json!("Bob")));
    for field in ["creation_ts", "last_seen_ts", "user_type", "consent_ts"] {
        assert!(shown.as_object().is_some_and(|shown| shown[field].is_null()), "{field}");
    }
    server.post(LOGIN, &login("bob", "his password")).await.ok();
    let changed = root.put(&bob, &json!({"displayname": "", "avatar_url": "mxc://localhost/x", "locked": true})).await;
    let changed = changed.ok();
    assert_eq!((&changed["displayname"], &changed["locked"]), (&Value::Null, &json!(true)));
    let names = |list: &Value| {
        let users = list["users"].as_array().expect("users").iter();
        users.map(|user| user["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let list = |query: &str| at(&format!("v2/users?{query}"));
    assert_eq!(names(&root.get(&list("")).await.ok()), ["@alice:localhost", "@root:localhost"]);
    let all = root.get(&list("locked=true&limit=2&guests=false")).await.ok();
    assert_eq!((names(&all).len(), &all["total"], &all["next_token"]), (2, &json!(3), &json!("2")));
    let rest = root.get(&list("locked=true&limit=2&from=2")).await.ok();
    assert_eq!((names(&rest), &rest["next_token"]), (vec!["@root:localhost".to_owned()], &Value::Null));
    assert_eq!(names(&root.get(&list("name=ALI")).await.ok()), ["@alice:localhost"]);
    assert_eq!(names(&root.get(&list("admins=true")).await.ok()), ["@root:localhost"]);
    assert_eq!(names(&root.get(&list("dir=b")).await.ok()), ["@root:localhost", "@alice:localhost"]);
    assert_eq!(names(&root.get(&at("v3/users?deactivated=true")).await.ok()), Vec::<String>::new());
    root.get(&list("order_by=password")).await.refused(400, "M_INVALID_PARAM");
    root.get(&list("limit=x")).await.refused(400, "M_INVALID_PARAM");

    let email = json!({"threepids": [{"medium": "email", "address": "b@example.org"}]});
    root.put(&bob, &email).await.refused(400, "M_UNKNOWN");
    root.put(&bob, &json!({"threepids": [], "external_ids": [], "locked": false})).await.ok();
    root.put(&bob, &json!({"password": "another", "logout_devices": false})).await.ok();
    server.post(LOGIN, &login("bob", "his password")).await.refused(403, "M_FORBIDDEN");
    server.post(LOGIN, &login("bob", "another")).await.ok();
    server.restart().await;
    root.get("account/whoami").await.ok();
    assert_eq!(root.put(&bob, &json!({"password": "third"})).await.ok()["password_waits"], true);
    let alices = at("v1/reset_password/@alice:localhost");
    assert_eq!(root.post(&alices, &json!({"new_password": "fourth"})).await.ok(), json!({"waits": true}));
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    server.post(LOGIN, &login("alice", "fourth")).await.ok();
    root.post(&alices, &json!({})).await.refused(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn administrators_are_made_and_accounts_end() {
    let (server, root, alice) = scene().await;
    let admin = |user: &str| at(&format!("v1/users/{}/admin", encode(user)));
    assert_eq!(root.get(&admin(&alice.user_id)).await.ok(), json!({"admin": false}));
    root.put(&admin(&root.user_id), &json!({"admin": false})).await.refused(400, "M_UNKNOWN");
    root.put(&admin(&alice.user_id), &json!({"admin": true})).await.ok();
    assert_eq!(alice.get(&admin(&root.user_id)).await.ok(), json!({"admin": true}));
    let bob = server.register("bob").await;
    let suspend = at("v1/suspend/@bob:localhost");
    root.put(&suspend, &json!({"suspend": true})).await.ok();
    bob.post("createRoom", &json!({})).await.refused(403, "M_USER_SUSPENDED");
    let end = at("v1/deactivate/@bob:localhost");
    let done = json!({"id_server_unbind_result": "success"});
    assert_eq!(root.post(&end, &json!({"erase": true})).await.ok(), done);
    assert_eq!(root.send("POST", &end, b"").await.ok(), done);
    root.post(&at("v1/deactivate/@x:elsewhere"), &json!({})).await.refused(400, "M_INVALID_PARAM");
    root.post(&at("v1/deactivate/@nobody:localhost"), &json!({})).await.refused(404, "M_NOT_FOUND");
    let gone = root.get(&at("v2/users/@bob:localhost")).await.ok();
    assert_eq!((&gone["deactivated"], &gone["erased"]), (&json!(true), &json!(true)));
    root.put(&at("v2/users/@bob:localhost"), &json!({"deactivated": false, "password": "x"}))
        .await
        .refused(400, "M_UNKNOWN");
    let available = |name: &str| at(&format!("v1/username_available?username={name}"));
    assert_eq!(root.get(&available("carol")).await.ok(), json!({"available": true}));
    root.get(&available("bob")).await.refused(400, "M_USER_IN_USE");
    root.put(&at("v2/users/@alice:localhost"), &json!({"deactivated": true})).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn devices_have_no_names_and_end() {
    let (mut server, root, alice) = scene().await;
    let second = server.login(&alice).await;
    alice.put(&format!("devices/{}", second.device_id), &json!({"display_name": "private"})).await.ok();
    let devices = at(&format!("v2/users/{}/devices", encode(&alice.user_id)));
    let listed = root.get(&devices).await.ok();
    assert_eq!(listed["total"], 2);
    assert!(!listed.to_string().contains("private"));
    let one = root.get(&format!("{devices}/{}", second.device_id)).await.ok();
    let day = 1_800_000_000_000_u64 / 86_400_000 * 86_400_000;
    assert_eq!((&one["last_seen_ip"], &one["last_seen_ts"]), (&Value::Null, &json!(day)));
    root.delete(&format!("{devices}/{}", second.device_id), &json!({})).await.ok();
    second.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    root.get(&format!("{devices}/{}", second.device_id)).await.refused(404, "M_NOT_FOUND");
    let rooms = at(&format!("v1/users/{}/joined_rooms", encode(&alice.user_id)));
    let room = alice.post("createRoom", &json!({})).await.ok()["room_id"].clone();
    assert_eq!(root.get(&rooms).await.ok(), json!({"joined_rooms": [room], "total": 1}));
    server.restart().await;
    let third = json!({"devices": [alice.device_id]});
    let many = at(&format!("v2/users/{}/delete_devices", encode(&alice.user_id)));
    root.post(&many, &third).await.refused(503, "M_UNKNOWN");
    root.get(&rooms).await.refused(503, "M_UNKNOWN");
    alice.get("account/whoami").await.ok();
    root.post(&many, &third).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn registration_tokens_are_kept_as_tools_expect() {
    let (server, root, _) = scene().await;
    let tokens = at("v1/registration_tokens");
    let new = format!("{tokens}/new");
    let end = 1_800_000_000_000_u64 + 3_600_000;
    let body = json!({"token": "abc.~_-", "uses_allowed": 3, "expiry_time": end});
    let made = root.post(&new, &body).await.ok();
    let expected = json!({
        "token": "abc.~_-", "uses_allowed": 3, "pending": 0, "completed": null, "expiry_time": made["expiry_time"],
    });
    assert_eq!(made, expected);
    assert!(made["expiry_time"].as_u64().is_some_and(|shown| shown >= end && shown < end + 3_600_000));
    root.post(&new, &body).await.refused(400, "M_INVALID_PARAM");
    for odd in [json!({"token": "a b"}), json!({"token": ""}), json!({"length": 65}), json!({"expiry_time": 1})] {
        root.post(&new, &odd).await.refused(400, "M_INVALID_PARAM");
    }
    let random = root.post(&new, &json!({"length": 9})).await.ok();
    assert_eq!(random["token"].as_str().map(str::len), Some(9));
    let one = format!("{tokens}/abc.~_-");
    assert_eq!(root.put(&one, &json!({"uses_allowed": 0})).await.ok()["uses_allowed"], 0);
    let listed = |list: Value| list["registration_tokens"].as_array().expect("tokens").len();
    assert_eq!(listed(root.get(&tokens).await.ok()), 2);
    assert_eq!(listed(root.get(&format!("{tokens}?valid=true")).await.ok()), 1);
    assert_eq!(listed(root.get(&format!("{tokens}?valid=false")).await.ok()), 1);
    assert_eq!(
        root.put(&one, &json!({"uses_allowed": null, "expiry_time": null})).await.ok()["expiry_time"],
        Value::Null
    );
    assert_eq!(root.get(&one).await.ok()["uses_allowed"], Value::Null);
    assert_eq!(root.delete(&one, &json!({})).await.ok(), json!({}));
    root.get(&one).await.refused(404, "M_NOT_FOUND");
    root.delete(&one, &json!({})).await.refused(404, "M_NOT_FOUND");
    drop(server);
}

#[tokio::test]
async fn rooms_are_listed_without_secrets_and_deleted() {
    let (mut server, root, alice) = scene().await;
    let make = |preset: &str, name: &str| json!({"preset": preset, "name": name});
    let id = |answer: Value| answer["room_id"].as_str().expect("a room").to_owned();
    let private = id(alice.post("createRoom", &make("private_chat", "secret")).await.ok());
    let public = id(alice.post("createRoom", &make("public_chat", "open")).await.ok());
    server.restart().await;
    // The private room is closed, the public one opens through the house.
    let listed = root.get(&at("v1/rooms")).await.ok();
    assert_eq!((&listed["total_rooms"], &listed["rooms"][0]["name"]), (&json!(1), &json!("open")));
    assert_eq!(listed["rooms"][0]["joined_local_members"], 1);
    let one = at(&format!("v1/rooms/{}", encode(&private)));
    root.get(&one).await.refused(404, "M_NOT_FOUND");
    alice.get("account/whoami").await.ok();
    let shown = root.get(&one).await.ok();
    assert_eq!((&shown["name"], &shown["creator"], &shown["version"]), (&Value::Null, &Value::Null, &json!("12")));
    assert!(!shown.to_string().contains("alice"));
    assert_eq!(root.get(&at("v1/rooms?search_term=secret")).await.ok()["total_rooms"], 0);
    assert_eq!(root.get(&at("v1/rooms?order_by=joined_members&dir=b&limit=1")).await.ok()["next_batch"], 1);
    root.delete(&one, &json!({"new_room_user_id": "@root:localhost"})).await.refused(400, "M_UNKNOWN");
    root.delete(&one, &json!({"purge": false})).await.refused(400, "M_UNKNOWN");
    root.delete(&one, &json!({"block": true, "purge": true})).await.ok();
    root.delete(&one, &json!({})).await.refused(404, "M_NOT_FOUND");
    let later = root.delete(&at(&format!("v2/rooms/{}", encode(&public))), &json!({})).await.ok();
    let status = at(&format!("v2/rooms/delete_status/{}", later["delete_id"].as_str().expect("an id")));
    assert_eq!(root.get(&status).await.ok()["status"], "complete");
    let status = at(&format!("v2/rooms/{}/delete_status", encode(&public)));
    assert_eq!(root.get(&status).await.ok()["results"][0]["room_id"], json!(public));
    assert!(alice.get("sync").await.ok()["rooms"]["join"].is_null());
}

/// What synapse-admin sends from its pages of users, byte for byte where it matters.
#[tokio::test]
async fn the_pages_of_a_tool_work() {
    let (server, root, alice) = scene().await;
    let types = server.get("/_matrix/client/r0/login").await.ok();
    assert_eq!(types["flows"][0]["type"], "m.login.password");
    let form = json!({
        "device_id": null, "initial_device_display_name": "Synapse Admin", "type": "m.login.password", "user": "root",
        "password": root.password, "identifier": {"type": "m.id.user", "user": "root"},
    });
    let entered = server.post("/_matrix/client/r0/login", &form).await.ok();
    // It makes Matrix ids from this, and looks itself up by its own id, which it does not encode.
    assert_eq!(entered["home_server"], "localhost");
    let tool = Client::new(&server, &entered, root.password.clone());
    tool.get(&format!("profile/{}", tool.user_id)).await.ok();
    let users = at("v2/users?dir=f&from=0&guests=true&limit=10&locked=true&order_by=name");
    assert_eq!(tool.get(&users).await.ok()["total"], 2);
    let made = json!({"id": "bob", "displayname": "Bob", "password": "his password", "admin": false, "threepids": []});
    assert_eq!(tool.put(&at("v2/users/@bob:localhost"), &made).await.status, 201);
    // A form sends back the whole record, with what the tool has added to it.
    let one = at("v2/users/%40bob%3Alocalhost");
    let mut record = tool.get(&one).await.ok();
    for (field, value) in [
        ("id", json!("@bob:localhost")),
        ("avatar_src", Value::Null),
        ("creation_ts_ms", json!(0)),
        ("displayname", json!("Bobby")),
    ] {
        record[field] = value;
    }
    assert_eq!(tool.put(&one, &record).await.ok()["displayname"], "Bobby");
    record["locked"] = json!(true);
    assert_eq!(tool.put(&one, &record).await.ok()["locked"], true);
    record["locked"] = json!(false);
    record["password"] = json!("another one");
    tool.put(&one, &record).await.ok();
    let bob = Client::new(&server, &server.post(LOGIN, &login("bob", "another one")).await.ok(), String::new());
    for tab in [
        "v2/users/%40bob%3Alocalhost/devices",
        "v1/whois/%40bob%3Alocalhost",
        "v1/users/%40bob%3Alocalhost/joined_rooms",
    ] {
        tool.get(&at(tab)).await.ok();
    }
    tool.delete(&at(&format!("v2/users/%40bob%3Alocalhost/devices/{}", bob.device_id)), &json!({})).await.ok();
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    // What this server does not have must not look like the end of the tool's own session.
    for (method, path) in [
        ("GET", "v1/users/%40bob%3Alocalhost/pushers"),
        ("GET", "v1/users/%40bob%3Alocalhost/media"),
        ("GET", "v1/rooms/!x/members"),
        ("GET", "v1/rooms/!x/state"),
        ("GET", "v1/event_reports"),
        ("PUT", "v1/suspend/%40root%3Alocalhost"),
    ] {
        let body = json!({"suspend": true}).to_string();
        assert!(matches!(tool.send(method, &at(path), body.as_bytes()).await.status, 400 | 404), "{path}");
    }
    let token = tool.post(&at("v1/registration_tokens/new"), &json!({"length": 16})).await.ok();
    let token = token["token"].as_str().expect("a token").to_owned();
    assert_eq!(tool.get(&at("v1/registration_tokens?valid=true")).await.ok()["registration_tokens"][0]["token"], token);
    tool.put(&at(&format!("v1/registration_tokens/{token}")), &json!({"uses_allowed": 5})).await.ok();
    tool.delete(&at(&format!("v1/registration_tokens/{token}")), &json!({})).await.ok();
    let gone = tool.post(&at("v1/deactivate/%40bob%3Alocalhost"), &json!({"erase": true})).await.ok();
    assert_eq!(gone["id_server_unbind_result"], "success");
    tool.post("/_matrix/client/r0/logout", &json!({})).await.ok();
    alice.get("account/whoami").await.ok();
}

#[tokio::test]
async fn a_bot_may_be_free_of_the_limit_of_rate() {
    let toml = "[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0\n\
                [registration]\nmode = \"open\"\n[limits]\nper_second = 1\nburst = 20";
    let mut server = TestServer::with(toml).await;
    let (root, bot) = (administrator(&server, "root").await, server.register("bot").await);
    let path = at("v1/users/@bot:localhost/override_ratelimit");
    assert_eq!(root.get(&path).await.ok(), json!({}));
    let flood = async || {
        let mut worst = 0;
        for _ in 0..30 {
            worst = worst.max(bot.get("account/whoami").await.status);
        }
        worst
    };
    assert_eq!(flood().await, 429);
    let none = json!({"messages_per_second": 0, "burst_count": 0});
    root.post(&path, &json!({"messages_per_second": 5})).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(root.post(&path, &none).await.ok(), none);
    assert_eq!(flood().await, 200);
    server.restart().await;
    assert_eq!(root.get(&path).await.ok(), none);
    assert_eq!(flood().await, 200);
    root.delete(&path, &json!({})).await.ok();
    assert_eq!(root.get(&path).await.ok(), json!({}));
    assert_eq!(flood().await, 429);
    root.get(&at("v1/users/@nobody:localhost/override_ratelimit")).await.refused(404, "M_NOT_FOUND");
}

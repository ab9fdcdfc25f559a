//! What an administrator does over the socket: passwords that are set, what is given up, rooms that are shredded.

use lethe::{admin::Request, secret::SecretText};
use serde_json::{Value, json};

use super::{LOGIN, administer, administer_data, login, refused_until};
use crate::server::{Client, TestServer, encode};

fn reset(name: &str, password: &str, end_devices: bool, abandon: bool) -> Request {
    let password = Some(SecretText::new(password.to_owned()));
    Request::UserResetPassword { name: name.to_owned(), password, end_devices, abandon }
}

async fn logs_in(server: &TestServer, name: &str, password: &str) -> bool {
    let answer = server.post(LOGIN, &login(name, password)).await;
    assert!(matches!(answer.status, 200 | 403), "{answer:?}");
    answer.status == 200
}

#[tokio::test]
async fn an_open_account_has_its_new_password_at_once() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let second = server.login(&alice).await;
    let done = administer_data(&server, reset("alice", "new one", false, false)).await;
    assert_eq!(done, json!({"in_force": true}));
    assert!(!logs_in(&server, "alice", &alice.password).await && logs_in(&server, "alice", "new one").await);
    second.get("account/whoami").await.ok();
    administer(&server, reset("@alice:localhost", "newer", true, false)).await;
    for client in [&alice, &second] {
        client.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    }
    server.restart().await;
    assert!(!logs_in(&server, "alice", "new one").await && logs_in(&server, "alice", "newer").await);
    let proposed =
        Request::UserResetPassword { name: "alice".to_owned(), password: None, end_devices: false, abandon: false };
    let lines = administer(&server, proposed).await;
    let proposed = lines[0].strip_prefix("Password: ").expect("a password");
    assert!(logs_in(&server, "alice", proposed).await);
    assert!(!refused_until(&server, reset("nobody", "x", false, false)).await);
}

#[tokio::test]
async fn a_cold_account_gets_its_new_password_when_it_comes() {
    for by_token in [true, false] {
        let mut server = TestServer::open().await;
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        server.restart().await;
        assert!(refused_until(&server, reset("alice", "new one", false, false)).await, "the house sleeps");
        bob.get("account/whoami").await.ok();
        let waits = administer_data(&server, reset("alice", "new one", false, false)).await;
        assert_eq!(waits, json!({"in_force": false}));
        server.restart().await;
        assert!(!logs_in(&server, "alice", "new one").await, "nothing opens with it yet");
        if by_token {
            alice.get("account/whoami").await.ok();
        }
        assert!(!logs_in(&server, "alice", &alice.password).await);
        assert!(logs_in(&server, "alice", "new one").await);
        alice.get("account/whoami").await.ok();
        server.restart().await;
        assert!(!logs_in(&server, "alice", &alice.password).await && logs_in(&server, "alice", "new one").await);
    }
}

async fn room(by: &Client, with: &Client) -> String {
    let made = by.post("createRoom", &json!({"invite": [with.user_id], "name": "a private name"})).await.ok();
    let room = made["room_id"].as_str().expect("a room").to_owned();
    with.post(&format!("join/{}", encode(&room)), &json!({})).await.ok();
    room
}

async fn reads(client: &Client, room: &str) -> bool {
    client.get(&format!("rooms/{}/messages?dir=b", encode(room))).await.status == 200
}

#[tokio::test]
async fn who_begins_anew_keeps_his_name_and_rooms_and_nothing_else() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room(&alice, &bob).await;
    let data = |user: &str| format!("user/{}/account_data/org.example", encode(user));
    bob.put(&data(&bob.user_id), &json!({"private": true})).await.ok();
    bob.put("profile/@bob:localhost/displayname", &json!({"displayname": "Bob"})).await.ok();
    server.restart().await;
    let carol = server
        .post(
            "/_matrix/client/v3/register",
            &json!({"username": "carol", "password": "x", "auth": {"type": "m.login.dummy"}}),
        )
        .await;
    carol.refused(503, "M_UNKNOWN");
    assert!(refused_until(&server, reset("bob", "anew", false, true)).await);
    // Alice wakes the house; bob is cold, and stays so.
    alice.get("account/whoami").await.ok();
    administer(&server, reset("bob", "anew", false, true)).await;
    assert!(!logs_in(&server, "bob", &bob.password).await);
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let answer = server.post(LOGIN, &login("bob", "anew")).await.ok();
    let anew = Client::new(&server, &answer, "anew".to_owned());
    assert_eq!(anew.user_id, bob.user_id);
    anew.get(&data(&bob.user_id)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(anew.get("profile/@bob:localhost").await.ok()["displayname"], "Bob");
    assert_eq!(anew.get("devices").await.ok()["devices"].as_array().map(Vec::len), Some(1));
    assert!(reads(&anew, &room).await, "alice is open: the room has sent its key");
    server.restart().await;
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    anew.get("account/whoami").await.ok();
    assert!(reads(&anew, &room).await);
    let synced = anew.get("sync").await.ok();
    assert!(synced["rooms"]["join"][room.as_str()].is_object());
}

#[tokio::test]
async fn accounts_are_listed_and_changed() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let name = || "bob".to_owned();
    administer(&server, Request::UserLock { name: name(), locked: true }).await;
    bob.get("account/whoami").await.refused(401, "M_USER_LOCKED");
    administer(&server, Request::UserLock { name: name(), locked: false }).await;
    administer(&server, Request::UserSuspend { name: name(), suspended: true }).await;
    administer(&server, Request::UserAdmin { name: "alice".to_owned(), admin: true }).await;
    server.restart().await;
    assert!(refused_until(&server, Request::UserList).await);
    alice.get("account/whoami").await.ok();
    assert!(refused_until(&server, Request::UserLogout { name: name() }).await, "bob is cold");
    let lines = administer(&server, Request::UserList).await;
    assert_eq!(lines, ["@alice:localhost  administrator", "@bob:localhost  suspended, cold"]);
    let users = administer_data(&server, Request::UserList).await;
    let expected = json!({
        "user_id": "@bob:localhost", "displayname": null, "avatar_url": null,
        "admin": false, "locked": false, "suspended": true, "unlimited": false, "open": false,
    });
    assert_eq!(users["users"][1], expected);
    bob.get("account/whoami").await.ok();
    administer(&server, Request::UserLogout { name: name() }).await;
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    administer(&server, Request::UserDeactivate { name: name(), erase: true }).await;
    assert!(!logs_in(&server, "bob", &bob.password).await);
    assert!(!refused_until(&server, Request::UserDeactivate { name: name(), erase: true }).await);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let server = TestServer::open().await;
    let make = || Request::TokenCreate { uses: Some(2), expires_in: Some(60) };
    assert!(!refused_until(&server, make()).await, "there is nobody among whom to keep it");
    server.register("alice").await;
    let made = administer(&server, make()).await;
    let listed = administer_data(&server, Request::TokenList).await;
    let token = &listed["tokens"][0];
    assert_eq!((&token["token"], &token["uses_left"], &token["valid"]), (&json!(made[0]), &json!(2), &json!(true)));
    administer(&server, Request::TokenRevoke { token: made[0].clone() }).await;
    assert!(!refused_until(&server, Request::TokenRevoke { token: made[0].clone() }).await);
    assert_eq!(administer_data(&server, Request::TokenList).await, json!({"tokens": []}));
}

async fn left(client: &Client, since: &str) -> Value {
    client.get(&format!("sync?since={since}")).await.ok()["rooms"]["leave"].clone()
}

async fn since(client: &Client) -> String {
    client.get("sync").await.ok()["next_batch"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_shredded_room_is_left_by_every_client_that_had_it() {
    let mut server = TestServer::open().await;
    let (alice, bob, carol) =
        (server.register("alice").await, server.register("bob").await, server.register("carol").await);
    let room = room(&alice, &bob).await;
    let (hers, his) = (since(&alice).await, since(&bob).await);
    // Bob is cold when it happens: he learns of it when he comes.
    server.restart().await;
    carol.get("account/whoami").await.ok();
    let shred = || Request::RoomShred { room: room.clone() };
    let listed = administer_data(&server, Request::RoomList).await;
    assert_eq!((&listed["rooms"], &listed["closed"]), (&json!([]), &json!(1)));
    alice.get("account/whoami").await.ok();
    let info = administer_data(&server, Request::RoomInfo { room: room.clone() }).await;
    assert_eq!((&info["joined_members"], &info["name"]), (&json!(2), &Value::Null), "a private name is private");
    administer(&server, shred()).await;
    assert!(left(&alice, &hers).await[room.as_str()].is_object());
    assert!(!reads(&alice, &room).await);
    assert!(left(&bob, &his).await[room.as_str()].is_object());
    assert!(!reads(&bob, &room).await);
    server.restart().await;
    for client in [&alice, &bob] {
        assert!(!client.get("sync").await.ok().to_string().contains(&room));
    }
    assert_eq!(administer_data(&server, Request::RoomList).await, json!({"rooms": [], "closed": 0}));
}

#[tokio::test]
async fn a_room_that_nobody_has_opened_is_shredded_by_the_first_who_does() {
    let mut server = TestServer::open().await;
    let (alice, bob, carol) =
        (server.register("alice").await, server.register("bob").await, server.register("carol").await);
    let room = room(&alice, &bob).await;
    let (hers, his) = (since(&alice).await, since(&bob).await);
    server.restart().await;
    carol.get("account/whoami").await.ok();
    let shred = || Request::RoomShred { room: room.clone() };
    for _ in 0..2 {
        let done = administer_data(&server, shred()).await;
        assert_eq!(done, json!({"aliases": [], "waits": true}));
    }
    // It waits through another start, for whoever comes first.
    server.restart().await;
    assert!(left(&bob, &his).await[room.as_str()].is_object());
    assert!(!reads(&bob, &room).await);
    assert_eq!(administer_data(&server, Request::RoomList).await, json!({"rooms": [], "closed": 0}));
    server.restart().await;
    assert!(left(&alice, &hers).await[room.as_str()].is_object());
    assert!(!reads(&alice, &room).await);
    assert!(refused_until(&server, shred()).await, "there is no room left that it could be");
    // A device that has synced before the room was there learns of it as well, whatever it knows.
    for client in [&alice, &bob] {
        let everything = encode(r#"{"room":{"include_leave":true}}"#);
        let answer = client.get(&format!("sync?filter={everything}")).await.ok();
        assert_eq!(answer["rooms"]["leave"][room.as_str()]["timeline"]["events"][0]["content"]["membership"], "leave");
        client.post(&format!("rooms/{}/forget", encode(&room)), &json!({})).await.ok();
        let answer = client.get(&format!("sync?filter={everything}")).await.ok();
        assert!(!answer.to_string().contains(&room));
    }
}

#[tokio::test]
async fn who_has_left_a_room_is_forgotten_in_it() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room(&alice, &bob).await;
    let at = format!("rooms/{}", encode(&room));
    let message = |text: &str| json!({"msgtype": "m.text", "body": text});
    let said = bob.put(&format!("{at}/send/m.room.message/1"), &message("a word of bob")).await.ok();
    let about = format!("{} said something", bob.user_id);
    alice.put(&format!("{at}/send/m.room.message/1"), &message(&about)).await.ok();
    let erase = || Request::RoomErase { room: room.clone(), user: bob.user_id.clone() };
    assert!(!refused_until(&server, erase()).await, "he is in the room");
    bob.post(&format!("{at}/leave"), &json!({})).await.ok();
    assert_eq!(administer_data(&server, erase()).await, json!({"nameless": true}));
    assert!(!refused_until(&server, erase()).await, "nobody is known by that name");
    for _ in 0..2 {
        let all = alice.get(&format!("{at}/messages?dir=b&limit=100")).await.ok();
        let state = alice.get(&format!("{at}/state")).await.ok();
        for shown in [all.to_string(), state.to_string()] {
            assert!(!shown.contains("bob"), "{shown}");
        }
        let id = said["event_id"].as_str().expect("an id");
        let stub = all["chunk"].as_array().expect("events").iter().find(|event| event["event_id"] == id);
        let stub = stub.expect("the message is still there");
        assert!(
            stub["sender"].as_str().is_some_and(|sender| sender.starts_with("@erased-"))
                && stub["content"] == json!({})
        );
        server.restart().await;
    }
}

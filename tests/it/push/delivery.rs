//! What reaches push gateways, and what does not.

use std::time::Duration;

use serde_json::json;

use super::gateway::{Gateway, until};
use crate::{
    rooms::{at, bring, create, put, room_of, say},
    server::{Client, NOW, TestServer, encode},
};

async fn read(client: &Client, room: &str, event: &str) {
    client.post(&at(room, &format!("receipt/m.read/{}", encode(event))), &json!({})).await.ok();
}

#[tokio::test]
async fn an_event_is_told_by_its_id_alone() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    let event = say(&al, &room, "secret").await;
    let device = json!({"app_id": "app", "pushkey": "key", "data": {"custom": {"x": 1}}});
    let told = gateway.next().await;
    let expected =
        json!({"event_id": event, "room_id": room, "prio": "high", "counts": {"unread": 1}, "devices": [device]});
    assert_eq!(told, expected);
    // Nobody is told of what he did himself, nor of what does not notify.
    say(&bo, &room, "own").await;
    put(
        &al,
        &room,
        "m.reaction",
        "r",
        &json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": "k"}}),
    )
    .await;
    let second = say(&al, &room, "more").await;
    let told = gateway.next().await;
    assert_eq!((&told["event_id"], &told["counts"]), (&json!(second), &json!({"unread": 2})));
    gateway.silent();
}

#[tokio::test]
async fn details_are_told_where_the_operator_allows_them_and_what_was_said_never_is() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("details = true").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = create(&al, &json!({"name": "Kitchen"})).await;
    bring(&al, &bo, &room).await;
    gateway.pusher(&bo, "key").await;
    let mut ids_only = gateway.asking("other");
    ids_only["data"]["format"] = "event_id_only".into();
    bo.post("pushers/set", &ids_only).await.ok();
    say(&al, &room, "secret").await;
    let mut told = [gateway.next().await, gateway.next().await];
    told.sort_by_key(|told| told["devices"][0]["pushkey"].to_string());
    assert_eq!((&told[0]["sender"], &told[0]["type"]), (&json!(al.user_id), &json!("m.room.message")));
    assert_eq!(told[0]["room_name"], "Kitchen");
    assert_eq!(told[0]["devices"][0]["tweaks"], json!({"sound": "default"}));
    for field in ["sender", "type", "room_name"] {
        assert!(told[1].get(field).is_none(), "{field}");
    }
    assert!(told.iter().all(|told| told.get("content").is_none() && !told.to_string().contains("secret")));
}

#[tokio::test]
async fn what_a_gateway_does_not_take_is_told_again() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    for status in [502, 429, 404] {
        gateway.answers(status, json!({}));
    }
    let event = say(&al, &room, "hello").await;
    assert_eq!(gateway.next().await["event_id"], event);
    let second = say(&al, &room, "more").await;
    assert_eq!(gateway.later(&server).await["event_id"], event);
    // With 404 the gateway says that it never will.
    assert_eq!(gateway.later(&server).await["event_id"], event);
    assert_eq!(gateway.later(&server).await["event_id"], second);
    gateway.silent();
}

#[tokio::test]
async fn what_was_read_meanwhile_is_not_told() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    gateway.answers(500, json!({}));
    let first = say(&al, &room, "first").await;
    assert_eq!(gateway.next().await["event_id"], first);
    let second = say(&al, &room, "second").await;
    read(&bo, &room, &second).await;
    let third = say(&al, &room, "third").await;
    let told = gateway.later(&server).await;
    assert_eq!((&told["event_id"], &told["counts"]["unread"]), (&json!(third), &json!(1)));
    // A badge that shows more than there is goes down, a while after the reading.
    read(&bo, &room, &third).await;
    gateway.silent();
    let told = gateway.later(&server).await;
    assert_eq!((&told["counts"], told.get("event_id")), (&json!({"unread": 0}), None));
}

#[tokio::test]
async fn what_has_expired_meanwhile_is_not_told() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    gateway.answers(500, json!({}));
    let first = say(&al, &room, "first").await;
    assert_eq!(gateway.next().await["event_id"], first);
    let forget = async |days: u64| {
        let now = NOW.after(Duration::from_hours(24 * days));
        // The wall clock alone: the steady one would have the gateway asked again first.
        server.clock.set_wall(now);
        server.server().services().engine.rooms.forget_expired(now, false).await.expect("forgotten");
    };
    forget(31).await;
    let second = say(&al, &room, "second").await;
    let told = gateway.later(&server).await;
    assert_eq!((&told["event_id"], &told["counts"]["unread"]), (&json!(second), &json!(1)));
    gateway.silent();
    // A badge goes down with what it counts.
    forget(62).await;
    let told = gateway.later(&server).await;
    assert_eq!((&told["counts"], told.get("event_id")), (&json!({"unread": 0}), None));
}

#[tokio::test]
async fn a_push_key_that_is_rejected_is_removed() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    gateway.pusher(&bo, "other").await;
    gateway.answers(200, json!({"rejected": ["key", "nobody"]}));
    gateway.answers(200, json!({"rejected": ["key", "nobody"]}));
    say(&al, &room, "rejected").await;
    gateway.next().await;
    gateway.next().await;
    until(async || bo.get("pushers").await.ok()["pushers"].as_array().map(Vec::len) == Some(1)).await;
    say(&al, &room, "heard by one").await;
    assert_eq!(gateway.next().await["devices"][0]["pushkey"], "other");
    gateway.silent();
}

#[tokio::test]
async fn an_invitation_is_told_and_what_happens_in_a_room_that_was_left_is_not() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    gateway.pusher(&bo, "key").await;
    let room = create(&al, &json!({"invite": [bo.user_id]})).await;
    let told = gateway.next().await;
    assert_eq!((&told["room_id"], &told["counts"]["unread"]), (&json!(room), &json!(1)));
    bo.post(&at(&room, "join"), &json!({})).await.ok();
    say(&al, &room, "welcome").await;
    gateway.next().await;
    bo.post(&at(&room, "leave"), &json!({})).await.ok();
    say(&al, &room, "gossip").await;
    let other = room_of(&[&al, &bo]).await;
    let told = gateway.next().await;
    assert_eq!(told["room_id"], other);
}

#[tokio::test]
async fn a_push_key_is_one_accounts_unless_it_says_otherwise() {
    let mut gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = room_of(&[&al, &bo, &cy]).await;
    gateway.pusher(&bo, "key").await;
    let mut beside = gateway.asking("key");
    beside["append"] = true.into();
    cy.post("pushers/set", &beside).await.ok();
    say(&al, &room, "to both").await;
    gateway.next().await;
    gateway.next().await;
    gateway.pusher(&cy, "key").await;
    assert_eq!(bo.get("pushers").await.ok(), json!({"pushers": []}));
    say(&al, &room, "to one").await;
    gateway.next().await;
    let mut delete = gateway.asking("key");
    delete["kind"] = serde_json::Value::Null;
    cy.post("pushers/set", &delete).await.ok();
    cy.post("pushers/set", &delete).await.ok();
    say(&al, &room, "to none").await;
    gateway.pusher(&bo, "again").await;
    say(&al, &room, "to another").await;
    assert_eq!(gateway.next().await["devices"][0]["pushkey"], "again");
    gateway.silent();
}

#[tokio::test]
async fn a_pusher_goes_with_its_device_and_stays_with_the_one_that_changes_the_password() {
    let gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let al = server.register("al").await;
    let (phone, tablet) = (server.login(&al).await, server.login(&al).await);
    gateway.pusher(&al, "own").await;
    gateway.pusher(&phone, "phone").await;
    gateway.pusher(&tablet, "tablet").await;
    let keys = async || {
        let pushers = al.get("pushers").await.ok();
        let pushers = pushers["pushers"].as_array().expect("a list").clone();
        pushers.iter().map(|pusher| pusher["pushkey"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    tablet.post("logout", &json!({})).await.ok();
    assert_eq!(keys().await, ["own", "phone"]);
    let change = json!({"new_password": "another password", "logout_devices": false, "auth": al.auth()});
    al.post("account/password", &change).await.ok();
    assert_eq!(keys().await, ["own", "phone"]);
    let mut al = al.clone();
    al.password = "another password".to_owned();
    let change = json!({"new_password": "a third password", "auth": al.auth()});
    al.post("account/password", &change).await.ok();
    assert_eq!(keys().await, ["own"]);
}

#[tokio::test]
async fn pushers_that_cannot_be_are_refused() {
    let gateway = Gateway::start().await;
    let server = gateway.server("").await;
    let al = server.register("al").await;
    let asking = |field: &str, value: serde_json::Value| {
        let mut body = gateway.asking("key");
        body[field] = value;
        body
    };
    for (field, value) in [
        ("kind", json!("email")),
        ("pushkey", json!("k".repeat(513))),
        ("app_id", json!("a".repeat(65))),
        ("data", json!({"url": "https://push.example/elsewhere"})),
        ("data", json!({"url": "https://a:b@push.example/_matrix/push/v1/notify"})),
        ("data", json!({"url": "gopher://push.example/_matrix/push/v1/notify"})),
    ] {
        al.post("pushers/set", &asking(field, value)).await.refused(400, "M_INVALID_PARAM");
    }
    for field in ["lang", "data", "app_display_name", "device_display_name", "pushkey", "app_id", "kind"] {
        let mut body = gateway.asking("key");
        body.as_object_mut().expect("an object").remove(field);
        let refused = al.post("pushers/set", &body).await;
        assert_eq!((refused.status, refused.errcode()), (400, "M_MISSING_PARAM".to_owned()), "{field}");
    }
    al.post("pushers/set", &asking("data", json!({}))).await.refused(400, "M_MISSING_PARAM");
    assert_eq!(al.get("pushers").await.ok(), json!({"pushers": []}));
}

#[tokio::test]
async fn gateways_in_networks_that_nobody_allowed_are_not_contacted() {
    let mut gateway = Gateway::start().await;
    let server = TestServer::open_with("[push]\nallow = [\"127.1.0.0/16\"]\n").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    say(&al, &room, "hello").await;
    until(async || server.server().services().engine.pushing.failing() == 1).await;
    gateway.silent();
    let server = TestServer::open().await;
    let plain = server.register("al").await.post("pushers/set", &gateway.asking("key")).await;
    plain.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_server_that_does_not_push_contacts_nobody() {
    let mut gateway = Gateway::start().await;
    let mut server = gateway.server("enabled = false").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    say(&al, &room, "one").await;
    server.restart().await;
    say(&al, &room, "two").await;
    server.stop().await;
    gateway.silent();
}

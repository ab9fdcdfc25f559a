//! Events that are sent later unless their client comes back before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rooms::{at, bring, create, messages, put, room_of, said},
    server::{Answer, Client, TestServer, encode},
};

const EVENTS: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";

/// Moves the clock and sends what is due then.
async fn pass(server: &TestServer, millis: u64) {
    server.clock.advance(Duration::from_millis(millis));
    server.server().services().engine.delayed.send_due().await;
}

async fn say_later(client: &Client, room: &str, text: &str, delay: &str) -> Answer {
    let path = format!("send/m.room.message/{}?org.matrix.msc4140.delay={delay}", encode(text));
    client.put(&at(room, &path), &json!({"msgtype": "m.text", "body": text})).await
}

async fn set_later(client: &Client, room: &str, key: &str, delay: u64) -> String {
    let path = at(room, &format!("state/org.example.later/{key}?org.matrix.msc4140.delay={delay}"));
    id(&client.put(&path, &json!({"set": "later"})).await.ok())
}

async fn state(client: &Client, room: &str, key: &str) -> Answer {
    client.get(&at(room, &format!("state/org.example.later/{key}"))).await
}

fn id(answer: &Value) -> String {
    answer["delay_id"].as_str().expect("an id").to_owned()
}

async fn pending(client: &Client) -> Vec<Value> {
    client.get(EVENTS).await.ok()["delayed_events"].as_array().expect("a list").clone()
}

/// Everybody may set the state the tests set.
async fn open_room(clients: &[&Client]) -> String {
    let levels = json!({"events": {"org.example.later": 0}});
    let room = create(clients[0], &json!({"power_level_content_override": levels})).await;
    for client in &clients[1..] {
        bring(clients[0], client, &room).await;
    }
    room
}

#[tokio::test]
async fn messages_go_out_in_the_order_of_their_times() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    server.get(EVENTS).await.refused(401, "M_MISSING_TOKEN");
    assert!(pending(&alice).await.is_empty());
    let third = id(&say_later(&alice, &room, "third", "900").await.ok());
    let first = id(&say_later(&alice, &room, "first", "700").await.ok());
    say_later(&alice, &room, "second", "800").await.ok();
    // A repetition need not repeat the content.
    let again = at(&room, "send/m.room.message/first?org.matrix.msc4140.delay=700");
    assert_eq!(id(&alice.send("PUT", &again, b"").await.ok()), first);
    let other = at(&room, "send/m.room.message/other?org.matrix.msc4140.delay=700");
    alice.send("PUT", &other, b"").await.refused(400, "M_NOT_JSON");
    let listed = pending(&alice).await;
    let bodies: Vec<_> = listed.iter().map(|event| event["content"]["body"].as_str().expect("a body")).collect();
    assert_eq!(bodies, ["first", "second", "third"]);
    assert_eq!((&listed[2]["delay_id"], &listed[2]["delay"]), (&json!(third), &json!(900)));
    assert_eq!((&listed[2]["room_id"], &listed[2]["type"]), (&json!(room), &json!("m.room.message")));
    assert_eq!(alice.get(&format!("{EVENTS}/{first}")).await.ok(), listed[0]);
    assert!(pending(&bob).await.is_empty());
    bob.get(&format!("{EVENTS}/{first}")).await.refused(404, "M_NOT_FOUND");
    pass(&server, 850).await;
    assert_eq!(said(&messages(&bob, &room, "dir=b&limit=2").await["chunk"]), ["second", "first"]);
    assert_eq!(pending(&alice).await.len(), 1);
    pass(&server, 50).await;
    assert_eq!(said(&messages(&bob, &room, "dir=b&limit=1").await["chunk"]), ["third"]);
    // A repetition that comes late asks for nothing new.
    assert_eq!(id(&say_later(&alice, &room, "first", "700").await.ok()), first);
    assert!(pending(&alice).await.is_empty());
}

#[tokio::test]
async fn whoever_knows_the_id_cancels_restarts_and_sends() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = open_room(&[&alice]).await;
    let act = |id: String, action: &'static str| {
        let server = &server;
        async move { server.post(&format!("{EVENTS}/{id}/{action}"), &json!({})).await }
    };
    for action in ["cancel", "restart", "send"] {
        act("abc".to_owned(), action).await.refused(404, "M_NOT_FOUND");
    }
    act("abc".to_owned(), "oops").await.refused(404, "M_UNRECOGNIZED");
    server.post(&format!("{EVENTS}/abc"), &json!({})).await.refused(400, "M_MISSING_PARAM");
    server.post(&format!("{EVENTS}/abc"), &json!({"action": "oops"})).await.refused(400, "M_INVALID_PARAM");

    let cancelled = set_later(&alice, &room, "cancelled", 1500).await;
    let restarted = set_later(&alice, &room, "restarted", 1500).await;
    let sent = set_later(&alice, &room, "sent", 100_000).await;
    pass(&server, 1000).await;
    assert_eq!(pending(&alice).await.len(), 3);
    act(cancelled.clone(), "cancel").await.ok();
    act(cancelled, "cancel").await.refused(404, "M_NOT_FOUND");
    act(restarted, "restart").await.ok();
    server.post(&format!("{EVENTS}/{sent}"), &json!({"action": "send"})).await.ok();
    state(&alice, &room, "sent").await.ok();
    pass(&server, 1000).await;
    state(&alice, &room, "restarted").await.refused(404, "M_NOT_FOUND");
    pass(&server, 500).await;
    assert_eq!(state(&alice, &room, "restarted").await.ok(), json!({"set": "later"}));
    state(&alice, &room, "cancelled").await.refused(404, "M_NOT_FOUND");
    assert!(pending(&alice).await.is_empty());
}

#[tokio::test]
async fn somebody_elses_newer_state_cancels_and_ones_own_does_not() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_room(&[&alice, &bob]).await;
    set_later(&alice, &room, "taken", 1000).await;
    set_later(&alice, &room, "kept", 1000).await;
    bob.put(&at(&room, "state/org.example.later/taken"), &json!({"set": "by bob"})).await.ok();
    alice.put(&at(&room, "state/org.example.later/kept"), &json!({"set": "by alice"})).await.ok();
    assert_eq!(pending(&alice).await.len(), 1);
    pass(&server, 1000).await;
    assert_eq!(state(&alice, &room, "taken").await.ok(), json!({"set": "by bob"}));
    assert_eq!(state(&alice, &room, "kept").await.ok(), json!({"set": "later"}));
}

#[tokio::test]
async fn what_waits_is_bounded_and_needs_a_room() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_room(&[&alice]).await;
    for wrong in ["-1", "soon", "1.5", ""] {
        say_later(&alice, &room, "x", wrong).await.refused(400, "M_INVALID_PARAM");
    }
    let long = say_later(&alice, &room, "x", "604800001").await;
    long.refused(400, "M_UNKNOWN");
    assert_eq!(long.json()["org.matrix.msc4140.errcode"], "M_MAX_DELAY_EXCEEDED");
    assert_eq!(long.json()["org.matrix.msc4140.max_delay"], 604_800_000);
    say_later(&bob, &room, "x", "1000").await.refused(403, "M_FORBIDDEN");
    let large = json!({"body": "x".repeat(60_000)});
    for n in 0..4 {
        let path = format!("/_matrix/client/unstable/org.matrix.msc4140/rooms/{}/delayed_event/m.x/{n}", encode(&room));
        alice.put(&path, &json!({"delay": 1000, "content": large})).await.ok();
    }
    let full = alice.put(&at(&room, "send/m.x/5?org.matrix.msc4140.delay=1000"), &large).await;
    assert_eq!(full.json()["org.matrix.msc4140.errcode"], "M_MAX_DELAYED_EVENTS_EXCEEDED");
    for n in 4..100 {
        say_later(&alice, &room, &n.to_string(), "1000").await.ok();
    }
    say_later(&alice, &room, "101", "1000").await.refused(400, "M_UNKNOWN");
    pass(&server, 1000).await;
    assert!(pending(&alice).await.is_empty());
    // Who has left by then says nothing.
    say_later(&alice, &room, "late", "1000").await.ok();
    alice.post(&at(&room, "leave"), &json!({})).await.ok();
    pass(&server, 1000).await;
    assert!(pending(&alice).await.is_empty());
}

#[tokio::test]
async fn who_is_suspended_meanwhile_says_nothing() {
    let server = TestServer::open().await;
    let root = crate::accounts::administrator(&server, "root").await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_room(&[&alice, &bob]).await;
    let moderate = |what: &str, field: &str, on: bool| {
        let path = format!("/_matrix/client/v1/admin/{what}/{}", encode(&alice.user_id));
        let (root, body) = (&root, json!({ field: on }));
        async move { root.put(&path, &body).await.ok() }
    };
    for (what, field) in [("suspend", "suspended"), ("lock", "locked")] {
        set_later(&alice, &room, what, 1000).await;
        let by_hand = set_later(&alice, &room, &format!("{what}-byhand"), 2000).await;
        moderate(what, field, true).await;
        say_later(&alice, &room, "x", "1000")
            .await
            .refused(if what == "lock" { 401 } else { 403 }, &format!("M_USER_{}", field.to_uppercase()));
        pass(&server, 1000).await;
        server.post(&format!("{EVENTS}/{by_hand}/send"), &json!({})).await.refused(403, "M_USER_SUSPENDED");
        moderate(what, field, false).await;
        pass(&server, 10_000).await;
        // It was refused, not put off: what she wanted then is not wanted now.
        state(&bob, &room, what).await.refused(404, "M_NOT_FOUND");
        state(&bob, &room, &format!("{what}-byhand")).await.refused(404, "M_NOT_FOUND");
        assert!(pending(&alice).await.is_empty());
    }
    set_later(&alice, &room, "free", 1000).await;
    pass(&server, 1000).await;
    state(&bob, &room, "free").await.ok();
}

#[tokio::test]
async fn what_waits_survives_a_restart_in_its_senders_vault() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_room(&[&alice, &bob]).await;
    let due = set_later(&alice, &room, "due", 30_000).await;
    let beating = set_later(&alice, &room, "beating", 30_000).await;
    set_later(&alice, &room, "far", 300_000).await;
    server.post(&format!("{EVENTS}/{beating}/restart"), &json!({})).await.ok();
    server.restart().await;
    // Nobody but its sender can open what waits.
    put(&bob, &room, "m.room.message", "1", &json!({"body": "b"})).await;
    pass(&server, 60_000).await;
    server.post(&format!("{EVENTS}/{due}/cancel"), &json!({})).await.refused(404, "M_NOT_FOUND");
    state(&bob, &room, "due").await.refused(404, "M_NOT_FOUND");
    // She comes: what was due goes out; what a client kept alive gets its whole delay again.
    assert_eq!(alice.get("account/whoami").await.ok()["user_id"], alice.user_id);
    pass(&server, 0).await;
    state(&bob, &room, "due").await.ok();
    let keys: Vec<_> = pending(&alice).await.iter().map(|event| event["state_key"].clone()).collect();
    assert_eq!(keys, ["beating", "far"]);
    pass(&server, 30_000).await;
    state(&bob, &room, "beating").await.ok();
    pass(&server, 210_000).await;
    state(&bob, &room, "far").await.ok();
}

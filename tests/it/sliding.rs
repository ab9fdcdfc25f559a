//! Simplified sliding sync over HTTP, in the shapes that clients use.

use std::time::Duration;

use lethe::clock::Clock;
use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// Asks once.
async fn ask(client: &Client, pos: Option<&Value>, timeout: u64, body: &Value) -> Value {
    let pos = pos.map(|pos| format!("&pos={}", encode(pos.as_str().expect("a position")))).unwrap_or_default();
    client.post(&format!("{PATH}?timeout={timeout}{pos}"), body).await.ok()
}

async fn room(client: &Client, body: &Value) -> String {
    client.post("createRoom", body).await.ok()["room_id"].as_str().expect("an id").to_owned()
}

async fn say(client: &Client, room: &str, text: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = format!("rooms/{}/send/m.room.message/{count}", encode(room));
    let sent = client.put(&path, &json!({"msgtype": "m.text", "body": text})).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

async fn set(client: &Client, room: &str, kind: &str, key: &str, content: &Value) {
    client.put(&format!("rooms/{}/state/{kind}/{key}", encode(room)), content).await.ok();
}

async fn enter(from: &Client, room: &str, who: &Client) {
    from.post(&format!("rooms/{}/invite", encode(room)), &json!({"user_id": who.user_id})).await.ok();
    who.post(&format!("rooms/{}/join", encode(room)), &json!({})).await.ok();
}

fn bodies(room: &Value) -> Vec<&str> {
    let events = room["timeline"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

fn keys(of: &Value) -> Vec<&String> {
    of.as_object().map(|map| map.keys().collect()).unwrap_or_default()
}

fn state<'a>(room: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = room["required_state"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// A list of all rooms as Element X asks for it.
fn all(to: u64) -> Value {
    let required = json!([
        ["m.room.name", ""],
        ["m.room.encryption", ""],
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
        ["m.room.topic", ""],
        ["m.room.create", ""],
        ["m.space.child", "*"],
    ]);
    json!({
        "conn_id": "room-list",
        "lists": {"all_rooms": {"ranges": [[0, to]], "timeline_limit": 1, "required_state": required, "filters": {}}},
        "extensions": {
            "account_data": {"enabled": true},
            "receipts": {"enabled": true, "rooms": ["*"]},
            "typing": {"enabled": true},
            "io.element.msc4308.thread_subscriptions": {"enabled": true},
        },
    })
}

fn with_subscription(mut body: Value, room: &str, limit: u64) -> Value {
    body["room_subscriptions"] =
        json!({room: {"timeline_limit": limit, "required_state": [["m.room.pinned_events", ""], ["m.room.name", ""]]}});
    body
}

#[tokio::test]
async fn growing_a_range_shows_every_room_at_once() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    for count in 0..45 {
        room(&al, &json!({"name": format!("room {count}")})).await;
        server.clock.advance(Duration::from_secs(1));
    }
    let first = ask(&al, None, 0, &all(19)).await;
    assert_eq!(first["lists"]["all_rooms"]["count"], 45);
    assert_eq!(keys(&first["rooms"]).len(), 20);
    let names: Vec<_> = (25..45).map(|count| format!("room {count}")).collect();
    let mut shown: Vec<_> = first["rooms"].as_object().unwrap().values().collect();
    shown.sort_by_key(|room| room["bump_stamp"].as_u64());
    assert_eq!(shown.iter().map(|room| room["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    // The server is quiet, and the answer does not wait: the test would, for half a minute.
    let second = ask(&al, Some(&first["pos"]), 30_000, &all(39)).await;
    assert_eq!(keys(&second["rooms"]).len(), 20);
    let third = ask(&al, Some(&second["pos"]), 30_000, &all(99)).await;
    assert_eq!(keys(&third["rooms"]).len(), 5);
    assert!(third["rooms"].as_object().unwrap().values().all(|room| room["initial"] == true));
    let fourth = ask(&al, Some(&third["pos"]), 0, &all(99)).await;
    assert!(keys(&fourth["rooms"]).is_empty());
}

#[tokio::test]
async fn a_room_is_told_once_and_then_what_is_new() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let id = room(&al, &json!({"name": "one", "topic": "t"})).await;
    enter(&al, &id, &bo).await;
    say(&al, &id, "a").await;
    let first = ask(&bo, None, 0, &all(19)).await;
    let told = &first["rooms"][&id];
    assert_eq!((bodies(told), told["initial"].clone(), told["limited"].clone()), (vec!["a"], json!(true), json!(true)));
    assert_eq!(
        (told["name"].clone(), told["joined_count"].clone(), told["num_live"].clone()),
        (json!("one"), json!(2), json!(0))
    );
    assert_eq!((told["membership"].clone(), told["notification_count"].clone()), (json!("join"), json!(1)));
    // The members: whoever the timeline needs, and oneself.
    let mut members: Vec<_> =
        state(told, "m.room.member").iter().map(|event| event["state_key"].as_str().unwrap()).collect();
    members.sort_unstable();
    assert_eq!(members, [&al.user_id, &bo.user_id]);
    assert_eq!((state(told, "m.room.topic").len(), state(told, "m.room.power_levels").len()), (1, 0));
    let before = told["prev_batch"].as_str().expect("a token");
    let path = format!("rooms/{}/messages?dir=b&from={}&limit=1", encode(&id), encode(before));
    let page = bo.get(&path).await.ok();
    assert_eq!(page["chunk"][0]["content"]["membership"], "join");

    // One who waits is woken; what did not change is not said again.
    let wanted = all(19);
    let (later, ()) = tokio::join!(ask(&bo, Some(&first["pos"]), 30_000, &wanted), async {
        say(&al, &id, "b").await;
    });
    let told = &later["rooms"][&id];
    assert_eq!(
        (bodies(told), told["num_live"].clone(), told["notification_count"].clone()),
        (vec!["b"], json!(1), json!(2))
    );
    assert!(
        told["initial"].is_null()
            && told["limited"].is_null()
            && told["name"].is_null()
            && told["required_state"].is_null()
    );
    assert!(told["bump_stamp"].as_u64() > first["rooms"][&id]["bump_stamp"].as_u64());

    // More than the limit: a gap, and where to go on.
    set(&al, &id, "m.room.name", "", &json!({"name": "two"})).await;
    for text in ["c", "d"] {
        say(&al, &id, text).await;
    }
    let gap = ask(&bo, Some(&later["pos"]), 0, &all(19)).await;
    let told = &gap["rooms"][&id];
    assert_eq!((bodies(told), told["limited"].clone(), told["name"].clone()), (vec!["d"], json!(true), json!("two")));
    assert_eq!(state(told, "m.room.name").len(), 1);
    assert!(told["prev_batch"].is_string());

    // The same position again: the same again. The one before the last two: unknown.
    let retry = ask(&bo, Some(&later["pos"]), 0, &all(19)).await;
    assert_eq!(retry["rooms"], gap["rooms"]);
    assert_ne!(retry["pos"], gap["pos"]);
    let after = ask(&bo, Some(&retry["pos"]), 0, &all(19)).await;
    assert!(keys(&after["rooms"]).is_empty());
    let unknown = bo.post(&format!("{PATH}?pos={}", first["pos"].as_str().unwrap()), &all(19)).await;
    unknown.refused(400, "M_UNKNOWN_POS");
}

#[tokio::test]
async fn what_is_asked_for_in_addition_is_told_at_once() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let id = room(&al, &json!({"name": "one"})).await;
    set(&al, &id, "m.room.pinned_events", "", &json!({"pinned": []})).await;
    for count in 0..30 {
        say(&al, &id, &count.to_string()).await;
    }
    let first = ask(&al, None, 0, &all(19)).await;
    assert_eq!(bodies(&first["rooms"][&id]), ["29"]);
    // A subscription reaches further back and wants more state.
    let opened = ask(&al, Some(&first["pos"]), 30_000, &with_subscription(all(19), &id, 20)).await;
    let told = &opened["rooms"][&id];
    assert_eq!((bodies(told).len(), bodies(told)[0]), (20, "10"));
    assert_eq!((told["unstable_expanded_timeline"].clone(), told["limited"].clone()), (json!(true), json!(true)));
    assert_eq!((told["num_live"].clone(), told["initial"].clone()), (json!(0), Value::Null));
    assert_eq!((state(told, "m.room.pinned_events").len(), state(told, "m.room.name").len()), (1, 0));
    // Closed and opened again: nothing is missing, so nothing is said.
    let closed = ask(&al, Some(&opened["pos"]), 0, &all(19)).await;
    say(&al, &id, "30").await;
    let live = ask(&al, Some(&closed["pos"]), 0, &all(19)).await;
    assert_eq!(bodies(&live["rooms"][&id]), ["30"]);
    let again = ask(&al, Some(&live["pos"]), 0, &with_subscription(all(19), &id, 20)).await;
    assert!(bodies(&again["rooms"][&id]).is_empty());
    // A subscription to a room that is not there, or not the client's, is no matter.
    let body = json!({"room_subscriptions": {"!nowhere:localhost": {"timeline_limit": 1, "required_state": []}}});
    assert!(keys(&ask(&al, None, 0, &body).await["rooms"]).is_empty());
}

#[tokio::test]
async fn everything_may_be_asked_for_and_members_stay_lazy() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let id = room(&al, &json!({"preset": "private_chat"})).await;
    enter(&al, &id, &bo).await;
    say(&al, &id, "a").await;
    let wants = |state: Value| json!({"room_subscriptions": {&id: {"timeline_limit": 1, "required_state": state}}});
    let whole = ask(&al, None, 0, &wants(json!([["*", "*"]]))).await;
    let whole = &whole["rooms"][&id];
    assert_eq!(state(whole, "m.room.member").len(), 2);
    let lazy = ask(&al, None, 0, &wants(json!([["*", "*"], ["m.room.member", "$LAZY"]]))).await;
    let told = &lazy["rooms"][&id];
    assert_eq!((state(told, "m.room.member").len(), state(told, "m.room.create").len()), (1, 1));
    assert_eq!(told["heroes"][0]["user_id"], json!(bo.user_id));
    // A member who speaks for the first time comes along; the second time he is known.
    say(&bo, &id, "b").await;
    let body = wants(json!([["*", "*"], ["m.room.member", "$LAZY"]]));
    let next = ask(&al, Some(&lazy["pos"]), 0, &body).await;
    assert_eq!(state(&next["rooms"][&id], "m.room.member")[0]["state_key"], json!(bo.user_id));
    say(&bo, &id, "c").await;
    let next = ask(&al, Some(&next["pos"]), 0, &body).await;
    assert!(state(&next["rooms"][&id], "m.room.member").is_empty());
    // The final form of MSC4186, at its path.
    let body = json!({"lists": {"a": {"range": [0, 9], "timeline_limit": 1,
        "required_state": {"include": [{"type": "m.room.create"}]}}}});
    let new = al.post("/_matrix/client/v4/sync", &body).await.ok();
    let told = &new["rooms"][&id];
    assert_eq!(
        (told["timeline_events"][0]["content"]["body"].clone(), told["lists"].clone()),
        (json!("c"), json!(["a"]))
    );
    assert_eq!(state(told, "m.room.create").len(), 1);
}

#[tokio::test]
async fn invitations_and_endings() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let kept = room(&bo, &json!({"name": "kept"})).await;
    let id = room(&al, &json!({"name": "secret", "preset": "private_chat"})).await;
    let first = ask(&bo, None, 0, &all(19)).await;
    assert_eq!(keys(&first["rooms"]), [&kept]);
    let invite = async {
        al.post(&format!("rooms/{}/invite", encode(&id)), &json!({"user_id": bo.user_id})).await.ok();
    };
    let wanted = all(19);
    let (invited, ()) = tokio::join!(ask(&bo, Some(&first["pos"]), 30_000, &wanted), invite);
    let told = &invited["rooms"][&id];
    assert_eq!((told["membership"].clone(), told["timeline"].clone()), (json!("invite"), Value::Null));
    let stripped = told["invite_state"].as_array().expect("stripped state");
    assert!(stripped.iter().any(|event| event["type"] == "m.room.name" && event["content"]["name"] == "secret"));
    assert!(stripped.iter().any(|event| event["state_key"] == json!(bo.user_id)));
    // As the extension that shows notifications asks.
    let body = json!({
        "conn_id": "notifications",
        "lists": {"invites": {"ranges": [[0, 16]], "timeline_limit": 8, "required_state": [["m.room.name", ""]],
            "filters": {"is_invite": true}}},
        "room_subscriptions": {&kept: {"timeline_limit": 16, "required_state": []}},
    });
    let notified = ask(&bo, None, 1_000, &body).await;
    assert_eq!((notified["lists"]["invites"]["count"].clone(), keys(&notified["rooms"]).len()), (json!(1), 2));

    bo.post(&format!("rooms/{}/join", encode(&id)), &json!({})).await.ok();
    let joined = ask(&bo, Some(&invited["pos"]), 0, &all(19)).await;
    let told = &joined["rooms"][&id];
    assert_eq!((told["initial"].clone(), told["membership"].clone()), (json!(true), json!("join")));

    say(&al, &id, "before").await;
    let kick = json!({"user_id": bo.user_id, "reason": "r"});
    al.post(&format!("rooms/{}/kick", encode(&id)), &kick).await.ok();
    say(&al, &id, "after").await;
    let kicked = ask(&bo, Some(&joined["pos"]), 0, &all(19)).await;
    let told = &kicked["rooms"][&id];
    assert_eq!(told["membership"], "leave");
    assert_eq!(state(told, "m.room.member")[0]["content"]["membership"], "leave");
    assert!(!bodies(told).contains(&"after"));
    assert_eq!(kicked["lists"]["all_rooms"]["count"], 1);
    let after = ask(&bo, Some(&kicked["pos"]), 0, &all(19)).await;
    assert!(keys(&after["rooms"]).is_empty());
    // Who starts afresh hears of it too: he may have been away.
    assert_eq!(ask(&bo, None, 0, &all(19)).await["rooms"][&id]["membership"], "leave");

    // Who leaves himself is told on the connections that showed the room.
    let other = server.login(&bo).await;
    let shown = ask(&other, None, 0, &all(19)).await;
    bo.post(&format!("rooms/{}/leave", encode(&kept)), &json!({})).await.ok();
    let left = ask(&other, Some(&shown["pos"]), 30_000, &all(19)).await;
    assert_eq!(state(&left["rooms"][&kept], "m.room.member")[0]["content"]["membership"], "leave");
    assert!(ask(&other, None, 0, &all(19)).await["rooms"][&kept].is_null());
}

#[tokio::test]
async fn filters_choose_rooms() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let encryption =
        json!({"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
    let plain = room(&al, &json!({"name": "Plain"})).await;
    let sealed = room(&al, &json!({"name": "Sealed", "initial_state": [encryption]})).await;
    let space = room(&al, &json!({"name": "Space", "creation_content": {"type": "m.space"}})).await;
    set(&al, &space, "m.space.child", &encode(&plain), &json!({"via": ["localhost"]})).await;
    let invite = room(&bo, &json!({"invite": [al.user_id]})).await;
    let direct = format!("user/{}/account_data/m.direct", encode(&al.user_id));
    al.put(&direct, &json!({&bo.user_id: [sealed]})).await.ok();
    let tag = format!("user/{}/rooms/{}/tags/m.favourite", encode(&al.user_id), encode(&plain));
    al.put(&tag, &json!({"order": 0.5})).await.ok();
    let al = &al;
    let chosen = |filters: Value| async move {
        let body = json!({"lists": {"a": {"ranges": [[0, 9]], "timeline_limit": 0, "filters": filters}}});
        let answer = ask(al, None, 0, &body).await;
        let rooms = keys(&answer["rooms"]).into_iter().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(answer["lists"]["a"]["count"], rooms.len());
        rooms
    };
    let these = |rooms: &[&String]| rooms.iter().map(|room| (*room).clone()).collect::<std::collections::BTreeSet<_>>();
    for (filters, expected) in [
        (json!({}), these(&[&plain, &sealed, &space, &invite])),
        (json!({"is_invite": true}), these(&[&invite])),
        (json!({"is_invite": false}), these(&[&plain, &sealed, &space])),
        (json!({"is_encrypted": true}), these(&[&sealed])),
        (json!({"room_types": ["m.space"]}), these(&[&space])),
        (json!({"room_types": [null, "m.space"], "is_invite": false}), these(&[&plain, &sealed, &space])),
        (json!({"not_room_types": ["m.space"], "is_invite": false}), these(&[&plain, &sealed])),
        (json!({"not_room_types": [null]}), these(&[&space])),
        (json!({"room_name_like": "eale"}), these(&[&sealed])),
        (json!({"spaces": [space]}), these(&[&plain])),
        (json!({"tags": ["m.favourite"]}), these(&[&plain])),
        (json!({"tags": ["m.favourite"], "not_tags": ["m.favourite"]}), these(&[])),
        (json!({"not_tags": ["m.favourite"], "is_invite": false}), these(&[&sealed, &space])),
        (json!({"is_dm": false, "is_encrypted": true}), these(&[])),
        (json!({"is_dm": true}), these(&[&sealed])),
    ] {
        assert_eq!(chosen(filters.clone()).await, expected, "{filters}");
    }
}

#[tokio::test]
async fn extensions_say_what_changed() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let id = room(&al, &json!({"name": "one"})).await;
    enter(&al, &id, &bo).await;
    let event = say(&al, &id, "a").await;
    let first = ask(&al, None, 0, &all(19)).await;
    let global = first["extensions"]["account_data"]["global"].as_array().expect("account data");
    assert!(
        global.iter().any(|data| data["type"] == "m.push_rules" && data["content"]["global"]["override"].is_array())
    );
    assert!(first["extensions"]["typing"].is_null() && first["extensions"]["receipts"].is_null());

    // Somebody types, somebody reads: both reach who waits, and once.
    let typing = format!("rooms/{}/typing/{}", encode(&id), encode(&bo.user_id));
    let (wanted, starts) = (all(19), json!({"typing": true, "timeout": 20_000}));
    let (typed, _) = tokio::join!(ask(&al, Some(&first["pos"]), 30_000, &wanted), bo.put(&typing, &starts));
    assert_eq!(typed["extensions"]["typing"]["rooms"][&id]["content"]["user_ids"], json!([bo.user_id]));
    assert!(keys(&typed["rooms"]).is_empty());
    bo.put(&typing, &json!({"typing": false})).await.ok();
    bo.post(&format!("rooms/{}/receipt/m.read/{}", encode(&id), encode(&event)), &json!({})).await.ok();
    let read = ask(&al, Some(&typed["pos"]), 30_000, &all(19)).await;
    assert_eq!(read["extensions"]["typing"]["rooms"][&id]["content"]["user_ids"], json!([]));
    let receipts = &read["extensions"]["receipts"]["rooms"][&id];
    assert_eq!(receipts["type"], "m.receipt");
    assert!(receipts["content"][&event]["m.read"][&bo.user_id]["ts"].is_u64());
    let quiet = ask(&al, Some(&read["pos"]), 0, &all(19)).await;
    assert!(quiet["extensions"]["typing"].is_null() && quiet["extensions"]["receipts"].is_null());

    // Account data, of the account and of the room.
    al.put(&format!("user/{}/account_data/m.x", encode(&al.user_id)), &json!({"a": 1})).await.ok();
    let data = format!("user/{}/rooms/{}/account_data/m.marked_unread", encode(&al.user_id), encode(&id));
    al.put(&data, &json!({"unread": true})).await.ok();
    let quiet = ask(&al, Some(&quiet["pos"]), 30_000, &all(19)).await;
    let data = &quiet["extensions"]["account_data"];
    assert_eq!(data["global"], json!([{"type": "m.x", "content": {"a": 1}}]));
    assert_eq!(data["rooms"][&id], json!([{"type": "m.marked_unread", "content": {"unread": true}}]));

    // The own private receipt and marker, and the count that goes with them.
    let event = say(&bo, &id, "b").await;
    let unread = ask(&al, Some(&quiet["pos"]), 0, &all(19)).await;
    assert_eq!(unread["rooms"][&id]["notification_count"], 1);
    for kind in ["m.read.private", "m.fully_read"] {
        al.post(&format!("rooms/{}/receipt/{kind}/{}", encode(&id), encode(&event)), &json!({})).await.ok();
    }
    let read = ask(&al, Some(&unread["pos"]), 0, &all(19)).await;
    assert_eq!(read["rooms"][&id]["notification_count"], 0);
    let receipts = &read["extensions"]["receipts"]["rooms"][&id]["content"][&event];
    assert!(receipts["m.read.private"][&al.user_id].is_object());
    let data = &read["extensions"]["account_data"]["rooms"][&id];
    assert_eq!(data, &json!([{"type": "m.fully_read", "content": {"event_id": event}}]));
    let others = ask(&bo, None, 0, &all(19)).await;
    assert!(others["extensions"]["receipts"]["rooms"][&id]["content"][&event]["m.read.private"].is_null());
}

fn encryption(since: Option<&Value>) -> Value {
    let mut to_device = json!({"enabled": true});
    if let Some(since) = since {
        to_device["since"] = since.clone();
    }
    json!({"conn_id": "encryption", "extensions": {"to_device": to_device, "e2ee": {"enabled": true}}})
}

#[tokio::test]
async fn messages_to_a_device_come_until_they_are_acknowledged() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let send = |count: u64| {
        let body = json!({"messages": {&al.user_id: {&al.device_id: {"count": count}}}});
        let bo = bo.clone();
        async move { bo.put(&format!("sendToDevice/m.test/{count}"), &body).await.ok() }
    };
    let counts = |answer: &Value| {
        let events = answer["extensions"]["to_device"]["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["content"]["count"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let first = ask(&al, None, 0, &encryption(None)).await;
    let e2ee = &first["extensions"]["e2ee"];
    assert_eq!(e2ee["device_one_time_keys_count"], json!({"signed_curve25519": 0}));
    assert_eq!(e2ee["device_unused_fallback_key_types"], json!([]));
    let body = encryption(Some(&first["extensions"]["to_device"]["next_batch"]));
    let (second, _) = tokio::join!(ask(&al, Some(&first["pos"]), 30_000, &body), send(1));
    assert_eq!(counts(&second), [1]);
    send(2).await;
    // Not acknowledged: again, with what came since.
    let third = ask(&al, Some(&first["pos"]), 0, &body).await;
    assert_eq!(counts(&third), [1, 2]);
    let since = second["extensions"]["to_device"]["next_batch"].clone();
    let fourth = ask(&al, Some(&third["pos"]), 0, &encryption(Some(&since))).await;
    assert_eq!(counts(&fourth), [2]);

    server.restart().await;
    let lost = al.post(&format!("{PATH}?pos={}", fourth["pos"].as_str().unwrap()), &encryption(Some(&since))).await;
    // The position of a process that ended: everything again, but nothing that was acknowledged.
    assert_eq!(counts(&lost.ok()), [2]);
    // What was acknowledged stays away even from a client that has forgotten it.
    let fresh = ask(&al, None, 0, &encryption(None)).await;
    assert_eq!(counts(&fresh), [2]);
    // A token from nowhere acknowledges nothing to come.
    let far = ask(&al, Some(&fresh["pos"]), 0, &encryption(Some(&json!("18446744073709551615")))).await;
    assert_eq!(counts(&far), [2]);
    send(3).await;
    let since = fresh["extensions"]["to_device"]["next_batch"].clone();
    assert_eq!(counts(&ask(&al, Some(&far["pos"]), 0, &encryption(Some(&since))).await), [3]);
}

#[tokio::test]
async fn device_lists_follow_who_shares_a_room() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let first = ask(&al, None, 0, &encryption(None)).await;
    assert_eq!(first["extensions"]["e2ee"]["device_lists"]["changed"], json!([al.user_id]));
    let id = room(&al, &json!({})).await;
    let waiting = encryption(None);
    let (joined, ()) = tokio::join!(ask(&al, Some(&first["pos"]), 30_000, &waiting), enter(&al, &id, &bo));
    assert_eq!(joined["extensions"]["e2ee"]["device_lists"]["changed"], json!([bo.user_id]));
    bo.post(&format!("rooms/{}/leave", encode(&id)), &json!({})).await.ok();
    let left = ask(&al, Some(&joined["pos"]), 30_000, &encryption(None)).await;
    assert_eq!(left["extensions"]["e2ee"]["device_lists"]["left"], json!([bo.user_id]));
}

#[tokio::test]
async fn a_poll_ends_with_its_token_and_with_the_server() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let other = server.login(&al).await;
    let first = ask(&other, None, 0, &all(19)).await;
    let path = format!("{PATH}?timeout=30000&pos={}", first["pos"].as_str().unwrap());
    let body = all(19);
    let (ended, _) = tokio::join!(other.post(&path, &body), async {
        tokio::task::yield_now().await;
        other.post("logout", &json!({})).await.ok()
    });
    ended.refused(401, "M_UNKNOWN_TOKEN");

    let first = ask(&al, None, 0, &all(19)).await;
    let path = format!("{PATH}?timeout=30000&pos={}", first["pos"].as_str().unwrap());
    let poll = tokio::spawn(async move { al.post(&path, &all(19)).await });
    tokio::task::yield_now().await;
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
    assert!(stopped.is_ok());
    poll.abort();
}

/// What a waiting connection is told of messages between devices, by their text.
fn texts(answer: &Value) -> Vec<&str> {
    let events = answer["extensions"]["to_device"]["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["text"].as_str()).collect()
}

async fn tell(from: &Client, to: &Client, text: &str) {
    let body = json!({"messages": {&to.user_id: {&to.device_id: {"text": text}}}});
    from.put(&format!("sendToDevice/m.test/{text}"), &body).await.ok();
}

/// An invitation comes with the keys of what was said before, in a message between devices on a connection of its own:
/// the client must not learn by the other one that it is in before it has understood whose keys to take.
#[tokio::test]
async fn a_device_hears_of_its_own_join_after_the_messages_that_wait_for_it() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let keys = ask(&bo, None, 0, &encryption(None)).await;
    let mut both = all(19);
    both["conn_id"] = json!("both");
    both["extensions"]["to_device"] = json!({"enabled": true});
    let join = async |id: &str| bo.post(&format!("rooms/{}/join", encode(id)), &json!({})).await.ok();
    let invited = async |name: &str| {
        let id = room(&al, &json!({"name": name})).await;
        tell(&al, &bo, name).await;
        al.post(&format!("rooms/{}/invite", encode(&id)), &json!({"user_id": bo.user_id})).await.ok();
        let first = ask(&bo, None, 0, &all(19)).await;
        assert!(first["rooms"][&id]["invite_state"].is_array());
        (id, first["pos"].clone())
    };

    let (id, pos) = invited("one").await;
    let whole = ask(&bo, None, 0, &both).await;
    join(&id).await;
    let early = ask(&bo, Some(&pos), 0, &all(19)).await;
    assert_eq!((&early["rooms"], &early["lists"]["all_rooms"]["count"]), (&json!({}), &json!(1)));
    // A connection that carries both keeps their order by itself.
    assert_eq!(ask(&bo, Some(&whole["pos"]), 0, &both).await["rooms"][&id]["membership"], "join");
    // Who waits is answered as soon as the messages are fetched.
    let got = ask(&bo, Some(&keys["pos"]), 0, &encryption(None)).await;
    assert_eq!(texts(&got), ["one"]);
    let since = encryption(Some(&got["extensions"]["to_device"]["next_batch"]));
    let wanted = all(19);
    let (told, keys) =
        tokio::join!(ask(&bo, Some(&early["pos"]), 30_000, &wanted), ask(&bo, Some(&got["pos"]), 0, &since));
    assert_eq!((&told["rooms"][&id]["membership"], &told["rooms"][&id]["initial"]), (&json!("join"), &json!(true)));

    // Nothing waits: nothing is put off.
    let id = room(&al, &json!({"name": "two"})).await;
    al.post(&format!("rooms/{}/invite", encode(&id)), &json!({"user_id": bo.user_id})).await.ok();
    let seen = ask(&bo, Some(&told["pos"]), 0, &all(19)).await;
    join(&id).await;
    assert_eq!(ask(&bo, Some(&seen["pos"]), 0, &all(19)).await["rooms"][&id]["membership"], "join");

    // Nor for ever, where nobody fetches them.
    let (id, pos) = invited("three").await;
    join(&id).await;
    let early = ask(&bo, Some(&pos), 0, &all(19)).await;
    assert!(early["rooms"][&id].is_null());
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&bo, Some(&early["pos"]), 0, &all(19)).await["rooms"][&id]["membership"], "join");
    assert_eq!(texts(&ask(&bo, Some(&keys["pos"]), 0, &since).await), ["three"]);
}

/// Says something encrypted: the server knows nothing of it but its type.
async fn mutter(client: &Client, room: &str, text: &str) {
    let path = format!("rooms/{}/send/m.room.encrypted/{text}", encode(room));
    client.put(&path, &json!({"algorithm": "m.megolm.v1.aes-sha2", "body": text})).await.ok();
}

/// A room key comes on one connection, and the event that it decrypts on another: a request to verify that is looked at
/// before its key is lost for good.
#[tokio::test]
async fn an_encrypted_event_is_told_after_the_messages_that_came_before_it() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let (one, two) = (room(&al, &json!({"name": "one"})).await, room(&al, &json!({"name": "two"})).await);
    enter(&al, &one, &bo).await;
    enter(&al, &two, &bo).await;
    let waits = ask(&bo, None, 0, &encryption(None)).await;
    let rooms = ask(&bo, None, 0, &all(19)).await;
    let mut both = all(19);
    both["conn_id"] = json!("both");
    both["extensions"]["to_device"] = json!({"enabled": true});
    let whole = ask(&bo, None, 0, &both).await;

    tell(&al, &bo, "key").await;
    mutter(&al, &one, "first").await;
    say(&al, &two, "in the clear").await;
    let early = ask(&bo, Some(&rooms["pos"]), 0, &all(19)).await;
    assert_eq!(keys(&early["rooms"]), [&two]);
    // A connection that carries both keeps their order by itself, and one that begins is told what there is.
    assert_eq!(bodies(&ask(&bo, Some(&whole["pos"]), 0, &both).await["rooms"][&one]), ["first"]);
    let mut fresh = all(19);
    fresh["conn_id"] = json!("fresh");
    assert_eq!(bodies(&ask(&bo, None, 0, &fresh).await["rooms"][&one]), ["first"]);
    // Fetched is not understood: the client says so with its next request, and who waits is answered.
    let got = ask(&bo, Some(&waits["pos"]), 0, &encryption(None)).await;
    assert_eq!(texts(&got), ["key"]);
    let early = ask(&bo, Some(&early["pos"]), 0, &all(19)).await;
    assert_eq!(early["rooms"], json!({}));
    let since = encryption(Some(&got["extensions"]["to_device"]["next_batch"]));
    let wanted = all(19);
    let (told, waits) =
        tokio::join!(ask(&bo, Some(&early["pos"]), 30_000, &wanted), ask(&bo, Some(&got["pos"]), 0, &since));
    assert_eq!(bodies(&told["rooms"][&one]), ["first"]);

    // Nothing waits: nothing is put off. Nor is what the device said itself.
    mutter(&al, &one, "second").await;
    let told = ask(&bo, Some(&told["pos"]), 0, &all(19)).await;
    assert_eq!(bodies(&told["rooms"][&one]), ["second"]);
    tell(&al, &bo, "another").await;
    mutter(&bo, &one, "third").await;
    let told = ask(&bo, Some(&told["pos"]), 0, &all(19)).await;
    assert_eq!(bodies(&told["rooms"][&one]), ["third"]);

    // Messages of somebody else are not waited for.
    let cy = server.register("cy").await;
    enter(&al, &one, &cy).await;
    mutter(&cy, &one, "of-cy").await;
    let told = ask(&bo, Some(&told["pos"]), 0, &all(19)).await;
    assert_eq!(bodies(&told["rooms"][&one]), ["of-cy"]);

    // Nor for ever, where nobody fetches them and more come.
    mutter(&al, &one, "fourth").await;
    let early = ask(&bo, Some(&told["pos"]), 0, &all(19)).await;
    assert_eq!(early["rooms"], json!({}));
    server.clock.advance(Duration::from_secs(4));
    tell(&al, &bo, "more").await;
    mutter(&al, &one, "fifth").await;
    let early = ask(&bo, Some(&early["pos"]), 0, &all(19)).await;
    assert_eq!(early["rooms"], json!({}));
    server.clock.advance(Duration::from_secs(1));
    let told = ask(&bo, Some(&early["pos"]), 0, &all(19)).await;
    // Both, of which the list asks for the newest.
    assert_eq!((bodies(&told["rooms"][&one]), &told["rooms"][&one]["limited"]), (vec!["fifth"], &json!(true)));
    assert_eq!(texts(&ask(&bo, Some(&waits["pos"]), 0, &since).await), ["another", "more"]);
}

/// Clients send the requests for secrets and the word that a verification is done at once, in no order; whoever hears of
/// the request alone refuses it.
#[tokio::test]
async fn messages_sent_at_once_are_told_at_once() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let user = bo.user_id.as_str().try_into().expect("an id");
    let account = server.server().services().engine.accounts.open(user).expect("open");
    let first = ask(&bo, None, 0, &encryption(None)).await;
    let since = first["extensions"]["to_device"]["next_batch"].clone();
    let wanted = encryption(Some(&since));
    // Stands for a third message that is being written.
    let coming = account.expect(server.clock.monotonic());
    let (told, ()) = tokio::join!(ask(&bo, Some(&first["pos"]), 30_000, &wanted), async {
        tell(&al, &bo, "done").await;
        tell(&al, &bo, "request").await;
        drop(coming);
    });
    assert_eq!(texts(&told), ["done", "request"]);

    let coming = account.expect(server.clock.monotonic());
    let token = bo.get("sync?timeout=0").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let path = format!("sync?timeout=30000&since={token}");
    let (told, ()) = tokio::join!(bo.get(&path), async {
        tell(&al, &bo, "three").await;
        tell(&al, &bo, "four").await;
        drop(coming);
    });
    let told = told.ok();
    let events = told["to_device"]["events"].as_array().expect("messages");
    let texts: Vec<_> = events.iter().filter_map(|event| event["content"]["text"].as_str()).collect();
    assert_eq!(texts, ["three", "four"]);
}

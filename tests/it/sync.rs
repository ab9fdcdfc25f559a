//! Classic sync over HTTP: what a device is told, once, in order, over restarts.

use std::time::Duration;

use lethe::accounts::vault::VaultChange;
use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

/// What `client` is told behind `since`.
async fn sync_with(client: &Client, since: Option<&str>, query: &str) -> Value {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    client.get(&format!("sync?x=1{since}{query}")).await.ok()
}

async fn sync(client: &Client, since: Option<&Value>) -> Value {
    sync_with(client, since.map(|answer| answer["next_batch"].as_str().expect("a token")), "").await
}

fn filter(filter: &Value) -> String {
    format!("&filter={}", encode(&filter.to_string()))
}

async fn create(client: &Client, body: Value) -> String {
    client.post("createRoom", &body).await.ok()["room_id"].as_str().expect("an id").to_owned()
}

async fn say(client: &Client, room: &str, text: &str) -> String {
    send(client, room, "m.room.message", &json!({"msgtype": "m.text", "body": text})).await
}

async fn send(client: &Client, room: &str, kind: &str, content: &Value) -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let txn = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = format!("rooms/{}/send/{kind}/{txn}", encode(room));
    client.put(&path, content).await.ok()["event_id"].as_str().expect("an id").to_owned()
}

async fn act(client: &Client, room: &str, what: &str, body: Value) {
    client.post(&format!("rooms/{}/{what}", encode(room)), &body).await.ok();
}

async fn receipt(client: &Client, room: &str, kind: &str, event: &str, body: Value) {
    act(client, room, &format!("receipt/{kind}/{}", encode(event)), body).await;
}

/// A room of `al` with `others` in it.
async fn shared(al: &Client, others: &[&Client]) -> String {
    let invite: Vec<_> = others.iter().map(|other| &other.user_id).collect();
    let room = create(al, json!({"preset": "private_chat", "invite": invite})).await;
    for other in others {
        act(other, &room, "join", json!({})).await;
    }
    room
}

fn bodies(room: &Value) -> Vec<&str> {
    let events = room["timeline"]["events"].as_array().into_iter().flatten();
    events.filter_map(|event| event["content"]["body"].as_str()).collect()
}

fn types(events: &Value) -> Vec<&str> {
    events.as_array().into_iter().flatten().filter_map(|event| event["type"].as_str()).collect()
}

fn members(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    events.filter(|event| event["type"] == "m.room.member").filter_map(|event| event["state_key"].as_str()).collect()
}

async fn change(server: &TestServer, client: &Client, change: VaultChange) {
    let engine = &server.server().services().engine;
    let session = engine.accounts.session(&client.token).await.expect("a session");
    session.account.vault.change(&engine.journals, |_| vec![change]).await.expect("changed");
    session.account.notify();
}

async fn message(from: &Client, to: &Client, text: &str) {
    let body = json!({"messages": {&to.user_id: {&to.device_id: {"text": text}}}});
    from.put(&format!("sendToDevice/org.test/{text}"), &body).await.ok();
}

fn texts(answer: &Value) -> Vec<&str> {
    let events = answer["to_device"]["events"].as_array().expect("a list");
    events.iter().filter_map(|event| event["content"]["text"].as_str()).collect()
}

#[tokio::test]
async fn a_first_answer_has_everything_and_the_next_only_what_is_new() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    say(&al, &room, "one").await;
    let first = sync(&bo, None).await;
    let seen = &first["rooms"]["join"][&room];
    assert_eq!(bodies(seen), ["one"]);
    assert_eq!(
        seen["summary"],
        json!({"m.heroes": [al.user_id], "m.joined_member_count": 2, "m.invited_member_count": 0})
    );
    let all = [types(&seen["state"]["events"]), types(&seen["timeline"]["events"])].concat();
    assert_eq!(all.iter().filter(|kind| **kind == "m.room.create").count(), 1);
    assert_eq!(first["device_one_time_keys_count"], json!({"signed_curve25519": 0}));
    assert_eq!(first["device_unused_fallback_key_types"], json!([]));
    assert!(types(&first["account_data"]["events"]).contains(&"m.push_rules"));
    assert_eq!(first["device_lists"], json!({"changed": [], "left": []}));

    let nothing = sync(&bo, Some(&first)).await;
    assert_eq!(nothing["next_batch"], first["next_batch"]);
    assert_eq!(nothing["rooms"], json!({}));
    say(&al, &room, "two").await;
    let second = sync(&bo, Some(&nothing)).await;
    let seen = &second["rooms"]["join"][&room];
    assert_eq!((bodies(seen), &seen["timeline"]["limited"]), (vec!["two"], &json!(false)));
    assert_eq!(seen["state"]["events"], json!([]));
    assert!(seen.get("summary").is_none());
    // An answer that was lost can be asked for again.
    let again = sync(&bo, Some(&first)).await;
    assert_eq!(again["rooms"]["join"][&room]["timeline"], seen["timeline"]);
    assert_eq!(sync(&bo, Some(&second)).await["rooms"]["join"], Value::Null);
}

#[tokio::test]
async fn a_gap_is_limited_and_its_state_is_told() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    let first = sync(&bo, None).await;
    al.put(&format!("rooms/{}/state/m.room.name/", encode(&room)), &json!({"name": "before"})).await.ok();
    for n in 0..30 {
        say(&al, &room, &n.to_string()).await;
    }
    al.put(&format!("rooms/{}/state/m.room.topic/", encode(&room)), &json!({"topic": "late"})).await.ok();
    let query = filter(&json!({"room": {"timeline": {"limit": 3}}}));
    let gap = sync_with(&bo, first["next_batch"].as_str(), &query).await;
    let seen = &gap["rooms"]["join"][&room];
    assert_eq!((bodies(seen), &seen["timeline"]["limited"]), (vec!["28", "29"], &json!(true)));
    assert_eq!(types(&seen["state"]["events"]), ["m.room.name"]);
    let from = seen["timeline"]["prev_batch"].as_str().expect("a token");
    let page = bo.get(&format!("rooms/{}/messages?dir=b&limit=2&from={from}", encode(&room))).await.ok();
    assert_eq!(page["chunk"][0]["content"]["body"], "27");
    let after = sync_with(&bo, first["next_batch"].as_str(), &format!("{query}&use_state_after=true")).await;
    let seen = &after["rooms"]["join"][&room];
    assert!(seen.get("state").is_none());
    assert_eq!(types(&seen["state_after"]["events"]), ["m.room.name", "m.room.topic"]);
    let proposed = format!("{query}&org.matrix.msc4222.use_state_after=true");
    let after = sync_with(&bo, first["next_batch"].as_str(), &proposed).await;
    let seen = &after["rooms"]["join"][&room];
    assert!(seen.get("state").is_none() && seen.get("state_after").is_none());
    assert_eq!(types(&seen["org.matrix.msc4222.state_after"]["events"]), ["m.room.name", "m.room.topic"]);
    let full = sync_with(&bo, gap["next_batch"].as_str(), "&full_state=true&timeout=30000").await;
    let seen = &full["rooms"]["join"][&room];
    assert!(types(&seen["state"]["events"]).contains(&"m.room.create"));
    assert_eq!(bodies(seen), Vec::<&str>::new());
}

#[tokio::test]
async fn members_come_when_they_speak() {
    let server = TestServer::open().await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = shared(&al, &[&bo, &cy]).await;
    al.put(&format!("rooms/{}/state/m.room.name/", encode(&room)), &json!({"name": "named"})).await.ok();
    for n in 0..3 {
        say(&al, &room, &n.to_string()).await;
    }
    let lazy =
        |limit: usize| filter(&json!({"room": {"timeline": {"limit": limit}, "state": {"lazy_load_members": true}}}));
    let first = sync_with(&bo, None, &lazy(2)).await;
    let state = &first["rooms"]["join"][&room]["state"]["events"];
    assert_eq!(members(state), [&al.user_id, &bo.user_id]);
    say(&al, &room, "known").await;
    say(&cy, &room, "new").await;
    let second = sync_with(&bo, first["next_batch"].as_str(), &lazy(10)).await;
    assert_eq!(members(&second["rooms"]["join"][&room]["state"]["events"]), [&cy.user_id]);
    say(&cy, &room, "again").await;
    let third = sync_with(&bo, second["next_batch"].as_str(), &lazy(10)).await;
    assert_eq!(members(&third["rooms"]["join"][&room]["state"]["events"]), Vec::<&str>::new());
    let redundant = json!({"room": {"state": {"lazy_load_members": true, "include_redundant_members": true}}});
    let fourth = sync_with(&bo, second["next_batch"].as_str(), &filter(&redundant)).await;
    assert_eq!(members(&fourth["rooms"]["join"][&room]["state"]["events"]), [&cy.user_id]);
    // What happens to members in a gap is told whoever speaks.
    act(&cy, &room, "leave", json!({})).await;
    for n in 0..3 {
        say(&al, &room, &n.to_string()).await;
    }
    let gap = sync_with(&bo, third["next_batch"].as_str(), &lazy(2)).await;
    assert_eq!(members(&gap["rooms"]["join"][&room]["state"]["events"]), [&cy.user_id]);
    assert_eq!(gap["rooms"]["join"][&room]["summary"]["m.joined_member_count"], 2);
}

#[tokio::test]
async fn invitations_and_partings_are_told_once() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let start = sync(&bo, None).await;
    let room = create(&al, json!({"preset": "private_chat", "name": "R"})).await;
    act(&al, &room, "invite", json!({"user_id": bo.user_id})).await;
    let invited = sync(&bo, Some(&start)).await;
    let state = &invited["rooms"]["invite"][&room]["invite_state"]["events"];
    assert!(types(state).contains(&"m.room.name") && members(state).contains(&&*bo.user_id));
    assert_eq!(sync(&bo, Some(&invited)).await["rooms"]["invite"], Value::Null);
    say(&al, &room, "before").await;
    act(&bo, &room, "join", json!({})).await;
    let joined = sync(&bo, Some(&invited)).await;
    let seen = &joined["rooms"]["join"][&room];
    let all = [types(&seen["state"]["events"]), types(&seen["timeline"]["events"])].concat();
    assert!(all.contains(&"m.room.create"));
    assert_eq!(joined["device_lists"]["changed"], json!([al.user_id, bo.user_id]));

    say(&al, &room, "last words").await;
    act(&al, &room, "kick", json!({"user_id": bo.user_id, "reason": "x"})).await;
    say(&al, &room, "unheard").await;
    let left = sync(&bo, Some(&joined)).await;
    let seen = &left["rooms"]["leave"][&room];
    assert_eq!(bodies(seen), ["last words"]);
    assert_eq!(seen["timeline"]["events"][1]["content"]["membership"], "leave");
    assert_eq!(left["rooms"]["join"], Value::Null);
    assert_eq!(left["device_lists"], json!({"changed": [], "left": [al.user_id]}));
    assert_eq!(sync(&bo, Some(&left)).await["rooms"]["leave"], Value::Null);
    assert_eq!(sync(&bo, None).await["rooms"]["leave"], Value::Null);
    let with = sync_with(&bo, None, &filter(&json!({"room": {"include_leave": true}}))).await;
    assert!(with["rooms"]["leave"].get(&room).is_some());

    // Invited again, refused, and invited once more.
    for _ in 0..2 {
        act(&al, &room, "invite", json!({"user_id": bo.user_id})).await;
        let invited = sync(&bo, Some(&left)).await;
        assert!(invited["rooms"]["invite"].get(&room).is_some());
        act(&bo, &room, "leave", json!({})).await;
        let refused = sync(&bo, Some(&invited)).await;
        assert!(refused["rooms"]["leave"].get(&room).is_some());
    }
}

#[tokio::test]
async fn receipts_and_typing_are_told() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    let event = say(&al, &room, "one").await;
    let (mine, theirs) = (sync(&al, None).await, sync(&bo, None).await);
    receipt(&bo, &room, "m.read", &event, json!({})).await;
    receipt(&bo, &room, "m.read.private", &event, json!({"thread_id": "main"})).await;
    receipt(&bo, &room, "m.fully_read", &event, json!({})).await;
    let seen = sync(&al, Some(&mine)).await;
    let seen = &seen["rooms"]["join"][&room];
    let content = &seen["ephemeral"]["events"][0]["content"][&event];
    assert!(content["m.read"][&bo.user_id]["ts"].is_u64() && content.get("m.read.private").is_none());
    assert_eq!(seen["account_data"]["events"], json!([]));
    let own = sync(&bo, Some(&theirs)).await;
    let own_room = &own["rooms"]["join"][&room];
    assert_eq!(
        own_room["ephemeral"]["events"][0]["content"][&event]["m.read.private"][&bo.user_id]["thread_id"],
        "main"
    );
    assert_eq!(own_room["account_data"]["events"], json!([{"type": "m.fully_read", "content": {"event_id": event}}]));
    assert_eq!(sync(&bo, Some(&own)).await["rooms"]["join"], Value::Null);

    let path = format!("rooms/{}/typing/{}", encode(&room), encode(&bo.user_id));
    bo.put(&path, &json!({"typing": true, "timeout": 10_000})).await.ok();
    let seen = sync(&al, Some(&mine)).await;
    let typing = |answer: &Value| {
        let events = answer["rooms"]["join"][&room]["ephemeral"]["events"].as_array().cloned().unwrap_or_default();
        events.into_iter().find(|event| event["type"] == "m.typing").map(|event| event["content"]["user_ids"].clone())
    };
    assert_eq!(typing(&seen), Some(json!([bo.user_id])));
    server.clock.advance(Duration::from_secs(11));
    let seen = sync(&al, Some(&seen)).await;
    assert_eq!(typing(&seen), Some(json!([])));
    assert_eq!(typing(&sync(&al, Some(&seen)).await), None);
}

#[tokio::test]
async fn account_data_is_told_when_it_changes() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let room = shared(&al, &[]).await;
    let first = sync(&al, None).await;
    change(&server, &al, VaultChange::AccountData("m.direct".to_owned(), Some(json!({"x": []})))).await;
    let id = room.as_str().try_into().expect("an id");
    change(&server, &al, VaultChange::RoomData(id, "m.tag".to_owned(), Some(json!({"tags": {}})))).await;
    let second = sync(&al, Some(&first)).await;
    assert_eq!(second["account_data"]["events"], json!([{"type": "m.direct", "content": {"x": []}}]));
    let of_room = &second["rooms"]["join"][&room]["account_data"]["events"];
    assert_eq!(*of_room, json!([{"type": "m.tag", "content": {"tags": {}}}]));
    let none = filter(&json!({"account_data": {"not_types": ["*"]}, "room": {"account_data": {"types": []}}}));
    let filtered = sync_with(&al, first["next_batch"].as_str(), &none).await;
    assert_eq!((&filtered["account_data"]["events"], &filtered["rooms"]["join"]), (&json!([]), &Value::Null));
    assert_eq!(sync(&al, Some(&second)).await["account_data"]["events"], json!([]));
}

#[tokio::test]
async fn messages_to_a_device_are_acknowledged_by_asking_on() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let start = sync(&bo, None).await;
    message(&al, &bo, "one").await;
    let first = sync(&bo, Some(&start)).await;
    assert_eq!(texts(&first), ["one"]);
    assert_eq!(texts(&sync(&bo, Some(&start)).await), ["one"], "not acknowledged yet");
    message(&al, &bo, "two").await;
    let second = sync(&bo, Some(&first)).await;
    assert_eq!(texts(&second), ["two"]);
    assert_eq!(texts(&sync(&bo, None).await), ["two"], "one was acknowledged");
    server.restart().await;
    let third = sync(&bo, Some(&first)).await;
    assert_eq!(texts(&third), ["two"]);
    assert_eq!(texts(&sync(&bo, Some(&third)).await), Vec::<&str>::new());
    server.restart().await;
    assert_eq!(texts(&sync(&bo, None).await), Vec::<&str>::new());
    for n in 0..150 {
        message(&al, &bo, &format!("m{n}")).await;
    }
    let batch = sync(&bo, Some(&third)).await;
    assert_eq!(texts(&batch).len(), 100);
    assert_eq!(texts(&sync(&bo, Some(&batch)).await).len(), 50);
}

#[tokio::test]
async fn a_restart_in_order_continues_where_the_device_was() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let (room, quiet) = (shared(&al, &[&bo]).await, shared(&al, &[&bo]).await);
    for n in 0..15 {
        say(&al, &quiet, &n.to_string()).await;
    }
    let invitation = create(&al, json!({"invite": [bo.user_id]})).await;
    let first = sync(&bo, None).await;
    let second = sync(&bo, Some(&first)).await;
    server.restart().await;
    bo.get("account/whoami").await.ok();
    say(&al, &room, "while away").await;
    let resumed = sync(&bo, Some(&second)).await;
    let seen = &resumed["rooms"]["join"][&room];
    assert_eq!((bodies(seen), &seen["timeline"]["limited"]), (vec!["while away"], &json!(false)));
    let untouched = &resumed["rooms"]["join"][&quiet];
    assert_eq!(untouched["timeline"]["events"].as_array().map_or(0, Vec::len), 0);
    assert!(resumed["rooms"]["invite"].get(&invitation).is_some());
    let next = sync(&bo, Some(&resumed)).await;
    assert_eq!(next["rooms"]["join"], Value::Null);
}

#[tokio::test]
async fn device_lists_follow_who_shares_a_room() {
    let server = TestServer::open().await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = shared(&al, &[&bo]).await;
    let first = sync(&al, None).await;
    let upload = |client: &Client| {
        let keys = json!({
            "user_id": client.user_id, "device_id": client.device_id, "algorithms": [],
            "keys": {}, "signatures": {},
        });
        json!({"device_keys": keys})
    };
    bo.post("keys/upload", &upload(&bo)).await.ok();
    cy.post("keys/upload", &upload(&cy)).await.ok();
    let second = sync(&al, Some(&first)).await;
    assert_eq!(second["device_lists"], json!({"changed": [bo.user_id], "left": []}));
    act(&al, &room, "invite", json!({"user_id": cy.user_id})).await;
    act(&cy, &room, "join", json!({})).await;
    let third = sync(&al, Some(&second)).await;
    assert_eq!(third["device_lists"], json!({"changed": [cy.user_id], "left": []}));
    act(&cy, &room, "leave", json!({})).await;
    let fourth = sync(&al, Some(&third)).await;
    assert_eq!(fourth["device_lists"], json!({"changed": [], "left": [cy.user_id]}));
    assert_eq!(sync(&al, Some(&fourth)).await["device_lists"], json!({"changed": [], "left": []}));
}

#[tokio::test]
async fn unread_events_are_counted_and_read() {
    let server = TestServer::open().await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = shared(&al, &[&bo, &cy]).await;
    let first = sync(&bo, None).await;
    let unread = |answer: &Value| {
        let counts = &answer["rooms"]["join"][&room]["unread_notifications"];
        (counts["notification_count"].as_u64(), counts["highlight_count"].as_u64())
    };
    assert_eq!(unread(&first), (Some(0), Some(0)));
    let root = say(&al, &room, "one").await;
    let mention = json!({"msgtype": "m.text", "body": "x", "m.mentions": {"user_ids": [bo.user_id]}});
    let mention = send(&al, &room, "m.room.message", &mention).await;
    say(&bo, &room, "mine").await;
    send(
        &al,
        &room,
        "m.reaction",
        &json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "+"}}),
    )
    .await;
    let second = sync(&bo, Some(&first)).await;
    assert_eq!(unread(&second), (Some(2), Some(1)));
    let threaded =
        json!({"msgtype": "m.text", "body": "t", "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
    let reply = send(&al, &room, "m.room.message", &threaded).await;
    let third = sync(&bo, Some(&second)).await;
    assert_eq!(unread(&third), (Some(3), Some(1)));
    let threads = filter(&json!({"room": {"timeline": {"unread_thread_notifications": true}}}));
    let split = sync_with(&bo, second["next_batch"].as_str(), &threads).await;
    assert_eq!(unread(&split), (Some(2), Some(1)));
    let counts = &split["rooms"]["join"][&room]["unread_thread_notifications"];
    assert_eq!(*counts, json!({&root: {"notification_count": 1, "highlight_count": 0}}));

    receipt(&bo, &room, "m.read", &mention, json!({"thread_id": "main"})).await;
    let fourth = sync(&bo, Some(&third)).await;
    assert_eq!(unread(&fourth), (Some(1), Some(0)));
    receipt(&bo, &room, "m.read.private", &reply, json!({"thread_id": root})).await;
    let fifth = sync(&bo, Some(&fourth)).await;
    assert_eq!(unread(&fifth), (Some(0), Some(0)));
    let split = sync_with(&bo, fourth["next_batch"].as_str(), &threads).await;
    assert_eq!(unread(&split), (Some(0), Some(0)));
    assert!(split["rooms"]["join"][&room].get("unread_thread_notifications").is_none());
    // What is redacted before it was read counts no more.
    let gone = say(&al, &room, "oops").await;
    let sixth = sync(&bo, Some(&fifth)).await;
    assert_eq!(unread(&sixth), (Some(1), Some(0)));
    al.put(&format!("rooms/{}/redact/{}/r1", encode(&room), encode(&gone)), &json!({})).await.ok();
    let seventh = sync(&bo, Some(&sixth)).await;
    assert_eq!(unread(&seventh), (Some(0), Some(0)));
    // A receipt for the whole room reads threads too.
    send(&al, &room, "m.room.message", &threaded).await;
    let last = say(&al, &room, "end").await;
    let eighth = sync(&bo, Some(&seventh)).await;
    assert_eq!(unread(&eighth), (Some(2), Some(0)));
    receipt(&bo, &room, "m.read", &last, json!({})).await;
    assert_eq!(unread(&sync(&bo, Some(&eighth)).await), (Some(0), Some(0)));
}

#[tokio::test]
async fn filters_choose_rooms_and_events() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let (room, other) = (shared(&al, &[&bo]).await, shared(&al, &[&bo]).await);
    say(&al, &room, "by al").await;
    say(&bo, &room, "by bo").await;
    let one = sync_with(&bo, None, &filter(&json!({"room": {"rooms": [room]}}))).await;
    assert!(one["rooms"]["join"].get(&room).is_some() && one["rooms"]["join"].get(&other).is_none());
    let chosen =
        json!({"room": {"timeline": {"types": ["m.room.mess*"], "not_senders": [bo.user_id]}, "state": {"types": []}}});
    let seen = sync_with(&bo, None, &filter(&chosen)).await;
    let seen = &seen["rooms"]["join"][&room];
    assert_eq!((bodies(seen), &seen["state"]["events"]), (vec!["by al"], &json!([])));
    let fields = json!({"event_fields": ["content.body", "type"], "room": {"timeline": {"limit": 1}}});
    let seen = sync_with(&bo, None, &filter(&fields)).await;
    let event = &seen["rooms"]["join"][&room]["timeline"]["events"][0];
    assert_eq!(*event, json!({"content": {"body": "by bo"}, "type": "m.room.message"}));
    change(&server, &bo, VaultChange::Filter("7".to_owned(), json!({"room": {"not_rooms": [room]}}))).await;
    let stored = sync_with(&bo, None, "&filter=7").await;
    assert!(stored["rooms"]["join"].get(&room).is_none() && stored["rooms"]["join"].get(&other).is_some());
    bo.get("sync?filter=8").await.refused(400, "M_INVALID_PARAM");
    bo.get(&format!("sync?x{}", filter(&json!({"room": 1})))).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn tokens_of_others_get_everything_and_acknowledge_nothing() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    let gone = shared(&al, &[&bo]).await;
    act(&bo, &gone, "leave", json!({})).await;
    message(&al, &bo, "kept").await;
    message(&bo, &al, "read").await;
    let read = sync(&al, None).await;
    assert_eq!(texts(&read), ["read"]);
    let theirs = read["next_batch"].as_str().expect("a token").to_owned();
    let mine = sync(&bo, None).await["next_batch"].as_str().expect("a token").to_owned();
    let second = server.login(&bo).await;
    let (start, end) = mine.split_at(8);
    let future = format!("{start}{}", end.replacen('A', "B", 1));
    for (who, token) in [(&bo, theirs.as_str()), (&second, &mine), (&bo, &future)] {
        let all = sync_with(who, Some(token), "&timeout=60000").await;
        assert_eq!(all["rooms"]["join"][&room]["timeline"]["limited"], json!(true), "{token}");
        assert_eq!(members(&all["rooms"]["leave"][&gone]["timeline"]["events"]).last(), Some(&bo.user_id.as_str()));
        let kept = if who.device_id == bo.device_id { vec!["kept"] } else { vec![] };
        assert_eq!(texts(&all), kept, "{token}");
    }
    for text in ["s1_2_3", "p", "s", "s%20", start] {
        bo.get(&format!("sync?since={text}")).await.refused(400, "M_INVALID_PARAM");
    }
    sync_with(&bo, Some(&mine), "").await;
}

#[tokio::test]
async fn a_room_that_is_new_since_the_token_may_have_a_past() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let first = sync(&bo, None).await;
    let room = create(&al, json!({"preset": "public_chat"})).await;
    say(&al, &room, "before").await;
    act(&bo, &room, "join", json!({})).await;
    let joined = sync(&bo, Some(&first)).await;
    let seen = &joined["rooms"]["join"][&room]["timeline"];
    assert_eq!((bodies(&joined["rooms"]["join"][&room]), &seen["limited"]), (vec!["before"], &json!(true)));
    say(&al, &room, "after").await;
    let then = sync(&bo, Some(&joined)).await;
    assert_eq!(then["rooms"]["join"][&room]["timeline"]["limited"], json!(false));
}

#[tokio::test]
async fn leaving_is_told_also_with_full_state() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = create(&al, json!({})).await;
    let first = sync(&bo, None).await;
    act(&al, &room, "invite", json!({"user_id": bo.user_id})).await;
    let invited = sync(&bo, Some(&first)).await;
    assert!(invited["rooms"]["invite"].get(&room).is_some());
    act(&bo, &room, "leave", json!({})).await;
    let since = invited["next_batch"].as_str().expect("a token");
    let left = sync_with(&bo, Some(since), "&full_state=true").await;
    assert!(left["rooms"]["leave"].get(&room).is_some());
    let since = left["next_batch"].as_str().expect("a token");
    let quiet = sync_with(&bo, Some(since), "&full_state=true").await;
    assert_eq!(quiet["rooms"]["leave"], Value::Null);
    let with_left = format!("&full_state=true{}", filter(&json!({"room": {"include_leave": true}})));
    assert!(sync_with(&bo, Some(since), &with_left).await["rooms"]["leave"].get(&room).is_some());
}

#[tokio::test]
async fn a_wait_ends_with_what_it_waited_for_and_no_wake_up_is_lost() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    let mut since = sync(&bo, None).await;
    for n in 0..40 {
        let text = n.to_string();
        let (waiter, token) = (bo.clone(), since["next_batch"].as_str().expect("a token").to_owned());
        let waiting = tokio::spawn(async move { sync_with(&waiter, Some(&token), "&timeout=60000").await });
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        say(&al, &room, &text).await;
        let answer = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("woken").expect("no panic");
        assert_eq!(bodies(&answer["rooms"]["join"][&room]), [text]);
        since = answer;
    }
}

#[tokio::test]
async fn a_wait_ends_with_its_time_its_session_or_the_server() {
    let mut server = TestServer::open().await;
    let al = server.register("al").await;
    let first = sync(&al, None).await;
    let token = first["next_batch"].as_str().expect("a token").to_owned();
    let empty = sync_with(&al, Some(&token), "&timeout=30").await;
    assert_eq!(empty["next_batch"], first["next_batch"]);
    let wait = |client: &Client, token: &str| {
        let (client, token) = (client.clone(), token.to_owned());
        tokio::spawn(async move { client.get(&format!("sync?timeout=60000&since={token}")).await })
    };
    let second = server.login(&al).await;
    let of_second = sync(&second, None).await["next_batch"].as_str().expect("a token").to_owned();
    let (ending, staying) = (wait(&second, &of_second), wait(&al, &token));
    second.post("logout", &json!({})).await.ok();
    let soon = Duration::from_secs(20);
    let ended = tokio::time::timeout(soon, ending).await.expect("answered").expect("no panic");
    ended.refused(401, "M_UNKNOWN_TOKEN");
    server.restart().await;
    let stayed = tokio::time::timeout(soon, staying).await.expect("answered").expect("no panic");
    assert_eq!(stayed.ok()["next_batch"].as_str(), Some(&*token));
    sync_with(&al, Some(&token), "").await;
}

#[tokio::test]
async fn a_wait_outlives_a_change_of_password() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    let token = sync(&bo, None).await["next_batch"].as_str().expect("a token").to_owned();
    let waiter = bo.clone();
    let since = token.clone();
    let waiting = tokio::spawn(async move { sync_with(&waiter, Some(&since), "&timeout=60000").await });
    let body = json!({"new_password": "another one", "logout_devices": true, "auth": bo.auth()});
    bo.post("account/password", &body).await.ok();
    say(&al, &room, "one").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("woken").expect("no panic");
    let behind = sync(&bo, Some(&answer)).await;
    assert_eq!([bodies(&answer["rooms"]["join"][&room]), bodies(&behind["rooms"]["join"][&room])].concat(), ["one"]);
}

#[tokio::test]
async fn knocks_are_told_until_they_are_answered() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let rules = json!({"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}});
    let room = create(&al, json!({"preset": "private_chat", "initial_state": [rules]})).await;
    let start = sync(&bo, None).await;
    bo.post(&format!("knock/{}", encode(&room)), &json!({})).await.ok();
    let seen = sync(&bo, Some(&start)).await;
    assert!(members(&seen["rooms"]["knock"][&room]["knock_state"]["events"]).contains(&&*bo.user_id));
    assert_eq!(sync(&bo, Some(&seen)).await["rooms"]["knock"], Value::Null);
    act(&al, &room, "kick", json!({"user_id": bo.user_id})).await;
    assert!(sync(&bo, Some(&seen)).await["rooms"]["leave"].get(&room).is_some());
}

#[tokio::test]
async fn first_answers_at_the_same_time_are_complete() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &[&bo]).await;
    say(&al, &room, "one").await;
    let asked: Vec<_> =
        (0..8).map(|_| bo.clone()).map(|bo| tokio::spawn(async move { sync(&bo, None).await })).collect();
    let mut tokens = std::collections::BTreeSet::new();
    for answer in asked {
        let answer = answer.await.expect("no panic");
        assert_eq!(bodies(&answer["rooms"]["join"][&room]), ["one"]);
        tokens.insert(answer["next_batch"].to_string());
    }
    assert_eq!(tokens.len(), 8);
}

//! What has expired is gone from every answer, and clients stay well.

use std::time::Duration;

use ruma::events::{AnyMessageLikeEvent, AnyTimelineEvent, MessageLikeEvent};
use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

/// Longer than messages live by default.
const LONG: Duration = Duration::from_hours(31 * 24);

/// Moves the clock, and lets the server do what it does every minute.
async fn pass(server: &TestServer, by: Duration) {
    server.clock.advance(by);
    let engine = &server.server().services().engine;
    engine.rooms.forget_expired(lethe::clock::Clock::now(&*server.clock), true).await.expect("forgotten");
}

async fn create(client: &Client, body: Value) -> String {
    client.post("createRoom", &body).await.ok()["room_id"].as_str().expect("an id").to_owned()
}

async fn send(client: &Client, room: &str, kind: &str, content: &Value) -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let txn = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = format!("rooms/{}/send/{kind}/{txn}", encode(room));
    client.put(&path, content).await.ok()["event_id"].as_str().expect("an id").to_owned()
}

async fn say(client: &Client, room: &str, text: &str) -> String {
    send(client, room, "m.room.message", &json!({"msgtype": "m.text", "body": text})).await
}

async fn sync(client: &Client, since: Option<&Value>) -> Value {
    let since = since.map(|answer| format!("?since={}", answer["next_batch"].as_str().expect("a token")));
    client.get(&format!("sync{}", since.unwrap_or_default())).await.ok()
}

/// A room of `al` that `bo` has joined.
async fn shared(al: &Client, bo: &Client) -> String {
    let room = create(al, json!({"preset": "private_chat", "invite": [bo.user_id]})).await;
    bo.post(&format!("rooms/{}/join", encode(&room)), &json!({})).await.ok();
    room
}

fn bodies(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    events.filter_map(|event| event["content"]["body"].as_str()).collect()
}

async fn messages(client: &Client, room: &str, query: &str) -> Value {
    client.get(&format!("rooms/{}/messages?{query}", encode(room))).await.ok()
}

#[tokio::test]
async fn messages_end_where_memory_begins() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    for text in ["one", "two", "three"] {
        say(&al, &room, text).await;
    }
    let old = messages(&bo, &room, "dir=b&limit=2").await;
    let (below, above) =
        (old["end"].as_str().expect("a token").to_owned(), old["start"].as_str().expect("a token").to_owned());
    pass(&server, Duration::from_hours(20 * 24)).await;
    for text in ["four", "five"] {
        say(&al, &room, text).await;
    }
    pass(&server, Duration::from_hours(11 * 24)).await;
    for restarted in [false, true] {
        let back = messages(&bo, &room, "dir=b&limit=50").await;
        assert_eq!(bodies(&back["chunk"]), ["five", "four"], "restarted: {restarted}");
        assert_eq!(back["end"], Value::Null);
        let ahead = messages(&bo, &room, "dir=f&limit=50").await;
        assert_eq!(bodies(&ahead["chunk"]), ["four", "five"]);
        // Tokens into what has expired stand where memory begins.
        for token in [&below, &above] {
            let back = messages(&bo, &room, &format!("dir=b&from={token}")).await;
            assert_eq!((back["chunk"].as_array().map(Vec::len), &back["end"]), (Some(0), &Value::Null));
            let ahead = messages(&bo, &room, &format!("dir=f&from={token}")).await;
            assert_eq!(bodies(&ahead["chunk"]), ["four", "five"]);
        }
        server.restart().await;
        sync(&bo, None).await;
    }
    pass(&server, LONG).await;
    let nothing = messages(&bo, &room, "dir=b&limit=50").await;
    assert_eq!((nothing["chunk"].as_array().map(Vec::len), &nothing["end"]), (Some(0), &Value::Null));
    say(&al, &room, "six").await;
    assert_eq!(bodies(&messages(&bo, &room, "dir=b&limit=50").await["chunk"]), ["six"]);
}

#[tokio::test]
async fn a_sync_token_into_what_has_expired_gets_a_limited_timeline() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    say(&al, &room, "told").await;
    let told = sync(&bo, None).await;
    pass(&server, LONG).await;
    // Who was told of everything has missed nothing.
    let nothing = sync(&bo, Some(&told)).await;
    assert!(nothing["rooms"]["join"].get(&room).is_none_or(|room| room["timeline"]["limited"] == false), "{nothing}");
    say(&al, &room, "missed").await;
    pass(&server, LONG).await;
    al.put(&format!("rooms/{}/state/m.room.topic/", encode(&room)), &json!({"topic": "new"})).await.ok();
    for restarted in [false, true] {
        for text in if restarted { vec![] } else { vec!["new"] } {
            say(&al, &room, text).await;
        }
        let gap = sync(&bo, Some(&told)).await;
        let seen = &gap["rooms"]["join"][&room];
        assert_eq!(
            (bodies(&seen["timeline"]["events"]), &seen["timeline"]["limited"]),
            (vec!["new"], &json!(true)),
            "{gap}"
        );
        // The client takes the whole state, because it has missed changes of it.
        assert!(
            seen["state"]["events"].as_array().expect("a list").iter().any(|event| event["type"] == "m.room.create")
        );
        let before = seen["timeline"]["prev_batch"].as_str().expect("a token");
        let page = messages(&bo, &room, &format!("dir=b&from={before}")).await;
        assert_eq!((page["chunk"].as_array().map(Vec::len), &page["end"]), (Some(0), &Value::Null));
        let next = sync(&bo, Some(&gap)).await;
        assert_eq!(next["rooms"]["join"], Value::Null);
        server.restart().await;
    }
}

/// `GET` of something that is not there any more.
async fn missing(client: &Client, path: &str) {
    client.get(path).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_has_expired_is_in_no_answer() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let of_room = |what: &str| format!("rooms/{}/{what}", encode(&room));
    let v1 = |what: &str| format!("/_matrix/client/v1/rooms/{}/{what}", encode(&room));
    let old = say(&al, &room, "kitten").await;
    let related = |kind: &str, id: &str| json!({"rel_type": kind, "event_id": id, "key": "kitten"});
    send(&bo, &room, "m.reaction", &json!({"m.relates_to": related("m.annotation", &old)})).await;
    let edit = json!({"msgtype": "m.text", "body": "* kitten", "m.new_content": {"msgtype": "m.text", "body": "kitten"},
        "m.relates_to": related("m.replace", &old)});
    send(&al, &room, "m.room.message", &edit).await;
    let reply = json!({"msgtype": "m.text", "body": "kitten", "m.relates_to": related("m.thread", &old)});
    let reply = send(&al, &room, "m.room.message", &reply).await;
    let topic = al.put(&of_room("state/m.room.topic/"), &json!({"topic": "kitten"})).await.ok();
    al.put(&of_room("state/m.room.topic/"), &json!({"topic": "other"})).await.ok();
    al.put(&of_room("state/m.room.pinned_events/"), &json!({"pinned": [old]})).await.ok();
    let create = al.get(&of_room("state")).await.ok();
    let create = create.as_array().expect("a list").iter().find(|event| event["type"] == "m.room.create");
    let create = create.expect("a room has one")["event_id"].as_str().expect("an id").to_owned();
    al.put(
        &format!(
            "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription",
            encode(&room),
            encode(&old)
        ),
        &json!({}),
    )
    .await
    .ok();
    let found = json!({"search_categories": {"room_events": {"search_term": "kitten", "event_context": {}}}});
    let count = al.post("search", &found).await.ok()["search_categories"]["room_events"]["count"].clone();
    assert!(count.as_u64() > Some(0), "{count}");
    assert_ne!(bo.get("notifications").await.ok()["notifications"], json!([]));
    let hour = |hour: u64| format!("timestamp_to_event?dir=b&ts={}", crate::server::NOW.0 + hour * 3_600_000);
    al.get(&v1(&hour(1))).await.ok();

    pass(&server, LONG).await;
    let new = say(&al, &room, "new").await;
    for restarted in [false, true] {
        for id in [&old, &reply, topic["event_id"].as_str().expect("an id")] {
            missing(&al, &of_room(&format!("event/{}", encode(id)))).await;
            missing(&al, &of_room(&format!("context/{}", encode(id)))).await;
            missing(&al, &v1(&format!("relations/{}", encode(id)))).await;
            missing(&al, &format!("events/{}", encode(id))).await;
            al.post(&of_room(&format!("report/{}", encode(id))), &json!({})).await.refused(404, "M_NOT_FOUND");
            al.put(&of_room(&format!("redact/{}/r{restarted}", encode(id))), &json!({}))
                .await
                .refused(404, "M_NOT_FOUND");
            // A marker for it is accepted.
            bo.post(&of_room(&format!("receipt/m.read/{}", encode(id))), &json!({})).await.ok();
            bo.post(&of_room("read_markers"), &json!({"m.fully_read": id})).await.ok();
        }
        missing(&al, &v1(&hour(1))).await;
        let ahead = al.get(&v1(&hour(1).replace("dir=b", "dir=f"))).await.ok();
        assert_eq!(ahead["event_id"], new.as_str());
        assert_eq!(al.get(&v1("threads")).await.ok()["chunk"], json!([]));
        let thread = format!(
            "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription",
            encode(&room),
            encode(&old)
        );
        missing(&al, &thread).await;
        // What is part of the present state is there, with no place in the timeline.
        assert_eq!(al.get(&of_room(&format!("event/{}", encode(&create)))).await.ok()["type"], "m.room.create");
        missing(&al, &of_room(&format!("context/{}", encode(&create)))).await;
        let around = al.get(&of_room(&format!("context/{}", encode(&new)))).await.ok();
        assert_eq!((bodies(&around["events_before"]).len(), &around["event"]["content"]["body"]), (0, &json!("new")));
        for (client, path) in [
            (&al, "sync".to_owned()),
            (&bo, "sync?full_state=true".to_owned()),
            (&al, of_room("messages?dir=b")),
            (&al, of_room("messages?dir=f")),
            (&al, of_room("state")),
            (&al, of_room("members")),
            (&al, of_room("initialSync")),
            (&al, "initialSync".to_owned()),
            (&al, v1("hierarchy")),
            (&al, format!("/_matrix/client/v1/room_summary/{}", encode(&room))),
            (&bo, "notifications".to_owned()),
            (&al, of_room(&format!("context/{}", encode(&new)))),
        ] {
            let answer = client.get(&path).await.ok().to_string();
            assert!(!answer.contains("kitten"), "restarted: {restarted}: {path}: {answer}");
        }
        let none = al.post("search", &found).await.ok();
        assert_eq!(none["search_categories"]["room_events"]["count"], 0);
        let all = json!({"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 20, "required_state": [["*", "*"]]}}});
        let answer = sliding(&al, None, &all).await.to_string();
        assert!(answer.contains("new") && !answer.contains("kitten"), "{answer}");
        server.restart().await;
        sync(&al, None).await;
        sync(&bo, None).await;
    }
}

async fn sliding(client: &Client, pos: Option<&Value>, body: &Value) -> Value {
    let pos = pos.map(|answer| format!("&pos={}", encode(answer["pos"].as_str().expect("a position"))));
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    client.post(&format!("{path}{}", pos.unwrap_or_default()), body).await.ok()
}

fn all(limit: usize) -> Value {
    json!({
        "lists": {"all": {"ranges": [[0, 9]], "timeline_limit": limit, "required_state": []}},
        "extensions": {"receipts": {"enabled": true, "rooms": ["*"]}, "account_data": {"enabled": true}},
    })
}

#[tokio::test]
async fn a_sliding_sync_that_has_missed_what_expired_gets_a_limited_timeline() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    say(&al, &room, "told").await;
    let told = sliding(&bo, None, &all(20)).await;
    pass(&server, LONG).await;
    let nothing = sliding(&bo, Some(&told), &all(20)).await;
    let seen = &nothing["rooms"][&room];
    assert!(seen["timeline"].is_null() && seen["limited"] != json!(true), "nothing was missed: {nothing}");
    say(&al, &room, "missed").await;
    pass(&server, LONG).await;
    let gap = sliding(&bo, Some(&nothing), &all(20)).await;
    let seen = &gap["rooms"][&room];
    assert_eq!((&seen["limited"], seen["timeline"].as_array().map_or(0, Vec::len)), (&json!(true), 0), "{gap}");
    let before = seen["prev_batch"].as_str().expect("a token");
    assert_eq!(messages(&bo, &room, &format!("dir=b&from={before}")).await["chunk"], json!([]));
    say(&al, &room, "new").await;
    let next = sliding(&bo, Some(&gap), &all(20)).await;
    assert_eq!(bodies(&next["rooms"][&room]["timeline"]), ["new"]);
    assert_ne!(next["rooms"][&room]["limited"], json!(true));
}

/// What is left of the root of a thread, as both SDKs read it.
fn is_stub(event: &Value, root: &str, sender: &Client) {
    assert_eq!(event["event_id"], root, "{event}");
    assert_eq!((&event["type"], &event["content"]), (&json!("m.room.message"), &json!({})));
    assert_eq!(event["sender"], sender.user_id.as_str());
    assert!(event["origin_server_ts"].is_u64());
    let because = &event["unsigned"]["redacted_because"];
    assert_eq!(
        (&because["type"], &because["redacts"], &because["content"]["redacts"]),
        (&json!("m.room.redaction"), &json!(root), &json!(root))
    );
    assert!(because["event_id"].as_str().is_some_and(|id| id.starts_with('$') && id != root), "{event}");
    assert!(because["sender"].is_string() && because["origin_server_ts"].is_u64());
    let read: AnyTimelineEvent = serde_json::from_value(event.clone()).expect("an event to the Rust SDK");
    assert!(
        matches!(read, AnyTimelineEvent::MessageLike(AnyMessageLikeEvent::RoomMessage(MessageLikeEvent::Redacted(_)))),
        "{event}"
    );
}

#[tokio::test]
async fn a_thread_outlives_its_root() {
    const DAYS: Duration = Duration::from_hours(20 * 24);
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let of_room = |what: String| format!("rooms/{}/{what}", encode(&room));
    let v1 = |what: String| format!("/_matrix/client/v1/rooms/{}/{what}", encode(&room));
    let root = say(&al, &room, "root").await;
    let reply = |text: &str| {
        let relation = json!({"rel_type": "m.thread", "event_id": root, "is_falling_back": true});
        json!({"msgtype": "m.text", "body": text, "m.relates_to": relation})
    };
    send(&bo, &room, "m.room.message", &reply("first")).await;
    pass(&server, DAYS).await;
    send(&bo, &room, "m.room.message", &reply("second")).await;
    let third = send(&bo, &room, "m.room.message", &reply("third")).await;
    let path = format!(
        "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription",
        encode(&room),
        encode(&root)
    );
    al.put(&path, &json!({})).await.ok();
    pass(&server, DAYS).await;
    for round in 0..3 {
        let event = bo.get(&of_room(format!("event/{}", encode(&root)))).await.ok();
        is_stub(&event, &root, &al);
        let thread = &event["unsigned"]["m.relations"]["m.thread"];
        assert_eq!(
            (&thread["count"], &thread["latest_event"]["content"]["body"]),
            (&json!(2), &json!("third")),
            "{event}"
        );
        let page = bo.get(&v1("threads?include=participated".to_owned())).await.ok();
        is_stub(&page["chunk"][0], &root, &al);
        assert_eq!(page["chunk"].as_array().map(Vec::len), Some(1));
        let page = al.get(&v1(format!("relations/{}/m.thread?dir=f", encode(&root)))).await.ok();
        assert_eq!(bodies(&page["chunk"]), ["second", "third"]);
        assert_eq!(al.get(&path).await.ok()["automatic"], json!(false));
        missing(&al, &of_room(format!("context/{}", encode(&root)))).await;
        // A receipt in the thread counts there.
        al.post(&of_room(format!("receipt/m.read/{}", encode(&third))), &json!({"thread_id": root})).await.ok();
        if round == 1 {
            // The rows of the root are dead, not only hidden.
            let engine = &server.server().services().engine;
            engine.keeper.tick().await;
            assert!(engine.journals.epochs.over(lethe::clock::Clock::now(&*server.clock)).is_empty());
        }
        server.restart().await;
        sync(&al, None).await;
        sync(&bo, None).await;
    }
    // Whoever goes on carries the root along.
    send(&al, &room, "m.room.message", &reply("fourth")).await;
    pass(&server, DAYS).await;
    let event = bo.get(&of_room(format!("event/{}", encode(&root)))).await.ok();
    is_stub(&event, &root, &al);
    assert_eq!(event["unsigned"]["m.relations"]["m.thread"]["count"], 1);
    pass(&server, DAYS).await;
    missing(&al, &of_room(format!("event/{}", encode(&root)))).await;
    missing(&al, &path).await;
    assert_eq!(al.get(&v1("threads".to_owned())).await.ok()["chunk"], json!([]));
    let stale = sync(&server.login(&al).await, None).await;
    let receipts = stale["rooms"]["join"][&room]["ephemeral"]["events"].to_string();
    assert!(!receipts.contains(&root), "{receipts}");
}

/// Types of events that Element does not take a room for unread by, whoever sent them.
const UNIMPORTANT: [&str; 4] = ["m.room.member", "m.room.canonical_alias", "m.room.server_acl", "m.reaction"];

/// Whether Element shows a room as unread after a first sync: its newest event that counts is behind the user's receipt,
/// or, where none counts, its oldest is. Who has sent an event has read up to it.
fn unread_in_element(room: &Value, me: &Client) -> bool {
    let events = room["timeline"]["events"].as_array().cloned().unwrap_or_default();
    let counts = |event: &Value| {
        event["sender"] != me.user_id.as_str()
            && !UNIMPORTANT.iter().any(|kind| event["type"] == *kind)
            && event["unsigned"]["redacted_because"].is_null()
    };
    let asked = events.iter().rposition(counts).or(if events.is_empty() { None } else { Some(0) });
    let receipts = room["ephemeral"]["events"].as_array().cloned().unwrap_or_default();
    let stands_on = |event: &Value| {
        let id = event["event_id"].as_str().unwrap_or_default();
        let mine = |kind: &str| receipts.iter().any(|receipts| !receipts["content"][id][kind][&me.user_id].is_null());
        mine("m.read") || mine("m.read.private") || event["sender"] == me.user_id.as_str()
    };
    asked.is_some_and(|asked| !events[asked..].iter().any(stands_on))
}

/// How many events the Rust SDK counts as unread: those that count behind the user's receipt, or all of them.
fn unread_in_rust(answer: &Value, room: &str, me: &Client) -> usize {
    let events = answer["rooms"][room]["timeline"].as_array().cloned().unwrap_or_default();
    let receipts = &answer["extensions"]["receipts"]["rooms"][room]["content"];
    let mine = |event: &Value| {
        let on = &receipts[event["event_id"].as_str().unwrap_or_default()];
        !on["m.read"][&me.user_id].is_null() || !on["m.read.private"][&me.user_id].is_null()
    };
    let read = events.iter().rposition(mine).map_or(0, |at| at + 1);
    let counts = |event: &&Value| {
        event["sender"] != me.user_id.as_str()
            && ["m.room.message", "m.room.encrypted", "m.sticker"].iter().any(|kind| event["type"] == *kind)
            && event["unsigned"]["redacted_because"].is_null()
    };
    events[read..].iter().filter(counts).count()
}

/// Whether a device that logs in now shows the room as unread: with Element, and with the Rust SDK.
async fn unread(server: &TestServer, client: &Client, room: &str) -> (bool, bool) {
    let fresh = server.login(client).await;
    let first = sync(&fresh, None).await;
    let counts = &first["rooms"]["join"][room]["unread_notifications"];
    let answer = sliding(&fresh, None, &all(20)).await;
    let counted = counts["notification_count"].as_u64().unwrap_or_default() > 0;
    assert_eq!(counted, answer["rooms"][room]["notification_count"].as_u64().unwrap_or_default() > 0, "{answer}");
    let element = unread_in_element(&first["rooms"]["join"][room], client);
    let rust = unread_in_rust(&answer, room, client) > 0;
    assert!(!counted || (element && rust), "counted, and shown as read: {first} {answer}");
    (element, rust)
}

#[tokio::test]
async fn a_room_that_was_read_stays_read_when_all_of_it_has_expired() {
    for kind in ["m.read", "m.read.private"] {
        let mut server = TestServer::open().await;
        let (al, bo) = (server.register("al").await, server.register("bo").await);
        let room = shared(&al, &bo).await;
        let of_room = |what: &str| format!("rooms/{}/{what}", encode(&room));
        let last = say(&bo, &room, "read").await;
        assert_eq!(unread(&server, &al, &room).await, (true, true));
        al.post(&of_room(&format!("receipt/{kind}/{}", encode(&last))), &json!({})).await.ok();
        al.post(&of_room("read_markers"), &json!({"m.fully_read": last})).await.ok();
        assert_eq!(unread(&server, &al, &room).await, (false, false));
        pass(&server, LONG).await;
        assert_eq!(unread(&server, &al, &room).await, (false, false));
        server.restart().await;
        sync(&al, None).await;
        assert_eq!(unread(&server, &al, &room).await, (false, false));
        // Nor does it become unread by what nobody calls a message.
        bo.put(
            &of_room(&format!("state/m.room.member/{}", encode(&bo.user_id))),
            &json!({"membership": "join", "displayname": "Bo"}),
        )
        .await
        .ok();
        assert_eq!(unread(&server, &al, &room).await, (false, false));
        let marker = al
            .get(&format!("user/{}/rooms/{}/account_data/m.fully_read", encode(&al.user_id), encode(&room)))
            .await
            .ok();
        let newest = messages(&al, &room, "dir=b&limit=1").await["chunk"][0]["event_id"].clone();
        assert_eq!(marker["event_id"], newest);
        say(&bo, &room, "new").await;
        assert_eq!(unread(&server, &al, &room).await, (true, true));
        // What is read next is found again.
        pass(&server, LONG).await;
        let next = say(&bo, &room, "after a while").await;
        assert_eq!(unread(&server, &al, &room).await, (true, true));
        al.post(&of_room(&format!("receipt/{kind}/{}", encode(&next))), &json!({})).await.ok();
        assert_eq!(unread(&server, &al, &room).await, (false, false));
    }
}

#[tokio::test]
async fn nobody_is_said_to_have_read_what_came_after_he_was_gone() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let last = say(&al, &room, "read").await;
    bo.post(&format!("rooms/{}/receipt/m.read/{}", encode(&room), encode(&last)), &json!({})).await.ok();
    let first = sync(&al, None).await;
    assert!(first["rooms"]["join"][&room]["ephemeral"].to_string().contains(&bo.user_id));
    pass(&server, LONG).await;
    say(&al, &room, "new").await;
    let first = sync(&al, None).await;
    assert!(!first["rooms"]["join"][&room]["ephemeral"].to_string().contains(&bo.user_id), "{first}");
}

#[tokio::test]
async fn what_has_expired_is_unread_no_more() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let root = say(&bo, &room, &format!("{} one", al.user_id)).await;
    let reply = json!({"msgtype": "m.text", "body": "two", "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
    send(&bo, &room, "m.room.message", &reply).await;
    let threads = format!(
        "&filter={}",
        encode(&json!({"room": {"timeline": {"unread_thread_notifications": true}}}).to_string())
    );
    let first = al.get(&format!("sync?x=1{threads}")).await.ok();
    let seen = &first["rooms"]["join"][&room];
    assert_eq!(seen["unread_notifications"]["notification_count"], 1, "{seen}");
    assert_eq!(seen["unread_thread_notifications"][&root]["notification_count"], 1);
    let slid = sliding(&al, None, &all(1)).await;
    assert_eq!(slid["rooms"][&room]["notification_count"], 2);
    pass(&server, LONG).await;
    let since = first["next_batch"].as_str().expect("a token");
    let next = al.get(&format!("sync?since={since}{threads}&timeout=30000")).await.ok();
    let seen = &next["rooms"]["join"][&room];
    assert_eq!(seen["unread_notifications"], json!({"notification_count": 0, "highlight_count": 0}), "{next}");
    assert_eq!(seen.get("unread_thread_notifications"), None);
    assert_eq!((&seen["timeline"]["events"], &seen["timeline"]["limited"]), (&json!([]), &json!(false)));
    let slid = sliding(&al, Some(&slid), &all(1)).await;
    assert_eq!(slid["rooms"][&room]["notification_count"], 0, "{slid}");
}

/// Something happens in the room that nobody calls a message.
async fn rename(client: &Client, room: &str, name: &str) {
    let path = format!("rooms/{}/state/m.room.member/{}", encode(room), encode(&client.user_id));
    client.put(&path, &json!({"membership": "join", "displayname": name})).await.ok();
}

#[tokio::test]
async fn a_room_that_was_never_read_is_not_unread_for_what_is_gone() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    // Who has written has read up to there, and has never said so.
    say(&al, &room, "one").await;
    say(&bo, &room, "two").await;
    assert_eq!(unread(&server, &al, &room).await, (true, true));
    pass(&server, LONG).await;
    assert_eq!(unread(&server, &al, &room).await, (false, false));
    rename(&bo, &room, "Bo").await;
    for _ in 0..2 {
        assert_eq!(unread(&server, &al, &room).await, (false, false));
        let others = sync(&bo, None).await;
        assert!(!others["rooms"]["join"][&room]["ephemeral"].to_string().contains(&al.user_id), "{others}");
        server.restart().await;
        sync(&al, None).await;
    }
    // Whoever comes later has read nothing of it.
    let cy = server.register("cy").await;
    al.post(&format!("rooms/{}/invite", encode(&room)), &json!({"user_id": cy.user_id})).await.ok();
    cy.post(&format!("rooms/{}/join", encode(&room)), &json!({})).await.ok();
    let first = sync(&cy, None).await;
    assert!(!first["rooms"]["join"][&room]["ephemeral"].to_string().contains("m.read"), "{first}");
    say(&bo, &room, "three").await;
    assert_eq!(unread(&server, &al, &room).await, (true, true));
    pass(&server, LONG).await;
    say(&bo, &room, "four").await;
    assert_eq!(unread(&server, &al, &room).await, (true, true));
}

#[tokio::test]
async fn clients_that_were_there_all_the_time_are_told_again_how_far_was_read() {
    for kind in [Some("m.read"), Some("m.read.private"), None] {
        let server = TestServer::open().await;
        let (al, bo) = (server.register("al").await, server.register("bo").await);
        let room = shared(&al, &bo).await;
        let last = say(&bo, &room, "one").await;
        if let Some(kind) = kind {
            al.post(&format!("rooms/{}/receipt/{kind}/{}", encode(&room), encode(&last)), &json!({})).await.ok();
        }
        let old = sync(&al, None).await;
        let old_slid = sliding(&al, None, &all(20)).await;
        pass(&server, LONG).await;
        let slid = sliding(&al, Some(&old_slid), &all(20)).await;
        let fresh = server.login(&al).await;
        let empty = sync(&fresh, None).await;
        assert_eq!(empty["rooms"]["join"][&room]["timeline"]["events"], json!([]));
        rename(&bo, &room, "Bo").await;
        for (client, told, name) in [(&al, &old, "Bob"), (&fresh, &empty, "Robert")] {
            let news = sync(client, Some(told)).await;
            let seen = &news["rooms"]["join"][&room];
            assert_eq!(seen["timeline"]["events"][0]["type"], "m.room.member", "{news}");
            assert!(!unread_in_element(seen, &al), "{kind:?}: {news}");
            rename(&bo, &room, name).await;
            let news = sync(client, Some(&news)).await;
            let seen = news["rooms"]["join"][&room].to_string();
            assert!(seen.contains(name) && !seen.contains("m.receipt"), "once is enough: {news}");
        }
        let slid = sliding(&al, Some(&slid), &all(20)).await;
        let receipts = slid["extensions"]["receipts"]["rooms"][&room].to_string();
        assert!(receipts.contains(&al.user_id), "{kind:?}: {slid}");
    }
}

#[tokio::test]
async fn a_client_that_holds_what_has_expired_hears_that_it_was_read() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let last = say(&bo, &room, "one").await;
    let (mut told, mut slid) = (sync(&al, None).await, sliding(&al, None, &all(20)).await);
    let tablet = server.login(&al).await;
    let on_tablet = sync(&tablet, None).await;
    pass(&server, LONG).await;
    for (kind, thread) in [("m.read", None), ("m.read.private", None), ("m.read", Some(&last)), ("m.read", Some(&room))]
    {
        let path = format!("rooms/{}/receipt/{kind}/{}", encode(&room), encode(&last));
        al.post(&path, &thread.map_or_else(|| json!({}), |thread| json!({"thread_id": thread}))).await.ok();
        told = sync(&al, Some(&told)).await;
        slid = sliding(&al, Some(&slid), &all(20)).await;
        let receipt = &told["rooms"]["join"][&room]["ephemeral"]["events"][0]["content"][&last][kind][&al.user_id];
        let slid_receipt = &slid["extensions"]["receipts"]["rooms"][&room]["content"][&last][kind][&al.user_id];
        assert_eq!(receipt, slid_receipt, "{told} {slid}");
        // There is no thread of a room's name.
        assert_eq!(receipt.is_null(), thread == Some(&room), "{told}");
        assert_eq!(receipt["thread_id"].as_str(), thread.filter(|thread| **thread == last).map(String::as_str));
        let again = sync(&al, Some(&told)).await;
        assert!(!again.to_string().contains("m.receipt"), "{again}");
    }
    slid = sliding(&al, Some(&slid), &all(20)).await;
    assert!(!slid.to_string().contains("m.receipt"), "{slid}");
    let news = sync(&tablet, Some(&on_tablet)).await;
    assert!(news["rooms"]["join"][&room]["ephemeral"].to_string().contains(&last), "{news}");
    let others = sync(&bo, None).await;
    assert!(!others["rooms"]["join"][&room]["ephemeral"].to_string().contains(&al.user_id), "{others}");
    // Where nothing has expired, no client holds what the server has not.
    let young = shared(&al, &bo).await;
    let told = sync(&al, None).await;
    al.post(&format!("rooms/{}/receipt/m.read/{}", encode(&young), encode(&last)), &json!({})).await.ok();
    assert!(!sync(&al, Some(&told)).await.to_string().contains("m.receipt"));
}

#[tokio::test]
async fn a_clock_that_was_ahead_hides_and_brings_back() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    let id = say(&al, &room, "one").await;
    let engine = &server.server().services().engine;
    server.clock.set_wall(crate::server::NOW.after(LONG));
    engine.rooms.forget_expired(lethe::clock::Clock::now(&*server.clock), false).await.expect("hidden");
    missing(&bo, &format!("rooms/{}/event/{}", encode(&room), encode(&id))).await;
    server.clock.set_wall(crate::server::NOW);
    engine.rooms.forget_expired(lethe::clock::Clock::now(&*server.clock), true).await.expect("shown again");
    bo.get(&format!("rooms/{}/event/{}", encode(&room), encode(&id))).await.ok();
    assert_eq!(bodies(&messages(&bo, &room, "dir=b").await["chunk"]), ["one"]);
}

#[tokio::test]
async fn a_lifetime_made_longer_brings_nothing_back() {
    let day = "\n[retention]\ndefault = \"1d\"\n";
    let mut server = TestServer::open().await;
    let toml = server.settings();
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = shared(&al, &bo).await;
    say(&al, &room, "one").await;
    pass(&server, Duration::from_hours(30)).await;
    assert_eq!(bodies(&messages(&bo, &room, "dir=b").await["chunk"]), ["one"]);
    server.reconfigure(&format!("{toml}{day}")).await;
    sync(&bo, None).await;
    assert_eq!(messages(&bo, &room, "dir=b").await["chunk"], json!([]));
    pass(&server, Duration::from_hours(1)).await;
    server.reconfigure(&toml).await;
    sync(&bo, None).await;
    say(&bo, &room, "two").await;
    assert_eq!(bodies(&messages(&bo, &room, "dir=b").await["chunk"]), ["two"]);
    pass(&server, Duration::from_hours(1)).await;
    server.restart().await;
    sync(&bo, None).await;
    assert_eq!(bodies(&messages(&bo, &room, "dir=b").await["chunk"]), ["two"]);
}

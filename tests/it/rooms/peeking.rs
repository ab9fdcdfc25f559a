//! Looking into rooms from outside, and what is left to who has left.

use serde_json::{Value, json};

use super::{at, bring, create, event, messages, put, room_of, said, say};
use crate::server::{Client, TestServer, encode};

/// A room that the world may read.
async fn open_house(client: &Client) -> String {
    let visible = json!({"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}});
    create(client, &json!({"preset": "public_chat", "name": "Open house", "initial_state": [visible]})).await
}

fn v1(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v1/{}", at(room, rest))
}

fn names(state: &Value) -> Vec<&str> {
    let named = state.as_array().expect("a list").iter().filter(|event| event["type"] == "m.room.name");
    named.filter_map(|event| event["content"]["name"].as_str()).collect()
}

#[tokio::test]
async fn the_world_reads_what_is_open_to_it() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_house(&alice).await;
    let root = say(&alice, &room, "root").await;
    let relates = json!({"rel_type": "m.thread", "event_id": root});
    put(&alice, &room, "m.room.message", "t", &json!({"body": "reply", "m.relates_to": relates})).await;
    assert_eq!(said(&messages(&bob, &room, "dir=b").await["chunk"]), ["reply", "root"]);
    assert_eq!(names(&bob.get(&at(&room, "state")).await.ok()), ["Open house"]);
    assert_eq!(bob.get(&at(&room, "state/m.room.name")).await.ok()["name"], "Open house");
    assert_eq!(bob.get(&at(&room, "members")).await.ok()["chunk"].as_array().map(Vec::len), Some(1));
    bob.get(&at(&room, "joined_members")).await.refused(403, "M_FORBIDDEN");
    event(&bob, &room, &root).await.ok();
    let around = bob.get(&at(&room, &format!("context/{}", encode(&root)))).await.ok();
    assert_eq!(said(&around["events_after"]), ["reply"]);
    let related = bob.get(&v1(&room, &format!("relations/{}", encode(&root)))).await.ok();
    assert_eq!(said(&related["chunk"]), ["reply"]);
    assert_eq!(said(&bob.get(&v1(&room, "threads")).await.ok()["chunk"]), ["root"]);
    bob.get(&v1(&room, "timestamp_to_event?ts=0&dir=f")).await.ok();
    bob.put(&at(&room, "send/m.room.message/1"), &json!({"body": "x"})).await.refused(403, "M_FORBIDDEN");

    let narrow = json!({"history_visibility": "shared"});
    alice.put(&at(&room, "state/m.room.history_visibility"), &narrow).await.ok();
    for rest in ["messages?dir=b", "state", "members", "initialSync"] {
        bob.get(&at(&room, rest)).await.refused(403, "M_FORBIDDEN");
    }
    event(&bob, &room, &root).await.refused(404, "M_NOT_FOUND");
    event(&bob, "!nowhere:localhost", &root).await.refused(404, "M_NOT_FOUND");
    let listen = format!("events?room_id={}", encode(&room));
    bob.get(&listen).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_preview_is_the_room_and_then_what_happens_in_it() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = open_house(&alice).await;
    for text in ["one", "two", "three"] {
        say(&alice, &room, text).await;
    }
    let seen = bob.get(&at(&room, "initialSync?limit=2")).await.ok();
    assert_eq!(said(&seen["messages"]["chunk"]), ["two", "three"]);
    assert_eq!((&seen["room_id"], &seen["visibility"]), (&json!(room), &json!("private")));
    assert!(seen.get("membership").is_none() && names(&seen["state"]) == ["Open house"]);
    let start = seen["messages"]["start"].as_str().expect("a token");
    assert_eq!(said(&messages(&bob, &room, &format!("dir=b&limit=1&from={start}")).await["chunk"]), ["one"]);
    let own = alice.get(&at(&room, "initialSync")).await.ok();
    assert_eq!((&own["membership"], said(&own["messages"]["chunk"]).len()), (&json!("join"), 3));

    let end = seen["messages"]["end"].as_str().expect("a token").to_owned();
    server.restart().await;
    let listen = |from: &str, timeout: u32| format!("events?room_id={}&from={from}&timeout={timeout}", encode(&room));
    let nothing = bob.get(&listen(&end, 0)).await.ok();
    assert_eq!((&nothing["chunk"], &nothing["end"]), (&json!([]), &json!(end)));
    let path = listen(&end, 50_000);
    let (news, _) = tokio::join!(bob.get(&path), say(&alice, &room, "four"));
    let news = news.ok();
    assert_eq!((said(&news["chunk"]), &news["chunk"][0]["room_id"]), (vec!["four"], &json!(room)));
    say(&alice, &room, "five").await;
    let more = bob.get(&listen(news["end"].as_str().expect("a token"), 50_000)).await.ok();
    assert_eq!(said(&more["chunk"]), ["five"]);
    let unasked = bob.get(&format!("events?room_id={}", encode(&room))).await.ok();
    assert_eq!(unasked["chunk"], json!([]), "without a token it listens from now on");
    bob.get(&format!("events?room_id={}&timeout=soon", encode(&room))).await.refused(400, "M_INVALID_PARAM");
    bob.get(&format!("events?room_id={}&from=nonsense", encode(&room))).await.refused(400, "M_INVALID_PARAM");
    bob.get("events?room_id=nonsense").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn who_has_left_reads_the_room_as_he_left_it() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = room_of(&[&alice, &bob]).await;
    alice.put(&at(&room, "state/m.room.name"), &json!({"name": "before"})).await.ok();
    say(&alice, &room, "heard").await;
    let before = bob.get("sync?timeout=0").await.ok();
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    alice.put(&at(&room, "state/m.room.name"), &json!({"name": "after"})).await.ok();
    let unheard = say(&alice, &room, "unheard").await;
    bring(&alice, &carl, &room).await;
    assert_eq!(bob.get(&at(&room, "state/m.room.name")).await.ok()["name"], "before");
    assert_eq!(names(&bob.get(&at(&room, "state")).await.ok()), ["before"]);
    let members = bob.get(&at(&room, "members")).await.ok();
    let members: Vec<_> = members["chunk"].as_array().expect("a list").iter().collect();
    assert_eq!(members.len(), 2, "carl came later");
    assert!(members.iter().any(|event| event["content"]["membership"] == "leave"));
    let late = messages(&alice, &room, "dir=b&limit=1").await;
    let late = late["start"].as_str().expect("a token");
    let at_late = bob.get(&at(&room, &format!("members?at={late}"))).await.ok();
    assert_eq!(at_late["chunk"].as_array().map(Vec::len), Some(2), "no token leads past the leaving");
    assert_eq!(said(&messages(&bob, &room, "dir=b&limit=50").await["chunk"]), ["heard"]);
    let since = before["next_batch"].as_str().expect("a token");
    let ahead = messages(&bob, &room, &format!("dir=f&limit=50&from={since}")).await;
    assert_eq!(ahead["chunk"].as_array().map(Vec::len), Some(1), "his leaving is the last he sees");
    event(&bob, &room, &unheard).await.refused(404, "M_NOT_FOUND");
    let preview = bob.get(&at(&room, "initialSync")).await.ok();
    assert_eq!((&preview["membership"], names(&preview["state"])), (&json!("leave"), vec!["before"]));
    bob.get(&at(&room, "joined_members")).await.refused(403, "M_FORBIDDEN");
    // He has no key any more: it takes a member to open the room.
    server.restart().await;
    bob.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    alice.get("joined_rooms").await.ok();
    assert_eq!(bob.get(&at(&room, "state/m.room.name")).await.ok()["name"], "before");
    bob.post(&at(&room, "forget"), &json!({})).await.ok();
    for rest in ["state", "members", "messages?dir=b"] {
        bob.get(&at(&room, rest)).await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn who_was_never_in_or_is_banned_reads_nothing() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = room_of(&[&alice, &bob]).await;
    alice.post(&at(&room, "invite"), &json!({"user_id": carl.user_id})).await.ok();
    carl.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    carl.post(&at(&room, "leave"), &json!({})).await.ok();
    carl.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "ban"), &json!({"user_id": bob.user_id})).await.ok();
    bob.get(&at(&room, "messages?dir=b")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_old_stream_tells_of_every_room() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let heard = say(&alice, &room, "hello").await;
    bob.put(&format!("user/{}/rooms/{}/tags/u.x", encode(&bob.user_id), encode(&room)), &json!({})).await.ok();
    let other = room_of(&[&bob, &alice]).await;
    bob.post(&at(&other, "leave"), &json!({})).await.ok();
    let invited = create(&alice, &json!({"invite": [bob.user_id]})).await;
    let of = |rooms: &Value, id: &str| -> Option<Value> {
        rooms.as_array().expect("a list").iter().find(|room| room["room_id"] == id).cloned()
    };
    let first = bob.get("initialSync?limit=1").await.ok();
    let seen = of(&first["rooms"], &room).expect("the room");
    assert_eq!((&seen["membership"], said(&seen["messages"]["chunk"])), (&json!("join"), vec!["hello"]));
    assert_eq!(seen["account_data"][0]["type"], "m.tag");
    assert!(seen["state"].as_array().is_some_and(|state| state.iter().all(|event| event["room_id"] == room)));
    let invitation = of(&first["rooms"], &invited).expect("the invitation");
    assert_eq!(invitation["invite"]["content"]["membership"], "invite");
    assert!(of(&first["rooms"], &other).is_none());
    let archived = bob.get("initialSync?archived=true").await.ok();
    assert_eq!(of(&archived["rooms"], &other).expect("the room")["membership"], "leave");

    let end = first["end"].as_str().expect("a token").to_owned();
    let listen = format!("events?from={end}&timeout=50000");
    let (news, _) = tokio::join!(bob.get(&listen), say(&alice, &room, "news"));
    let news = news.ok();
    assert_eq!((said(&news["chunk"]), &news["start"]), (vec!["news"], &json!(end)));
    assert_eq!(news["chunk"][0]["room_id"], room);
    assert_eq!(bob.get("events?timeout=0").await.ok()["chunk"], json!([]));
    bob.get("events?from=nonsense").await.refused(400, "M_INVALID_PARAM");
    assert_eq!(bob.get(&format!("events/{}", encode(&heard))).await.ok()["content"]["body"], "hello");
    bob.get("events/$nothing").await.refused(404, "M_NOT_FOUND");
    let carl = server.register("carl").await;
    carl.get(&format!("events/{}", encode(&heard))).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_old_stream_loses_no_message_to_a_device() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let body = json!({"messages": {&bob.user_id: {&bob.device_id: {"text": "kept"}}}});
    alice.put("sendToDevice/org.test/1", &body).await.ok();
    let first = bob.get("initialSync").await.ok();
    bob.get(&format!("events?from={}", first["end"].as_str().expect("a token"))).await.ok();
    let synced = bob.get("sync?timeout=0").await.ok();
    assert_eq!(synced["to_device"]["events"][0]["content"]["text"], "kept");
}

#[tokio::test]
async fn two_users_see_the_rooms_they_share() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let mut both = vec![room_of(&[&alice, &bob]).await, room_of(&[&bob, &alice, &carl]).await];
    both.sort_unstable();
    room_of(&[&alice, &carl]).await;
    let invited = create(&alice, &json!({"invite": [bob.user_id]})).await;
    assert!(!both.contains(&invited));
    let path = |user: &str| format!("/_matrix/client/v1/mutual_rooms?user_id={}", encode(user));
    let shared = alice.get(&path(&bob.user_id)).await.ok();
    assert_eq!(shared, json!({"joined": both, "count": 2}));
    let proposed =
        format!("/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id={}", encode(&bob.user_id));
    assert_eq!(alice.get(&proposed).await.ok(), json!({"joined": both}));
    assert_eq!(alice.get(&path("@nobody:elsewhere.org")).await.ok(), json!({"joined": [], "count": 0}));
    alice.get(&path(&alice.user_id)).await.refused(400, "M_INVALID_PARAM");
    alice.get(&format!("{}&from=!", path(&bob.user_id))).await.refused(400, "M_INVALID_PARAM");
    alice.get("/_matrix/client/v1/mutual_rooms").await.refused(400, "M_MISSING_PARAM");
}

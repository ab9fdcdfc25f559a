use serde_json::{Value, json};

use super::{at, bring, create, event, messages, put, room_of, said, say};
use crate::server::{Client, TestServer, encode};

/// Pages through the whole room, restarting the server after each page when asked to.
async fn pages(server: &mut TestServer, client: &Client, room: &str, dir: &str, restart: bool) -> Vec<String> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let page = messages(client, room, &format!("dir={dir}&limit=3{from}")).await;
        let events = page["chunk"].as_array().expect("a list");
        all.extend(events.iter().map(|event| event["event_id"].as_str().expect("an id").to_owned()));
        match page["end"].as_str() {
            Some(end) => from = format!("&from={end}"),
            None => return all,
        }
        if restart {
            server.restart().await;
        }
        assert!(all.len() < 100, "pages end");
    }
}

#[tokio::test]
async fn pages_in_both_directions_are_the_whole_room_also_over_restarts() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    for count in 0..8 {
        say(&alice, &room, &format!("number {count}")).await;
    }
    let back = pages(&mut server, &alice, &room, "b", false).await;
    assert!(back.len() >= 13);
    let mut ahead = pages(&mut server, &alice, &room, "f", true).await;
    assert_eq!(pages(&mut server, &alice, &room, "b", true).await, back);
    ahead.reverse();
    assert_eq!(ahead, back);
    let create = event(&alice, &room, back.last().expect("an event")).await.ok();
    assert_eq!(create["type"], "m.room.create");
}

#[tokio::test]
async fn a_page_ends_where_it_is_told_to() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    say(&alice, &room, "one").await;
    let start = messages(&alice, &room, "dir=b&limit=1").await;
    let before_one = start["end"].as_str().expect("a token").to_owned();
    say(&alice, &room, "two").await;
    say(&alice, &room, "three").await;
    let since = messages(&alice, &room, &format!("dir=b&to={before_one}&limit=50")).await;
    assert_eq!(said(&since["chunk"]), ["three", "two", "one"]);
    let ahead = messages(&alice, &room, &format!("dir=f&from={before_one}&limit=2")).await;
    assert_eq!(said(&ahead["chunk"]), ["one", "two"]);
    let last = messages(&alice, &room, &format!("dir=f&from={}", ahead["end"].as_str().expect("a token"))).await;
    assert_eq!(said(&last["chunk"]), ["three"]);
    let none = messages(&alice, &room, &format!("dir=f&from={}", last["end"].as_str().expect("a token"))).await;
    assert!(none["chunk"] == json!([]) && none.get("end").is_none());
    assert_eq!(said(&messages(&alice, &room, "dir=b&limit=100000").await["chunk"]).len(), 3);
}

#[tokio::test]
async fn a_sync_token_is_a_place_to_read_from() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    say(&alice, &room, "one").await;
    let synced = alice.get("sync?timeout=0").await.ok();
    let since = synced["next_batch"].as_str().expect("a token").to_owned();
    say(&alice, &room, "two").await;
    assert_eq!(said(&messages(&alice, &room, &format!("dir=b&limit=1&from={since}")).await["chunk"]), ["one"]);
    assert_eq!(said(&messages(&alice, &room, &format!("dir=f&from={since}")).await["chunk"]), ["two"]);
}

#[tokio::test]
async fn who_left_reads_on_from_a_sync_token_of_afterwards() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let joined = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]);
    let open = json!({"preset": "public_chat", "initial_state": joined});
    let (room, other) = (create(&alice, &open).await, create(&alice, &open).await);
    for room in [&room, &other] {
        bob.post(&at(room, "join"), &json!({})).await.ok();
        say(&alice, room, "before").await;
    }
    // One is left before the first sync, the other between two of them.
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    let first = bob.get("sync?timeout=0").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    bob.post(&at(&other, "leave"), &json!({})).await.ok();
    let second = bob.get(&format!("sync?timeout=0&since={first}")).await.ok();
    let second = second["next_batch"].as_str().expect("a token");
    for room in [&room, &other] {
        say(&alice, room, "after").await;
        let back = messages(&bob, room, &format!("dir=b&from={second}&limit=2")).await;
        assert_eq!(back["chunk"][0]["content"]["membership"], "leave");
        assert_eq!(said(&back["chunk"]), ["before"]);
        assert_eq!(messages(&bob, room, &format!("dir=f&from={second}")).await["chunk"], json!([]));
    }
}

#[tokio::test]
async fn tokens_of_nobody_and_of_another_room_are_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (room, other) = (create(&alice, &json!({})).await, create(&alice, &json!({})).await);
    let token = messages(&alice, &other, "dir=b&limit=1").await["end"].as_str().expect("a token").to_owned();
    for token in ["garbage", "p", "pAAAA", &token] {
        for parameter in ["from", "to"] {
            let asked = alice.get(&at(&room, &format!("messages?dir=b&{parameter}={token}"))).await;
            asked.refused(400, "M_INVALID_PARAM");
        }
    }
}

#[tokio::test]
async fn filters_choose_and_members_come_along() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    say(&alice, &room, "from alice").await;
    say(&bob, &room, "from bob").await;
    let picture = json!({"msgtype": "m.image", "body": "picture", "url": "mxc://localhost/x"});
    put(&bob, &room, "m.room.message", "p", &picture).await;
    let filtered = async |filter: Value| -> Value {
        let query = format!("dir=b&limit=50&filter={}", encode(&filter.to_string()));
        messages(&alice, &room, &query).await
    };
    let by_bob = filtered(json!({"senders": [bob.user_id], "types": ["m.room.message"]})).await;
    assert_eq!(said(&by_bob["chunk"]), ["picture", "from bob"]);
    assert!(by_bob.get("state").is_none());
    let not_bob = filtered(json!({"not_senders": [bob.user_id], "types": ["m.room.mess*"]})).await;
    assert_eq!(said(&not_bob["chunk"]), ["from alice"]);
    let with_url = filtered(json!({"contains_url": true})).await;
    assert_eq!(said(&with_url["chunk"]), ["picture"]);
    let none = filtered(json!({"not_types": ["*"]})).await;
    assert_eq!(none["chunk"], json!([]));
    let lazy =
        filtered(json!({"lazy_load_members": true, "senders": [bob.user_id], "types": ["m.room.message"]})).await;
    let members = lazy["state"].as_array().expect("members");
    assert_eq!((members.len(), &members[0]["state_key"]), (1, &json!(bob.user_id)));
}

#[tokio::test]
async fn a_filtered_page_says_where_to_go_on_until_there_is_nothing_for_it() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    say(&alice, &room, "one").await;
    let query = format!("dir=b&limit=50&filter={}", encode(&json!({"types": ["m.room.message"]}).to_string()));
    let page = messages(&alice, &room, &query).await;
    assert_eq!(said(&page["chunk"]), ["one"]);
    let end = page["end"].as_str().expect("a token");
    let rest = messages(&alice, &room, &format!("{query}&from={end}")).await;
    assert!(rest["chunk"] == json!([]) && rest.get("end").is_none());
}

#[tokio::test]
async fn a_filter_names_relations_to_see_or_not() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    let root = say(&alice, &room, "root").await;
    for (txn, rel_type) in [("t", "m.thread"), ("r", "m.reference")] {
        let relation = json!({"rel_type": rel_type, "event_id": root});
        let content = json!({"msgtype": "m.text", "body": rel_type, "m.relates_to": relation});
        put(&alice, &room, "m.room.message", txn, &content).await;
    }
    for (key, types, seen) in [
        ("rel_types", json!(["m.thread"]), vec!["m.thread"]),
        ("rel_types", json!(["m.thread", "m.reference"]), vec!["m.thread", "m.reference"]),
        ("rel_types", json!([]), vec![]),
        ("not_rel_types", json!(["m.thread"]), vec!["root", "m.reference"]),
        ("not_rel_types", json!(["m.reference", "m.thread"]), vec!["root"]),
    ] {
        let filter = json!({"types": ["m.room.message"], format!("org.matrix.msc3874.{key}"): types});
        let page = messages(&alice, &room, &format!("dir=f&limit=50&filter={}", encode(&filter.to_string()))).await;
        assert_eq!(said(&page["chunk"]), seen, "{filter}");
    }
    let wrong = encode(&json!({"org.matrix.msc3874.rel_types": "m.thread"}).to_string());
    alice.get(&at(&room, &format!("messages?dir=f&filter={wrong}"))).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn who_may_not_read_learns_only_that() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    bob.get(&at(&room, "messages")).await.refused(400, "M_MISSING_PARAM");
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    bob.post(&at(&room, "forget"), &json!({})).await.ok();
    bob.get(&at(&room, "messages")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn history_is_seen_as_its_visibility_says() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for (visibility, seen) in [
        ("joined", vec!["after joining"]),
        ("invited", vec!["after inviting", "after joining"]),
        ("shared", vec!["before", "after inviting", "after joining"]),
        ("world_readable", vec!["before", "after inviting", "after joining"]),
    ] {
        let rule = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}]);
        let room = create(&alice, &json!({"initial_state": rule})).await;
        let before = say(&alice, &room, "before").await;
        alice.post(&at(&room, "invite"), &json!({"user_id": bob.user_id})).await.ok();
        say(&alice, &room, "after inviting").await;
        let peeked = bob.get(&at(&room, "messages?dir=f")).await;
        assert_eq!(peeked.status, if visibility == "world_readable" { 200 } else { 403 }, "{visibility}");
        bob.post(&at(&room, "join"), &json!({})).await.ok();
        say(&alice, &room, "after joining").await;
        assert_eq!(said(&messages(&bob, &room, "dir=f&limit=50").await["chunk"]), seen, "{visibility}");
        let mut back = seen.clone();
        back.reverse();
        assert_eq!(said(&messages(&bob, &room, "dir=b&limit=50").await["chunk"]), back, "{visibility}");
        let hidden = !seen.contains(&"before");
        assert_eq!(event(&bob, &room, &before).await.status, if hidden { 404 } else { 200 }, "{visibility}");
        let context = bob.get(&at(&room, &format!("context/{}", encode(&before)))).await;
        assert_eq!(context.status, if hidden { 404 } else { 200 }, "{visibility}");
    }
}

#[tokio::test]
async fn an_event_is_shown_among_its_neighbours() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let mut ids = Vec::new();
    for count in 0..7 {
        ids.push(say(&alice, &room, &count.to_string()).await);
    }
    let context = |id: &str, rest: &str| at(&room, &format!("context/{}?{rest}", encode(id)));
    let shown = alice.get(&context(&ids[3], "limit=4")).await.ok();
    assert_eq!(said(&shown["events_before"]), ["2", "1"]);
    assert_eq!(said(&shown["events_after"]), ["4", "5"]);
    assert_eq!(shown["event"]["event_id"], ids[3]);
    assert!(shown["state"].as_array().is_some_and(|state| state.len() > 5));
    let token = |field: &str| shown[field].as_str().expect("a token").to_owned();
    assert_eq!(said(&messages(&alice, &room, &format!("dir=b&limit=1&from={}", token("start"))).await["chunk"]), ["0"]);
    assert_eq!(said(&messages(&alice, &room, &format!("dir=f&limit=1&from={}", token("end"))).await["chunk"]), ["6"]);
    let alone = alice.get(&context(&ids[3], "limit=0")).await.ok();
    assert!(alone.get("events_before").is_none() && alone.get("events_after").is_none());
    assert_eq!(alone["event"]["event_id"], ids[3]);
    let filter = encode(&json!({"lazy_load_members": true}).to_string());
    let lazy = alice.get(&context(&ids[3], &format!("limit=2&filter={filter}"))).await.ok();
    let members = lazy["state"].as_array().expect("state").iter().filter(|event| event["type"] == "m.room.member");
    assert_eq!(members.count(), 1);
    alice.get(&context("$nothing", "limit=2")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn an_event_is_found_by_its_time() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    server.clock.advance(std::time::Duration::from_mins(1));
    let id = say(&alice, &room, "later").await;
    let ts = event(&alice, &room, &id).await.ok()["origin_server_ts"].as_u64().expect("a time");
    let by_time = |ts: u64, dir: &str| {
        format!("/_matrix/client/v1/{}", at(&room, &format!("timestamp_to_event?ts={ts}&dir={dir}")))
    };
    assert_eq!(alice.get(&by_time(ts - 1000, "f")).await.ok(), json!({"event_id": id, "origin_server_ts": ts}));
    assert_eq!(alice.get(&by_time(ts + 1000, "b")).await.ok()["event_id"], id);
    assert_ne!(alice.get(&by_time(ts - 1, "b")).await.ok()["event_id"], id);
    alice.get(&by_time(ts + 1, "f")).await.refused(404, "M_NOT_FOUND");
    bob.get(&by_time(ts, "f")).await.refused(403, "M_FORBIDDEN");
    bring(&alice, &bob, &room).await;
    bob.get(&by_time(ts, "f")).await.ok();
}

#[tokio::test]
async fn an_age_is_told_for_five_minutes() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    let id = say(&alice, &room, "now").await;
    server.clock.advance(std::time::Duration::from_secs(299));
    assert_eq!(event(&alice, &room, &id).await.ok()["unsigned"]["age"], 299_000);
    server.clock.advance(std::time::Duration::from_secs(2));
    assert!(event(&alice, &room, &id).await.ok()["unsigned"].get("age").is_none());
}

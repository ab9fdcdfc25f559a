use serde_json::{Value, json};

use super::{at, create, event, put, room_of, say};
use crate::server::{Client, TestServer, encode};

fn relates(kind: &str, to: &str) -> Value {
    json!({"body": kind, "m.relates_to": {"rel_type": kind, "event_id": to}})
}

async fn react(client: &Client, room: &str, to: &str, key: &str, txn: &str) -> crate::server::Answer {
    let content = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": to, "key": key}});
    client.put(&at(room, &format!("send/m.reaction/{txn}")), &content).await
}

fn v1(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v1/{}", at(room, rest))
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["chunk"].as_array().expect("a list").iter().filter_map(|event| event["event_id"].as_str()).collect()
}

#[tokio::test]
async fn a_reaction_counts_once_until_it_is_taken_back() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let root = say(&alice, &room, "tea?").await;
    let first = react(&bob, &room, &root, "+1", "a").await.ok();
    react(&bob, &room, &root, "+1", "b").await.refused(400, "M_DUPLICATE_ANNOTATION");
    assert_eq!(react(&bob, &room, &root, "+1", "a").await.ok(), first, "a retry is no repetition");
    react(&bob, &room, &root, "-1", "c").await.ok();
    react(&alice, &room, &root, "+1", "d").await.ok();
    let id = first["event_id"].as_str().expect("an id");
    bob.put(&at(&room, &format!("redact/{}/e", encode(id))), &json!({})).await.ok();
    react(&bob, &room, &root, "+1", "f").await.ok();
    assert!(event(&alice, &room, &root).await.ok()["unsigned"].get("m.relations").is_none());
}

#[tokio::test]
async fn edits_threads_and_references_come_with_their_event() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let root = say(&alice, &room, "root").await;
    let edit = |text: &str| {
        let new = json!({"msgtype": "m.text", "body": text});
        json!({"body": text, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": root}})
    };
    put(&alice, &room, "m.room.message", "e1", &edit("first edit")).await;
    let second = put(&alice, &room, "m.room.message", "e2", &edit("second edit")).await;
    put(&bob, &room, "m.room.message", "e3", &edit("not his to edit")).await;
    put(&alice, &room, "m.room.message", "e4", &relates("m.replace", &root)).await;
    let reference = put(&bob, &room, "m.room.message", "r", &relates("m.reference", &root)).await;
    put(&alice, &room, "m.room.message", "t1", &relates("m.thread", &root)).await;
    let reply = put(&bob, &room, "m.room.message", "t2", &relates("m.thread", &root)).await;
    for restarted in [false, true] {
        if restarted {
            server.restart().await;
        }
        let shown = event(&bob, &room, &root).await.ok();
        let relations = &shown["unsigned"]["m.relations"];
        assert_eq!(relations["m.replace"]["event_id"], second);
        assert_eq!(relations["m.replace"]["content"]["m.new_content"]["body"], "second edit");
        assert_eq!(relations["m.reference"]["chunk"], json!([{"event_id": reference}]));
        assert_eq!(
            (&relations["m.thread"]["count"], &relations["m.thread"]["current_user_participated"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(relations["m.thread"]["latest_event"]["event_id"], reply);
        assert_eq!(shown["content"]["body"], "root", "an edit changes no content");
    }
    bob.put(&at(&room, &format!("redact/{}/x", encode(&reply))), &json!({})).await.ok();
    let relations = event(&bob, &room, &root).await.ok()["unsigned"]["m.relations"].clone();
    assert_eq!(
        (&relations["m.thread"]["count"], &relations["m.thread"]["current_user_participated"]),
        (&json!(1), &json!(false))
    );
}

#[tokio::test]
async fn relations_are_listed_page_by_page() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let root = say(&alice, &room, "root").await;
    let mut thread = Vec::new();
    for count in 0..5 {
        thread.push(put(&alice, &room, "m.room.message", &format!("t{count}"), &relates("m.thread", &root)).await);
    }
    let reaction = react(&alice, &room, &root, "x", "r").await.ok();
    let on_reply = react(&alice, &room, &thread[0], "y", "r2").await.ok();
    let list = |rest: &str| v1(&room, &format!("relations/{}{rest}", encode(&root)));
    let of_both = alice.get(&list("/m.annotation/m.reaction")).await.ok();
    assert_eq!(ids(&of_both), [reaction["event_id"].as_str().expect("an id")]);
    assert_eq!(ids(&alice.get(&list("/m.annotation/m.room.message")).await.ok()), [""; 0]);
    assert_eq!(ids(&alice.get(&list("")).await.ok()).len(), 6);
    let deep = alice.get(&list("?recurse=true")).await.ok();
    assert_eq!((ids(&deep).len(), deep["recursion_depth"].as_u64()), (7, Some(3)));
    let deep = alice.get(&list("/m.annotation?recurse=true&dir=f")).await.ok();
    assert_eq!(ids(&deep)[1], on_reply["event_id"].as_str().expect("an id"));
    for (dir, expected) in [("b", thread.iter().rev().collect::<Vec<_>>()), ("f", thread.iter().collect())] {
        let (mut all, mut from) = (Vec::new(), String::new());
        loop {
            let page = alice.get(&list(&format!("/m.thread?dir={dir}&limit=2{from}"))).await.ok();
            all.extend(ids(&page).into_iter().map(ToOwned::to_owned));
            match page["next_batch"].as_str() {
                Some(next) => from = format!("&from={next}"),
                None => break,
            }
        }
        assert_eq!(all.iter().collect::<Vec<_>>(), expected, "{dir}");
    }
    alice.get(&list("?from=garbage")).await.refused(400, "M_INVALID_PARAM");
    alice.get(&v1(&room, "relations/$nothing")).await.refused(404, "M_NOT_FOUND");
    bob.get(&list("")).await.refused(403, "M_FORBIDDEN");
    let nested = alice.put(&at(&room, "send/m.room.message/n"), &relates("m.thread", &thread[0])).await;
    nested.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn threads_are_listed_by_their_newest_event() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let mut roots = Vec::new();
    for count in 0..3 {
        roots.push(say(&alice, &room, &format!("root {count}")).await);
    }
    for (count, root) in [0, 1, 2, 0].iter().enumerate() {
        put(&alice, &room, "m.room.message", &format!("t{count}"), &relates("m.thread", &roots[*root])).await;
    }
    put(&bob, &room, "m.room.message", "b", &relates("m.thread", &roots[1])).await;
    let threads = |rest: &str| v1(&room, &format!("threads?{rest}"));
    let all = bob.get(&threads("include=all")).await.ok();
    assert_eq!(ids(&all), [&roots[1], &roots[0], &roots[2]]);
    assert_eq!(all["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["count"], 2);
    assert_eq!(ids(&bob.get(&threads("include=participated")).await.ok()), [&roots[1]]);
    let page = bob.get(&threads("limit=2")).await.ok();
    assert_eq!(ids(&page), [&roots[1], &roots[0]]);
    let next = page["next_batch"].as_str().expect("a token");
    let page = bob.get(&threads(&format!("limit=2&from={next}"))).await.ok();
    assert!(ids(&page) == [&roots[2]] && page.get("next_batch").is_none());
    bob.get(&threads("from=garbage")).await.refused(400, "M_INVALID_PARAM");
}

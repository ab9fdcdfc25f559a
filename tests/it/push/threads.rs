//! Threads that are followed (MSC4306, MSC4308).

use serde_json::{Value, json};

use super::unread::unread;
use crate::{
    rooms::{put, room_of, say},
    server::{Client, TestServer, encode},
};

fn path(room: &str, root: &str) -> String {
    let (room, root) = (encode(room), encode(root));
    format!("/_matrix/client/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription")
}

async fn answer(client: &Client, room: &str, root: &str, text: &str) -> String {
    let relation = json!({"rel_type": "m.thread", "event_id": root});
    let content = json!({"msgtype": "m.text", "body": text, "m.relates_to": relation});
    put(client, room, "m.room.message", &encode(text), &content).await
}

async fn extension(client: &Client, pos: Option<&Value>, limit: u64) -> (Value, Value) {
    let asked = json!({"enabled": true, "limit": limit});
    let body = json!({"pos": pos, "extensions": {"io.element.msc4308.thread_subscriptions": asked}});
    let answer = client.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", &body).await.ok();
    (answer["pos"].clone(), answer["extensions"]["io.element.msc4308.thread_subscriptions"].clone())
}

#[tokio::test]
async fn a_subscription_is_made_kept_and_ended() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    let (root, other) = (say(&al, &room, "root").await, say(&al, &room, "other").await);
    let (first, stray) = (answer(&al, &room, &root, "one").await, answer(&al, &room, &other, "stray").await);
    let thread = path(&room, &root);
    bo.get(&thread).await.refused(404, "M_NOT_FOUND");
    bo.delete(&thread, &json!({})).await.ok();
    for wrong in [&root, &stray] {
        bo.put(&thread, &json!({ "automatic": wrong })).await.refused(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD");
    }
    bo.put(&thread, &json!({ "automatic": first })).await.ok();
    assert_eq!(bo.get(&thread).await.ok(), json!({"automatic": true}));
    bo.put(&thread, &json!({})).await.ok();
    server.restart().await;
    assert_eq!(bo.get(&thread).await.ok(), json!({"automatic": false}));
    let second = answer(&al, &room, &root, "two").await;
    bo.delete(&thread, &json!({})).await.ok();
    let third = answer(&al, &room, &root, "three").await;
    for early in [&first, &second] {
        let refused = bo.put(&thread, &json!({ "automatic": early })).await;
        refused.refused(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION");
        bo.get(&thread).await.refused(404, "M_NOT_FOUND");
    }
    bo.put(&thread, &json!({ "automatic": third })).await.ok();
    assert_eq!(bo.get(&thread).await.ok(), json!({"automatic": true}));
    let nothing = path(&room, "$nothing");
    bo.get(&nothing).await.refused(404, "M_NOT_FOUND");
    bo.put(&nothing, &json!({})).await.refused(404, "M_NOT_FOUND");
    server.register("cy").await.put(&thread, &json!({})).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn sliding_sync_tells_what_changes() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let room = room_of(&[&al]).await;
    let mut roots = Vec::new();
    for text in ["a", "b", "c"] {
        roots.push(say(&al, &room, text).await);
    }
    let (pos, nothing) = extension(&al, None, 2).await;
    assert_eq!(nothing, Value::Null);
    for root in &roots {
        al.put(&path(&room, root), &json!({})).await.ok();
    }
    let (pos, told) = extension(&al, Some(&pos), 2).await;
    let seen = told["subscribed"][&room].as_object().expect("threads").clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.values().all(|thread| *thread == json!({"automatic": false, "bump_stamp": 1})));
    let rest = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions?dir=b";
    let from = told["prev_batch"].as_str().expect("a token");
    let page = al.get(&format!("{rest}&from={from}")).await.ok();
    assert_eq!(page["subscribed"][&room].as_object().map(serde_json::Map::len), Some(1));
    assert!(page.get("end").is_none());
    al.delete(&path(&room, &roots[0]), &json!({})).await.ok();
    let (pos, told) = extension(&al, Some(&pos), 2).await;
    assert_eq!(told, json!({"unsubscribed": {&room: {&roots[0]: {"bump_stamp": 2}}}}));
    assert_eq!(extension(&al, Some(&pos), 2).await.1, Value::Null);
    let (_, fresh) = extension(&al, None, 9).await;
    assert_eq!(fresh["subscribed"][&room].as_object().map(serde_json::Map::len), Some(2));
    assert!(fresh.get("unsubscribed").is_none());
}

#[tokio::test]
async fn who_follows_a_thread_hears_of_it_and_others_as_they_wish() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    let root = say(&al, &room, "root").await;
    answer(&al, &room, &root, "one").await;
    assert_eq!(unread(&bo, &room).await.0, 2);
    // In a quiet room only the threads that are followed are heard.
    bo.put(&format!("pushrules/global/room/{}", encode(&room)), &json!({"actions": []})).await.ok();
    assert_eq!(unread(&bo, &room).await.0, 0);
    bo.put(&path(&room, &root), &json!({})).await.ok();
    answer(&al, &room, &root, "two").await;
    say(&al, &room, "beside it").await;
    assert_eq!(unread(&bo, &room).await.0, 1);
    // Where threads are quiet, those that are not followed are not heard.
    bo.delete(&path(&room, &root), &json!({})).await.ok();
    bo.delete(&format!("pushrules/global/room/{}", encode(&room)), &json!({})).await.ok();
    let quiet = "pushrules/global/postcontent/.io.element.msc4306.rule.unsubscribed_thread";
    bo.put(&format!("{quiet}/enabled"), &json!({"enabled": true})).await.ok();
    let before = unread(&bo, &room).await.0;
    answer(&al, &room, &root, "three").await;
    assert_eq!(unread(&bo, &room).await.0, before);
    say(&al, &room, "aloud").await;
    assert_eq!(unread(&bo, &room).await.0, before + 1);
}

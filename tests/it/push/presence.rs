//! Who is online.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rooms::room_of,
    server::{Client, TestServer, encode},
};

const ON: &str = "[presence]\nenabled = true\n";

fn path(of: &Client) -> String {
    format!("presence/{}/status", encode(&of.user_id))
}

async fn say(client: &Client, presence: &str, status: Option<&str>) {
    let mut body = json!({ "presence": presence });
    if let Some(status) = status {
        body["status_msg"] = status.into();
    }
    client.put(&path(client), &body).await.ok();
}

/// Syncs without being seen; the presence of others that was told, and the token.
async fn told(client: &Client, since: Option<&str>) -> (Vec<Value>, String) {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let answer = client.get(&format!("sync?set_presence=offline&timeout=0{since}")).await.ok();
    let events = answer["presence"]["events"].as_array().expect("a list").clone();
    (events, answer["next_batch"].as_str().expect("a token").to_owned())
}

#[tokio::test]
async fn presence_is_told_to_who_shares_a_room_and_to_nobody_else() {
    let server = TestServer::open_with(ON).await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    room_of(&[&al, &bo]).await;
    let (nothing, since) = told(&bo, None).await;
    assert_eq!(nothing, Vec::<Value>::new());
    assert_eq!(bo.get(&path(&al)).await.ok(), json!({"presence": "offline"}));
    say(&al, "online", Some("here")).await;
    let (events, since) = told(&bo, Some(&since)).await;
    let content = json!({"presence": "online", "status_msg": "here", "last_active_ago": 0, "currently_active": true});
    assert_eq!(events, [json!({"type": "m.presence", "sender": al.user_id, "content": content})]);
    assert_eq!(bo.get(&path(&al)).await.ok(), content);
    assert_eq!(told(&bo, Some(&since)).await.0, Vec::<Value>::new());
    cy.get(&path(&al)).await.refused(403, "M_FORBIDDEN");
    assert_eq!(told(&cy, None).await.0, Vec::<Value>::new());
    // Presence alone wakes a sync that waits.
    let waiting = tokio::spawn({
        let bo = bo.clone();
        let path = format!("sync?set_presence=offline&timeout=30000&since={since}");
        async move { bo.get(&path).await.ok() }
    });
    say(&al, "unavailable", None).await;
    let woken = waiting.await.expect("no panic");
    assert_eq!(woken["presence"]["events"][0]["content"]["presence"], "unavailable");
    let quiet = encode(&json!({"presence": {"not_senders": [al.user_id]}}).to_string());
    let answer = bo.get(&format!("sync?set_presence=offline&filter={quiet}")).await.ok();
    assert_eq!(answer["presence"]["events"], json!([]));
}

#[tokio::test]
async fn devices_say_what_they_are_by_syncing_and_are_gone_when_they_stop() {
    let server = TestServer::open_with(ON).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    let state = async || bo.get(&path(&al)).await.ok()["presence"].as_str().expect("a state").to_owned();
    let passes = async |seconds: u64, expected: &str| {
        for _ in 0..seconds.div_ceil(5) {
            server.clock.advance(Duration::from_secs(5));
        }
        super::gateway::until(async || state().await == expected).await;
    };
    al.get("sync?set_presence=unavailable").await.ok();
    assert_eq!(state().await, "unavailable");
    let phone = server.login(&al).await;
    phone.get("sync").await.ok();
    assert_eq!(state().await, "online");
    passes(40, "offline").await;
    // Who syncs on without doing anything is idle after a while, until he does something.
    for _ in 0..16 {
        phone.get("sync").await.ok();
        server.clock.advance(Duration::from_secs(20));
    }
    phone.get("sync").await.ok();
    passes(5, "unavailable").await;
    crate::rooms::say(&phone, &room, "here").await;
    assert_eq!(state().await, "online");
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?set_presence=unavailable";
    phone.post(sliding, &json!({})).await.ok();
    assert_eq!(state().await, "unavailable");
}

#[tokio::test]
async fn who_comes_near_is_told_of_and_who_wants_to_be_unseen_is_not() {
    let server = TestServer::open_with(ON).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    say(&al, "online", Some("here")).await;
    let (nothing, since) = told(&bo, None).await;
    assert_eq!(nothing, Vec::<Value>::new());
    room_of(&[&al, &bo]).await;
    let (events, since) = told(&bo, Some(&since)).await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["sender"], &events[0]["content"]["status_msg"]), (&json!(al.user_id), &json!("here")));
    assert_eq!(told(&bo, Some(&since)).await.0, Vec::<Value>::new());
    // A first answer says who is there, in the old form too.
    assert_eq!(told(&bo, None).await.0, events);
    assert_eq!(bo.get("initialSync").await.ok()["presence"], json!(events));
    // One who syncs unseen is not seen by what he does.
    let unseen = server.login(&bo).await;
    let room = room_of(&[&bo, &al]).await;
    unseen.get("sync?set_presence=offline").await.ok();
    crate::rooms::say(&unseen, &room, "psst").await;
    unseen
        .put(&crate::rooms::at(&room, &format!("typing/{}", encode(&bo.user_id))), &json!({"typing": false}))
        .await
        .ok();
    assert_eq!(al.get(&path(&bo)).await.ok(), json!({"presence": "offline"}));
}

#[tokio::test]
async fn presence_that_cannot_be_is_refused_and_where_it_is_off_nobody_is_told() {
    let server = TestServer::open_with(ON).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    al.put(&path(&bo), &json!({"presence": "online"})).await.refused(403, "M_FORBIDDEN");
    al.put(&path(&al), &json!({"presence": "asleep"})).await.refused(400, "M_INVALID_PARAM");
    al.put(&path(&al), &json!({})).await.refused(400, "M_MISSING_PARAM");
    let long = json!({"presence": "online", "status_msg": "x".repeat(1025)});
    al.put(&path(&al), &long).await.refused(413, "M_TOO_LARGE");
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    room_of(&[&al, &bo]).await;
    say(&al, "online", Some("here")).await;
    al.get("sync").await.ok();
    assert_eq!(bo.get(&path(&al)).await.ok(), json!({"presence": "offline"}));
    assert_eq!(told(&bo, None).await.0, Vec::<Value>::new());
}

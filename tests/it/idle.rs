//! The profile "strict": accounts that nobody uses close while the server runs, and their clients notice nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rooms::{create, say},
    server::{Client, TestServer, encode},
};

async fn sliding(client: &Client, pos: Option<&Value>) -> Value {
    let pos = pos.map(|pos| format!("&pos={}", encode(pos.as_str().expect("a position")))).unwrap_or_default();
    let list = json!({"ranges": [[0, 9]], "required_state": [["m.room.name", ""]], "timeline_limit": 3});
    let path = format!("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0{pos}");
    client.post(&path, &json!({"lists": {"all": list}})).await.ok()
}

async fn classic(client: &Client, since: Option<&Value>) -> Value {
    let since = since.map(|last| format!("&since={}", last["next_batch"].as_str().expect("a token")));
    client.get(&format!("sync?timeout=0{}", since.unwrap_or_default())).await.ok()
}

fn bodies(timeline: &Value) -> Vec<&str> {
    let events = timeline.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

#[tokio::test]
async fn clients_of_accounts_that_closed_go_on() {
    let mut server = TestServer::open().await;
    server.reconfigure(&format!("profile = \"strict\"\n{}", server.settings())).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = create(&al, &json!({"name": "kitchen", "invite": [bo.user_id]})).await;
    bo.post(&format!("rooms/{}/join", encode(&room)), &json!({})).await.ok();
    say(&al, &room, "one").await;
    let screen = sliding(&bo, None).await;
    let screen = sliding(&bo, Some(&screen["pos"])).await;
    let since = classic(&bo, None).await;

    let open = |server: &TestServer| {
        let engine = &server.server().services().engine;
        (engine.accounts.all_open().len(), engine.rooms.all_open().len())
    };
    let rest = async |server: &TestServer| {
        server.clock.advance(Duration::from_hours(1));
        // Who is still at work with an account keeps it open, and the next round closes it.
        let closed = async {
            while open(server) != (0, 0) {
                server.server().services().engine.close_idle().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), closed).await.expect("everybody closes");
    };
    assert_eq!(open(&server), (2, 1));
    rest(&server).await;

    // His password still opens it, and his device is told only what is new.
    let other = server.login(&al).await;
    say(&other, &room, "two").await;
    assert_eq!(open(&server), (1, 1));
    assert_eq!(bodies(&classic(&bo, Some(&since)).await["rooms"]["join"][&room]["timeline"]["events"]), ["two"]);
    let again = sliding(&bo, Some(&screen["pos"])).await;
    assert_eq!(again["rooms"][&room]["name"], "kitchen");
    assert_eq!(bodies(&again["rooms"][&room]["timeline"]), ["one", "two"]);

    rest(&server).await;
    let again = sliding(&bo, Some(&again["pos"])).await;
    assert_eq!(bodies(&again["rooms"][&room]["timeline"]), ["one", "two"]);
    assert_eq!(open(&server), (1, 1));
}

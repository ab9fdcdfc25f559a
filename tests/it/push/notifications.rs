//! What an account has been notified of, page by page.

use serde_json::{Value, json};

use crate::{
    rooms::{at, create, put, room_of, say},
    server::{Client, TestServer, encode},
};

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("notifications?{query}")).await.ok()
}

/// What was said, or how somebody moved.
fn bodies(page: &Value) -> Vec<&str> {
    let shown = page["notifications"].as_array().expect("a list").iter().map(|shown| &shown["event"]["content"]);
    shown
        .map(|content| ["body", "membership"].iter().find_map(|field| content[*field].as_str()).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn notifications_of_all_rooms_come_newest_first_and_page_by_page() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let (one, two) = (room_of(&[&al, &bo]).await, room_of(&[&al, &bo]).await);
    for n in 0..6 {
        say(&al, if n % 2 == 0 { &one } else { &two }, &format!("{n}")).await;
        server.clock.advance(std::time::Duration::from_mins(1));
    }
    say(&bo, &one, "own").await;
    put(&al, &one, "m.room.message", "notice", &json!({"msgtype": "m.notice", "body": "notice"})).await;
    let first = list(&bo, "limit=4").await;
    assert_eq!(bodies(&first), ["5", "4", "3", "2"]);
    let shown = &first["notifications"][0];
    assert_eq!((&shown["room_id"], &shown["read"]), (&json!(two), &json!(false)));
    assert_eq!(shown["actions"], json!(["notify", {"set_tweak": "sound", "value": "default"}]));
    assert_eq!(shown["ts"], shown["event"]["origin_server_ts"]);
    assert!(shown["event"].get("room_id").is_none());
    // A token is as good after a restart, whatever happened meanwhile.
    server.restart().await;
    say(&al, &one, "later").await;
    let next = first["next_token"].as_str().expect("a token");
    let second = list(&bo, &format!("from={next}")).await;
    assert_eq!(bodies(&second), ["1", "0", "invite", "invite"]);
    assert!(second.get("next_token").is_none());
    for wrong in ["x", next.get(1..).expect("more")] {
        bo.get(&format!("notifications?from={wrong}")).await.refused(400, "M_INVALID_PARAM");
    }
    al.get(&format!("notifications?from={next}")).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(bodies(&list(&al, "").await), ["own"]);
}

#[tokio::test]
async fn highlights_can_be_asked_for_alone_and_what_was_read_says_so() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    say(&al, &room, "first").await;
    let named = say(&al, &room, "bo, look").await;
    say(&al, &room, "last").await;
    bo.post(&at(&room, &format!("receipt/m.read.private/{}", encode(&named))), &json!({})).await.ok();
    let all = list(&bo, "").await;
    assert_eq!(bodies(&all), ["last", "bo, look", "first", "invite"]);
    let read: Vec<_> = all["notifications"].as_array().expect("a list").iter().map(|shown| &shown["read"]).collect();
    assert_eq!(read, [false, true, true, true]);
    assert_eq!(bodies(&list(&bo, "only=highlight").await), ["bo, look"]);
    // What somebody is out of is no longer his.
    bo.post(&at(&room, "leave"), &json!({})).await.ok();
    assert_eq!(list(&bo, "").await["notifications"], json!([]));
    create(&al, &json!({"invite": [bo.user_id]})).await;
    assert_eq!(list(&bo, "").await["notifications"], json!([]));
}

//! Pictures of people and rooms outlive their uploads, for as long as they are shown.

use std::{sync::Arc, time::Duration};

use lethe::{clock::Clock, engine::Engine};
use serde_json::{Value, json};

use crate::{
    rooms::{at, bring, create},
    server::{Client, TestServer, encode},
};

const HOUR: &str = "[retention]\nmedia = \"1h\"\n";
const UPLOAD: &str = "/_matrix/media/v3/upload";
const DOWNLOAD: &str = "/_matrix/client/v1/media/download/localhost";

async fn upload(who: &Client, content: &[u8]) -> String {
    let answer = who.send("POST", &format!("{UPLOAD}?filename=p.bin"), content).await.ok();
    answer["content_uri"].as_str().expect("a URI").to_owned()
}

async fn fetch(who: &Client, uri: &str) -> Option<Vec<u8>> {
    let id = uri.strip_prefix("mxc://localhost/").expect("of this server");
    let answer = who.get(&format!("{DOWNLOAD}/{id}")).await;
    assert!(matches!(answer.status, 200 | 404), "{}", answer.status);
    (answer.status == 200).then_some(answer.body)
}

fn engine(server: &TestServer) -> Arc<Engine> {
    Arc::clone(&server.server().services().engine)
}

/// Lets every upload expire that was made until now.
async fn outlive(server: &TestServer) {
    server.clock.advance(Duration::from_hours(3));
    let engine = engine(server);
    engine.journals.epochs.expire(server.clock.now()).await.expect("expired");
    engine.media.drop_dead().await.expect("dropped");
}

async fn show(who: &Client, uri: &str) {
    let path = format!("profile/{}/avatar_url", encode(&who.user_id));
    who.put(&path, &json!({"avatar_url": uri})).await.ok();
}

async fn state(who: &Client, room: &str, kind: &str, content: &Value) {
    who.put(&at(room, &format!("state/{kind}")), content).await.ok();
}

#[tokio::test]
async fn what_is_shown_outlives_its_upload_and_goes_when_it_is_replaced() {
    let mut server = TestServer::open_with(HOUR).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = create(&al, &json!({})).await;
    bring(&al, &bo, &room).await;
    // Longer than a row holds, so that there are several.
    let long: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 251).expect("small")).collect();
    let (face, sign, emote, loose) = (
        upload(&al, &long).await,
        upload(&al, b"sign").await,
        upload(&bo, b"emote").await,
        upload(&bo, b"loose").await,
    );
    show(&al, &face).await;
    state(&al, &room, "m.room.avatar", &json!({"url": sign})).await;
    state(&al, &room, "org.example.emotes", &json!({"images": {"wave": {"url": emote}}})).await;
    let body = json!({"msgtype": "m.image", "url": loose, "body": "a picture"});
    bo.put(&at(&room, "send/m.room.message/1"), &body).await.ok();
    assert!(engine(&server).keep_shown().await);
    outlive(&server).await;
    for _ in 0..2 {
        assert!(fetch(&bo, &face).await.as_ref() == Some(&long));
        assert_eq!(fetch(&bo, &sign).await.as_deref(), Some(&b"sign"[..]));
        assert_eq!(fetch(&al, &emote).await.as_deref(), Some(&b"emote"[..]));
        assert_eq!(fetch(&al, &loose).await, None, "a message shows it, and messages are not state");
        server.restart().await;
        al.get("sync?timeout=0").await.ok();
    }
    // Parts of it, as clients ask for them.
    let id = face.strip_prefix("mxc://localhost/").expect("of this server");
    let token = format!("Bearer {}", al.token);
    let headers = [("Authorization", token.as_str()), ("Range", "bytes=65000-140000")];
    let part = server.send("GET", &format!("{DOWNLOAD}/{id}"), &headers, b"").await;
    assert_eq!(part.status, 206);
    assert!(part.body == long[65_000..=140_000]);

    // Another picture for the room, none for its owner, and no emotes.
    let other = upload(&al, b"other").await;
    state(&al, &room, "m.room.avatar", &json!({"url": other})).await;
    show(&al, "").await;
    state(&al, &room, "org.example.emotes", &json!({})).await;
    assert!(engine(&server).keep_shown().await);
    assert!(engine(&server).keep_shown().await, "there is nothing left to do");
    outlive(&server).await;
    engine(&server).renew().await;
    for _ in 0..2 {
        assert_eq!(fetch(&bo, &other).await.as_deref(), Some(&b"other"[..]));
        for gone in [&face, &sign, &emote] {
            assert_eq!(fetch(&al, gone).await, None);
        }
        server.restart().await;
        bo.get("sync?timeout=0").await.ok();
    }
}

#[tokio::test]
async fn a_picture_stays_while_a_room_shows_it_although_the_profile_does_not() {
    let server = TestServer::open_with(HOUR).await;
    let al = server.register("al").await;
    let room = create(&al, &json!({})).await;
    let face = upload(&al, b"face").await;
    show(&al, &face).await;
    assert!(engine(&server).keep_shown().await);
    outlive(&server).await;
    let member = format!("state/m.room.member/{}", encode(&al.user_id));
    show(&al, "").await;
    al.put(&at(&room, &member), &json!({"membership": "join", "avatar_url": face})).await.ok();
    assert!(engine(&server).keep_shown().await);
    assert_eq!(fetch(&al, &face).await.as_deref(), Some(&b"face"[..]));
    // A room that takes the place of this one shows it too.
    let other = create(&al, &json!({"initial_state": [{"type": "m.room.avatar", "content": {"url": face}}]})).await;
    assert!(engine(&server).keep_shown().await);
    al.put(&at(&room, &member), &json!({"membership": "join"})).await.ok();
    assert!(engine(&server).keep_shown().await);
    assert_eq!(fetch(&al, &face).await.as_deref(), Some(&b"face"[..]));
    al.post(&at(&other, "leave"), &json!({})).await.ok();
    assert!(engine(&server).keep_shown().await);
    assert_eq!(fetch(&al, &face).await, None, "the last room that showed it is gone");
}

#[tokio::test]
async fn what_is_too_long_for_a_picture_is_an_upload_like_others() {
    let server = TestServer::open_with(HOUR).await;
    let al = server.register("al").await;
    let (long, short) = (upload(&al, &vec![7; (10 << 20) + 1]).await, upload(&al, b"").await);
    let room = create(&al, &json!({})).await;
    state(&al, &room, "org.example.pictures", &json!({"long": long, "empty": short, "bad": "mxc://localhost/x"})).await;
    assert!(engine(&server).keep_shown().await);
    outlive(&server).await;
    assert_eq!(fetch(&al, &long).await, None);
    assert_eq!(fetch(&al, &short).await.as_deref(), Some(&b""[..]));
}

//! Forgetting over HTTP: what has expired is gone from every answer and from the directory, and nothing else is.

use std::{fs, path::Path, time::Duration};

use lethe::{
    admin::{Answer as AdminAnswer, Request, ask},
    clock::Timestamp,
};
use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

const DAY: Duration = Duration::from_hours(24);
const UPLOAD: &str = "/_matrix/media/v3/upload";

async fn room(by: &Client) -> String {
    by.post("createRoom", &json!({})).await.ok()["room_id"].as_str().expect("an id").to_owned()
}

async fn say(by: &Client, room: &str, text: &str) -> String {
    let content = json!({"msgtype": "m.text", "body": text});
    let path = format!("rooms/{}/send/m.room.message/{}", encode(room), encode(text));
    by.put(&path, &content).await.ok()["event_id"].as_str().expect("an id").to_owned()
}

/// Everything that `who` is told of `room` and by a first sync, as text.
async fn told(who: &Client, room: &str) -> String {
    let pages = who.get(&format!("rooms/{}/messages?dir=b&limit=100", encode(room))).await.ok();
    let sync = who.get("sync?timeout=0").await.ok();
    let found = json!({"search_categories": {"room_events": {"search_term": "word"}}});
    let found = who.post("search", &found).await.ok();
    format!("{pages}{sync}{found}")
}

/// Has the keeper look until nothing waits any more: files may be in the making while it looks.
async fn settle(server: &TestServer) -> Value {
    for _ in 0..100 {
        keep(server).await;
        let state = admin(server, Request::RetentionState).await;
        if state["overdue_seconds"] == 0 && state["waiting_for"]["gone"] == 0 {
            return state;
        }
    }
    admin(server, Request::RetentionState).await
}

async fn keep(server: &TestServer) {
    server.server().services().engine.open_epochs().await.expect("opened");
    server.server().services().engine.keeper.tick().await;
}

/// The partitions that a database of the server has, as its newest options say.
fn partitions(server: &TestServer, instance: &str) -> Vec<String> {
    let directory = server.directory.path().join("data").join(instance);
    let names = fs::read_dir(&directory).expect("there").map(|entry| entry.expect("readable").path());
    let newest = names.filter(|path| path.to_string_lossy().contains("OPTIONS-")).max().expect("options");
    let text = fs::read_to_string(newest).expect("text");
    let names = text.lines().filter_map(|line| line.strip_prefix("[CFOptions \"")?.strip_suffix("\"]"));
    names.filter(|name| *name != "default").map(str::to_owned).collect()
}

fn segments(server: &TestServer) -> Vec<String> {
    let entries = fs::read_dir(server.directory.path().join("data/media")).map(|entries| {
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    });
    entries.unwrap_or_default()
}

async fn admin(server: &TestServer, request: Request) -> Value {
    let mut config = lethe::config::Config::default();
    config.storage.data = Path::new(server.directory.path()).join("data");
    let asked = tokio::task::spawn_blocking(move || ask(&config, &request)).await.expect("no panic");
    match asked.expect("answered") {
        AdminAnswer::Done { data, .. } => data,
        AdminAnswer::Failed { reason, .. } => panic!("{reason}"),
    }
}

#[tokio::test]
async fn what_has_expired_is_gone_and_what_has_not_is_there() {
    let mut server = TestServer::open().await;
    let al = server.register("al").await;
    let room = room(&al).await;
    say(&al, &room, "the first word").await;
    let token = format!("Bearer {}", al.token);
    let uploaded = server.send("POST", UPLOAD, &[("Authorization", &token)], b"a picture").await.ok();
    let uri = uploaded["content_uri"].as_str().expect("a URI").to_owned();
    let picture = format!("/_matrix/client/v1/media/download/{}", uri.strip_prefix("mxc://").expect("a URI"));
    assert_eq!(al.get(&picture).await.status, 200);
    assert_eq!(segments(&server), ["4-1"]);
    for _ in 0..20 {
        server.clock.advance(DAY);
        keep(&server).await;
    }
    say(&al, &room, "the second word").await;
    for _ in 0..11 {
        server.clock.advance(DAY);
        keep(&server).await;
    }
    for _ in 0..2 {
        server.restart().await;
        let told = told(&al, &room).await;
        assert!(!told.contains("the first word") && told.contains("the second word"));
        al.get(&picture).await.refused(404, "M_NOT_FOUND");
        for instance in ["records", "soup", "inbox"] {
            let partitions = partitions(&server, instance);
            assert!(!partitions.contains(&"4-1".to_owned()), "{instance} {partitions:?}");
            assert!(partitions.contains(&"4-21".to_owned()) && partitions.contains(&"7-0".to_owned()));
        }
        assert!(segments(&server).is_empty());
        // Nothing that died stands in the way of what comes.
        say(&al, &room, "another word").await;
        keep(&server).await;
    }
    let state = settle(&server).await;
    assert_eq!((&state["overdue_seconds"], &state["clock_trusted"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn a_clock_that_nobody_keeps_hides_and_destroys_nothing_until_it_is_confirmed() {
    let server = TestServer::open_with("[metrics]\nlisten = \"127.0.0.1:0\"").await;
    let al = server.register("al").await;
    let room = room(&al).await;
    say(&al, &room, "a word").await;
    keep(&server).await;
    server.clock.advance(DAY);
    server.clock.set_synchronised(Some(false));
    server.clock.set_wall(Timestamp(crate::server::NOW.0).after(365 * DAY));
    keep(&server).await;
    assert!(partitions(&server, "soup").contains(&"4-1".to_owned()), "nothing is destroyed");
    let state = admin(&server, Request::RetentionState).await;
    assert_eq!(state["clock_trusted"], false);
    assert!(state["overdue_seconds"].as_u64() > Some(0), "{state}");
    assert_eq!(admin(&server, Request::RetentionConfirmClock).await["clock_trusted"], true);
    let state = settle(&server).await;
    assert_eq!((&state["overdue_seconds"], &state["clock_trusted"]), (&json!(0), &json!(true)));
    assert!(!partitions(&server, "soup").contains(&"4-1".to_owned()), "somebody has said that the year is over");
}

#[tokio::test]
async fn devices_that_are_used_live_on_and_the_others_end() {
    let mut server = TestServer::open().await;
    let al = server.register("al").await;
    let idle = server.login(&al).await;
    for _ in 0..14 {
        server.clock.advance(8 * DAY);
        al.get("account/whoami").await.ok();
        keep(&server).await;
    }
    idle.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    al.get("account/whoami").await.ok();
    server.restart().await;
    idle.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    al.get("account/whoami").await.ok();
}

#[tokio::test]
async fn a_lifetime_made_shorter_holds_for_what_is_stored_and_a_longer_one_brings_nothing_back() {
    const OPEN: &str = "[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0\n\
                        [limits]\nrates = false\n[registration]\nmode = \"open\"\n";
    let mut server = TestServer::open().await;
    let al = server.register("al").await;
    let room = room(&al).await;
    say(&al, &room, "an old word").await;
    server.clock.advance(3 * DAY);
    keep(&server).await;
    say(&al, &room, "a new word").await;
    server.reconfigure(&format!("{OPEN}[retention]\ndefault = \"1d\"\n")).await;
    al.get("sync?timeout=0").await.ok();
    keep(&server).await;
    assert!(partitions(&server, "soup").contains(&"4-1".to_owned()), "others' rows may lie there");
    server.reconfigure(OPEN).await;
    let told_later = told(&al, &room).await;
    assert!(!told_later.contains("an old word") && told_later.contains("a new word"));
}

//! Backups over the administrator's socket, and the server that goes on from one.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lethe::{
    admin::{Answer, Request, ask},
    backup::UNFINISHED,
    clock::ManualClock,
    config::Config,
    random::SeededRandom,
    server::Server,
};
use serde_json::{Value, json};

use crate::{
    rooms::{at, event, room_of, said, say},
    server::{Client, NOW, TestServer, encode},
};

const HOUR: Duration = Duration::from_hours(1);

async fn back_up(server: &TestServer, name: &str) -> (PathBuf, PathBuf, Answer) {
    let (data, keys) = (server.directory.path().join(name), server.directory.path().join(format!("{name}.keys")));
    let mut config = Config::default();
    config.storage.data = server.directory.path().join("data");
    let request = Request::Backup { data: data.clone(), keys: keys.clone() };
    let answer = tokio::task::spawn_blocking(move || ask(&config, &request)).await.expect("no panic");
    (data, keys, answer.expect("answered"))
}

async fn sync(client: &Client, since: Option<&str>) -> Value {
    let since = since.map_or_else(String::new, |since| format!("&since={since}"));
    client.get(&format!("sync?timeout=0{since}")).await.ok()
}

fn token(answer: &Value) -> String {
    answer["next_batch"].as_str().expect("a token").to_owned()
}

async fn message(from: &Client, to: &Client, number: u64) {
    let body = json!({"messages": { &to.user_id: { &to.device_id: {"n": number} } }});
    from.put(&format!("sendToDevice/m.test/t{number}"), &body).await.ok();
}

fn received(answer: &Value) -> Vec<u64> {
    let events = answer["to_device"]["events"].as_array().into_iter().flatten();
    events.filter_map(|event| event["content"]["n"].as_u64()).collect()
}

async fn upload(client: &Client, ids: &[&str]) {
    let keys = |prefix: &str| -> Value {
        ids.iter()
            .map(|id| (format!("signed_curve25519:{prefix}{id}"), json!({"key": id})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    client.post("keys/upload", &json!({"one_time_keys": keys("")})).await.ok();
}

async fn claimed(by: &Client, of: &Client) -> Option<String> {
    let body = json!({ "one_time_keys": { &of.user_id: { &of.device_id: "signed_curve25519" } } });
    let answer = by.post("keys/claim", &body).await.ok();
    answer["one_time_keys"][&of.user_id][&of.device_id].as_object()?.keys().next().cloned()
}

#[tokio::test]
async fn what_was_there_comes_back_and_what_came_since_is_forgotten() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let before = say(&alice, &room, "before").await;
    let (data, keys, answer) = back_up(&server, "copy").await;
    let Answer::Done { lines, data: figures } = answer else { panic!("refused") };
    assert!(figures["files"].as_u64() > Some(2) && figures["held_ms"].is_u64(), "{figures}");
    assert!(!lines.concat().contains("alice"));
    let (_, _, again) = back_up(&server, "copy").await;
    assert!(matches!(again, Answer::Failed { later: false, .. }), "nothing is overwritten");
    let after = say(&bob, &room, "after").await;
    let late = server.login(&alice).await;

    server.clock.advance(HOUR);
    server.set_back(&data, &keys).await;
    event(&alice, &room, &before).await.ok();
    event(&alice, &room, &after).await.refused(404, "M_NOT_FOUND");
    // A device that came after the backup keeps what it has until it has logged in again.
    let lost = late.get("account/whoami").await;
    lost.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(lost.json()["soft_logout"], true);
    server.login(&alice).await.get("account/whoami").await.ok();
    say(&bob, &room, "on it goes").await;
    server.clock.advance(32 * 24 * HOUR);
    let lost = late.get("account/whoami").await;
    lost.refused(401, "M_UNKNOWN_TOKEN");
    assert_ne!(lost.json()["soft_logout"], true);
}

#[tokio::test]
async fn positions_of_the_lost_time_stand_for_nothing_new() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    say(&alice, &room, "one").await;
    message(&alice, &bob, 1).await;
    let (data, keys, _) = back_up(&server, "copy").await;
    for text in ["lost one", "lost two", "lost three"] {
        say(&alice, &room, text).await;
    }
    message(&alice, &bob, 2).await;
    let first = sync(&bob, None).await;
    assert_eq!(received(&first), [1, 2]);
    let since = token(&sync(&bob, Some(&token(&first))).await);
    let page =
        alice.get(&at(&room, "messages?dir=b&limit=1")).await.ok()["start"].as_str().expect("a token").to_owned();

    server.clock.advance(HOUR);
    server.set_back(&data, &keys).await;
    message(&alice, &bob, 3).await;
    say(&alice, &room, "two").await;
    let seen = sync(&bob, Some(&since)).await;
    assert_eq!(received(&seen), [3], "what was acknowledged in the lost time does not come again");
    let timeline = &seen["rooms"]["join"][&room]["timeline"];
    assert!(said(&timeline["events"]).ends_with(&["one", "two"]), "{timeline}");
    let changed = seen["device_lists"]["changed"].as_array().cloned().unwrap_or_default();
    assert!([&alice, &bob].iter().all(|of| changed.contains(&json!(of.user_id))), "{changed:?}");
    let since = token(&seen);
    say(&alice, &room, "three").await;
    let seen = sync(&bob, Some(&since)).await;
    assert_eq!(said(&seen["rooms"]["join"][&room]["timeline"]["events"]), ["three"]);
    // A place in the lost time lies behind what was there before and in front of what came since.
    let forward = alice.get(&at(&room, &format!("messages?dir=f&from={}", encode(&page)))).await.ok();
    assert_eq!(said(&forward["chunk"]), ["two", "three"]);
    let backward = alice.get(&at(&room, &format!("messages?dir=b&from={}", encode(&page)))).await.ok();
    assert_eq!(said(&backward["chunk"]), ["one"]);
    let times = alice.get(&at(&room, "messages?dir=f")).await.ok();
    let times: Vec<u64> =
        times["chunk"].as_array().expect("events").iter().filter_map(|e| e["origin_server_ts"].as_u64()).collect();
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    // And so after the next start.
    server.restart().await;
    say(&alice, &room, "four").await;
    let seen = sync(&bob, Some(&token(&seen))).await;
    assert!(said(&seen["rooms"]["join"][&room]["timeline"]["events"]).ends_with(&["three", "four"]), "{seen}");
}

#[tokio::test]
async fn no_key_is_handed_out_in_two_lives() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    upload(&bob, &["a", "b", "c"]).await;
    let fallback = json!({"fallback_keys": {"signed_curve25519:f": {"key": "f", "fallback": true}}});
    bob.post("keys/upload", &fallback).await.ok();
    let (data, keys, _) = back_up(&server, "copy").await;
    let mut given = vec![claimed(&alice, &bob).await.expect("a key"), claimed(&alice, &bob).await.expect("a key")];
    let unused = |answer: &Value| answer["device_unused_fallback_key_types"].clone();
    let count = |answer: &Value| answer["device_one_time_keys_count"]["signed_curve25519"].clone();
    let seen = sync(&bob, None).await;
    assert_eq!((count(&seen), unused(&seen)), (json!(1), json!(["signed_curve25519"])));

    server.set_back(&data, &keys).await;
    let seen = sync(&bob, Some(&token(&seen))).await;
    assert_eq!((count(&seen), unused(&seen)), (json!(0), json!([])), "the client brings fresh keys");
    assert_eq!(claimed(&alice, &bob).await.as_deref(), Some("signed_curve25519:f"), "until then there is one that may");
    upload(&bob, &["a", "b", "c", "d"]).await;
    server.restart().await;
    sync(&bob, None).await;
    while let Some(key) = claimed(&alice, &bob).await.filter(|key| !key.ends_with(":f")) {
        given.push(key);
    }
    assert_eq!(given, ["a", "b", "d"].map(|id| format!("signed_curve25519:{id}")));
    // Whoever comes in this life loses nothing at the next start.
    let carol = server.register("carol").await;
    upload(&carol, &["x"]).await;
    server.restart().await;
    assert_eq!(count(&sync(&carol, None).await), 1);
    sync(&alice, None).await;
    assert_eq!(claimed(&alice, &carol).await.as_deref(), Some("signed_curve25519:x"));
}

#[tokio::test]
async fn a_key_backup_goes_by_another_name_so_that_it_is_filled_up() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let body = json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "YQ"}});
    let made = alice.post("room_keys/version", &body).await.ok();
    assert_eq!(made["version"], "1");
    let key = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true,
        "session_data": {"ephemeral": "YQ", "ciphertext": "Yg", "mac": "Yw"},
    });
    let put = |session: &str, version: &str| {
        let (alice, path) = (alice.clone(), format!("room_keys/keys/!r:localhost/{session}?version={version}"));
        let key = key.clone();
        async move { alice.put(&path, &key).await }
    };
    put("before", "1").await.ok();
    let (data, keys, _) = back_up(&server, "copy").await;
    put("after", "1").await.ok();

    server.set_back(&data, &keys).await;
    let current = alice.get("room_keys/version").await.ok();
    assert_eq!(
        (&current["version"], &current["auth_data"], &current["count"]),
        (&json!("1.1"), &body["auth_data"], &json!(1))
    );
    let refused = put("after", "1").await;
    refused.refused(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(refused.json()["current_version"], "1.1");
    put("after", "1.1").await.ok();
    let all = alice.get("room_keys/keys/!r:localhost?version=1.1").await.ok();
    assert_eq!(all["sessions"].as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(alice.post("room_keys/version", &body).await.ok()["version"], "2.1");
}

#[tokio::test]
async fn no_server_starts_beside_an_unfinished_restore() {
    let server = TestServer::open().await;
    server.register("alice").await;
    let directory = tempfile::TempDir::new().expect("a scratch directory");
    let into = directory.path().join("data");
    std::fs::create_dir(&into).expect("made");
    std::fs::write(into.join(UNFINISHED), b"").expect("written");
    let mut config = Config::default();
    config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.storage.data = into.clone();
    let started = Server::start_with(config, Arc::new(ManualClock::at(NOW)), Arc::new(SeededRandom::new(1))).await;
    assert!(started.is_err_and(|error| error.to_string().contains("restore")));
    assert!(!into.join("keys").exists());
}

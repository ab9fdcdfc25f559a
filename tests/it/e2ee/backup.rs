//! Key backups.

use serde_json::{Value, json};

use crate::server::{Client, TestServer, encode};

const ROOM: &str = "!room:localhost";

fn key(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> Value {
    json!({
        "first_message_index": first_message_index,
        "forwarded_count": forwarded_count,
        "is_verified": is_verified,
        "session_data": {"ephemeral": "YQ", "ciphertext": "Yg", "mac": "Yw"},
    })
}

async fn version(client: &Client) -> String {
    let body = json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "YQ", "signatures": {}}});
    client.post("room_keys/version", &body).await.ok()["version"].as_str().expect("a version").to_owned()
}

fn path(session: &str, version: &str) -> String {
    format!("room_keys/keys/{}/{}?version={version}", encode(ROOM), encode(session))
}

#[tokio::test]
async fn versions_come_and_go() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    alice.get("room_keys/version").await.refused(404, "M_NOT_FOUND");
    alice.put("room_keys/keys?version=1", &json!({"rooms": {}})).await.refused(404, "M_NOT_FOUND");
    let first = version(&alice).await;
    let info = alice.get("room_keys/version").await.ok();
    assert_eq!((&info["version"], &info["count"]), (&json!(first), &json!(0)));
    assert_eq!(info["auth_data"], json!({"public_key": "YQ", "signatures": {}}));
    let second = version(&alice).await;
    assert_ne!(first, second);
    let answer = alice.put(&path("s", &first), &key(false, 0, 0)).await;
    answer.refused(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(answer.json()["current_version"], json!(second));
    let other = json!({"algorithm": "another", "auth_data": {}});
    alice.put(&format!("room_keys/version/{second}"), &other).await.refused(400, "M_INVALID_PARAM");
    let changed =
        json!({"algorithm": info["algorithm"], "auth_data": {"public_key": "Yg", "signatures": {}}, "version": second});
    alice.put(&format!("room_keys/version/{second}"), &changed).await.ok();
    assert_eq!(alice.get("room_keys/version").await.ok()["auth_data"], changed["auth_data"]);
    alice.put(&path("s", &second), &key(false, 0, 0)).await.ok();
    alice.delete(&format!("room_keys/version/{second}"), &json!({})).await.ok();
    alice.delete(&format!("room_keys/version/{second}"), &json!({})).await.refused(404, "M_NOT_FOUND");
    alice.get(&path("s", &second)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get("room_keys/version").await.ok()["version"], json!(first));
    server.restart().await;
    alice.get(&format!("room_keys/version/{second}")).await.refused(404, "M_NOT_FOUND");
    let third = version(&alice).await;
    assert!(third != first && third != second, "a number is not used twice");
    assert_eq!(alice.get("room_keys/version").await.ok()["count"], 0);
}

#[tokio::test]
async fn the_better_key_stays() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let version = version(&alice).await;
    // What is there, what comes, whether it takes its place.
    let table = [
        (key(false, 5, 5), key(true, 9, 9), true),
        (key(true, 5, 5), key(false, 0, 0), false),
        (key(false, 5, 5), key(false, 4, 9), true),
        (key(false, 5, 5), key(false, 6, 0), false),
        (key(true, 5, 5), key(true, 5, 4), true),
        (key(true, 5, 5), key(true, 5, 5), false),
        (key(true, 5, 5), key(true, 5, 6), false),
    ];
    for (row, (there, coming, replaces)) in table.into_iter().enumerate() {
        let place = path(&format!("session/{row}+="), &version);
        let before = alice.put(&place, &there).await.ok();
        assert_eq!(before["count"], row + 1);
        let after = alice.put(&place, &coming).await.ok();
        assert_eq!(after["etag"] != before["etag"], replaces, "row {row}");
        assert_eq!(after["count"], row + 1);
        assert_eq!(alice.get(&place).await.ok(), if replaces { coming } else { there }, "row {row}");
    }
}

#[tokio::test]
async fn keys_are_read_and_deleted_at_every_level() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let version = version(&alice).await;
    let all = format!("room_keys/keys?version={version}");
    let rooms = json!({"rooms": {
        ROOM: {"sessions": {"a/b": key(false, 1, 0), "c": key(true, 2, 0)}},
        "!other:localhost": {"sessions": {"d": key(false, 3, 0)}},
    }});
    let put = alice.put(&all, &rooms).await.ok();
    assert_eq!(put["count"], 3);
    let room = format!("room_keys/keys/{}?version={version}", encode(ROOM));
    alice.put(&room, &json!({"sessions": {"e": key(false, 4, 0)}})).await.ok();
    server.restart().await;
    let found = alice.get(&all).await.ok();
    assert_eq!(found["rooms"]["!other:localhost"], rooms["rooms"]["!other:localhost"]);
    assert_eq!(alice.get(&path("a/b", &version)).await.ok(), key(false, 1, 0));
    let sessions = alice.get(&room).await.ok();
    assert_eq!(sessions["sessions"].as_object().expect("a map").len(), 3);
    let before = alice.get("room_keys/version").await.ok();
    let deleted = alice.delete(&path("a/b", &version), &json!({})).await.ok();
    assert_eq!(deleted["count"], 3);
    assert_ne!(deleted["etag"], before["etag"]);
    alice.get(&path("a/b", &version)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.delete(&room, &json!({})).await.ok()["count"], 1);
    assert_eq!(alice.get(&room).await.ok(), json!({"sessions": {}}));
    server.restart().await;
    assert_eq!(alice.get("room_keys/version").await.ok()["count"], 1);
    alice.get(&path("a/b", &version)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.delete(&all, &json!({})).await.ok()["count"], 0);
    assert_eq!(alice.get(&all).await.ok(), json!({"rooms": {}}));
    alice.get("room_keys/keys?version=7").await.refused(404, "M_NOT_FOUND");
}

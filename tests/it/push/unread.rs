//! What is unread, as every kind of sync says it.

use serde_json::{Value, json};

use crate::{
    rooms::{at, create, put, room_of, say},
    server::{Client, TestServer, encode},
};

/// Unread notifications and highlights, as classic sync says them, and as sliding sync does.
pub(super) async fn unread(client: &Client, room: &str) -> (u64, u64) {
    let classic = client.get("sync").await.ok()["rooms"]["join"][room]["unread_notifications"].clone();
    let list = json!({"lists": {"all": {"ranges": [[0, 99]], "timeline_limit": 1, "required_state": []}}});
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    let sliding = client.post(sliding, &list).await.ok()["rooms"][room].clone();
    let of = |from: &Value| {
        let count = |name: &str| from[name].as_u64().expect("a count");
        (count("notification_count"), count("highlight_count"))
    };
    assert_eq!(of(&classic), of(&sliding));
    of(&classic)
}

async fn message(client: &Client, room: &str, content: Value) -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let txn = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut content = content;
    content["msgtype"] = "m.text".into();
    put(client, room, "m.room.message", &format!("u{txn}"), &content).await
}

#[tokio::test]
async fn mentions_highlight_however_they_are_made() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    bo.put(&format!("profile/{}/displayname", encode(&bo.user_id)), &json!({"displayname": "Robert"})).await.ok();
    let room = room_of(&[&al, &bo]).await;
    for (content, expected) in [
        (json!({"body": "nobody"}), (1, 0)),
        (json!({"body": "bo: look"}), (2, 1)),
        (json!({"body": "Look, Robert!"}), (3, 2)),
        (json!({"body": "@room look"}), (4, 3)),
        (json!({"body": "look", "m.mentions": {"user_ids": [bo.user_id]}}), (5, 4)),
        (json!({"body": "look", "m.mentions": {"room": true}}), (6, 5)),
        (json!({"body": "bo Robert @room", "m.mentions": {}}), (7, 5)),
    ] {
        message(&al, &room, content).await;
        assert_eq!(unread(&bo, &room).await, expected);
    }
    // Who may not speak to everybody does not.
    let levels = json!({"notifications": {"room": 100}});
    let private = create(&al, &json!({"power_level_content_override": levels})).await;
    for who in [&bo, &server.register("cy").await] {
        crate::rooms::bring(&al, who, &private).await;
    }
    message(&bo, &private, json!({"body": "@room", "m.mentions": {"room": true}})).await;
    assert_eq!(unread(&al, &private).await, (1, 0));
}

#[tokio::test]
async fn a_redacted_message_and_one_of_somebody_ignored_are_not_unread() {
    let server = TestServer::open().await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = room_of(&[&al, &bo, &cy]).await;
    let regretted = say(&al, &room, "regretted").await;
    say(&cy, &room, "noise").await;
    assert_eq!(unread(&bo, &room).await, (2, 0));
    al.put(&at(&room, &format!("redact/{}/r", encode(&regretted))), &json!({})).await.ok();
    assert_eq!(unread(&bo, &room).await, (1, 0));
    let ignored = json!({"ignored_users": {(&cy.user_id): {}}});
    bo.put(&format!("user/{}/account_data/m.ignored_user_list", encode(&bo.user_id)), &ignored).await.ok();
    assert_eq!(unread(&bo, &room).await, (0, 0));
    say(&cy, &room, "more noise").await;
    assert_eq!(unread(&bo, &room).await, (0, 0));
}

#[tokio::test]
async fn rules_decide_what_is_unread_after_a_restart_too() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let room = room_of(&[&al, &bo]).await;
    bo.put(
        "pushrules/global/content/cake",
        &json!({"actions": ["notify", {"set_tweak": "highlight"}], "pattern": "ca*e"}),
    )
    .await
    .ok();
    say(&al, &room, "coffee").await;
    say(&al, &room, "cake").await;
    assert_eq!(unread(&bo, &room).await, (2, 1));
    bo.put(&format!("pushrules/global/room/{}", encode(&room)), &json!({"actions": []})).await.ok();
    assert_eq!(unread(&bo, &room).await, (1, 1));
    server.restart().await;
    assert_eq!(unread(&bo, &room).await, (1, 1));
    bo.put("pushrules/global/override/.m.rule.master/enabled", &json!({"enabled": true})).await.ok();
    assert_eq!(unread(&bo, &room).await, (0, 0));
}

#[tokio::test]
async fn whether_a_device_is_silenced_goes_with_it() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let phone = server.login(&al).await;
    for prefix in ["org.matrix.msc3890.local_notification_settings", "m.local_notification_settings"] {
        let path = format!("user/{}/account_data/{prefix}.", encode(&al.user_id));
        for device in [&al.device_id, &phone.device_id] {
            al.put(&format!("{path}{device}"), &json!({"is_silenced": true})).await.ok();
        }
        let again = server.login(&al).await;
        al.put(&format!("{path}{}", again.device_id), &json!({"is_silenced": true})).await.ok();
        again.post("logout", &json!({})).await.ok();
        al.get(&format!("{path}{}", again.device_id)).await.refused(404, "M_NOT_FOUND");
        assert_eq!(al.get(&format!("{path}{}", phone.device_id)).await.ok(), json!({"is_silenced": true}));
    }
}

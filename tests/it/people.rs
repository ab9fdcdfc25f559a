//! Whom an account hears from: refused, hidden and ignored; and account data that is deleted.

use serde_json::{Value, json};

use crate::{
    rooms::{at, create, room_of, said, say},
    server::{Client, TestServer, encode},
};

const RULES: &str = "org.matrix.msc4155.invite_permission_config";
const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";

async fn keep(client: &Client, kind: &str, data: &Value) {
    client.put(&format!("user/{}/account_data/{kind}", encode(&client.user_id)), data).await.ok();
}

/// The rooms a client is invited to, as both flavours of sync tell.
async fn invitations(client: &Client) -> Vec<String> {
    let told = client.get("sync").await.ok();
    let classic: Vec<String> =
        told["rooms"]["invite"].as_object().map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default();
    let list = json!({"ranges": [[0, 99]], "timeline_limit": 1, "filters": {"is_invite": true}});
    let sliding = client.post(SLIDING, &json!({"lists": {"all": list}})).await.ok();
    assert_eq!(sliding["lists"]["all"]["count"], classic.len(), "{sliding}");
    classic
}

async fn invite(by: &Client, who: &Client) -> (crate::server::Answer, String) {
    let room = create(by, &json!({})).await;
    (by.post(&at(&room, "invite"), &json!({"user_id": who.user_id})).await, room)
}

#[tokio::test]
async fn who_wants_no_invitations_gets_none_by_any_path() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for kind in ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"] {
        keep(&alice, kind, &json!({"default_action": "block"})).await;
        let (answer, room) = invite(&bob, &alice).await;
        answer.refused(403, "M_INVITE_BLOCKED");
        let member = at(&room, &format!("state/m.room.member/{}", encode(&alice.user_id)));
        bob.put(&member, &json!({"membership": "invite"})).await.refused(403, "M_INVITE_BLOCKED");
        let wish = json!({"invite": [alice.user_id]});
        bob.post("createRoom", &wish).await.refused(403, "M_INVITE_BLOCKED");
        // Put off, it is refused when it is due.
        bob.put(&format!("{member}?org.matrix.msc4140.delay=0"), &json!({"membership": "invite"})).await.ok();
        server.server().services().engine.delayed.send_due().await;
        bob.get(&member).await.refused(404, "M_NOT_FOUND");
        keep(&alice, kind, &json!({})).await;
        assert!(invitations(&alice).await.is_empty());
    }
    // What she says is not known while her account is cold: it is not shown when it opens.
    keep(&alice, "m.invite_permission_config", &json!({"default_action": "block"})).await;
    server.restart().await;
    let (answer, room) = invite(&bob, &alice).await;
    answer.ok();
    assert!(invitations(&alice).await.is_empty());
    keep(&alice, "m.invite_permission_config", &json!({"default_action": "allow"})).await;
    assert_eq!(invitations(&alice).await, [room]);
}

#[tokio::test]
async fn invitations_are_filtered_by_who_sends_them() {
    let server = TestServer::open().await;
    let (alice, bob, eve) =
        (server.register("alice").await, server.register("bob").await, server.register("eve").await);
    keep(&alice, RULES, &json!({"allowed_users": [bob.user_id], "blocked_servers": ["local*"]})).await;
    invite(&eve, &alice).await.0.refused(403, "M_INVITE_BLOCKED");
    let (answer, welcome) = invite(&bob, &alice).await;
    answer.ok();
    assert_eq!(invitations(&alice).await, std::slice::from_ref(&welcome));
    // Who is ignored does not notice.
    keep(&alice, RULES, &json!({"ignored_users": ["@e?e:*"], "blocked_users": null})).await;
    let (answer, hidden) = invite(&eve, &alice).await;
    answer.ok();
    assert_eq!(invitations(&alice).await, std::slice::from_ref(&welcome));
    keep(&alice, "m.ignored_user_list", &json!({"ignored_users": {&bob.user_id: {}}})).await;
    assert!(invitations(&alice).await.is_empty());
    keep(&alice, "m.ignored_user_list", &json!({"ignored_users": {}})).await;
    keep(&alice, RULES, &json!({})).await;
    let mut both = vec![welcome, hidden];
    both.sort();
    assert_eq!(invitations(&alice).await, both);
}

#[tokio::test]
async fn ignored_users_are_heard_in_state_alone() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&bob, &alice]).await;
    keep(&alice, "m.ignored_user_list", &json!({"ignored_users": {&bob.user_id: {}}})).await;
    say(&bob, &room, "nonsense").await;
    bob.put(&at(&room, "state/m.room.name"), &json!({"name": "Bob's"})).await.ok();
    let told = alice.get("sync").await.ok();
    let joined = &told["rooms"]["join"][&room];
    assert!(said(&joined["timeline"]["events"]).is_empty());
    let events = joined["timeline"]["events"].as_array().expect("events");
    assert!(events.iter().any(|event| event["type"] == "m.room.name"));
    assert_eq!(joined["unread_notifications"]["notification_count"], 0);
}

#[tokio::test]
async fn deleted_account_data_is_told_once() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    let user = encode(&alice.user_id);
    let (data, proposal) = (json!({"x": 1}), format!("/_matrix/client/unstable/org.matrix.msc3391/user/{user}"));
    for place in [String::new(), format!("rooms/{}/", encode(&room))] {
        let path = format!("user/{user}/{place}account_data/org.example.x");
        let deletion = format!("{proposal}/{place}account_data/org.example.x");
        let of = |told: &Value| {
            let events =
                if place.is_empty() { &told["account_data"] } else { &told["rooms"]["join"][&room]["account_data"] };
            let events = events["events"].as_array().cloned().unwrap_or_default();
            events.into_iter().find(|event| event["type"] == "org.example.x").map(|event| event["content"].clone())
        };
        for by_put in [true, false] {
            alice.put(&path, &data).await.ok();
            let since = alice.get("sync").await.ok();
            assert_eq!(of(&since), Some(data.clone()));
            if by_put {
                alice.put(&path, &json!({})).await.ok();
            } else {
                alice.delete(&deletion, &json!({})).await.ok();
            }
            alice.get(&path).await.refused(404, "M_NOT_FOUND");
            let since = since["next_batch"].as_str().expect("a token");
            assert_eq!(of(&alice.get(&format!("sync?since={since}")).await.ok()), Some(json!({})));
            assert_eq!(of(&alice.get("sync").await.ok()), None);
        }
    }
    server.restart().await;
    alice.get(&format!("user/{user}/account_data/org.example.x")).await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.delete(&format!("{proposal}/account_data/org.example.none"), &json!({})).await.ok(), json!({}));
    alice.delete(&format!("{proposal}/account_data/m.push_rules"), &json!({})).await.refused(405, "M_BAD_JSON");
    let bob = server.register("bob").await;
    bob.delete(&format!("{proposal}/account_data/org.example.x"), &json!({})).await.refused(403, "M_FORBIDDEN");
}

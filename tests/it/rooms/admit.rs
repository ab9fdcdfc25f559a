//! Restricted rooms, entered through the rooms that admit to them: also when nobody of the room itself has come.

use serde_json::{Value, json};

use super::{at, bring, create, messages, room_of, said, say};
use crate::server::{Client, TestServer, encode};

fn rule(halls: &[&str]) -> Value {
    let allow: Vec<_> = halls.iter().map(|hall| json!({"type": "m.room_membership", "room_id": hall})).collect();
    json!({"join_rule": "restricted", "allow": allow})
}

async fn restricted(client: &Client, halls: &[&str]) -> String {
    let rules = json!({"type": "m.room.join_rules", "content": rule(halls)});
    create(client, &json!({"name": "Inside", "initial_state": [rules]})).await
}

async fn set_rule(client: &Client, room: &str, rule: &Value) {
    client.put(&at(room, "state/m.room.join_rules"), rule).await.ok();
}

async fn enters(client: &Client, room: &str) -> bool {
    let answer = client.post(&at(room, "join"), &json!({})).await;
    assert!([200, 403, 404].contains(&answer.status), "{}", answer.status);
    answer.status == 200
}

#[tokio::test]
async fn who_is_in_the_one_enters_the_other_although_nobody_of_it_has_come() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let kind = json!({"creation_content": {"type": "m.space"}, "invite": [bob.user_id]});
    let space = create(&alice, &kind).await;
    bob.post(&at(&space, "join"), &json!({})).await.ok();
    let room = restricted(&alice, &[&space]).await;
    let child = at(&space, &format!("state/m.space.child/{}", encode(&room)));
    alice.put(&child, &json!({"via": ["localhost"]})).await.ok();
    say(&alice, &room, "come in").await;
    server.restart().await;
    let tree = bob.get(&format!("/_matrix/client/v1/{}", at(&space, "hierarchy"))).await.ok();
    assert_eq!((&tree["rooms"][1]["name"], &tree["rooms"][1]["allowed_room_ids"]), (&json!("Inside"), &json!([space])));
    assert!(!enters(&carl, &room).await, "who is in neither");
    assert!(enters(&bob, &room).await);
    assert_eq!(said(&messages(&bob, &room, "dir=b").await["chunk"]), ["come in"]);
    let member = bob.get(&at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)))).await.ok();
    assert_eq!(member["join_authorised_via_users_server"], alice.user_id);
    server.restart().await;
    say(&bob, &room, "back again").await;
    assert_eq!(said(&messages(&alice, &room, "dir=b").await["chunk"]), ["back again", "come in"]);
}

#[tokio::test]
async fn the_key_follows_when_it_is_replaced() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let hall = room_of(&[&alice, &bob]).await;
    let room = restricted(&alice, &[&hall]).await;
    bring(&alice, &carl, &room).await;
    carl.post(&at(&room, "leave"), &json!({})).await.ok();
    server.restart().await;
    assert!(!enters(&carl, &room).await);
    assert!(enters(&bob, &room).await);
}

#[tokio::test]
async fn the_key_goes_when_the_rule_changes() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let (one, two) = (room_of(&[&alice, &bob]).await, room_of(&[&alice, &carl]).await);
    let room = restricted(&alice, &[&one]).await;
    set_rule(&alice, &room, &rule(&[&two])).await;
    server.restart().await;
    assert!(!enters(&bob, &room).await && enters(&carl, &room).await);
    assert!(!enters(&bob, &room).await, "now that it is open");
    set_rule(&alice, &room, &rule(&[&one, &two])).await;
    server.restart().await;
    assert!(enters(&bob, &room).await);
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    set_rule(&alice, &room, &json!({"join_rule": "invite"})).await;
    server.restart().await;
    assert!(!enters(&bob, &room).await);
    alice.get("joined_rooms").await.ok();
    assert!(!enters(&bob, &room).await);
    set_rule(&alice, &room, &json!({"join_rule": "public"})).await;
    server.restart().await;
    assert!(enters(&bob, &room).await, "through the house");
}

#[tokio::test]
async fn a_stale_key_is_replaced_once_both_rooms_are_open() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl, dora) = (
        server.register("alice").await,
        server.register("bob").await,
        server.register("carl").await,
        server.register("dora").await,
    );
    let hall = room_of(&[&alice, &bob]).await;
    let room = restricted(&alice, &[&hall]).await;
    bring(&alice, &carl, &room).await;
    bring(&alice, &dora, &room).await;
    server.restart().await;
    // Only the room is open while its key is replaced.
    carl.post(&at(&room, "leave"), &json!({})).await.ok();
    server.restart().await;
    assert!(!enters(&bob, &room).await, "as for a room nobody has opened");
    dora.get("joined_rooms").await.ok();
    server.restart().await;
    assert!(enters(&bob, &room).await, "the two were open together, though nobody is in both");
}

#[tokio::test]
async fn rooms_may_admit_to_each_other() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let one = create(&alice, &json!({"invite": [bob.user_id]})).await;
    bob.post(&at(&one, "join"), &json!({})).await.ok();
    let two = restricted(&alice, &[&one]).await;
    set_rule(&alice, &one, &rule(&[&two, &one, "!nowhere:localhost"])).await;
    bring(&alice, &carl, &two).await;
    let leave = json!({"user_id": bob.user_id});
    tokio::join!(async { alice.post(&at(&one, "kick"), &leave).await.ok() }, async {
        carl.post(&at(&two, "leave"), &json!({})).await.ok()
    },);
    assert!(!enters(&bob, &two).await && !enters(&carl, &one).await);
    bring(&alice, &bob, &one).await;
    bring(&alice, &carl, &two).await;
    server.restart().await;
    assert!(enters(&bob, &two).await && enters(&carl, &one).await);
}

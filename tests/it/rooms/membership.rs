use serde_json::json;

use super::{at, bring, create, event, messages, put, room_of, said, say};
use crate::server::{TestServer, encode};

#[tokio::test]
async fn who_is_invited_joins_and_who_is_not_does_not() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = create(&alice, &json!({})).await;
    carl.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    bob.post(&format!("join/{}", encode("#nowhere:localhost")), &json!({})).await.refused(404, "M_NOT_FOUND");
    bob.post(&at("!nowhere:localhost", "join"), &json!({})).await.refused(404, "M_NOT_FOUND");
    carl.post(&at(&room, "invite"), &json!({"user_id": bob.user_id})).await.refused(403, "M_FORBIDDEN");
    for (user, status, code) in [
        ("@nobody:localhost", 404, "M_NOT_FOUND"),
        ("@bob:elsewhere.org", 403, "M_FORBIDDEN"),
        (alice.user_id.as_str(), 403, "M_FORBIDDEN"),
    ] {
        alice.post(&at(&room, "invite"), &json!({"user_id": user})).await.refused(status, code);
    }
    let by_mail = json!({"id_server": "x", "id_access_token": "y", "medium": "email", "address": "a@b"});
    alice.post(&at(&room, "invite"), &by_mail).await.refused(403, "M_THREEPID_DENIED");
    alice.post(&at(&room, "invite"), &json!({"user_id": bob.user_id, "reason": "tea"})).await.ok();
    let member = at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)));
    let invitation = alice.get(&member).await.ok();
    assert_eq!((&invitation["membership"], &invitation["reason"]), (&json!("invite"), &json!("tea")));
    bob.get(&member).await.refused(403, "M_FORBIDDEN");
    let joined = bob.post(&format!("join/{}", encode(&room)), &json!({"reason": "thirsty"})).await.ok();
    assert_eq!(joined["room_id"], room);
    assert_eq!(bob.get(&member).await.ok()["reason"], "thirsty");
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    let members = alice.get(&at(&room, "joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(2));
    let joined = alice.get(&at(&room, "members?membership=join")).await.ok();
    assert_eq!(joined["chunk"].as_array().map(Vec::len), Some(2));
    let others = alice.get(&at(&room, "members?not_membership=join")).await.ok();
    assert_eq!(others["chunk"], json!([]));
    let either = alice.get(&at(&room, "members?membership=leave&not_membership=ban")).await.ok();
    assert_eq!(either["chunk"].as_array().map(Vec::len), Some(2), "the two together ask for either");
    let member = &alice.get(&at(&room, "joined_members")).await.ok()["joined"][&bob.user_id];
    assert_eq!(member, &json!({"display_name": "", "avatar_url": null}), "clients look for both");
    carl.get(&at(&room, "members")).await.refused(403, "M_FORBIDDEN");
    carl.get(&at(&room, "joined_members")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn members_are_told_as_they_were() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    say(&alice, &room, "alone").await;
    let page = messages(&alice, &room, "dir=b&limit=1").await;
    let then = page["end"].as_str().expect("a token");
    bring(&alice, &bob, &room).await;
    let at_that_time = alice.get(&at(&room, &format!("members?at={then}"))).await.ok();
    assert_eq!(at_that_time["chunk"].as_array().map(Vec::len), Some(1));
    let now = alice.get(&at(&room, "members?at=s12")).await.ok();
    assert_eq!(now["chunk"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn who_has_left_may_forget() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let id = say(&alice, &room, "between us").await;
    bob.post(&at(&room, "forget"), &json!({})).await.refused(400, "M_UNKNOWN");
    bob.post(&at(&room, "leave"), &json!({"reason": "late"})).await.ok();
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    event(&bob, &room, &id).await.ok();
    bob.put(&at(&room, "send/m.room.message/1"), &json!({"body": "x"})).await.refused(403, "M_FORBIDDEN");
    assert_eq!(bob.get("joined_rooms").await.ok()["joined_rooms"], json!([]));
    let gone = alice.get(&at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)))).await.ok();
    assert_eq!((&gone["membership"], &gone["reason"]), (&json!("leave"), &json!("late")));
    say(&alice, &room, "alone").await;
    server.restart().await;
    bob.get(&at(&room, "messages?dir=b")).await.refused(403, "M_FORBIDDEN");
    bob.post(&at(&room, "forget"), &json!({})).await.ok();
    bob.post(&at(&room, "forget"), &json!({})).await.ok();
    assert_eq!(said(&messages(&alice, &room, "dir=f&limit=50").await["chunk"]), ["between us", "alone"]);
    bob.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "leave"), &json!({})).await.ok();
    alice.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    server.restart().await;
    alice.post(&at(&room, "join"), &json!({})).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn an_invitation_can_be_refused_and_withdrawn() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let invite = json!({"user_id": bob.user_id});
    alice.post(&at(&room, "invite"), &invite).await.ok();
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "invite"), &invite).await.ok();
    alice.post(&at(&room, "kick"), &invite).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "kick"), &invite).await.refused(403, "M_FORBIDDEN");
    bob.post(&at("!nowhere:localhost", "leave"), &json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_invitation_waits_for_a_cold_account() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({"name": "Tea"})).await;
    say(&alice, &room, "before you came").await;
    server.restart().await;
    alice.post(&at(&room, "invite"), &json!({"user_id": bob.user_id})).await.ok();
    server.restart().await;
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    assert_eq!(said(&messages(&bob, &room, "dir=b").await["chunk"]), ["before you came"]);
    server.restart().await;
    assert_eq!(said(&messages(&bob, &room, "dir=b").await["chunk"]), ["before you came"]);
}

#[tokio::test]
async fn who_is_removed_while_cold_finds_nothing() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = room_of(&[&alice, &bob, &carl]).await;
    server.restart().await;
    bob.post(&at(&room, "kick"), &json!({"user_id": carl.user_id})).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "kick"), &json!({"user_id": bob.user_id, "reason": "noise"})).await.ok();
    say(&alice, &room, "quiet now").await;
    server.restart().await;
    bob.get(&at(&room, "messages?dir=b")).await.refused(403, "M_FORBIDDEN");
    assert_eq!(bob.get("joined_rooms").await.ok()["joined_rooms"], json!([]));
    assert_eq!(said(&messages(&carl, &room, "dir=b").await["chunk"]), ["quiet now"]);
    let seen = messages(&bob, &room, "dir=b").await;
    assert!(said(&seen["chunk"]).is_empty() && seen["chunk"][0]["content"]["reason"] == "noise");
}

#[tokio::test]
async fn a_ban_holds_until_it_is_taken_back() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = create(&alice, &json!({"preset": "public_chat"})).await;
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    carl.post(&at(&room, "join"), &json!({})).await.ok();
    let who = json!({"user_id": bob.user_id});
    carl.post(&at(&room, "ban"), &who).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "unban"), &who).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "ban"), &who).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    bob.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "kick"), &who).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "invite"), &who).await.refused(403, "M_FORBIDDEN");
    carl.post(&at(&room, "unban"), &who).await.refused(403, "M_FORBIDDEN");
    alice.post(&at(&room, "unban"), &who).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    // A ban needs nobody in the room.
    alice.post(&at(&room, "ban"), &json!({"user_id": "@stranger:elsewhere.org"})).await.ok();
}

#[tokio::test]
async fn a_knock_is_answered_with_an_invitation() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let closed = create(&alice, &json!({})).await;
    bob.post(&format!("knock/{}", encode(&closed)), &json!({})).await.refused(403, "M_FORBIDDEN");
    let rules = json!([{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]);
    let room = create(&alice, &json!({"initial_state": rules})).await;
    let knocked = bob.post(&format!("knock/{}", encode(&room)), &json!({"reason": "please"})).await.ok();
    assert_eq!(knocked["room_id"], room);
    bob.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    bring(&alice, &bob, &room).await;
    say(&bob, &room, "in").await;
}

#[tokio::test]
async fn the_members_of_one_room_enter_another() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let hall = room_of(&[&alice, &bob]).await;
    let allow = json!([{"type": "m.room_membership", "room_id": hall}]);
    let rules = json!([{"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}]);
    let room = create(&alice, &json!({"initial_state": rules})).await;
    carl.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    let member = alice.get(&at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)))).await.ok();
    assert_eq!(member["join_authorised_via_users_server"], alice.user_id);
}

#[tokio::test]
async fn memberships_set_as_state_are_memberships() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let member = at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)));
    alice.put(&member, &json!({"membership": "invite"})).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    bob.put(&member, &json!({"membership": "join", "displayname": "Bobby"})).await.ok();
    assert_eq!(alice.get(&at(&room, "joined_members")).await.ok()["joined"][&bob.user_id]["display_name"], "Bobby");
    alice.put(&member, &json!({"membership": "join", "displayname": "x"})).await.refused(403, "M_FORBIDDEN");
    alice.put(&member, &json!({"displayname": "x"})).await.refused(400, "M_INVALID_ROOM_STATE");
    let unused = json!({"membership": "join", "displayname": "Bob", "join_authorised_via_users_server": "unused"});
    bob.put(&member, &unused).await.ok();
    assert_eq!(bob.get(&member).await.ok(), json!({"membership": "join", "displayname": "Bob"}));
    alice.put(&member, &json!({"membership": "ban", "reason": "enough"})).await.ok();
    bob.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    put(&alice, &room, "m.room.message", "t", &json!({"body": "without him"})).await;
    server.restart().await;
    bob.get(&at(&room, "state")).await.refused(403, "M_FORBIDDEN");
    assert_eq!(alice.get(&member).await.ok(), json!({"membership": "ban", "reason": "enough"}));
}

#[tokio::test]
async fn a_room_that_closes_keeps_who_was_not_in_it_out() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let room = create(&alice, &json!({"preset": "public_chat"})).await;
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    alice.put(&at(&room, "state/m.room.join_rules/"), &json!({"join_rule": "invite"})).await.ok();
    say(&alice, &room, "closed").await;
    server.restart().await;
    carl.post(&at(&room, "join"), &json!({})).await.refused(404, "M_NOT_FOUND");
    assert_eq!(said(&messages(&bob, &room, "dir=b").await["chunk"]), ["closed"]);
    carl.post(&at(&room, "join"), &json!({})).await.refused(403, "M_FORBIDDEN");
    alice.put(&at(&room, "state/m.room.join_rules/"), &json!({"join_rule": "public"})).await.ok();
    server.restart().await;
    carl.post(&at(&room, "join"), &json!({})).await.ok();
    assert_eq!(said(&messages(&carl, &room, "dir=b").await["chunk"]), ["closed"]);
}

#[tokio::test]
async fn a_join_carries_what_its_client_adds() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({"preset": "public_chat"})).await;
    let added = json!({"org.x": "bar", "reason": "tea", "membership": "ban", "third_party_signed": null});
    bob.post(&format!("join/{}", encode(&room)), &added).await.ok();
    let member = alice.get(&at(&room, &format!("state/m.room.member/{}", encode(&bob.user_id)))).await.ok();
    assert_eq!(
        (&member["org.x"], &member["reason"], &member["membership"]),
        (&json!("bar"), &json!("tea"), &json!("join"))
    );
    bob.post(&at(&room, "leave"), &json!({})).await.ok();
    bob.post(&at(&room, "join"), &json!({"org.x": 1.5})).await.refused(400, "M_BAD_JSON");
    bob.send("POST", &at(&room, "join"), b"").await.ok();
}

#[tokio::test]
async fn a_join_rule_counts_where_the_version_knows_it() {
    let server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    let hall = room_of(&[&alice, &bob]).await;
    for (version, rule, joins, knocks) in [
        ("6", "knock", false, false),
        ("7", "knock", false, true),
        ("7", "restricted", false, false),
        ("8", "restricted", true, false),
        ("9", "knock_restricted", false, false),
        ("10", "knock_restricted", true, true),
        ("11", "restricted", true, false),
        ("12", "knock_restricted", true, true),
    ] {
        let allow = json!([{"type": "m.room_membership", "room_id": hall}]);
        let rules = json!([{"type": "m.room.join_rules", "content": {"join_rule": rule, "allow": allow}}]);
        let room = create(&alice, &json!({"room_version": version, "initial_state": rules})).await;
        let what = format!("{rule} in {version}");
        assert_eq!(bob.post(&at(&room, "join"), &json!({})).await.status == 200, joins, "{what}");
        let knock = format!("knock/{}", encode(&room));
        assert_eq!(carl.post(&knock, &json!({"reason": "please"})).await.status == 200, knocks, "{what}");
        let summary = format!("/_matrix/client/v1/room_summary/{}", encode(&room));
        let shown = alice.get(&summary).await.ok();
        assert_eq!(shown.get("allowed_room_ids").is_some(), joins, "{what}");
    }
}

//! Members who have not come since the start are told of what happens all the same.

use std::collections::BTreeSet;

use serde_json::json;

use super::gateway::{Gateway, until};
use crate::{
    accounts::{administer, administrator},
    rooms::{at, create, put, room_of, say},
    server::{Client, TestServer, encode},
};

/// Whether the room's note of a member is what it should be.
async fn noted(server: &TestServer, room: &str, who: &Client, noted: bool) {
    let engine = &server.server().services().engine;
    let (room, user) = (ruma::RoomId::parse(room).expect("an id"), ruma::UserId::parse(&who.user_id).expect("an id"));
    until(async || engine.rooms.find(&room).is_some_and(|room| room.push_note(&user).is_some() == noted)).await;
}

async fn mute(client: &Client, room: &str) {
    let here = json!({"kind": "event_match", "key": "room_id", "pattern": room});
    let rule = json!({"actions": [], "conditions": [here]});
    client.put(&format!("pushrules/global/override/{}", encode(room)), &rule).await.ok();
}

#[tokio::test]
async fn a_cold_member_is_told_what_his_rules_come_to() {
    let mut gateway = Gateway::start().await;
    let mut server = gateway.server("").await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let loud = room_of(&[&al, &bo, &cy]).await;
    let quiet = room_of(&[&al, &bo, &cy]).await;
    let silent = room_of(&[&al, &bo, &cy]).await;
    gateway.pusher(&bo, "key").await;
    bo.put(&format!("pushrules/global/room/{}", encode(&quiet)), &json!({"actions": []})).await.ok();
    mute(&bo, &silent).await;
    server.restart().await;
    say(&al, &silent, "bo: unheard").await;
    say(&al, &quiet, "unheard").await;
    let named = json!({"msgtype": "m.text", "body": "look", "m.mentions": {"user_ids": [bo.user_id]}});
    let mention = put(&al, &quiet, "m.room.message", "m", &named).await;
    let told = gateway.next().await;
    assert_eq!((&told["event_id"], told.get("counts")), (&json!(mention), None));
    let notice = json!({"msgtype": "m.notice", "body": "by a bot"});
    put(&al, &loud, "m.room.message", "n", &notice).await;
    let heard = say(&al, &loud, "heard").await;
    assert_eq!(gateway.next().await["event_id"], heard);
    // Once he has come, his rules speak for themselves again, and he is told how much is unread.
    bo.get("sync").await.ok();
    let heard = say(&al, &loud, "heard again").await;
    let told = gateway.next().await;
    assert_eq!((&told["event_id"], &told["counts"]["unread"]), (&json!(heard), &json!(3)));
    gateway.silent();
}

#[tokio::test]
async fn a_cold_account_is_told_of_an_invitation() {
    let mut gateway = Gateway::start().await;
    let mut server = gateway.server("").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let shared = room_of(&[&al, &bo]).await;
    gateway.pusher(&bo, "key").await;
    noted(&server, &shared, &bo, true).await;
    server.restart().await;
    let fresh = create(&al, &json!({"invite": [bo.user_id], "is_direct": true})).await;
    assert_eq!(gateway.next().await["room_id"], fresh);
}

#[tokio::test]
async fn notes_go_with_pushers_devices_and_memberships() {
    let mut gateway = Gateway::start().await;
    let mut server = gateway.server("").await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = room_of(&[&al, &bo, &cy]).await;
    let phone = server.login(&bo).await;
    gateway.pusher(&phone, "phone").await;
    gateway.pusher(&cy, "cy").await;
    noted(&server, &room, &bo, true).await;
    // The end of a device is noticed within a minute, and before the server stops.
    phone.post("logout", &json!({})).await.ok();
    server.restart().await;
    say(&al, &room, "to one").await;
    assert_eq!(gateway.next().await["devices"][0]["pushkey"], "cy");
    noted(&server, &room, &bo, false).await;
    noted(&server, &room, &cy, true).await;
    al.post(&at(&room, "kick"), &json!({"user_id": cy.user_id})).await.ok();
    noted(&server, &room, &cy, false).await;
    say(&al, &room, "to none").await;
    // A key that its gateway rejects goes from the notes of the cold, too.
    gateway.pusher(&bo, "bo").await;
    noted(&server, &room, &bo, true).await;
    server.restart().await;
    gateway.answers(200, json!({"rejected": ["bo"]}));
    say(&al, &room, "rejected").await;
    assert_eq!(gateway.next().await["devices"][0]["pushkey"], "bo");
    noted(&server, &room, &bo, false).await;
    say(&al, &room, "unheard").await;
    server.stop().await;
    gateway.silent();
}

/// Who is told next, by their push keys, and of which events: as many as `count`, in any order.
async fn told(gateway: &mut Gateway, count: usize) -> BTreeSet<(String, String)> {
    let mut told = BTreeSet::new();
    for _ in 0..count {
        let next = gateway.next().await;
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        told.insert((text(&next["devices"][0]["pushkey"]), text(&next["event_id"])));
    }
    told
}

#[tokio::test]
async fn who_is_locked_or_begins_anew_is_told_nothing() {
    let mut gateway = Gateway::start().await;
    let mut server = gateway.server("").await;
    let root = administrator(&server, "root").await;
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let room = room_of(&[&al, &bo, &cy]).await;
    gateway.pusher(&bo, "bo").await;
    gateway.pusher(&cy, "cy").await;
    noted(&server, &room, &bo, true).await;
    noted(&server, &room, &cy, true).await;
    let lock = async |on: bool| {
        let path = format!("/_matrix/client/v1/admin/lock/{}", encode(&bo.user_id));
        root.put(&path, &json!({"locked": on})).await.ok();
    };
    let of = |keys: &[&str], event: &str| {
        keys.iter().map(|key| ((*key).to_owned(), event.to_owned())).collect::<BTreeSet<_>>()
    };
    for open in [true, false] {
        if !open {
            server.restart().await;
        }
        lock(true).await;
        let unheard = say(&al, &room, &format!("unheard {open}")).await;
        assert_eq!(told(&mut gateway, 1).await, of(&["cy"], &unheard), "open: {open}");
        lock(false).await;
        let heard = say(&al, &room, &format!("heard {open}")).await;
        assert_eq!(told(&mut gateway, 2).await, of(&["bo", "cy"], &heard), "open: {open}");
    }
    let anew = |password: &str| lethe::admin::Request::UserResetPassword {
        name: "bo".to_owned(),
        password: Some(lethe::secret::SecretText::new(password.to_owned())),
        end_devices: false,
        abandon: true,
    };
    administer(&server, anew("another")).await;
    let unheard = say(&al, &room, "unheard by his old devices").await;
    assert_eq!(told(&mut gateway, 1).await, of(&["cy"], &unheard));
    noted(&server, &room, &bo, false).await;
    // A room that is closed forgets where he was told when it opens.
    let mut again = bo.clone();
    again.password = "another".to_owned();
    let again = server.login(&again).await;
    gateway.pusher(&again, "bo").await;
    noted(&server, &room, &bo, true).await;
    server.restart().await;
    root.get("account/whoami").await.ok();
    administer(&server, anew("a third")).await;
    let unheard = say(&al, &room, "unheard again").await;
    assert_eq!(told(&mut gateway, 1).await, of(&["cy"], &unheard));
    noted(&server, &room, &bo, false).await;
    server.stop().await;
    gateway.silent();
}

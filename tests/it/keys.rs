//! Keys that are replaced for their age: whoever is there notices nothing, and an old image is worth nothing by then.

use std::{collections::BTreeSet, time::Duration};

use lethe::{
    clock::Clock as _,
    engine::Pace,
    seizure::{Credential, rob},
};
use serde_json::{Value, json};

use crate::{
    forget::capture::Capture,
    server::{Client, TestServer, encode},
};

const MONTH: Duration = Duration::from_hours(30 * 24);

async fn say(client: &Client, room: &str, number: u32) {
    let path = format!("rooms/{}/send/m.room.message/{number}", encode(room));
    client.put(&path, &json!({"msgtype": "m.text", "body": format!("fact-{number}")})).await.ok();
}

async fn said(client: &Client, room: &str) -> Vec<String> {
    let answer = client.get(&format!("rooms/{}/messages?dir=b&limit=50", encode(room))).await.ok();
    let chunk = answer["chunk"].as_array().expect("a list").iter();
    chunk.filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

async fn create(client: &Client, body: Value) -> String {
    client.post("createRoom", &body).await.ok()["room_id"].as_str().expect("an id").to_owned()
}

async fn enter(client: &Client, room: &str) {
    client.post(&format!("join/{}", encode(room)), &json!({})).await.ok();
}

fn credentials(client: &Client) -> Vec<Credential> {
    let name = client.user_id.trim_start_matches('@').trim_end_matches(":localhost");
    vec![Credential::Token(client.token.clone()), Credential::Password(name.to_owned(), client.password.clone())]
}

/// What a thief opens who has the disk of then and of now.
fn opened(captures: &[&Capture; 2], thief: &[Credential]) -> BTreeSet<u32> {
    let then = Capture::all([captures[0]]);
    rob(&then.and(Capture::all(*captures)), thief).facts
}

#[tokio::test]
async fn after_a_month_an_old_image_is_old_and_everybody_reads_on() {
    let mut server = TestServer::open().await;
    let data = server.directory.path().join("data");
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let (cy, di) = (server.register("cy").await, server.register("di").await);
    let invite = [&bo, &cy, &di].map(|client| client.user_id.clone());
    let room = create(&al, json!({"preset": "private_chat", "invite": invite})).await;
    for client in [&bo, &cy, &di] {
        enter(client, &room).await;
    }
    let open = create(&al, json!({"preset": "public_chat"})).await;
    say(&al, &room, 1).await;
    say(&al, &open, 2).await;
    let then = Capture::of(&data);

    // cy leaves, and then his account ends; di's old password is one no more.
    cy.post(&format!("rooms/{}/leave", encode(&room)), &json!({})).await.ok();
    cy.post("account/deactivate", &json!({"auth": cy.auth()})).await.ok();
    let change = json!({"auth": di.auth(), "new_password": "another good password", "logout_devices": true});
    di.post("account/password", &change).await.ok();
    let old_password = vec![credentials(&di).remove(1)];
    say(&al, &room, 3).await;
    say(&al, &open, 4).await;
    let soon = Capture::of(&data);
    let (left, changed) = (opened(&[&then, &soon], &credentials(&cy)), opened(&[&then, &soon], &old_password));
    assert!(left.contains(&1) && !left.contains(&3) && left.contains(&4), "{left:?}");
    assert!(changed.contains(&3) && changed.contains(&4), "{changed:?}");

    // From here on al alone comes. A month later the keys are others, and bo still has the old ones.
    server.restart().await;
    let mut pace = Pace::from(server.clock.monotonic());
    let before = al.get("sync").await.ok()["next_batch"].clone();
    server.clock.advance(MONTH);
    server.upkeep(&mut pace).await;
    say(&al, &room, 5).await;
    say(&al, &open, 6).await;
    let news = al.get(&format!("sync?since={}", before.as_str().expect("a token"))).await.ok();
    let timeline = &news["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["limited"], json!(false), "{news}");
    assert_eq!(timeline["events"].as_array().map(Vec::len), Some(1), "{news}");
    let now = Capture::of(&data);
    for thief in [credentials(&cy), old_password] {
        let seen = opened(&[&then, &now], &thief);
        assert!(!seen.contains(&5) && !seen.contains(&6), "{seen:?}");
    }

    // Who was away comes to them with what lies in his mail, alone or beside the others.
    for restart in [true, false] {
        if restart {
            server.restart().await;
        }
        assert_eq!(said(&bo, &room).await.first().map(String::as_str), Some("fact-5"));
        enter(&bo, &open).await;
        assert_eq!(said(&bo, &open).await.first().map(String::as_str), Some("fact-6"));
        assert_eq!(said(&di, &room).await.first().map(String::as_str), Some("fact-5"));
    }
    say(&bo, &room, 7).await;
    assert_eq!(said(&al, &room).await.first().map(String::as_str), Some("fact-7"));
    let seen = opened(&[&then, &Capture::of(&data)], &credentials(&bo));
    assert!([5, 6, 7].iter().all(|fact| seen.contains(fact)), "{seen:?}");
}

#[tokio::test]
async fn who_leaves_a_space_loses_its_rooms_within_a_day() {
    let server = TestServer::open().await;
    let data = server.directory.path().join("data");
    let (al, bo, cy) = (server.register("al").await, server.register("bo").await, server.register("cy").await);
    let invite = [&bo, &cy].map(|client| client.user_id.clone());
    let space = create(&al, json!({"creation_content": {"type": "m.space"}, "invite": invite})).await;
    for client in [&bo, &cy] {
        enter(client, &space).await;
    }
    let rule = json!({"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]});
    let rule = json!({"type": "m.room.join_rules", "state_key": "", "content": rule});
    let room = create(&al, json!({"preset": "private_chat", "initial_state": [rule]})).await;
    say(&al, &room, 1).await;
    enter(&bo, &room).await;
    let then = Capture::of(&data);
    for client in [&bo, &cy] {
        client.post(&format!("rooms/{}/leave", encode(&space)), &json!({})).await.ok();
    }
    say(&al, &room, 2).await;
    let soon = Capture::of(&data);
    assert!(opened(&[&then, &soon], &credentials(&cy)).is_superset(&BTreeSet::from([1, 2])));
    let mut pace = Pace::from(server.clock.monotonic());
    server.clock.advance(Duration::from_hours(24));
    server.upkeep(&mut pace).await;
    say(&al, &room, 3).await;
    let now = Capture::of(&data);
    assert!(!opened(&[&then, &now], &credentials(&cy)).contains(&3));
    // Who is in the room itself stays.
    assert_eq!(said(&bo, &room).await.first().map(String::as_str), Some("fact-3"));
    assert!(opened(&[&then, &now], &credentials(&bo)).contains(&3));
}

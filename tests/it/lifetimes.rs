//! How long rooms keep their messages, and how clients are told.

use lethe::{
    admin::{Answer, Request, ask},
    config::Config,
};
use serde_json::{Value, json};

use crate::{
    rooms::{at, bring, create, messages, said, say},
    server::{Client, TestServer, encode},
};

const DAY: u64 = 86_400_000;
const CONFIGURATION: &str = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration";

async fn retention(client: &Client, room: &str) -> Value {
    client.get(&at(room, "state/m.room.retention")).await.ok()
}

#[tokio::test]
async fn clients_are_told_what_the_server_forgets() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let told = alice.get(CONFIGURATION).await.ok();
    let limits = json!({"max_lifetime": {"min": DAY / 24, "max": 365 * DAY}});
    assert_eq!(told, json!({"policies": {"*": {"max_lifetime": 30 * DAY}}, "limits": limits}));
    server.get(CONFIGURATION).await.refused(401, "M_MISSING_TOKEN");
    let features = server.get("/_matrix/client/versions").await.json();
    assert_eq!(features["unstable_features"]["org.matrix.msc1763"], true);

    let server =
        TestServer::open_with("[retention]\ndefault = \"forever\"\nmax = \"forever\"\nto_device = \"90d\"\n").await;
    let alice = server.register("alice").await;
    let told = alice.get(CONFIGURATION).await.ok();
    assert_eq!(told, json!({"policies": {}, "limits": {"max_lifetime": {"min": DAY / 24}}}));
    let room = create(&alice, &json!({})).await;
    alice.get(&at(&room, "state/m.room.retention")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_new_room_shows_how_long_it_keeps_its_messages() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let shown = json!({"max_lifetime": 30 * DAY, "lethe.default": true});
    for version in ["6", "11", "12"] {
        let body = json!({"room_version": version, "name": "n", "topic": "t", "invite": [bob.user_id]});
        let room = create(&alice, &body).await;
        assert_eq!(retention(&alice, &room).await, shown);
        // After the preset's events and before those that say what the room is about.
        let chunk = messages(&alice, &room, "dir=f").await["chunk"].clone();
        let kinds: Vec<&str> =
            chunk.as_array().expect("a list").iter().filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "m.room.create",
                "m.room.member",
                "m.room.power_levels",
                "m.room.join_rules",
                "m.room.history_visibility",
                "m.room.guest_access",
                "m.room.retention",
                "m.room.name",
                "m.room.topic",
                "m.room.member"
            ]
        );
        assert_eq!(chunk[6]["sender"], alice.user_id);
    }
    let own = json!({"max_lifetime": 7 * DAY});
    for kind in ["m.room.retention", "org.matrix.msc1763.retention"] {
        let room = create(&alice, &json!({"initial_state": [{"type": kind, "state_key": "", "content": own}]})).await;
        assert_eq!(alice.get(&at(&room, &format!("state/{kind}"))).await.ok(), own);
        let other = if kind == "m.room.retention" { "org.matrix.msc1763.retention" } else { "m.room.retention" };
        alice.get(&at(&room, &format!("state/{other}"))).await.refused(404, "M_NOT_FOUND");
    }
    // A default made shorter holds for rooms that chose nothing, and their members are told.
    let room = create(&alice, &json!({})).await;
    let chosen = create(
        &alice,
        &json!({"initial_state": [{"type": "m.room.retention", "content": {"max_lifetime": 30 * DAY}}]}),
    )
    .await;
    server.reconfigure(&format!("{OPEN}[retention]\ndefault = \"7d\"\n")).await;
    let policies = alice.get(CONFIGURATION).await.ok()["policies"].clone();
    assert_eq!((&policies["*"], &policies[&room]), (&own, &own));
    assert_eq!(policies[&chosen], Value::Null);
    let policies = bob.get(CONFIGURATION).await.ok()["policies"].clone();
    assert_eq!(policies, json!({"*": own}), "who is not in a room hears nothing of it");
}

const OPEN: &str = "[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0\n\
                    [limits]\nrates = false\n[registration]\nmode = \"open\"\n";

#[tokio::test]
async fn a_lifetime_is_set_by_who_may_set_state() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    bring(&alice, &bob, &room).await;
    let own = json!({"max_lifetime": 7 * DAY});
    bob.put(&at(&room, "state/m.room.retention"), &own).await.refused(403, "M_FORBIDDEN");
    say(&alice, &room, "before").await;
    alice.put(&at(&room, "state/m.room.retention"), &own).await.ok();
    say(&bob, &room, "after").await;
    for (content, told) in [
        (json!({"max_lifetime": 10 * DAY}), Some(7 * DAY)),
        (json!({"max_lifetime": 1}), None),
        (json!({"max_lifetime": "a week"}), Some(30 * DAY)),
        (json!({"min_lifetime": 60 * DAY}), Some(90 * DAY)),
        (json!({"max_lifetime": 90 * DAY}), None),
    ] {
        alice.put(&at(&room, "state/m.room.retention"), &content).await.ok();
        say(&alice, &room, &content.to_string()).await;
        for client in [&alice, &bob] {
            let policy = client.get(CONFIGURATION).await.ok()["policies"][&room]["max_lifetime"].as_u64();
            assert_eq!(policy, told, "{content}");
        }
    }
    let page = messages(&alice, &room, "dir=f&limit=100").await;
    let said = said(&page["chunk"]);
    assert_eq!((said.first(), said.get(1), said.len()), (Some(&"before"), Some(&"after"), 7));
}

#[tokio::test]
async fn the_configuration_rules_single_rooms() {
    let toml = "[retention.rooms]\n\"#news:localhost\" = \"90d\"\n\"#nowhere:localhost\" = \"1d\"\n[retention]\nto_device = \"90d\"\n";
    let mut server = TestServer::open_with(toml).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({"room_alias_name": "news", "preset": "public_chat"})).await;
    let policy = async |client: &Client| client.get(CONFIGURATION).await.ok()["policies"][&room].clone();
    let long = json!({"max_lifetime": 90 * DAY});
    assert_eq!(policy(&alice).await, long);
    assert_eq!(policy(&bob).await, Value::Null);
    alice.put(&at(&room, "state/m.room.retention"), &json!({"max_lifetime": DAY})).await.ok();
    bob.post(&at(&room, "join"), &json!({})).await.ok();
    assert_eq!((policy(&alice).await, policy(&bob).await), (long.clone(), long.clone()));
    server.restart().await;
    assert_eq!((policy(&alice).await, policy(&bob).await), (long.clone(), long));
    alice.delete(&format!("directory/room/{}", encode("#news:localhost")), &json!({})).await.ok();
    assert_eq!(policy(&alice).await, Value::Null, "an alias that leads nowhere rules nothing");
}

#[tokio::test]
async fn administrators_are_shown_what_is_in_force() {
    let toml = "profile = \"strict\"\n[retention.rooms]\n\"#nowhere:localhost\" = \"2d\"\n";
    let server = TestServer::with(toml).await;
    let mut config = Config::default();
    config.storage.data = server.directory.path().join("data");
    let asked = tokio::task::spawn_blocking(move || ask(&config, &Request::RetentionShow));
    let Answer::Done { lines, data } = asked.await.expect("no panic").expect("answered") else {
        panic!("it needs nobody to have come")
    };
    assert_eq!(
        (&*lines[0], &*lines[3]),
        (
            "retention.default  7d  class 7d  epochs of 1 day",
            "retention.rooms #nowhere:localhost  2d  class 1d  epochs of 1 hour"
        )
    );
    assert_eq!(data["lifetimes"].as_array().map(Vec::len), Some(lines.len()));
    let row = json!({"kind": "retention.rooms", "room": "#nowhere:localhost", "lifetime": "2d", "class": "1d", "epoch": "hour"});
    assert_eq!(data["lifetimes"][3], row);
}

use serde_json::{Value, json};

use super::{at, create, event, messages, put, room_of, said, say};
use crate::server::{TestServer, encode};

#[tokio::test]
async fn a_retry_is_the_same_event_even_after_a_restart() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let room = create(&alice, &json!({})).await;
    let first = put(&alice, &room, "m.room.message", "t1", &json!({"body": "once"})).await;
    assert_eq!(put(&alice, &room, "m.room.message", "t1", &json!({"body": "once"})).await, first);
    let second = server.login(&alice).await;
    let other = put(&second, &room, "m.room.message", "t1", &json!({"body": "twice"})).await;
    assert_ne!(other, first, "another device has transactions of its own");
    server.restart().await;
    assert_eq!(put(&alice, &room, "m.room.message", "t1", &json!({"body": "once"})).await, first);
    assert_eq!(said(&messages(&alice, &room, "dir=f").await["chunk"]), ["once", "twice"]);
    let own = event(&alice, &room, &first).await.ok();
    assert_eq!(own["unsigned"]["transaction_id"], "t1");
    assert!(event(&second, &room, &first).await.ok()["unsigned"].get("transaction_id").is_none());
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let send = |rest: &str| at(&room, &format!("send/{rest}"));
    bob.put(&send("m.room.message/1"), &json!({"body": "x"})).await.refused(403, "M_FORBIDDEN");
    alice.put(&at("!nowhere", "send/m.room.message/1"), &json!({})).await.refused(403, "M_FORBIDDEN");
    let large = json!({"body": "x".repeat(66_000)});
    alice.put(&send("m.room.message/1"), &large).await.refused(413, "M_TOO_LARGE");
    alice.put(&send(&format!("{}/1", "x".repeat(256))), &json!({})).await.refused(413, "M_TOO_LARGE");
    alice.put(&send(&format!("x/{}", "x".repeat(256))), &json!({})).await.refused(400, "M_INVALID_PARAM");
    alice.put(&send("m.room.message/1"), &json!({"number": 0.5})).await.refused(400, "M_BAD_JSON");
    alice.put(&send("m.room.message/1"), &json!([1])).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn state_is_set_and_read() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = room_of(&[&alice, &bob]).await;
    let name = at(&room, "state/m.room.name/");
    alice.get(&name).await.refused(404, "M_NOT_FOUND");
    let first = alice.put(&name, &json!({"name": "One"})).await.ok();
    assert_eq!(alice.put(&name, &json!({"name": "One"})).await.ok(), first, "nothing changed");
    bob.put(&name, &json!({"name": "Bob's"})).await.refused(403, "M_FORBIDDEN");
    let second = alice.put(&at(&room, "state/m.room.name"), &json!({"name": "Two"})).await.ok();
    assert_eq!(bob.get(&at(&room, "state/m.room.name")).await.ok(), json!({"name": "Two"}));
    let whole = bob.get(&at(&room, "state/m.room.name/?format=event")).await.ok();
    assert_eq!(whole["event_id"], second["event_id"]);
    assert_eq!(whole["unsigned"]["replaces_state"], first["event_id"]);
    assert_eq!(whole["unsigned"]["prev_content"], json!({"name": "One"}));
    assert_eq!(whole["unsigned"]["prev_sender"], alice.user_id);
    assert_eq!(whole["unsigned"]["membership"], "join");
    let all = bob.get(&at(&room, "state")).await.ok();
    let names: Vec<_> = all.as_array().expect("a list").iter().filter(|event| event["type"] == "m.room.name").collect();
    assert_eq!((names.len(), &names[0]["room_id"]), (1, &json!(room)));
    alice.put(&at(&room, "state/m.room.create/"), &json!({})).await.refused(400, "M_BAD_STATE");
    let keyed = at(&room, &format!("state/org.example/{}", encode("a/b")));
    alice.put(&keyed, &json!({"x": 1})).await.ok();
    assert_eq!(alice.get(&keyed).await.ok(), json!({"x": 1}));
}

#[tokio::test]
async fn an_alias_must_lead_to_the_room_that_names_it() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let (room, other) = (create(&alice, &json!({})).await, create(&alice, &json!({"room_alias_name": "other"})).await);
    let state = at(&room, "state/m.room.canonical_alias");
    for (content, status, code) in [
        (json!({"alias": "#other:localhost"}), 400, "M_BAD_ALIAS"),
        (json!({"alias": "#none:localhost"}), 400, "M_BAD_ALIAS"),
        (json!({"alias": "nonsense"}), 400, "M_INVALID_PARAM"),
        (json!({"alt_aliases": 1}), 400, "M_INVALID_PARAM"),
        (json!({"alt_aliases": ["#none:localhost"]}), 400, "M_BAD_ALIAS"),
    ] {
        alice.put(&state, &content).await.refused(status, code);
    }
    let mine = format!("directory/room/{}", encode("#mine:localhost"));
    alice.put(&mine, &json!({"room_id": room})).await.ok();
    alice.put(&state, &json!({"alias": "#mine:localhost"})).await.ok();
    alice.delete(&mine, &json!({})).await.ok();
    assert_eq!(alice.get(&state).await.ok(), json!({}), "an alias that is gone is not named");
    say(&alice, &other, "still there").await;
}

#[tokio::test]
async fn redaction_takes_the_content_everywhere() {
    let mut server = TestServer::open().await;
    let (alice, bob, carl) =
        (server.register("alice").await, server.register("bob").await, server.register("carl").await);
    for version in ["10", "12"] {
        let room = create(&alice, &json!({"room_version": version, "invite": [bob.user_id, carl.user_id]})).await;
        bob.post(&at(&room, "join"), &json!({})).await.ok();
        carl.post(&at(&room, "join"), &json!({})).await.ok();
        let (secret, other) = (say(&bob, &room, "secret").await, say(&alice, &room, "open").await);
        alice.put(&at(&room, "state/m.room.topic"), &json!({"topic": "secret topic"})).await.ok();
        let topic = alice.get(&at(&room, "state/m.room.topic?format=event")).await.ok();
        let topic = topic["event_id"].as_str().expect("an id").to_owned();
        let redact = |id: &str, txn: &str| at(&room, &format!("redact/{}/{txn}", encode(id)));
        carl.put(&redact(&secret, "r"), &json!({})).await.refused(403, "M_FORBIDDEN");
        bob.put(&redact(&other, "r"), &json!({})).await.refused(403, "M_FORBIDDEN");
        bob.put(&redact("$nothing", "r"), &json!({})).await.refused(404, "M_NOT_FOUND");
        let done = bob.put(&redact(&secret, "r"), &json!({"reason": "oops"})).await.ok();
        assert_eq!(bob.put(&redact(&secret, "r"), &json!({"reason": "oops"})).await.ok(), done);
        let as_event = json!({"redacts": topic});
        alice.put(&at(&room, "send/m.room.redaction/r2"), &as_event).await.ok();
        alice.put(&at(&room, "state/m.room.topic"), &json!({"topic": "new"})).await.ok();
        for restarted in [false, true] {
            if restarted {
                server.restart().await;
            }
            let shown = event(&carl, &room, &secret).await.ok();
            assert_eq!(shown["content"], json!({}));
            let because = &shown["unsigned"]["redacted_because"];
            assert_eq!((&because["event_id"], &because["content"]["reason"]), (&done["event_id"], &json!("oops")));
            assert_eq!((&because["redacts"], &because["content"]["redacts"]), (&json!(secret), &json!(secret)));
            let everything = [
                messages(&carl, &room, "dir=b&limit=100").await,
                carl.get(&at(&room, "state")).await.ok(),
                carl.get(&at(&room, &format!("context/{}?limit=50", encode(&other)))).await.ok(),
                event(&carl, &room, &topic).await.ok(),
            ];
            for answer in everything {
                assert!(!answer.to_string().contains("secret"), "version {version}, restarted: {restarted}");
            }
        }
    }
}

#[tokio::test]
async fn reports_are_taken() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let room = create(&alice, &json!({})).await;
    let id = say(&alice, &room, "rude").await;
    let report = at(&room, &format!("report/{}", encode(&id)));
    alice.post(&report, &json!({"reason": "rude"})).await.ok();
    alice.post(&at(&room, "report"), &json!({"reason": "rude"})).await.ok();
    bob.post(&report, &json!({})).await.refused(404, "M_NOT_FOUND");
    bob.post(&at("!nowhere", "report"), &json!({"reason": ""})).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn power_levels_are_levels() {
    let server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for version in ["9", "11", "12"] {
        let room = create(&alice, &json!({"room_version": version, "invite": [bob.user_id]})).await;
        bob.post(&at(&room, "join"), &json!({})).await.ok();
        let path = at(&room, "state/m.room.power_levels");
        let levels = |more: Value| {
            let mut levels = json!({"users": {&bob.user_id: 50}});
            if version != "12" {
                levels["users"][&alice.user_id] = json!(100);
            }
            levels.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            levels
        };
        for broken in [
            json!({"ban": []}),
            json!({"ban": null}),
            json!({"events": 5}),
            json!({"events": {"m.room.name": {}}}),
            json!({"notifications": {"room": "many"}}),
            json!({"users_default": 9_007_199_254_740_992_i64}),
            json!({"users": {"nobody": 5}}),
        ] {
            alice.put(&path, &levels(broken)).await.refused(400, "M_BAD_JSON");
        }
        let as_text = alice.put(&path, &levels(json!({"ban": "60"}))).await.status;
        assert_eq!(as_text, if version == "9" { 200 } else { 400 }, "{version}");
        alice.put(&path, &levels(json!({"kick": 60}))).await.ok();
        bob.put(&path, &levels(json!({"kick": 0}))).await.refused(403, "M_FORBIDDEN");
        if version == "12" {
            alice.put(&path, &json!({"users": {&alice.user_id: 100}})).await.refused(400, "M_BAD_STATE");
        }
        alice.put(&at(&room, "state/m.room.create"), &json!({"x": 1})).await.refused(400, "M_BAD_STATE");
    }
}

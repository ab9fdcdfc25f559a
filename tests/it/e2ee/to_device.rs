//! Messages between devices.

use lethe::journal::Position;
use serde_json::{Value, json};

use super::{TestKey, account, device_keys};
use crate::server::{Client, TestServer};

/// The messages that wait for a client's device, whose account must be open.
fn waiting(server: &TestServer, client: &Client) -> Vec<(Position, Value)> {
    let account = account(server, client).expect("open");
    let waiting = account.waiting(&client.device_id.as_str().into(), Position::START, 100);
    waiting.into_iter().map(|(at, message)| (at, serde_json::from_str(message.get()).expect("JSON"))).collect()
}

fn texts(server: &TestServer, client: &Client) -> Vec<String> {
    waiting(server, client).iter().map(|(_, message)| message["content"]["n"].to_string()).collect()
}

async fn acknowledge(server: &TestServer, client: &Client) {
    let accounts = &server.server().services().engine.accounts;
    let last = waiting(server, client).last().expect("a message").0;
    let session = accounts.session(&client.token).await.expect("a session");
    accounts.acknowledge(&session, last).await.expect("durable");
}

async fn send(from: &Client, to: &Client, device: &str, transaction: &str, number: u64) {
    let body = json!({"messages": { &to.user_id: { device: {"n": number} } }});
    from.put(&format!("sendToDevice/m.test/{transaction}"), &body).await.ok();
}

#[tokio::test]
async fn a_message_waits_until_it_is_acknowledged() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut woken = account(&server, &bob).expect("open").subscribe();
    send(&alice, &bob, &bob.device_id, "t1", 1).await;
    send(&alice, &bob, &bob.device_id, "t1", 1).await;
    send(&alice, &bob, "NOSUCH", "t2", 9).await;
    send(&alice, &bob, &bob.device_id, "t3", 2).await;
    assert!(woken.has_changed().expect("it lives"));
    woken.mark_unchanged();
    let (_, first) = waiting(&server, &bob).remove(0);
    assert_eq!(first, json!({"type": "m.test", "sender": alice.user_id, "content": {"n": 1}}));
    assert_eq!(texts(&server, &bob), ["1", "2"]);
    server.restart().await;
    bob.get("account/whoami").await.ok();
    assert_eq!(texts(&server, &bob), ["1", "2"]);
    acknowledge(&server, &bob).await;
    send(&alice, &bob, &bob.device_id, "t4", 3).await;
    server.restart().await;
    bob.get("account/whoami").await.ok();
    assert_eq!(texts(&server, &bob), ["3"], "what was acknowledged does not come again");
}

#[tokio::test]
async fn a_message_reaches_who_is_cold_once() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    bob.post("keys/upload", &json!({"device_keys": device_keys(&bob, &TestKey::new(1))})).await.ok();
    server.restart().await;
    for (number, device) in [(1, bob.device_id.as_str()), (2, "*"), (3, "NOSUCH"), (4, bob.device_id.as_str())] {
        send(&alice, &bob, device, &format!("t{number}"), number).await;
    }
    assert!(account(&server, &bob).is_none());
    server.restart().await;
    for _ in 0..2 {
        bob.get("account/whoami").await.ok();
        assert_eq!(texts(&server, &bob), ["1", "2", "4"]);
        server.restart().await;
    }
    bob.get("account/whoami").await.ok();
    acknowledge(&server, &bob).await;
    server.restart().await;
    bob.get("account/whoami").await.ok();
    assert!(texts(&server, &bob).is_empty());
}

#[tokio::test]
async fn messages_while_an_account_opens_are_not_lost() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    server.restart().await;
    alice.get("account/whoami").await.ok();
    let sending = {
        let (alice, bob) = (alice.clone(), bob.clone());
        tokio::spawn(async move {
            for number in 0..40 {
                send(&alice, &bob, &bob.device_id, &format!("t{number}"), number).await;
            }
        })
    };
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    bob.get("account/whoami").await.ok();
    sending.await.expect("no panic");
    let all: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(texts(&server, &bob), all);
}

#[tokio::test]
async fn a_device_that_ended_leaves_nothing_to_its_successor() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let phone = server.login(&bob).await;
    send(&alice, &bob, "*", "t1", 1).await;
    assert_eq!((texts(&server, &bob).len(), texts(&server, &phone).len()), (1, 1));
    phone.post("logout", &json!({})).await.ok();
    let login = json!({
        "type": "m.login.password", "device_id": phone.device_id,
        "identifier": {"type": "m.id.user", "user": "bob"}, "password": bob.password,
    });
    let answer = server.post("/_matrix/client/v3/login", &login).await.ok();
    let phone = Client::new(&server, &answer, bob.password.clone());
    assert!(texts(&server, &phone).is_empty());
    server.restart().await;
    bob.get("account/whoami").await.ok();
    assert_eq!((texts(&server, &bob).len(), texts(&server, &phone).len()), (1, 0));
    send(&alice, &bob, &phone.device_id, "t2", 2).await;
    assert_eq!(texts(&server, &phone), ["2"]);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let message = json!({"n": "x".repeat(64 * 1024)});
    let body = json!({"messages": { &alice.user_id: { &alice.device_id: message } }});
    alice.put("sendToDevice/m.test/t", &body).await.refused(413, "M_TOO_LARGE");
    assert!(waiting(&server, &alice).is_empty());
}

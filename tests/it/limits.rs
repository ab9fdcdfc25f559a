//! Bounds: how often, how many at once, how large; and that they are felt by those alone who exceed them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Answer, Client, TestServer, encode};

/// Anybody may register, passwords cost nothing, and rates are limited.
const LIMITED: &str = r#"
[accounts]
argon2_memory = "64KiB"
argon2_passes = 1
password_guesses_log10 = 0
[registration]
mode = "open"
[limits]
burst = 5
per_second = 1
logins = 4
login_interval = "10s"
requests_per_account = 3
"#;

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn from(server: &TestServer, address: &str, path: &str, body: &Value) -> Answer {
    let headers = [("X-Forwarded-For", address)];
    server.send("POST", path, &headers, body.to_string().as_bytes()).await
}

async fn log_in(server: &TestServer, address: &str, name: &str, password: &str) -> Answer {
    let identifier = json!({"type": "m.id.user", "user": name});
    let body = json!({"type": "m.login.password", "identifier": identifier, "password": password});
    from(server, address, "/_matrix/client/v3/login", &body).await
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let server = TestServer::with(LIMITED).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    for _ in 0..5 {
        al.get(WHOAMI).await.ok();
    }
    let refused = al.get(WHOAMI).await;
    refused.refused(429, "M_LIMIT_EXCEEDED");
    assert_eq!(refused.json()["retry_after_ms"], 1000);
    assert_eq!(refused.header("retry-after"), Some("1"));
    // By account: neither another account nor what is not limited feels it.
    bo.get(WHOAMI).await.ok();
    al.get("joined_rooms").await.ok();
    server.clock.advance(Duration::from_millis(999));
    al.get(WHOAMI).await.refused(429, "M_LIMIT_EXCEEDED");
    server.clock.advance(Duration::from_millis(1));
    al.get(WHOAMI).await.ok();
    al.get(WHOAMI).await.refused(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn logins_are_counted_by_the_address_the_proxy_names() {
    let server = TestServer::with(LIMITED).await;
    for name in ["a", "b", "c", "d"] {
        log_in(&server, "192.0.2.1", name, "x").await.refused(403, "M_FORBIDDEN");
    }
    log_in(&server, "192.0.2.1", "e", "x").await.refused(429, "M_LIMIT_EXCEEDED");
    // What the client claims stands before what the proxy saw, and counts for nothing.
    log_in(&server, "9.9.9.9, 192.0.2.1", "e", "x").await.refused(429, "M_LIMIT_EXCEEDED");
    log_in(&server, "192.0.2.2", "e", "x").await.refused(403, "M_FORBIDDEN");
    // One household, one count.
    for last in 1..=4 {
        log_in(&server, &format!("2001:db8::{last}"), "f", "x").await.refused(403, "M_FORBIDDEN");
    }
    log_in(&server, "2001:db8::5", "f", "x").await.refused(429, "M_LIMIT_EXCEEDED");
    log_in(&server, "2001:db8:0:1::5", "f", "x").await.refused(403, "M_FORBIDDEN");
    server.clock.advance(Duration::from_secs(10));
    log_in(&server, "192.0.2.1", "e", "x").await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_proxy() {
    let server = TestServer::with(&format!("{LIMITED}[server]\ntrusted_proxies = [\"192.0.2.0/24\"]\n")).await;
    for last in 1..=4 {
        log_in(&server, &format!("198.51.100.{last}"), "a", "x").await.refused(403, "M_FORBIDDEN");
    }
    log_in(&server, "198.51.100.5", "a", "x").await.refused(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn attempts_at_one_password_are_counted_from_everywhere() {
    let server = TestServer::with(LIMITED).await;
    let al = server.register("al").await;
    let mut attempts = 0..;
    let mut attempt = || format!("10.1.0.{}", attempts.next().unwrap_or(0) % 250);
    // As many for a name that nobody has: the count tells nothing.
    for name in ["al", "nobody"] {
        for _ in 0..20 {
            log_in(&server, &attempt(), name, "wrong").await.refused(403, "M_FORBIDDEN");
        }
        log_in(&server, &attempt(), name, "wrong").await.refused(429, "M_LIMIT_EXCEEDED");
    }
    log_in(&server, &attempt(), "al", &al.password).await.refused(429, "M_LIMIT_EXCEEDED");
    // The device that is logged in goes on, but proves nothing with the password either.
    al.get("joined_rooms").await.ok();
    let body = json!({"devices": ["X"], "auth": al.auth()});
    al.post("delete_devices", &body).await.refused(429, "M_LIMIT_EXCEEDED");
    server.clock.advance(Duration::from_secs(30));
    log_in(&server, &attempt(), "al", &al.password).await.ok();
}

#[tokio::test]
async fn registrations_are_counted_by_address() {
    let server = TestServer::with(LIMITED).await;
    let register = async |address: &str, name: &str| {
        let body = json!({"username": name, "password": "p", "auth": {"type": "m.login.dummy"}});
        from(&server, address, "/_matrix/client/v3/register", &body).await
    };
    for count in 0..20 {
        server.clock.advance(Duration::from_secs(1));
        register("192.0.2.9", &format!("u{count}")).await.ok();
    }
    server.clock.advance(Duration::from_secs(1));
    register("192.0.2.9", "one").await.ok();
    register("192.0.2.9", "more").await.refused(429, "M_LIMIT_EXCEEDED");
    register("192.0.2.8", "more").await.ok();
}

#[tokio::test]
async fn requests_at_once_are_counted_by_account() {
    let server = TestServer::with(LIMITED).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let since = al.get("sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let path = format!("/_matrix/client/v3/sync?timeout=60000&since={since}");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(wait(&server, &al, &path).await);
    }
    until_refused(&al).await;
    bo.get("joined_rooms").await.ok();
    // Whoever hangs up makes room.
    drop(waiting.pop());
    loop {
        let answer = al.get("joined_rooms").await;
        if answer.status == 200 {
            break;
        }
        answer.refused(429, "M_LIMIT_EXCEEDED");
    }
}

/// A connection with a sync that waits.
async fn wait(server: &TestServer, client: &Client, path: &str) -> tokio::net::TcpStream {
    let mut stream = server.connect().await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", client.token);
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

/// The waiting requests may still be on their way.
async fn until_refused(client: &Client) {
    while client.get("joined_rooms").await.status != 429 {}
}

#[tokio::test]
async fn connections_are_counted_by_address_unless_it_is_a_proxys() {
    let limits = "[limits]\nconnections_per_address = 2\n";
    let server = TestServer::with(&format!("{limits}[server]\ntrusted_proxies = []\n")).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("answered");
        kept.push(stream);
    }
    let mut more = server.connect().await;
    let _ = more.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut nothing = Vec::new();
    let _ = more.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    let server = TestServer::with(limits).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("answered");
        kept.push(stream);
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = TestServer::start().await;
    let long = "x".repeat(70_000);
    for (path, headers) in [
        (format!("/health?{long}"), vec![]),
        ("/health".to_owned(), vec![("X-Long", long.as_str())]),
        ("/health".to_owned(), vec![("X-Many", "x"); 101]),
    ] {
        let answer = server.send("GET", &path, &headers, b"").await;
        assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn strangers_send_small_bodies() {
    let server = TestServer::open().await;
    let body = json!({"type": "m.login.password", "user": "a", "password": "x".repeat(70_000)});
    server.post("/_matrix/client/v3/login", &body).await.refused(413, "M_TOO_LARGE");
    let al = server.register("al").await;
    let path = format!("user/{}/account_data/x", encode(&al.user_id));
    al.put(&path, &json!({"x": "x".repeat(60_000)})).await.ok();
}

#[tokio::test]
async fn what_is_written_is_counted_by_its_size() {
    let server = TestServer::with(LIMITED).await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let put = async |client: &Client| {
        let path = format!("user/{}/account_data/x", encode(&client.user_id));
        client.put(&path, &json!({"x": "x".repeat(50 << 10)})).await
    };
    put(&al).await.ok();
    // As if he had written the rest of his burst already.
    let gate = &server.server().services().gate;
    let caller = gate.sources().account(&al.user_id);
    while gate.write(caller, 64 << 10).is_ok() {}
    put(&al).await.refused(429, "M_LIMIT_EXCEEDED");
    put(&bo).await.ok();
    al.get("joined_rooms").await.ok();
    server.clock.advance(Duration::from_secs(1));
    put(&al).await.ok();
}

//! What supervisors and monitoring get to see.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::server::{Answer, Client, TestServer, send};

const HOUR: Duration = Duration::from_hours(1);

async fn watched() -> TestServer {
    TestServer::open_with("[metrics]\nlisten = \"127.0.0.1:0\"").await
}

async fn scrape(server: &TestServer) -> Answer {
    let address: SocketAddr = server.server().metrics_address().expect("listens");
    send(&Arc::new(Mutex::new(address)), "GET", "/metrics", &[], b"").await
}

/// The figures, without the counts that all tests of this process share, and without those of the server's own clock.
async fn figures(server: &TestServer) -> String {
    let text = String::from_utf8(scrape(server).await.body).expect("text");
    let other = |line: &&str| !line.starts_with("lethe_log_lines") && !line.starts_with("lethe_task_done");
    text.split_inclusive('\n').filter(other).collect()
}

async fn people(server: &TestServer, count: usize) -> Vec<Client> {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(server.register(&format!("canary{number}")).await);
    }
    people
}

#[tokio::test]
async fn the_figures_are_for_monitoring_alone() {
    let server = TestServer::start().await;
    assert_eq!(server.server().metrics_address(), None);
    let server = watched().await;
    server.get("/metrics").await.refused(404, "M_UNRECOGNIZED");
    let answer = scrape(&server).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert!(String::from_utf8(answer.body).expect("text").contains("lethe_ready 1\n"));
}

#[tokio::test]
async fn what_people_do_is_told_after_the_hour() {
    let server = watched().await;
    let people = people(&server, 10).await;
    let quiet = figures(&server).await;
    for person in &people {
        person.get("account/whoami").await.ok();
        person.get("joined_rooms").await.ok();
    }
    person_sends(&people[0]).await;
    assert_eq!(figures(&server).await, quiet);
    server.clock.advance(HOUR);
    let told = figures(&server).await;
    assert!(told.contains("lethe_hour_active_accounts 10\n"), "{told}");
    // Ten registrations, two requests each, and what the first one did.
    assert!(told.contains("lethe_hour_requests{outcome=\"answered\"} 32\n"), "{told}");
    assert!(!told.contains("refused"), "one person was refused: {told}");
    assert!(!told.contains("canary") && !told.contains("localhost"), "{told}");
    people[0].get("account/whoami").await.ok();
    assert_eq!(figures(&server).await, told);
}

/// Makes a room, sends to it, and asks for something that does not exist.
async fn person_sends(person: &Client) {
    let room = person.post("createRoom", &json!({})).await.ok();
    let room = room["room_id"].as_str().expect("an id");
    let content = json!({"msgtype": "m.text", "body": "canary"});
    person.put(&format!("rooms/{room}/send/m.room.message/1"), &content).await.ok();
    person.get("directory/room/%23no:localhost").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn nine_people_are_never_told() {
    let server = watched().await;
    let people = people(&server, 9).await;
    let quiet = figures(&server).await;
    for _ in 0..3 {
        for person in &people {
            person.get("account/whoami").await.ok();
        }
        for _ in 0..20 {
            server.get("/_matrix/client/versions").await.ok();
        }
        server.clock.advance(HOUR);
        assert_eq!(figures(&server).await, quiet);
    }
}

#[tokio::test]
async fn who_sleeps_is_ready() {
    let mut server = TestServer::open().await;
    server.register("alice").await;
    server.restart().await;
    for path in ["/health", "/ready"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"OK".as_slice()), "{path}");
    }
}

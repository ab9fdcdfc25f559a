//! Reports: who may make them, and what administrators are shown.

use std::sync::Arc;

use lethe::{
    accounts::Report,
    admin::{Administrator, Answer, Dispatch, Request},
};
use serde_json::json;

use crate::{
    rooms::{at, room_of, say},
    server::{Client, NOW, TestServer, encode},
};

/// What administrators can read, in lines without the day, which is the same for all.
fn listed(server: &TestServer) -> Vec<String> {
    let listed = server.server().services().engine.accounts.reports().expect("awake");
    let mut lines: Vec<String> = listed.reports.iter().map(line).collect();
    assert!(listed.reports.iter().all(|report| report.day == NOW.0 / 86_400_000));
    lines.extend((listed.cold > 0).then(|| format!("{} cold", listed.cold)));
    lines.sort();
    lines
}

fn line(report: &Report) -> String {
    let Report { by, room, event, user, reason, .. } = report;
    let text = |part: Option<&str>| part.unwrap_or("-").to_owned();
    let of = [
        text(room.as_ref().map(|room| room.as_str())),
        text(event.as_ref().map(|event| event.as_str())),
        text(user.as_ref().map(|user| user.as_str())),
        text(reason.as_deref()),
    ];
    format!("{by} {}", of.join(" "))
}

async fn report(client: &Client, path: &str, reason: &str) -> crate::server::Answer {
    client.post(path, &json!({ "reason": reason })).await
}

#[tokio::test]
async fn events_rooms_and_users_are_reported_by_who_may_know_them() {
    let server = TestServer::open().await;
    let (alice, bob, eve) =
        (server.register("alice").await, server.register("bob").await, server.register("eve").await);
    let room = room_of(&[&alice, &bob]).await;
    let id = say(&bob, &room, "nonsense").await;
    let of_event = at(&room, &format!("report/{}", encode(&id)));
    let of_user = format!("users/{}/report", encode(&bob.user_id));
    report(&eve, &of_event, "x").await.refused(404, "M_NOT_FOUND");
    report(&eve, &at(&room, "report"), "x").await.refused(404, "M_NOT_FOUND");
    report(&alice, "users/@nobody:localhost/report", "x").await.refused(404, "M_NOT_FOUND");
    report(&alice, "users/@bob:elsewhere/report", "x").await.refused(404, "M_NOT_FOUND");
    report(&alice, &of_user, &"x".repeat(5000)).await.refused(400, "M_INVALID_PARAM");
    report(&alice, &of_event, "rude\nand false").await.ok();
    // A score, and no reason at all, are as good.
    alice.post(&of_event, &json!({"score": -100})).await.ok();
    report(&alice, &at(&room, "report"), "").await.ok();
    report(&eve, &of_user, "spam").await.ok();
    let mut expected = [
        format!("@alice:localhost {room} {id} @bob:localhost rude\nand false"),
        format!("@alice:localhost {room} {id} @bob:localhost -"),
        format!("@alice:localhost {room} - - -"),
        "@eve:localhost - - @bob:localhost spam".to_owned(),
    ];
    expected.sort();
    assert_eq!(listed(&server), expected);
    let shown = ask(&server, Request::ReportList).await;
    let line = format!("2027-01-15  @alice:localhost reports {id} by @bob:localhost in {room}  rude and false");
    assert!(shown.len() == 4 && shown.contains(&line), "{shown:?}");
    for n in 0..49 {
        report(&eve, &of_user, &n.to_string()).await.ok();
    }
    report(&eve, &of_user, "more").await.refused(429, "M_LIMIT_EXCEEDED");
    report(&alice, &of_user, "mine").await.ok();
}

/// Makes an account that administers the server.
async fn register_administrator(server: &TestServer) -> Client {
    let root = server.register("root").await;
    let made = ask(server, Request::UserAdmin { name: "root".to_owned(), admin: true }).await;
    assert!(made.is_empty());
    root
}

/// What an administrator's command shows.
async fn ask(server: &TestServer, request: Request) -> Vec<String> {
    let administrator = Administrator(Arc::clone(&server.server().services().engine));
    match administrator.dispatch(request).await {
        Answer::Done { lines, .. } => lines,
        Answer::Failed { reason, .. } => panic!("{reason}"),
    }
}

#[tokio::test]
async fn reports_lie_in_the_vaults_of_administrators() {
    let mut server = TestServer::open().await;
    let alice = server.register("alice").await;
    let root = register_administrator(&server).await;
    let of_root = format!("users/{}/report", encode(&root.user_id));
    report(&alice, &of_root, "while open").await.ok();
    server.restart().await;
    // The administrator has not come: what is reported is mail.
    report(&alice, &of_root, "while cold").await.ok();
    assert_eq!(listed(&server), ["1 cold"]);
    root.get("account/whoami").await.ok();
    let of_alice = |reason: &str| format!("@alice:localhost - - @root:localhost {reason}");
    let both = [of_alice("while cold"), of_alice("while open")];
    assert_eq!(listed(&server), both);
    // Folded once, kept over another start.
    server.restart().await;
    root.get("account/whoami").await.ok();
    assert_eq!(listed(&server), both);
}

#[tokio::test]
async fn reports_about_a_room_go_with_it() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let root = register_administrator(&server).await;
    let (room, other) = (room_of(&[&alice, &bob]).await, room_of(&[&alice, &bob]).await);
    let id = say(&bob, &room, "nonsense").await;
    report(&alice, &at(&room, &format!("report/{}", encode(&id))), "of the event").await.ok();
    report(&alice, &at(&room, "report"), "of the room").await.ok();
    report(&alice, &at(&other, "report"), "of another").await.ok();
    assert_eq!(listed(&server).len(), 3);
    ask(&server, Request::RoomShred { room: room.clone() }).await;
    let left = [format!("@alice:localhost {other} - - of another")];
    assert_eq!(listed(&server), left);
    server.restart().await;
    root.get("account/whoami").await.ok();
    assert_eq!(listed(&server), left);
}

//! Resident memory of open rooms.

use crate::{
    figures::{judge, section, show},
    http::escape,
    phases::Field,
    server::Server,
    user::User,
};

/// Messages whose bodies an open room may keep.
const BODIES: f64 = 20.0;
/// What one takes, in KiB.
const BODY: f64 = 1.2;

/// What is resident after a restart, once somebody without rooms has come: rooms are what comes on top.
async fn without_rooms(server: &mut Server, name: &str, waking: &User) -> f64 {
    // After a start the server takes nobody in before somebody has come.
    whoami(server, waking).await;
    let loner = User::register(server, name).await;
    server.restart().await;
    whoami(server, &loner).await;
    server.resident()
}

async fn whoami(server: &Server, user: &User) {
    let path = "/_matrix/client/v3/account/whoami";
    server.connect_as(user).ask("GET", path, "").await.check("whoami");
}

/// Opens all rooms of `user` after a restart; what that added.
pub(crate) async fn of_many_rooms(server: &mut Server, user: &User, rooms: usize, members: usize, events: usize) {
    let idle = without_rooms(server, "idler", user).await;
    whoami(server, user).await;
    judge_rooms(server.resident() - idle, rooms, members, events);
}

/// Opens the rooms of `field` after a restart; what that added.
pub(crate) async fn of_busy_rooms(server: &mut Server, field: &Field) {
    section("Memory");
    let idle = without_rooms(server, "idle", &field.rooms[0].sender).await;
    for spot in &field.rooms {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=20", escape(&spot.room));
        server.connect_as(&spot.sender).ask("GET", &path, "").await.check("messages");
    }
    let events = usize::try_from(field.sent()).unwrap_or(0) / field.rooms.len() + 10;
    judge_rooms(server.resident() - idle, field.rooms.len(), 2, events);
    show("resident in all", &format!("{:.1} MiB", server.resident() / 1024.0));
}

/// Judges what `rooms` open rooms added, in KiB.
fn judge_rooms(added: f64, rooms: usize, members: usize, events: usize) {
    let each = added / rooms as f64;
    let bodies = BODIES.min(events as f64) * BODY;
    let budget = 15.0 + members as f64 + 0.1 * events as f64 + bodies;
    let what = format!("an open room of {members} members and {events} events");
    let formula = format!("≤ 15 + {members} + 0.1 × {events} + {bodies:.0} = {budget:.0} KiB");
    judge(&what, &format!("{each:.1} KiB"), &formula, Some(each <= budget));
}

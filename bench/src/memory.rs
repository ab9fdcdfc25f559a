//! Resident memory of open rooms: what they add where others are open. The code and the buffers that the first room needs are
//! no room's.

use std::sync::atomic::Ordering;

use crate::{
    figures::{judge, section, show},
    http::escape,
    phases::{Field, Spot},
    server::Server,
    user::User,
};

/// Messages whose bodies an open room may keep.
const BODIES: f64 = 20.0;
/// What one takes, in KiB.
const BODY: f64 = 1.2;
/// Accounts without rooms.
const LONERS: usize = 48;
/// Events of a room before anybody says something.
const FIRST_EVENTS: usize = 10;

async fn whoami(server: &Server, user: &User) {
    let path = "/_matrix/client/v3/account/whoami";
    server.connect_as(user).ask("GET", path, "").await.check("whoami");
}

async fn look_back(server: &Server, spot: &Spot) {
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=20", escape(&spot.room));
    server.connect_as(&spot.sender).ask("GET", &path, "").await.check("messages");
}

/// Opens all rooms of `user` after a restart and the rooms of `before`; what they add to those.
pub(crate) async fn of_many_rooms(
    server: &mut Server,
    before: &User,
    user: &User,
    rooms: usize,
    members: usize,
    events: usize,
) {
    server.restart().await;
    whoami(server, before).await;
    let first = server.resident();
    whoami(server, user).await;
    judge_rooms(server.resident() - first, rooms, members, events);
}

/// Opens the rooms of `field` after a restart; what the second half of them adds to the first. Each is opened by an account of
/// its own, so that what an account takes is measured too and is no room's.
pub(crate) async fn of_busy_rooms(server: &mut Server, field: &Field) {
    section("Memory");
    whoami(server, &field.rooms[0].sender).await;
    let account = an_account(server).await;
    show("an open account without rooms", &format!("{account:.1} KiB"));
    server.restart().await;
    let (before, after) = field.rooms.split_at(field.rooms.len() / 2);
    for spot in before {
        look_back(server, spot).await;
    }
    let first = server.resident();
    for spot in after {
        look_back(server, spot).await;
    }
    let added = server.resident() - first - account * after.len() as f64;
    let sent: u64 = after.iter().map(|spot| spot.sent.load(Ordering::Relaxed)).sum();
    let events = usize::try_from(sent).unwrap_or(0) / after.len() + FIRST_EVENTS;
    judge_rooms(added, after.len(), 2, events);
    show("resident in all", &format!("{:.1} MiB", server.resident() / 1024.0));
}

/// What an open account adds where others are open, in KiB. Somebody must have come since the start.
async fn an_account(server: &mut Server) -> f64 {
    let mut loners = Vec::new();
    for number in 0..LONERS {
        loners.push(User::register(server, &format!("loner{number}")).await);
    }
    server.restart().await;
    let (before, after) = loners.split_at(LONERS / 2);
    for loner in before {
        whoami(server, loner).await;
    }
    let first = server.resident();
    for loner in after {
        whoami(server, loner).await;
    }
    (server.resident() - first) / after.len() as f64
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

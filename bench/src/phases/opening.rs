//! What a client waits for first: the first sync of an account with many rooms, and a room nobody has open.

use std::time::Instant;

use serde_json::json;

use crate::{
    events::Writer,
    figures::{Samples, at_most, micros, section, show, time},
    http::escape,
    offline,
    server::Server,
    user::{User, make_room, send},
};

/// Rooms of the account.
const ROOMS: usize = 200;
/// Members of each.
const MEMBERS: usize = 5;
/// Messages of each.
const EVENTS: usize = 20;
/// How often each is measured.
const TIMES: usize = 3;
/// The cold room's members.
const CROWD: usize = 100;
/// Events of its window, with those that made it.
const WINDOW: usize = 1000;

/// Wall and CPU time of one thing, in microseconds.
#[derive(Default)]
pub(crate) struct Spent {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Spent {
    pub(super) fn add(&mut self, wall: f64, cpu: f64) {
        self.wall.push(wall);
        self.cpu.push(cpu);
    }

    /// The least of each: for single requests, which a busy machine only ever slows down.
    pub(super) fn least(&self) -> (f64, f64) {
        (Samples::new(self.wall.clone()).at(0.0), Samples::new(self.cpu.clone()).at(0.0))
    }
}

/// The first sync of an account in many rooms: with the rooms open, and after a restart.
pub(super) async fn initial_sync(server: &mut Server) {
    section(&format!(
        "First sync: {ROOMS} rooms of {MEMBERS}, {EVENTS} messages each, lazy members (quickest of {TIMES})"
    ));
    let hub = many_rooms(server, "hub", ROOMS).await;
    let (mut classic, mut sliding) = (Spent::default(), Spent::default());
    for _ in 0..TIMES {
        let device = hub.again(server).await;
        first_sync(server, &device, &mut classic).await;
        first_screen(server, &device, &mut sliding).await;
    }
    let (wall, cpu) = classic.least();
    at_most("rooms open: wall", wall, 60_000.0);
    show("rooms open: server CPU", &time(cpu));
    let (wall, cpu) = sliding.least();
    show("rooms open: sliding sync's first screen, wall", &time(wall));
    show("rooms open: sliding sync's first screen, server CPU", &time(cpu));

    let (mut classic, mut sliding) = (Spent::default(), Spent::default());
    for _ in 0..TIMES {
        server.restart().await;
        first_sync(server, &hub, &mut classic).await;
        server.restart().await;
        first_screen(server, &hub, &mut sliding).await;
    }
    let (wall, cpu) = classic.least();
    at_most("cold, from the page cache: wall", wall, 100_000.0);
    show("cold: server CPU", &time(cpu));
    let (wall, cpu) = sliding.least();
    show("cold: sliding sync's first screen, wall", &time(wall));
    show("cold: sliding sync's first screen, server CPU", &time(cpu));

    let other = many_rooms(server, "other", ROOMS / 4).await;
    crate::memory::of_many_rooms(server, &other, &hub, ROOMS, MEMBERS, EVENTS + 2 * MEMBERS + 6).await;
    first_sync(server, &hub, &mut Spent::default()).await;
    show("resident after the first sync", &format!("{:.1} MiB", server.resident() / 1024.0));
}

/// An account that is in `rooms` rooms, made by four others in turn.
pub(crate) async fn many_rooms(server: &Server, name: &str, rooms: usize) -> User {
    let hub = User::register(server, name).await;
    let mut makers = Vec::new();
    for number in 1..MEMBERS {
        makers.push(User::register(server, &format!("{name}{number}")).await);
    }
    let mut tasks = Vec::new();
    let each = rooms.div_ceil(makers.len());
    for (number, maker) in makers.iter().enumerate() {
        let mut guests: Vec<User> = makers.iter().filter(|other| other.id != maker.id).cloned().collect();
        guests.push(hub.clone());
        let count = each.min(rooms.saturating_sub(number * each));
        tasks.push(make_talk(server, maker, guests, count));
    }
    let mut tasks = tasks.into_iter();
    let (Some(first), Some(second), Some(third), Some(fourth)) =
        (tasks.next(), tasks.next(), tasks.next(), tasks.next())
    else {
        unreachable!("four makers");
    };
    tokio::join!(first, second, third, fourth);
    hub
}

async fn make_talk(server: &Server, maker: &User, guests: Vec<User>, rooms: usize) {
    let (mut connection, writer) = (server.connect_as(maker), Writer::new());
    for _ in 0..rooms {
        let room = make_room(server, maker, &guests).await;
        for number in 0..EVENTS {
            send(&mut connection, &room, &format!("t{number}"), &writer.content()).await;
        }
    }
}

/// Classic `/sync` without a token; what it took. The answer's size goes unreported: it is the same every time.
pub(crate) async fn first_sync(server: &Server, user: &User, spent: &mut Spent) {
    let filter = escape(r#"{"room":{"timeline":{"limit":20},"state":{"lazy_load_members":true}}}"#);
    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={filter}");
    measured(server, user, "GET", &path, "", spent).await;
}

/// What Element X asks first.
pub(super) async fn first_screen(server: &Server, user: &User, spent: &mut Spent) {
    let state =
        json!([["m.room.create", ""], ["m.room.name", ""], ["m.room.encryption", ""], ["m.room.member", "$LAZY"]]);
    let list = json!({ "ranges": [[0, 19]], "timeline_limit": 1, "required_state": state });
    let extensions =
        json!({ "to_device": { "enabled": true }, "e2ee": { "enabled": true }, "account_data": { "enabled": true } });
    let body = json!({ "conn_id": "bench", "lists": { "all": list }, "extensions": extensions }).to_string();
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    measured(server, user, "POST", path, &body, spent).await;
}

async fn measured(server: &Server, user: &User, method: &str, path: &str, body: &str, spent: &mut Spent) -> usize {
    let mut connection = server.connect_as(user);
    let (before, began) = (server.cpu(), Instant::now());
    let answer = connection.ask(method, path, body).await;
    let (wall, cpu) = (micros(began.elapsed()), server.cpu().since(&before));
    answer.check("a first request");
    spent.add(wall, cpu);
    answer.body.len()
}

/// The first request into a room after a restart, less what an account without rooms waits.
pub(super) async fn cold_room(server: &mut Server) {
    section(&format!("A cold room: {WINDOW} events, {CROWD} members (quickest of {TIMES})"));
    let (members, room) = crowded(server).await;
    let loner = User::register(server, "loner").await;
    // A server that stops in order packs.
    server.kill();
    offline::merge(&server.config()).await;
    server.start().await;
    let (wall, cpu) = opened_cold(server, &room, &members[..TIMES], &loner).await;
    show("from single rows: wall", &time(wall));
    show("from single rows: server CPU", &time(cpu));
    server.stop();
    offline::pack(&server.config(), &[(members[0].token.clone(), room.clone())]).await;
    server.start().await;
    let (wall, cpu) = opened_cold(server, &room, &members[..TIMES], &loner).await;
    at_most("packed, from the page cache: wall", wall, 10_000.0);
    show("packed: server CPU", &time(cpu));
}

async fn crowded(server: &Server) -> (Vec<User>, String) {
    let mut members = Vec::new();
    for number in 0..CROWD {
        members.push(User::register(server, &format!("crowd{number}")).await);
    }
    let room = make_room(server, &members[0], &members[1..]).await;
    let (mut connection, writer) = (server.connect_as(&members[0]), Writer::new());
    for number in 0..WINDOW - 2 * CROWD - 6 {
        send(&mut connection, &room, &format!("c{number}"), &writer.content()).await;
    }
    (members, room)
}

async fn opened_cold(server: &mut Server, room: &str, members: &[User], loner: &User) -> (f64, f64) {
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=20", escape(room));
    let (mut with, mut without) = (Spent::default(), Spent::default());
    for member in members {
        server.restart().await;
        measured(server, member, "GET", &path, "", &mut with).await;
        server.restart().await;
        measured(server, loner, "GET", "/_matrix/client/v3/account/whoami", "", &mut without).await;
    }
    let (with, without) = (with.least(), without.least());
    ((with.0 - without.0).max(0.0), (with.1 - without.1).max(0.0))
}

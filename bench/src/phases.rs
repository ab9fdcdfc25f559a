//! The order of a run.

mod delivery;
mod login;
mod opening;
mod sends;
pub(crate) use opening::{Spent, first_sync, many_rooms};
pub(crate) use sends::{Field, Spot};
mod synapse;

use std::path::Path;

use crate::{
    Arguments,
    figures::{Samples, at_most, judge, micros, section, show, sum, time},
    limit::Limit,
    memory, offline, overhead,
    server::{Server, Settings},
};

/// Rooms under load, each with a sender and a listener.
pub(crate) const ROOMS: usize = 64;

/// Measures everything that was asked for.
pub(crate) async fn run(arguments: &Arguments) {
    let limit = Limit::new(arguments.limit.as_deref(), arguments.seconds);
    machine();
    if let Some(unsealed) = arguments.unsealed.as_deref() {
        overhead::run(&arguments.binary, unsealed).await;
        return sum();
    }
    if arguments.wants("rows") {
        rows();
    }
    main_server(arguments, &limit).await;
    if arguments.wants("relaxed") {
        section("Sends with durability = \"relaxed\"");
        let mut server = Server::lethe(&arguments.binary, Settings { relaxed: true, ..Settings::default() });
        server.start().await;
        let field = sends::Field::prepare(&server, ROOMS).await;
        sends::judged(&server, &field, arguments.seconds, &limit, "put-relaxed").await;
    }
    if arguments.wants("login") {
        login::run(&arguments.binary).await;
    }
    if let Some(python) = arguments.synapse.as_deref().filter(|_| arguments.wants("synapse")) {
        synapse::run(python, &arguments.binary, arguments.seconds).await;
    }
    sum();
}

/// Whatever needs no other than the usual configuration happens on one server.
async fn main_server(arguments: &Arguments, limit: &Limit) {
    let mut server = Server::lethe(&arguments.binary, Settings::default());
    server.start().await;
    if arguments.wants("start") {
        started(&mut server).await;
    }
    if arguments.wants("send") || arguments.wants("delivery") || arguments.wants("memory") {
        let field = sends::Field::prepare(&server, ROOMS).await;
        if arguments.wants("send") {
            section("Sends: one user and room a connection, as fast as answers come");
            let before = server_disk(&mut server).await;
            sends::judged(&server, &field, arguments.seconds, limit, "put-fsync").await;
            disk(&mut server, &field, before).await;
        }
        if arguments.wants("memory") {
            memory::of_busy_rooms(&mut server, &field).await;
        }
        if arguments.wants("delivery") {
            delivery::run(&server, &field, arguments.seconds, limit).await;
        }
    }
    if arguments.wants("sync") {
        opening::initial_sync(&mut server).await;
        opening::cold_room(&mut server).await;
    }
}

fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("-");
    println!("{cores} cores, load average {load} before the run. Server and load share the cores.");
}

fn rows() {
    section("Rows");
    let (seal, open) = offline::row_speed();
    at_most("sealing an ordinary event", seal, 10.0);
    at_most("opening it", open, 6.0);
}

async fn started(server: &mut Server) {
    section("Start");
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(micros(server.restart().await));
    }
    at_most("start to serving (median of 5)", Samples::new(times).median(), 150_000.0);
    let idle = server.resident() / 1024.0;
    judge("resident when idle", &format!("{idle:.1} MiB"), "≤ 40 MiB", Some(idle <= 40.0));
}

/// Bytes on the disk of a server that was stopped in order; it runs again afterwards.
async fn server_disk(server: &mut Server) -> u64 {
    server.stop();
    let bytes = server.disk();
    server.start().await;
    bytes
}

/// What an event takes on the disk: as it was written, and when packed.
async fn disk(server: &mut Server, field: &sends::Field, before: u64) {
    section("Disk");
    // A server that stops in order packs.
    server.kill();
    offline::merge(&server.config()).await;
    let events = field.sent() as f64;
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / 1024.0 / events;
    let single = each(server.disk());
    judge("an event as a single row", &format!("{single:.2} KiB"), "≤ 1.2 KiB", Some(single <= 1.2));
    let took = offline::pack(&server.config(), &field.keys()).await;
    let packed = each(server.disk());
    judge("an event when packed", &format!("{packed:.2} KiB"), "≤ 0.75 KiB", Some(packed <= 0.75));
    show("packing and merging, an event", &time(micros(took) / events));
    show("start with these rooms on the disk", &time(micros(server.start().await)));
}

/// Where Lethe is, for whoever needs another one.
pub(super) async fn fresh(binary: &Path) -> Server {
    let mut server = Server::lethe(binary, Settings::default());
    server.start().await;
    server
}

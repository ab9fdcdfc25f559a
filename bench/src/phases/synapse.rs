//! The same loads on Synapse (SQLite, one process), beside Lethe in the same shape and minute.

use std::{fs, net::SocketAddr, path::Path};

use super::{
    delivery,
    opening::{self, Spent},
    sends::Field,
};
use crate::{
    figures::{section, show, time},
    server::Server,
};

/// Fewer than Lethe is measured with elsewhere: making a room takes Synapse long.
const ROOMS: usize = 8;
const SYNC_ROOMS: usize = 20;
const MEMBERS: usize = 10;

pub(super) async fn run(python: &Path, binary: &Path, seconds: u64) {
    let python = std::path::absolute(python).expect("a path");
    let mut synapse = Server::other(|directory, address| prepare(&python, directory, address));
    synapse.start().await;
    let lethe = super::fresh(binary).await;
    section("Synapse beside Lethe");
    println!("  {:<58} {:>12} {:>12} {:>8}", "", "Synapse", "Lethe", "ratio");
    let (theirs, ours) = (measure(&synapse, seconds).await, measure(&lethe, seconds).await);
    for ((what, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        println!("  {what:<58} {:>12} {:>12} {:>7.0}×", time(*theirs), time(*ours), theirs / ours);
    }
    show(
        "resident: Synapse, Lethe",
        &format!("{:.0}, {:.0} MiB", synapse.resident() / 1024.0, lethe.resident() / 1024.0),
    );
}

async fn measure(server: &Server, seconds: u64) -> Vec<(&'static str, f64)> {
    let field = Field::prepare(server, ROOMS).await;
    let load = field.load(server, ROOMS, seconds).await;
    let paced = delivery::through_rooms(server, &field, 10, seconds).await;
    let fan = delivery::fan_out(server, MEMBERS, 20).await;
    let hub = opening::many_rooms(server, "hub", SYNC_ROOMS).await;
    let (mut classic, mut sliding) = (Spent::default(), Spent::default());
    for _ in 0..3 {
        // Synapse keeps whole answers by device.
        let device = hub.again(server).await;
        opening::first_sync(server, &device, &mut classic).await;
        opening::first_screen(server, &device, &mut sliding).await;
    }
    vec![
        ("send p50, 8 connections", load.latency.median()),
        ("send p99, 8 connections", load.latency.p99()),
        ("server CPU a send, 8 connections", load.cpu),
        ("send to sync p50, 10 sends a second", paced.delay.median()),
        ("send to sync p99, 10 sends a second", paced.delay.p99()),
        ("send to sync p99, fan-out 10", fan.delay.p99()),
        ("server CPU an arrival, fan-out 10", fan.cpu),
        ("first sync, 20 rooms: wall", classic.least().0),
        ("first sync, 20 rooms: server CPU", classic.least().1),
        ("sliding sync's first screen, 20 rooms: wall", sliding.least().0),
        ("sliding sync's first screen, 20 rooms: server CPU", sliding.least().1),
    ]
}

/// A configuration without limits, and the command that serves it.
fn prepare(python: &Path, directory: &Path, address: SocketAddr) -> Vec<String> {
    let data = directory.join("data");
    fs::create_dir_all(data.join("media")).expect("a directory");
    let key = "a_bench ".to_owned() + &"A".repeat(43);
    fs::write(data.join("signing.key"), format!("ed25519 {key}\n")).expect("a key");
    let free = "{ per_second: 100000, burst_count: 100000 }";
    let limits = [
        "rc_message",
        "rc_registration",
        "rc_login.address",
        "rc_login.account",
        "rc_login.failed_attempts",
        "rc_joins.local",
        "rc_joins.remote",
        "rc_joins_per_room",
        "rc_invites.per_room",
        "rc_invites.per_user",
        "rc_invites.per_issuer",
        "rc_room_creation",
    ];
    let mut groups: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for limit in limits {
        let (group, part) = limit.split_once('.').unwrap_or((limit, ""));
        groups.entry(group).or_default().push(part);
    }
    let limits: String = groups
        .into_iter()
        .map(|(group, parts)| {
            let parts: Vec<String> = parts
                .iter()
                .map(|part| if part.is_empty() { free.to_owned() } else { format!("{part}: {free}") })
                .collect();
            if parts == [free] {
                format!("{group}: {free}\n")
            } else {
                format!("{group}: {{ {} }}\n", parts.join(", "))
            }
        })
        .collect();
    let config = format!(
        "server_name: localhost\npid_file: {0}/pid\nreport_stats: false\nsigning_key_path: {0}/signing.key\n\
         media_store_path: {0}/media\nmacaroon_secret_key: bench\nform_secret: bench\ntrusted_key_servers: []\n\
         database: {{ name: sqlite3, args: {{ database: {0}/homeserver.db }} }}\n\
         listeners: [{{ port: {1}, bind_addresses: [\"127.0.0.1\"], type: http, resources: [{{ names: [client] }}] }}]\n\
         enable_registration: true\nenable_registration_without_verification: true\npresence: {{ enabled: false }}\n{limits}",
        data.display(),
        address.port()
    );
    let path = directory.join("homeserver.yaml");
    fs::write(&path, config).expect("a configuration");
    let config = path.display().to_string();
    vec![python.display().to_string(), "-m".to_owned(), "synapse.app.homeserver".to_owned(), "-c".to_owned(), config]
}

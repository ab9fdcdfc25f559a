//! What sealing costs: instructions of the sealed build over those of a build that seals nothing, for the same work.
//!
//! Counted by valgrind, because a shared machine's times say nothing about a tenth. What starting and stopping takes is
//! counted too and subtracted; the two builds take turns.

use std::path::Path;

use crate::{
    events::Writer,
    figures::{Samples, judge, section, show},
    phases::{Spent, first_sync, many_rooms},
    server::{Server, Settings},
    user::{User, make_room, send},
};

/// Runs of each build.
const ROUNDS: usize = 3;
/// Sends of a short run and of a long one.
const SENDS: [u32; 2] = [50, 450];
/// First syncs once the rooms are open.
const MORE: u32 = 4;
/// Rooms of the account that syncs.
const ROOMS: usize = 40;
/// The most that sealing and forgetting may add.
const MOST: f64 = 1.10;

/// Prints the ratios.
pub(crate) async fn run(sealed: &Path, unsealed: &Path) {
    section(&format!("Instructions beside a build that seals nothing (median of {ROUNDS})"));
    let (mut sends, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        sends.push((a_send(sealed).await, a_send(unsealed).await));
        let ((first, next), (bare_first, bare_next)) = (first_syncs(sealed).await, first_syncs(unsealed).await);
        cold.push((first, bare_first));
        warm.push((next, bare_next));
    }
    let all = [("a send", sends), ("a first sync, rooms open", warm), ("a first sync after a restart", cold)];
    for (what, pairs) in all {
        let ratio = Samples::new(pairs.iter().map(|(sealed, bare)| sealed / bare).collect()).median();
        let (sealed, bare) = pairs[0];
        show(&format!("{what}: sealed, not sealed"), &format!("{:.0} k, {:.0} k", sealed / 1e3, bare / 1e3));
        judge(what, &format!("{ratio:.3} ×"), &format!("≤ {MOST} ×"), Some(ratio <= MOST));
    }
}

/// Instructions of one send.
async fn a_send(binary: &Path) -> f64 {
    let mut counts = Vec::new();
    for sends in SENDS {
        let mut server = Server::lethe(binary, Settings::default()).counted();
        server.start().await;
        let (sender, listener) = (User::register(&server, "sender").await, User::register(&server, "listener").await);
        let room = make_room(&server, &sender, std::slice::from_ref(&listener)).await;
        let (mut connection, writer) = (server.connect_as(&sender), Writer::new());
        for number in 0..sends {
            send(&mut connection, &room, &format!("t{number}"), &writer.content()).await;
        }
        server.stop();
        counts.push(server.instructions());
    }
    (counts[1] - counts[0]) / f64::from(SENDS[1] - SENDS[0])
}

/// Instructions of one first sync of an account whose rooms nobody has open, and of the same once they are open.
async fn first_syncs(binary: &Path) -> (f64, f64) {
    let mut server = Server::lethe(binary, Settings::default());
    server.start().await;
    let hub = many_rooms(&server, "hub", ROOMS).await;
    server.stop();
    let mut server = server.counted();
    let mut counts = Vec::new();
    for syncs in [0, 1, 1 + MORE] {
        server.start().await;
        for _ in 0..syncs {
            first_sync(&server, &hub, &mut Spent::default()).await;
        }
        server.stop();
        counts.push(server.instructions());
    }
    (counts[1] - counts[0], (counts[2] - counts[1]) / f64::from(MORE))
}

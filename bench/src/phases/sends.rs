//! Sends, as fast as answers come: every connection has its own user and room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    events::Writer,
    figures::{Samples, micros, ratio, show, time},
    http::Connection,
    limit::Limit,
    server::Server,
    user::{User, make_room, send},
};

/// How long a load runs before it counts.
pub(super) const WARM: Duration = Duration::from_millis(700);

/// Rooms with a sender and a listener each.
pub(crate) struct Field {
    pub(crate) rooms: Vec<Spot>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) room: String,
    pub(crate) sender: User,
    pub(crate) listener: User,
    /// Events sent into the room so far.
    pub(crate) sent: Arc<AtomicU64>,
}

/// What a load came to, in microseconds.
pub(super) struct Load {
    pub(super) latency: Samples,
    pub(super) cpu: f64,
    pub(super) rate: f64,
}

impl Field {
    /// Makes `count` rooms.
    pub(crate) async fn prepare(server: &Server, count: usize) -> Self {
        let mut rooms = Vec::new();
        for number in 0..count {
            let sender = User::register(server, &format!("sender{number}")).await;
            let listener = User::register(server, &format!("listener{number}")).await;
            let room = make_room(server, &sender, std::slice::from_ref(&listener)).await;
            rooms.push(Spot { room, sender, listener, sent: Arc::default() });
        }
        Self { rooms }
    }

    /// Events sent into these rooms so far.
    pub(crate) fn sent(&self) -> u64 {
        self.rooms.iter().map(|spot| spot.sent.load(Ordering::Relaxed)).sum()
    }

    /// Token and room of every sender: what opens the rooms.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        self.rooms.iter().map(|spot| (spot.sender.token.clone(), spot.room.clone())).collect()
    }

    /// Sends over `connections` for `seconds`.
    pub(super) async fn load(&self, server: &Server, connections: usize, seconds: u64) -> Load {
        let (counting, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut senders = Vec::new();
        for spot in &self.rooms[..connections] {
            let connection = server.connect_as(&spot.sender);
            let sender = keep_sending(connection, spot.clone(), Arc::clone(&counting), Arc::clone(&stop));
            senders.push(tokio::spawn(sender));
        }
        tokio::time::sleep(WARM).await;
        let (before, began) = (server.cpu(), Instant::now());
        counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        counting.store(false, Ordering::Relaxed);
        let (wall, cpu) = (began.elapsed(), server.cpu().since(&before));
        stop.store(true, Ordering::Relaxed);
        let mut latency = Vec::new();
        for sender in senders {
            latency.extend(sender.await.expect("a sender"));
        }
        let latency = Samples::new(latency);
        Load { cpu: cpu / latency.count(), rate: latency.count() / wall.as_secs_f64(), latency }
    }
}

async fn keep_sending(
    mut connection: Connection,
    spot: Spot,
    counting: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> Vec<f64> {
    let writer = Writer::new();
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let content = writer.content();
        // Whatever is unique in this run is a good transaction id.
        let transaction = format!("m{}", crate::events::now());
        let began = Instant::now();
        send(&mut connection, &spot.room, &transaction, &content).await;
        if counting.load(Ordering::Relaxed) {
            times.push(micros(began.elapsed()));
        }
        spot.sent.fetch_add(1, Ordering::Relaxed);
    }
    times
}

/// Sends over 1, 8 and 64 connections, beside `limit` at `level`.
pub(super) async fn judged(server: &Server, field: &Field, seconds: u64, limit: &Limit, level: &str) {
    for connections in [1, 8, 64] {
        let load = field.load(server, connections, seconds).await;
        let least = limit.sends(level, connections).await;
        let label = format!("{connections} conn{}:", if connections == 1 { "" } else { "s" });
        ratio(&format!("{label} send p50"), load.latency.median(), 3.0, least.map(|least| least.p50));
        ratio(&format!("{label} server CPU a send"), load.cpu, 3.0, least.map(|least| least.cpu));
        let beside = least.map_or(String::new(), |least| format!(" (limit {})", time(least.p99)));
        show(&format!("{label} send p99"), &format!("{}{beside}", time(load.latency.p99())));
        show(&format!("{label} sends a second"), &format!("{:.0}", load.rate));
    }
}

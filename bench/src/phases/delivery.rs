//! From a send to the answer of a waiting `/sync`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::sends::{Field, Spot, WARM};
use crate::{
    events::{Writer, now, written},
    figures::{Samples, at_most, micros, ratio, section, show, time},
    http::{Connection, escape},
    limit::Limit,
    server::Server,
    user::{User, make_room, send, text},
};

/// Sends a second, over all rooms.
const RATE: u32 = 500;
/// Members of the room with fan-out.
const MEMBERS: usize = 100;
/// Messages sent into it.
const MESSAGES: u32 = 40;

/// Delays of arrivals, while they count.
#[derive(Clone, Default)]
pub(super) struct Arrivals {
    delays: Arc<Mutex<Vec<f64>>>,
    counting: Arc<AtomicBool>,
}

/// What a load came to, in microseconds.
pub(super) struct Delivered {
    pub(super) send: Samples,
    pub(super) delay: Samples,
    pub(super) cpu: f64,
}

/// Measures both.
pub(super) async fn run(server: &Server, field: &Field, seconds: u64, limit: &Limit) {
    section(&format!("Delivery: {RATE} sends a second over {} rooms, a waiting /sync in each", field.rooms.len()));
    let load = through_rooms(server, field, RATE, seconds).await;
    let least = limit.delivery("put-fsync", RATE).await;
    ratio("send to sync p99", load.delay.p99(), 5.0, least.map(|least| least.delivery_p99));
    show(
        "send to sync p50",
        &format!("{}{}", time(load.delay.median()), beside(least.map(|least| least.delivery_p50))),
    );
    show("send p50", &format!("{}{}", time(load.send.median()), beside(least.map(|least| least.p50))));
    show("send p99", &format!("{}{}", time(load.send.p99()), beside(least.map(|least| least.p99))));
    show("server CPU a send and its sync", &format!("{}{}", time(load.cpu), beside(least.map(|least| least.cpu))));

    section(&format!("Fan-out: a room of {MEMBERS}, all of them waiting"));
    let load = fan_out(server, MEMBERS, MESSAGES).await;
    at_most("send to sync p99", load.delay.p99(), 20_000.0);
    show("send to sync p50", &time(load.delay.median()));
    show("server CPU an arrival", &time(load.cpu));
}

fn beside(least: Option<f64>) -> String {
    least.map_or(String::new(), |least| format!(" (limit {})", time(least)))
}

/// `rate` sends a second over the rooms of `field`, at fixed moments, whatever the answers do.
pub(super) async fn through_rooms(server: &Server, field: &Field, rate: u32, seconds: u64) -> Delivered {
    let arrivals = Arrivals::default();
    let mut listeners = Vec::new();
    for spot in &field.rooms {
        listeners.push(listen(server.connect_as(&spot.listener), arrivals.clone()).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let pause = Duration::from_secs(1) * u32::try_from(field.rooms.len()).expect("few rooms") / rate;
    let mut senders = Vec::new();
    for (number, spot) in (0..).zip(&field.rooms) {
        let offset = pause * number / u32::try_from(field.rooms.len()).expect("few rooms");
        let sender =
            paced(server.connect_as(&spot.sender), spot.clone(), pause, offset, arrivals.clone(), Arc::clone(&stop));
        senders.push(tokio::spawn(sender));
    }
    tokio::time::sleep(WARM).await;
    let before = server.cpu();
    arrivals.counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    arrivals.counting.store(false, Ordering::Relaxed);
    let cpu = server.cpu().since(&before);
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.expect("a sender"));
    }
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
    let send = Samples::new(times);
    Delivered { cpu: cpu / send.count(), send, delay: arrivals.take() }
}

/// One room of `members`, all waiting, and `messages` at ten a second.
pub(super) async fn fan_out(server: &Server, members: usize, messages: u32) -> Delivered {
    let host = User::register(server, "host").await;
    let mut guests = Vec::new();
    for number in 1..members {
        guests.push(User::register(server, &format!("guest{number}")).await);
    }
    let room = make_room(server, &host, &guests).await;
    let arrivals = Arrivals::default();
    let mut listeners = Vec::new();
    for member in guests.iter().chain([&host]) {
        listeners.push(listen(server.connect_as(member), arrivals.clone()).await);
    }
    let mut connection = server.connect_as(&host);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (writer, mut times) = (Writer::new(), Vec::new());
    let before = server.cpu();
    arrivals.counting.store(true, Ordering::Relaxed);
    for number in 0..messages {
        ticks.tick().await;
        let began = Instant::now();
        send(&mut connection, &room, &format!("f{number}"), &writer.content()).await;
        times.push(micros(began.elapsed()));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let cpu = server.cpu().since(&before);
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
    let delay = arrivals.take();
    let expected = members as f64 * f64::from(messages);
    if delay.count() < expected {
        show("arrivals that are missing", &format!("{:.0} of {expected:.0}", expected - delay.count()));
    }
    Delivered { cpu: cpu / delay.count(), send: Samples::new(times), delay }
}

impl Arrivals {
    fn take(&self) -> Samples {
        Samples::new(std::mem::take(&mut self.delays.lock().expect("no panic")))
    }
}

/// A client that has synced once and from now on always waits for more.
async fn listen(mut connection: Connection, arrivals: Arrivals) -> tokio::task::JoinHandle<()> {
    let filter = escape(r#"{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}"#);
    let first =
        connection.ask("GET", &format!("/_matrix/client/v3/sync?timeout=0&filter={filter}"), "").await.ok("sync");
    let mut since = text(&first, "next_batch");
    tokio::spawn(async move {
        loop {
            let path = format!("/_matrix/client/v3/sync?timeout=30000&since={}", escape(&since));
            let answer = connection.ask("GET", &path, "").await;
            let arrived = now();
            answer.check("sync");
            if arrivals.counting.load(Ordering::Relaxed) {
                let mut delays = arrivals.delays.lock().expect("no panic");
                written(&answer.body, |sent| delays.push(arrived.saturating_sub(sent) as f64 / 1e3));
            }
            since = text(&answer.json(), "next_batch");
        }
    })
}

async fn paced(
    mut connection: Connection,
    spot: Spot,
    pause: Duration,
    offset: Duration,
    arrivals: Arrivals,
    stop: Arc<AtomicBool>,
) -> Vec<f64> {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + offset, pause);
    let (writer, mut times) = (Writer::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let transaction = format!("d{}", now());
        let began = Instant::now();
        send(&mut connection, &spot.room, &transaction, &writer.content()).await;
        if arrivals.counting.load(Ordering::Relaxed) {
            times.push(micros(began.elapsed()));
        }
        spot.sent.fetch_add(1, Ordering::Relaxed);
    }
    times
}

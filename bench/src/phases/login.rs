//! Logins at the real cost of a password, and who waits for them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::opening::Spent;
use crate::{
    figures::{Samples, judge, micros, section, show, time},
    http::Connection,
    offline,
    server::{Server, Settings},
    user::{User, login_body},
};

const LOGIN: &str = "/_matrix/client/v3/login";
/// Logins at once, for which no queue is long enough.
const RUSH: usize = 100;

pub(super) async fn run(binary: &Path) {
    section("Login: Argon2id with 64 MiB and 3 passes");
    let mut server = Server::lethe(binary, Settings { real_passwords: true, ..Settings::default() });
    server.start().await;
    let user = User::register(&server, "someone").await;
    let (mut connection, mut spent) = (server.connect(), Spent::default());
    let mut hash = Vec::new();
    for _ in 0..5 {
        hash.push(offline::password_speed());
        let (before, began) = (server.cpu(), Instant::now());
        connection.ask("POST", LOGIN, &login_body(&user.name)).await.check("login");
        spent.add(micros(began.elapsed()), server.cpu().since(&before));
    }
    let hash = Samples::new(hash).at(0.0);
    let (wall, cpu) = spent.least();
    let budget = format!("one Argon2id, {}, + 10 %, + 10 ms", time(hash));
    judge("one login: wall", &time(wall), &budget, Some(wall <= hash * 1.1 + 10_000.0));
    judge("one login: server CPU", &time(cpu), &budget, Some(cpu <= hash * 1.1 + 10_000.0));

    let alone = whoami(server.connect_as(&user), Duration::from_secs(1)).await;
    show("whoami alone: p50, p99", &pair(&alone));
    let stop = Arc::new(AtomicBool::new(false));
    let logins: Vec<_> = (0..4).map(|_| tokio::spawn(keep_logging_in(server.connect(), Arc::clone(&stop)))).collect();
    let during = whoami(server.connect_as(&user), Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    for login in logins {
        count += login.await.expect("a login");
    }
    show("logins a second, 4 clients", &format!("{:.1}", f64::from(count) / 3.0));
    judge("whoami while 4 clients log in: p50, p99", &pair(&during), "p99 < one Argon2id", Some(during.p99() < hash));

    let rush: Vec<_> = (0..RUSH).map(|_| tokio::spawn(attempt(server.connect()))).collect();
    let (mut done, mut refused, mut other) = (0, 0, 0);
    for attempt in rush {
        match attempt.await.expect("an attempt") {
            200 => done += 1,
            429 => refused += 1,
            _ => other += 1,
        }
    }
    let value = format!("{done} × 200, {refused} × 429, {other} other");
    judge(&format!("{RUSH} logins at once"), &value, "200 and 429 only, some 429", Some(refused > 0 && other == 0));
}

fn pair(samples: &Samples) -> String {
    format!("{}, {}", time(samples.median()), time(samples.p99()))
}

async fn attempt(mut connection: Connection) -> u16 {
    connection.ask("POST", LOGIN, &login_body("someone")).await.status
}

async fn keep_logging_in(mut connection: Connection, stop: Arc<AtomicBool>) -> u32 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        connection.ask("POST", LOGIN, &login_body("someone")).await.check("login");
        count += 1;
    }
    count
}

/// Asks every few milliseconds who it is.
async fn whoami(mut connection: Connection, lasting: Duration) -> Samples {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < lasting {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let asked = Instant::now();
        connection.ask("GET", "/_matrix/client/v3/account/whoami", "").await.check("whoami");
        times.push(micros(asked.elapsed()));
    }
    Samples::new(times)
}

//! SIGKILL at random moments. Workers write for one account each and note what was acknowledged; after the restart
//! every acknowledged event, membership, account datum, key and to-device message is there, and a retried send is not
//! doubled.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt, rng};
use serde_json::{Value, json};

use crate::{
    http::{Client, escape},
    process::{Process, text},
};

/// Accounts that write at once.
const WORKERS: usize = 4;

/// One-time keys of an algorithm that the server keeps for a device.
const MOST_KEYS: usize = 1000;

/// What one account was told, and what it asked for without hearing back.
struct Worker {
    name: String,
    client: Client,
    room: String,
    count: u64,
    sent: BTreeMap<u64, String>,
    open: Option<u64>,
    data: BTreeMap<u64, u64>,
    data_open: Option<(u64, u64)>,
    joined: BTreeSet<String>,
    keys: BTreeSet<String>,
    mail_sent: BTreeSet<u64>,
    mail_open: Option<u64>,
}

pub(crate) fn run(binary: &Path, rounds: u32) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut server = Process::start(binary, directory.path());
    let mut workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(&server, number)).collect();
    let mut reader = server.register("reader", "a long password of the reader", "reader");
    let mut received = BTreeSet::new();
    let mut since = String::new();
    let (mut killed_in_flight, mut total, mut slowest) = (0, 0, Duration::ZERO);
    for round in 1..=rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = workers
            .drain(..)
            .map(|worker| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || worker.work(&stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng().random_range(20..250)));
        server.kill();
        stop.store(true, Ordering::SeqCst);
        workers = threads.into_iter().map(|thread| thread.join().expect("a worker")).collect();
        slowest = slowest.max(server.restart());
        for worker in &mut workers {
            killed_in_flight += u32::from(worker.open.is_some());
            worker.check(&server);
            total = total.max(worker.count);
        }
        reader = reader.again(server.address);
        since = collect_mail(&mut reader, &since, &mut received);
        for worker in &workers {
            let missing: Vec<_> = worker
                .mail_sent
                .iter()
                .filter(|count| !received.contains(&format!("{} {count}", worker.name)))
                .collect();
            assert!(
                missing.is_empty(),
                "round {round}: to-device messages of {} are missing: {missing:?}",
                worker.name
            );
        }
    }
    let events: usize = workers.iter().map(|worker| worker.sent.len()).sum();
    let rooms: usize = workers.iter().map(|worker| worker.joined.len()).sum();
    let keys: usize = workers.iter().map(|worker| worker.keys.len()).sum();
    let data: usize = workers.iter().map(|worker| worker.data.len()).sum();
    println!(
        "crash: {rounds} kills, {killed_in_flight} sends cut in flight; acknowledged and there: {events} events, {rooms} \
         memberships, {data} account data, {keys} one-time keys, {} to-device messages; nothing lost, nothing doubled; \
         slowest restart {} ms",
        received.len(),
        slowest.as_millis()
    );
}

impl Worker {
    fn new(server: &Process, number: usize) -> Self {
        let name = format!("worker{number}");
        let mut client = server.register(&name, &format!("a long password of {name}"), "worker");
        let room = client.post("/_matrix/client/v3/createRoom", &json!({ "preset": "private_chat" }));
        let room = text(&room.expect("an answer").json(), "room_id");
        Self {
            name,
            client,
            joined: [room.clone()].into(),
            room,
            count: 0,
            sent: BTreeMap::new(),
            open: None,
            data: BTreeMap::new(),
            data_open: None,
            keys: BTreeSet::new(),
            mail_sent: BTreeSet::new(),
            mail_open: None,
        }
    }

    fn work(mut self, stop: &AtomicBool) -> Self {
        while !stop.load(Ordering::SeqCst) && self.act().is_some() {}
        self
    }

    fn act(&mut self) -> Option<()> {
        self.count += 1;
        let count = self.count;
        match count % 8 {
            0 => {
                let place = count % 5;
                self.data_open = Some((place, count));
                let path = format!("/_matrix/client/v3/user/@{}:localhost/account_data/trial.{place}", self.name);
                self.client.put(&path, &json!({ "count": count })).filter(|answer| answer.status == 200)?;
                self.data.insert(place, count);
                self.data_open = None;
            }
            1 => {
                let id = format!("signed_curve25519:K{count}");
                let body =
                    json!({ "one_time_keys": { id.clone(): { "key": format!("key {count}"), "signatures": {} } } });
                let answer = self.client.post("/_matrix/client/v3/keys/upload", &body)?;
                if answer.status == 200 {
                    self.keys.insert(id);
                }
            }
            2 if count % 16 == 2 => {
                let answer = self.client.post("/_matrix/client/v3/createRoom", &json!({}))?;
                self.joined.insert(text(&answer.json(), "room_id"));
            }
            3 => {
                self.mail_open = Some(count);
                let body = json!({ "messages": { "@reader:localhost": { "*": { "from": format!("{} {count}", self.name) } } } });
                let path = format!("/_matrix/client/v3/sendToDevice/trial/{count}");
                self.client.put(&path, &body).filter(|answer| answer.status == 200)?;
                self.mail_sent.insert(count);
                self.mail_open = None;
            }
            _ => {
                self.open = Some(count);
                let answer = self.send(count)?;
                self.sent.insert(count, answer);
                self.open = None;
            }
        }
        Some(())
    }

    fn send(&mut self, count: u64) -> Option<String> {
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/t{count}", escape(&self.room));
        let body = json!({ "msgtype": "m.text", "body": format!("{} {count}", self.name) });
        let answer = self.client.put(&path, &body)?;
        assert_eq!(answer.status, 200, "a send: {}", answer.json());
        Some(text(&answer.json(), "event_id"))
    }

    /// Compares what the server has with what it acknowledged.
    fn check(&mut self, server: &Process) {
        self.client = self.client.again(server.address);
        if let Some(count) = self.open.take() {
            let id = self.send(count).expect("an answer");
            self.sent.insert(count, id);
        }
        self.check_timeline();
        let joined = self.client.get("/_matrix/client/v3/joined_rooms").expect("an answer").json();
        let joined: BTreeSet<_> =
            joined["joined_rooms"].as_array().expect("rooms").iter().filter_map(Value::as_str).collect();
        assert!(self.joined.iter().all(|room| joined.contains(&**room)), "a room of {} is missing", self.name);
        for (place, count) in &self.data {
            let path = format!("/_matrix/client/v3/user/@{}:localhost/account_data/trial.{place}", self.name);
            let found = self.client.get(&path).expect("an answer").json()["count"].as_u64();
            let maybe = self.data_open.filter(|(open, _)| open == place).map(|(_, count)| count);
            assert!(
                found == Some(*count) || (maybe.is_some() && found == maybe),
                "account data {place} of {}",
                self.name
            );
        }
        // What was asked for and came to be is what stands now, though nobody said so.
        if let Some((place, count)) = self.data_open.take() {
            let path = format!("/_matrix/client/v3/user/@{}:localhost/account_data/trial.{place}", self.name);
            if self.client.get(&path).expect("an answer").json()["count"].as_u64() == Some(count) {
                self.data.insert(place, count);
            }
        }
        let counts = self.client.post("/_matrix/client/v3/keys/upload", &json!({})).expect("an answer").json();
        let stored = counts["one_time_key_counts"]["signed_curve25519"].as_u64().unwrap_or(0);
        assert!(
            stored >= self.keys.len().min(MOST_KEYS) as u64,
            "one-time keys of {}: {stored} of {}",
            self.name,
            self.keys.len()
        );
        if let Some(count) = self.mail_open.take() {
            let body =
                json!({ "messages": { "@reader:localhost": { "*": { "from": format!("{} {count}", self.name) } } } });
            let path = format!("/_matrix/client/v3/sendToDevice/trial/{count}");
            assert_eq!(self.client.put(&path, &body).expect("an answer").status, 200);
            self.mail_sent.insert(count);
        }
    }

    fn check_timeline(&mut self) {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut from = String::new();
        loop {
            let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500{from}", escape(&self.room));
            let page = self.client.get(&path).expect("an answer").json();
            for event in page["chunk"].as_array().expect("a chunk") {
                if let Some(body) = event["content"]["body"].as_str() {
                    found.entry(body.to_owned()).or_default().push(text(event, "event_id"));
                }
            }
            match page["end"].as_str() {
                Some(end) => from = format!("&from={}", escape(end)),
                None => break,
            }
        }
        for (count, id) in &self.sent {
            let body = format!("{} {count}", self.name);
            assert_eq!(
                found.get(&body).map(Vec::as_slice),
                Some(std::slice::from_ref(id)),
                "event {count} of {}",
                self.name
            );
        }
    }
}

/// Reads and acknowledges the reader's to-device messages; none may come twice after it was acknowledged.
fn collect_mail(reader: &mut Client, since: &str, received: &mut BTreeSet<String>) -> String {
    let mut since = since.to_owned();
    loop {
        let query = if since.is_empty() { String::new() } else { format!("&since={}", escape(&since)) };
        let answer = reader.get(&format!("/_matrix/client/v3/sync?timeout=0{query}")).expect("an answer");
        assert_eq!(answer.status, 200, "a sync: {}", answer.json());
        let answer = answer.json();
        since = text(&answer, "next_batch");
        let events = answer["to_device"]["events"].as_array().cloned().unwrap_or_default();
        if events.is_empty() {
            return since;
        }
        for event in events {
            let from = text(&event["content"], "from");
            // A message whose sender never heard back may have been sent again; an acknowledged one never comes twice.
            received.insert(from);
        }
    }
}

//! Connections that are used badly: slowly, halfway, not at all, or by the thousand.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use super::memory::Memory;
use crate::{
    http::{Client, escape},
    process::{Process, text},
};

/// Waiting syncs of one account.
const POLLS_OF_ACCOUNT: u32 = 200;
/// What a waiting sync may take of memory, KiB: the buffers of its connection, 8 in each direction, and where it stands.
const POLL: u64 = 40;
/// Connections opened in a row.
const QUEUED: u32 = 250;
/// Slowly used connections of each kind.
const SLOW: usize = 20;
/// How long another user may wait for an answer meanwhile.
const LATENCY: Duration = Duration::from_secs(1);

pub(super) fn run(binary: &Path, polls: u32) -> u32 {
    slow(binary) + waiting(binary, polls)
}

/// A slow client: after how long its connection ended, and what it was answered.
type Running = JoinHandle<(Duration, Vec<u8>)>;

/// One way to be slow.
struct Way {
    name: &'static str,
    /// Within how many seconds the server ends it.
    ends: std::ops::Range<u64>,
    /// What its answer starts with, if it gets one.
    answer: &'static str,
    be: fn(SocketAddr, &str) -> Vec<u8>,
}

fn ways() -> Vec<Way> {
    vec![
        Way {
            name: "a head that comes byte by byte",
            ends: 55..75,
            answer: "",
            be: |address, _| drip(address, b"", &b"GET /health HTTP/1.1\r\n".repeat(50)),
        },
        Way {
            name: "a connection that says nothing",
            ends: 55..75,
            answer: "",
            be: |address, _| drip(address, b"", b""),
        },
        Way {
            name: "a connection kept after an answer",
            ends: 55..75,
            answer: "HTTP/1.1 200",
            be: |address, _| drip(address, b"GET /health HTTP/1.1\r\nHost: l\r\n\r\n", b""),
        },
        Way {
            name: "a body that comes byte by byte",
            ends: 15..35,
            answer: "HTTP/1.1 408",
            be: |address, _| {
                drip(
                    address,
                    b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: l\r\nContent-Length: 5000\r\n\r\n",
                    &[b' '; 5000],
                )
            },
        },
        Way {
            name: "a body that does not come",
            ends: 15..35,
            answer: "HTTP/1.1 408",
            be: |address, token| {
                let head = format!(
                    "POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {token}\r\nContent-Length: 60000\r\n\r\n"
                );
                drip(address, head.as_bytes(), b"")
            },
        },
        Way {
            name: "a chunk that does not come",
            ends: 15..100,
            answer: "HTTP/1.1 408",
            be: |address, token| {
                let head = format!(
                    "POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"
                );
                drip(address, head.as_bytes(), b"")
            },
        },
        Way {
            name: "half a connection that waits for a sync",
            ends: 0..5,
            answer: "",
            be: |address, token| {
                let mut stream = connect(address);
                let since = since(address, token);
                let head = format!(
                    "GET /_matrix/client/v3/sync?timeout=60000&since={} HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {token}\r\n\r\n",
                    escape(&since)
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.shutdown(std::net::Shutdown::Write);
                rest(stream)
            },
        },
    ]
}

fn slow(binary: &Path) -> u32 {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut server = Process::start(binary, directory.path());
    let mallory = server.register("mallory", "the password of mallory", "m");
    let mut bob = server.register("bob", "the password of bob", "b");
    let token = mallory.token.clone().expect("a token");
    let memory = Memory::of(server.id());
    let start = memory.start_peak();
    let address = server.address;
    let readers = reluctant_readers(&server, mallory);
    let running: Vec<(Way, Vec<Running>)> = ways()
        .into_iter()
        .map(|way| {
            let one = || {
                let (be, token) = (way.be, token.clone());
                thread::spawn(move || {
                    let began = Instant::now();
                    let answer = be(address, &token);
                    (began.elapsed(), answer)
                })
            };
            let threads = (0..SLOW).map(|_| one()).collect();
            (way, threads)
        })
        .collect();
    let mut failed = 0;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        let answer = bob.get("/_matrix/client/v3/account/whoami").expect("an answer");
        assert_eq!(answer.status, 200);
        slowest = slowest.max(began.elapsed());
        thread::sleep(Duration::from_millis(200));
    }
    for (way, threads) in running {
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let good = ended.iter().all(|(after, answer)| {
            way.ends.contains(&after.as_secs()) && String::from_utf8_lossy(answer).starts_with(way.answer)
        });
        let longest = ended.iter().map(|(after, _)| after.as_secs()).max().unwrap_or_default();
        let verdict = if good { "" } else { "  FAILED" };
        println!("{:<58} {SLOW} connections, ended after {longest} s{verdict}", way.name);
        failed += u32::from(!good);
    }
    let cut = readers.into_iter().map(|thread| thread.join().expect("no panic")).filter(|cut| *cut).count();
    let verdict = if cut == SLOW { "" } else { "  FAILED" };
    println!("{:<58} {SLOW} connections, {cut} were cut off{verdict}", "an answer that nobody reads");
    failed += u32::from(cut != SLOW);
    let peak = memory.peak();
    let verdict = if slowest < LATENCY { "" } else { "  FAILED" };
    println!(
        "meanwhile: another user waited {} ms at most; {start} KiB before, {peak} KiB at the peak{verdict}",
        slowest.as_millis()
    );
    server.stop();
    failed + u32::from(slowest >= LATENCY) + u32::from(peak > start + (64 << 10))
}

/// Clients that ask for a large file and do not read it. Each says whether the server gave up on it.
fn reluctant_readers(server: &Process, mut mallory: Client) -> Vec<JoinHandle<bool>> {
    let answer = mallory.send("POST", "/_matrix/media/v3/upload", "application/octet-stream", &vec![7; 16 << 20]);
    let uri = text(&answer.expect("an answer").json(), "content_uri");
    let id = uri.rsplit('/').next().expect("an id").to_owned();
    let token = mallory.token.clone().expect("a token");
    let one = |address: SocketAddr, id: String, token: String| {
        thread::spawn(move || {
            let mut stream = connect(address);
            let head = format!(
                "GET /_matrix/client/v1/media/download/localhost/{id} HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).expect("sent");
            thread::sleep(Duration::from_secs(100));
            let mut sum = 0;
            let mut piece = vec![0; 1 << 16];
            while let Ok(count) = stream.read(&mut piece) {
                if count == 0 {
                    break;
                }
                sum += count;
            }
            sum < 16 << 20
        })
    };
    (0..SLOW).map(|_| one(server.address, id.clone(), token.clone())).collect()
}

/// Syncs that wait, by the thousand, and what each takes.
fn waiting(binary: &Path, polls: u32) -> u32 {
    raise_open_files();
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut server = Process::configured(binary, directory.path(), &format!("connections = {}\n", polls + 1000));
    let accounts: Vec<_> = (0..polls.div_ceil(POLLS_OF_ACCOUNT))
        .map(|number| {
            let mut client = server.register(&format!("u{number}"), "a long password", "d");
            let token = client.token.clone().expect("a token");
            let since = text(&client.get("/_matrix/client/v3/sync").expect("an answer").json(), "next_batch");
            (token, since)
        })
        .collect();
    let memory = Memory::of(server.id());
    let before = memory.now();
    let began = Instant::now();
    let mut streams = Vec::new();
    for number in 0..polls {
        let (token, since) = &accounts[usize::try_from(number / POLLS_OF_ACCOUNT).expect("small")];
        let mut stream = connect(server.address);
        let head = format!(
            "GET /_matrix/client/v3/sync?timeout=60000&since={} HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {token}\r\n\r\n",
            escape(since)
        );
        stream.write_all(head.as_bytes()).expect("sent");
        streams.push(stream);
        // No more than the system queues: those beyond would try again after a second.
        if number % QUEUED == 0 {
            let answer = server.client().get("/health").expect("an answer");
            assert_eq!(answer.status, 200);
        }
    }
    let opened = began.elapsed();
    let mut bob = server.register("bob", "the password of bob", "b");
    let began = Instant::now();
    assert_eq!(bob.post("/_matrix/client/v3/createRoom", &json!({})).expect("an answer").status, 200);
    let latency = began.elapsed();
    let after = memory.now();
    // They wait: none has been answered, none was cut off.
    let idle = streams.iter().filter(|stream| {
        stream.set_nonblocking(true).expect("a socket");
        let mut byte = [0];
        matches!(stream.peek(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    let idle = u32::try_from(idle.count()).expect("few");
    let each = (after.saturating_sub(before)).div_ceil(u64::from(polls));
    let good = idle == polls && each <= POLL && latency < LATENCY;
    let verdict = if good { "" } else { "  FAILED" };
    println!(
        "{idle} of {polls} syncs wait: {before} KiB before, {after} KiB now, {each} KiB each (bound {POLL}), after {} s; a room was made in {} ms{verdict}",
        opened.as_secs(),
        latency.as_millis()
    );
    drop(streams);
    server.stop();
    u32::from(!good)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a socket");
    stream
}

/// Sends the start at once, then a byte a second, until the server hangs up; what it answered.
fn drip(address: SocketAddr, start: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let mut writer = stream.try_clone().expect("a socket");
    let (start, bytes) = (start.to_vec(), bytes.to_vec());
    thread::spawn(move || {
        let _ = writer.write_all(&start);
        for byte in bytes {
            thread::sleep(Duration::from_secs(1));
            if writer.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn since(address: SocketAddr, token: &str) -> String {
    let mut client = Client::new(address);
    client.token = Some(token.to_owned());
    text(&client.get("/_matrix/client/v3/sync").expect("an answer").json(), "next_batch")
}

/// Each connection is an open file.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}

//! A push gateway on this machine, which answers as it is told and shows what it was told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::server::{Client, TestServer};

/// The longest a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway.
pub(super) struct Gateway {
    address: SocketAddr,
    requests: mpsc::Receiver<Value>,
    answers: Answers,
}

/// Statuses and bodies of the next answers; after them everything is taken.
type Answers = Arc<Mutex<VecDeque<(u16, Value)>>>;

impl Gateway {
    /// A gateway that takes everything.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, requests) = mpsc::channel(100);
        let answers = Answers::default();
        let script = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, told.clone(), Arc::clone(&script)));
            }
        });
        Self { address, requests, answers }
    }

    /// A server that may contact the gateway.
    pub(super) async fn server(&self, more: &str) -> TestServer {
        TestServer::open_with(&format!("[push]\nallow = [\"127.0.0.0/8\"]\n{more}")).await
    }

    /// The gateway's address.
    pub(super) fn url(&self) -> String {
        format!("http://{}/_matrix/push/v1/notify", self.address)
    }

    /// Answers the next request with this.
    pub(super) fn answers(&self, status: u16, body: Value) {
        self.answers.lock().expect("no panic").push_back((status, body));
    }

    /// What it is told next.
    pub(super) async fn next(&mut self) -> Value {
        let request = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
        request.expect("told in time").expect("open")["notification"].clone()
    }

    /// What it is told next, when `server`'s time goes on.
    pub(super) async fn later(&mut self, server: &TestServer) -> Value {
        let moving = async {
            loop {
                match tokio::time::timeout(Duration::from_millis(10), self.requests.recv()).await {
                    Ok(request) => return request.expect("open")["notification"].clone(),
                    Err(_) => server.clock.advance(Duration::from_secs(1)),
                }
            }
        };
        tokio::time::timeout(PATIENCE, moving).await.expect("told in time")
    }

    /// Checks that it was told nothing more so far.
    pub(super) fn silent(&mut self) {
        assert!(self.requests.try_recv().is_err());
    }

    /// A pusher of `client` that leads here.
    pub(super) async fn pusher(&self, client: &Client, key: &str) {
        client.post("pushers/set", &self.asking(key)).await.ok();
    }

    /// The body of a request for a pusher that leads here.
    pub(super) fn asking(&self, key: &str) -> Value {
        json!({
            "app_id": "app", "pushkey": key, "kind": "http", "app_display_name": "App", "lang": "en",
            "device_display_name": "Phone", "data": {"url": self.url(), "custom": {"x": 1}},
        })
    }
}

/// Waits until `done` says so.
pub(super) async fn until(done: impl AsyncFn() -> bool) {
    let looking = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("done in time");
}

async fn answer(mut stream: TcpStream, told: mpsc::Sender<Value>, script: Answers) {
    let mut request = Vec::new();
    let notification = loop {
        let mut part = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut part).await else { return };
        request.extend_from_slice(&part[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /_matrix/push/v1/notify http/1.1"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let length: usize = length.parse().expect("a number");
        if request.len() >= end + 4 + length {
            break serde_json::from_slice(&request[end + 4..]).expect("JSON");
        }
    };
    let (status, body) = script.lock().expect("no panic").pop_front().unwrap_or((200, json!({"rejected": []})));
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    // Told before the answer: what the server does about the answer comes later.
    let _ = told.send(notification).await;
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

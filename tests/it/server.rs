//! A real server in a scratch directory, and a client small enough to send what real ones never do.

use std::{fmt::Write, net::SocketAddr, sync::Arc};

use lethe::{
    clock::{ManualClock, Timestamp},
    config::Config,
    random::SeededRandom,
    server::Server,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// When tests take place.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A running server.
pub(crate) struct TestServer {
    server: Server,
    address: SocketAddr,
    /// Its files, removed with it.
    pub(crate) directory: TempDir,
}

impl TestServer {
    /// A server with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A server with `toml` over the defaults.
    pub(crate) async fn with(toml: &str) -> Self {
        let directory = TempDir::new().expect("a scratch directory");
        let mut config = Config::from_parts(toml, []).expect("valid");
        config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.storage.data = directory.path().join("data");
        let clock = Arc::new(ManualClock::at(NOW));
        let server = Server::start_with(config, clock, Arc::new(SeededRandom::new(1)));
        let server = server.await.expect("started");
        let address = server.addresses()[0];
        Self { server, address, directory }
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Any request.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("a string takes every write");
        }
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("a string takes every write");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let mut stream = self.connect().await;
        // The server may answer and hang up before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Answer::parse(&answer)
    }

    /// A connection on which nothing has been said yet.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Stops the server in order.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status =
            lines.next().expect("a status line").split(' ').nth(1).expect("a status").parse().expect("a number");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The error code, empty when there is none.
    pub(crate) fn errcode(&self) -> String {
        self.json()["errcode"].as_str().unwrap_or_default().to_owned()
    }
}

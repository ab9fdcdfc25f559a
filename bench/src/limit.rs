//! Runs `limit`, the least a sealed send can cost, beside what it is compared with.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Where `limit` is, if anywhere.
#[derive(Clone)]
pub(crate) struct Limit {
    binary: Option<PathBuf>,
    seconds: u64,
}

/// What it measured, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Least {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) delivery_p50: f64,
    pub(crate) delivery_p99: f64,
    pub(crate) cpu: f64,
}

impl Limit {
    pub(crate) fn new(binary: Option<&Path>, seconds: u64) -> Self {
        // It runs in a directory of its own, so a relative path would lead elsewhere.
        let binary = binary.map(|path| path.canonicalize().expect("limit is where LIMIT says"));
        Self { binary, seconds }
    }

    /// Sends over `connections` as fast as answers come, with nobody waiting.
    pub(crate) async fn sends(&self, level: &str, connections: usize) -> Option<Least> {
        self.load(level, connections, &["--deaf"]).await
    }

    /// `rate` sends a second over 64 rooms with a waiting poll each.
    pub(crate) async fn delivery(&self, level: &str, rate: u32) -> Option<Least> {
        self.load(level, 64, &["--rate", &rate.to_string()]).await
    }

    async fn load(&self, level: &str, connections: usize, more: &[&str]) -> Option<Least> {
        let binary = self.binary.as_ref()?;
        let directory = tempfile::tempdir().expect("a scratch directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port)).to_string();
        let mut server = Command::new(binary);
        server.args(["serve", "--level", level, "--listen", &address, "--rooms", "64", "--data"]);
        let server = server.arg(directory.path().join("data")).stdin(Stdio::null()).spawn();
        let server = Running(server.expect("limit starts"));
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut load = Command::new(binary);
        load.args(["load", "--connect", &address, "--connections", &connections.to_string()]);
        load.args(["--seconds", &self.seconds.to_string(), "--server-pid", &server.0.id().to_string()]).args(more);
        let load = load.stdin(Stdio::null()).output().expect("limit runs");
        assert!(load.status.success(), "limit failed");
        read(&String::from_utf8_lossy(&load.stdout))
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the line that `limit load` prints.
fn read(line: &str) -> Option<Least> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |label: &str, nth: usize| {
        let at = words.iter().enumerate().filter(|(_, word)| **word == label).nth(nth)?.0;
        words.get(at + 1)?.parse().ok()
    };
    Some(Least {
        p50: after("p50", 0)?,
        p99: after("p99", 0)?,
        delivery_p50: after("p50", 1)?,
        delivery_p99: after("p99", 1)?,
        cpu: after("server", 0)?,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn its_line_is_read() {
        let line = "put-fsync    conns   8    15600 sends/s  p50    445  p99   3007 µs   send→sync p50    325  p99    788 µs \
                    (n=9)   CPU/send server  89.0  client  20.0 µs   server 26 MiB";
        let least = super::read(line).unwrap();
        assert_eq!(
            (least.p50, least.p99, least.delivery_p50, least.delivery_p99, least.cpu),
            (445.0, 3007.0, 325.0, 788.0, 89.0)
        );
    }
}

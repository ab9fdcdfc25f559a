//! A server process in a scratch directory: started, stopped, and what the kernel says it used.

use std::{
    collections::HashMap,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{http::Connection, user::User};

/// A server and its files, which go with it.
pub(crate) struct Server {
    child: Option<Child>,
    words: Vec<String>,
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
}

/// How a Lethe differs from what a load test wants.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) relaxed: bool,
    /// The real cost of a password instead of next to none.
    pub(crate) real_passwords: bool,
}

impl Server {
    /// A Lethe that has not been started.
    pub(crate) fn lethe(binary: &Path, settings: Settings) -> Self {
        let (directory, address) = scratch();
        let durability = if settings.relaxed { "relaxed" } else { "synced" };
        let cost = if settings.real_passwords { "" } else { "argon2_memory = \"64KiB\"\nargon2_passes = 1\n" };
        let config = format!(
            "[server]\nname = \"localhost\"\nlisten = [\"{address}\"]\n\
             [storage]\ndata = \"{}\"\ndurability = \"{durability}\"\n[registration]\nmode = \"open\"\n\
             [accounts]\n{cost}password_guesses_log10 = 0\n[limits]\nrates = false\n\
             [log]\nlevel = \"warn\"\n",
            directory.path().join("data").display()
        );
        let path = directory.path().join("lethe.toml");
        fs::write(&path, config).expect("a configuration");
        let words =
            [binary.display().to_string(), "--config".to_owned(), path.display().to_string(), "serve".to_owned()];
        Self { child: None, words: words.into(), address, directory }
    }

    /// The same server under valgrind, which counts its instructions.
    pub(crate) fn counted(mut self) -> Self {
        assert!(self.child.is_none(), "it runs");
        let counter = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"].map(str::to_owned);
        self.words.splice(0..0, counter);
        self
    }

    /// The instructions of a counted server's last run, which must have ended.
    pub(crate) fn instructions(&self) -> f64 {
        let log = self.log();
        let count = log.rsplit("Collected :").next().and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        count.unwrap_or_else(|| panic!("valgrind counted nothing: {log}"))
    }

    /// Any other server, made of a directory and an address.
    pub(crate) fn other(prepare: impl FnOnce(&Path, SocketAddr) -> Vec<String>) -> Self {
        let (directory, address) = scratch();
        let words = prepare(directory.path(), address);
        Self { child: None, words, address, directory }
    }

    /// Starts the server; how long it took until it answered a request.
    pub(crate) async fn start(&mut self) -> Duration {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).expect("a log");
        let began = Instant::now();
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not answer: {}", self.log());
            if let Ok(Some(status)) = self.child.as_mut().expect("it runs").try_wait() {
                panic!("the server stopped: {status}: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Connection::new(self.address, "").ask("GET", "/_matrix/client/versions", "").await;
        began.elapsed()
    }

    /// Stops the server in order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").arg(child.id().to_string()).status().expect("kill");
            child.wait().expect("it ran");
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ran");
        }
    }

    /// Stops it and starts it again on the same files.
    pub(crate) async fn restart(&mut self) -> Duration {
        self.stop();
        self.start().await
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("lethe.toml")
    }

    /// Bytes under `data`.
    pub(crate) fn disk(&self) -> u64 {
        size(&self.directory.path().join("data"))
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::of(self.pid())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        line.unwrap_or(f64::NAN)
    }

    /// A connection without a token.
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.address, "")
    }

    /// A connection of `user`.
    pub(crate) fn connect_as(&self, user: &User) -> Connection {
        Connection::new(self.address, &user.token)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// CPU time of each thread of a process. The scheduler counts it in nanoseconds; `/proc/<pid>/stat` in steps of 10 ms,
/// which is coarse for a process that mostly waits.
pub(crate) struct Cpu(HashMap<String, f64>);

impl Cpu {
    pub(crate) fn of(pid: u32) -> Self {
        let mut threads = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let spent = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = spent.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()) {
                threads.insert(thread.file_name().to_string_lossy().into_owned(), nanos);
            }
        }
        Self(threads)
    }

    /// Microseconds spent since `earlier`. A thread that ended meanwhile is not counted.
    pub(crate) fn since(&self, earlier: &Self) -> f64 {
        self.0.iter().map(|(thread, nanos)| nanos - earlier.0.get(thread).unwrap_or(&0.0)).sum::<f64>() / 1e3
    }
}

fn scratch() -> (tempfile::TempDir, SocketAddr) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    (tempfile::tempdir().expect("a scratch directory"), SocketAddr::from(([127, 0, 0, 1], port)))
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => size(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

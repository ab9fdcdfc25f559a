//! A real server in a scratch directory, and a client small enough to send what real ones never do.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use lethe::{
    backup,
    clock::{Clock, ManualClock, Timestamp},
    config::Config,
    engine::Pace,
    random::SeededRandom,
    server::Server,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::watch::Watch;

/// When tests take place.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Settings under which anybody may register with any password, and passwords cost nothing.
const OPEN: &str = r#"
[accounts]
argon2_memory = "64KiB"
argon2_passes = 1
password_guesses_log10 = 0
[limits]
rates = false
[registration]
mode = "open"
"#;

/// A running server.
pub(crate) struct TestServer {
    server: Option<Server>,
    toml: String,
    address: Address,
    starts: u64,
    /// Who looks on at what its disk does.
    watch: Option<Arc<Watch>>,
    /// The server's time, which stands still until a test moves it.
    pub(crate) clock: Arc<ManualClock>,
    /// Its files, removed with it.
    pub(crate) directory: TempDir,
}

/// Where the server listens now; it changes with a restart.
pub(crate) type Address = Arc<Mutex<SocketAddr>>;

impl TestServer {
    /// A server with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A server on which [`TestServer::register`] works, at no cost for passwords.
    pub(crate) async fn open() -> Self {
        Self::with(OPEN).await
    }

    /// [`TestServer::open`] with further sections of configuration.
    pub(crate) async fn open_with(toml: &str) -> Self {
        Self::with(&format!("{OPEN}{toml}")).await
    }

    /// A server with `toml` over the defaults.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::upon(toml, TempDir::new().expect("a scratch directory"), (NOW, 1), None).await
    }

    /// [`TestServer::open`] in an empty directory, with somebody who looks on.
    pub(crate) async fn open_watched(directory: TempDir, watch: Arc<Watch>) -> Self {
        Self::upon(OPEN, directory, (NOW, 1), Some(watch)).await
    }

    /// [`TestServer::open`] on what a server has left in `directory`, at `now`. No other start on it had this `seed`.
    pub(crate) async fn open_again(directory: TempDir, now: Timestamp, seed: u64) -> Self {
        Self::upon(OPEN, directory, (now, seed), None).await
    }

    async fn upon(toml: &str, directory: TempDir, (now, starts): (Timestamp, u64), watch: Option<Arc<Watch>>) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let server = launch(toml, directory.path(), &clock, starts, watch.as_ref()).await;
        let address = Arc::new(Mutex::new(server.addresses()[0]));
        Self { server: Some(server), toml: toml.to_owned(), address, starts, watch, clock, directory }
    }

    /// The server is no more; what lies on its disk is left.
    pub(crate) fn cut(self) -> TempDir {
        self.directory
    }

    /// Stops the server in order and starts it again on the same files. Clients find it again.
    pub(crate) async fn restart(&mut self) {
        self.server.take().expect("it runs").stop().await;
        self.starts += 1;
        let server = launch(&self.toml, self.directory.path(), &self.clock, self.starts, self.watch.as_ref()).await;
        *self.address.lock().expect("no panic") = server.addresses()[0];
        self.server = Some(server);
    }

    /// The upkeep that is due now.
    pub(crate) async fn upkeep(&self, pace: &mut Pace) {
        let engine = &self.server().services().engine;
        engine.keeper.tick().await;
        engine.round(pace).await;
    }

    /// Stops the server in order and keeps its files.
    pub(crate) async fn halt(&mut self) {
        self.server.take().expect("it runs").stop().await;
    }

    /// Stops the server, restores a backup in place of its files, and starts it on that.
    pub(crate) async fn set_back(&mut self, data: &Path, keys: &Path) {
        self.server.take().expect("it runs").stop().await;
        self.starts += 1;
        let into = self.directory.path().join("data");
        std::fs::rename(&into, self.directory.path().join(format!("lost {}", self.starts))).expect("renamed");
        let wanted = backup::Wanted {
            data: data.to_owned(),
            keys: keys.to_owned(),
            keys_into: into.join("keys"),
            into,
            damaged: false,
        };
        backup::restore(&wanted, self.clock.now(), &SeededRandom::new(self.starts)).expect("restored");
        let server = launch(&self.toml, self.directory.path(), &self.clock, self.starts, self.watch.as_ref()).await;
        *self.address.lock().expect("no panic") = server.addresses()[0];
        self.server = Some(server);
    }

    /// As [`TestServer::restart`], with other settings.
    pub(crate) async fn reconfigure(&mut self, toml: &str) {
        toml.clone_into(&mut self.toml);
        self.restart().await;
    }

    /// The settings it runs with.
    pub(crate) fn settings(&self) -> String {
        self.toml.clone()
    }

    /// A new account of this name, with a device.
    pub(crate) async fn register(&self, name: &str) -> Client {
        let password = format!("the password of {name}");
        let body = json!({"username": name, "password": password, "auth": {"type": "m.login.dummy"}});
        let answer = self.post("/_matrix/client/v3/register", &body).await.ok();
        Client::new(self, &answer, password)
    }

    /// Another device of `client`'s account.
    pub(crate) async fn login(&self, client: &Client) -> Client {
        let body = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": client.user_id},
            "password": client.password,
        });
        let answer = self.post("/_matrix/client/v3/login", &body).await.ok();
        Client::new(self, &answer, client.password.clone())
    }

    /// `POST path` without a token.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], body.to_string().as_bytes()).await
    }

    /// The server itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Any request.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        send(&self.address, method, path, headers, body).await
    }

    /// Any request whose body does not say how long it is; `headers` say `Transfer-Encoding: chunked`.
    pub(crate) async fn send_chunked(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("a string takes every write");
        }
        write!(head, "\r\n{:x}\r\n", body.len()).expect("a string takes every write");
        exchange(&self.address, &[head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()).await
    }

    /// A connection on which nothing has been said yet.
    pub(crate) async fn connect(&self) -> TcpStream {
        connect(&self.address).await
    }

    /// Stops the server in order.
    pub(crate) async fn stop(mut self) {
        self.server.take().expect("it runs").stop().await;
    }
}

async fn launch(
    toml: &str,
    directory: &Path,
    clock: &Arc<ManualClock>,
    seed: u64,
    watch: Option<&Arc<Watch>>,
) -> Server {
    let mut config = Config::from_parts(toml, []).expect("valid");
    config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.storage.data = directory.join("data");
    let (clock, random) = (Arc::clone(clock), Arc::new(SeededRandom::new(seed)));
    match watch {
        Some(watch) => watch.launch(config, clock, random).await,
        None => Server::start_with(config, clock, random).await.expect("started"),
    }
}

async fn connect(address: &Address) -> TcpStream {
    let address = *address.lock().expect("no panic");
    TcpStream::connect(address).await.expect("connected")
}

pub(crate) async fn send(address: &Address, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a string takes every write");
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("a string takes every write");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    exchange(address, &bytes).await
}

async fn exchange(address: &Address, bytes: &[u8]) -> Answer {
    let mut stream = connect(address).await;
    // The server may answer and hang up before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::parse(&answer)
}

/// Somebody with an account and a device on a [`TestServer`].
#[derive(Clone)]
pub(crate) struct Client {
    address: Address,
    /// `@name:localhost`.
    pub(crate) user_id: String,
    /// The device.
    pub(crate) device_id: String,
    /// The access token.
    pub(crate) token: String,
    /// The password.
    pub(crate) password: String,
}

impl Client {
    /// Who got `answer` to a login or registration.
    pub(crate) fn new(server: &TestServer, answer: &Value, password: String) -> Self {
        let text = |field: &str| answer[field].as_str().expect("a text").to_owned();
        Self {
            address: Arc::clone(&server.address),
            user_id: text("user_id"),
            device_id: text("device_id"),
            token: text("access_token"),
            password,
        }
    }

    /// The same device at another server, which has its account.
    pub(crate) fn at(&self, server: &TestServer) -> Self {
        Self { address: Arc::clone(&server.address), ..self.clone() }
    }

    /// `GET path`. Paths without a leading slash are under `/_matrix/client/v3/`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"").await
    }

    /// `POST path`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body.to_string().as_bytes()).await
    }

    /// `PUT path`.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body.to_string().as_bytes()).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.send("DELETE", path, body.to_string().as_bytes()).await
    }

    /// Any request with the client's token.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/_matrix/client/v3/{path}") };
        let token = format!("Bearer {}", self.token);
        send(&self.address, method, &path, &[("Authorization", &token)], body).await
    }

    /// The `auth` that proves the client's password at once.
    pub(crate) fn auth(&self) -> Value {
        let identifier = json!({"type": "m.id.user", "user": self.user_id});
        json!({"type": "m.login.password", "identifier": identifier, "password": self.password, "session": null})
    }
}

/// `id` as a segment of a path.
pub(crate) fn encode(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
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

    /// The body of an answer that must be 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Checks that the answer is this error.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!((self.status, self.errcode().as_str()), (status, code), "{body}");
    }

    /// The error code, empty when there is none.
    pub(crate) fn errcode(&self) -> String {
        self.json()["errcode"].as_str().unwrap_or_default().to_owned()
    }
}

//! A Lethe process in a scratch directory: started, killed, started again.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::http::Client;

/// A server and its directory.
pub(crate) struct Process {
    binary: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) address: SocketAddr,
    wrapper: Vec<String>,
    child: Option<Child>,
}

impl Process {
    /// Writes a configuration into `directory` and starts `binary` on it.
    pub(crate) fn start(binary: &Path, directory: &Path) -> Self {
        Self::wrapped(binary, directory, Vec::new())
    }

    /// As [`Process::start`], with further keys of the section `[limits]`, and sections behind it.
    pub(crate) fn configured(binary: &Path, directory: &Path, limits: &str) -> Self {
        Self::begin(binary, directory, Vec::new(), limits)
    }

    /// As [`Process::start`], as an argument of `wrapper`.
    pub(crate) fn wrapped(binary: &Path, directory: &Path, wrapper: Vec<String>) -> Self {
        Self::begin(binary, directory, wrapper, "")
    }

    fn begin(binary: &Path, directory: &Path, wrapper: Vec<String>, limits: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let config = format!(
            "[server]\nname = \"localhost\"\nlisten = [\"{address}\"]\n[storage]\ndata = \"{}\"\n\
             [registration]\nmode = \"open\"\n[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\n\
             password_guesses_log10 = 0\n[limits]\nrates = false\n{limits}[log]\nlevel = \"debug\"\n",
            directory.join("data").display()
        );
        fs::write(directory.join("lethe.toml"), config).expect("a configuration");
        let mut process =
            Self { binary: binary.to_owned(), directory: directory.to_owned(), address, wrapper, child: None };
        process.restart();
        process
    }

    /// Starts the server again and waits until it answers; the time that took.
    pub(crate) fn restart(&mut self) -> Duration {
        assert!(self.child.is_none(), "it runs");
        let began = Instant::now();
        let log = File::options().create(true).append(true).open(self.directory.join("log")).expect("a log file");
        let mut words: Vec<String> = self.wrapper.clone();
        words.push(self.binary.display().to_string());
        words.extend(["--config".to_owned(), self.directory.join("lethe.toml").display().to_string()]);
        words.push("serve".to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not answer");
            if let Ok(Some(status)) = self.child.as_mut().expect("it runs").try_wait() {
                panic!("the server stopped: {status}");
            }
            std::thread::yield_now();
        }
        began.elapsed()
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ran");
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Behind a wrapper it is the wrapper's child that has to stop.
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let children = fs::read_to_string(children).unwrap_or_default();
            let wrapped = children.split_whitespace().next().filter(|_| !self.wrapper.is_empty());
            let id = wrapped.map_or_else(|| child.id().to_string(), ToOwned::to_owned);
            Command::new("kill").arg(id).status().expect("kill");
            child.wait().expect("it ran");
        }
    }

    /// Runs a command that talks to the server, with this on its standard input; what it prints.
    pub(crate) fn command(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.directory.join("lethe.toml")).args(words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {complained}");
        said.into_owned()
    }

    /// Puts `new` in the place of `old` in the configuration, for the next start.
    pub(crate) fn configure(&self, old: &str, new: &str) {
        let path = self.directory.join("lethe.toml");
        let config = fs::read_to_string(&path).expect("a configuration");
        assert!(config.contains(old), "the configuration does not say {old}");
        fs::write(&path, config.replace(old, new)).expect("a configuration");
    }

    /// A connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A fresh account.
    pub(crate) fn register(&self, name: &str, password: &str, device: &str) -> Client {
        let mut client = self.client();
        let body = json!({
            "username": name, "password": password, "initial_device_display_name": device,
            "auth": { "type": "m.login.dummy" }
        });
        let answer = client.post("/_matrix/client/v3/register", &body).expect("an answer");
        assert_eq!(answer.status, 200, "registration: {}", answer.json());
        client.token = answer.json()["access_token"].as_str().map(ToOwned::to_owned);
        client
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A field of an answer that has to be text.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

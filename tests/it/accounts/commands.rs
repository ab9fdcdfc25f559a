//! `lethe user`, `lethe room` and `lethe token`, as an administrator and his scripts run them: the program itself, on the
//! socket of a server.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{LOGIN, login};
use crate::server::{Client, TestServer, encode};

/// How the program ended, and what it printed where.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    #[track_caller]
    fn refused(self, code: i32, reason: &str) {
        assert_eq!(self.code, code, "{} {}", self.out, self.err);
        assert!(self.out.is_empty() && self.err.contains(reason), "{} {}", self.out, self.err);
    }
}

/// Runs `lethe` with `arguments`, and with `input` to read.
async fn run(directory: &Path, arguments: &[&str], input: &str) -> Ran {
    let config = directory.join("lethe.toml");
    std::fs::write(&config, format!("[storage]\ndata = \"{}\"\n", directory.join("data").display())).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command.arg("--config").arg(config).args(arguments).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().expect("it starts");
        // Who reads nothing may be gone already.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    };
    let ran = tokio::task::spawn_blocking(run).await.expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: ran.status.code().expect("no signal"), out: text(ran.stdout), err: text(ran.stderr) }
}

async fn lethe(server: &TestServer, arguments: &[&str]) -> Ran {
    run(server.directory.path(), arguments, "").await
}

async fn told(server: &TestServer, arguments: &[&str], input: &str) -> Ran {
    run(server.directory.path(), arguments, input).await
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

async fn logged_in(server: &TestServer, name: &str, password: &str) -> Client {
    let answer = server.post(LOGIN, &login(name, password)).await.ok();
    Client::new(server, &answer, password.to_owned())
}

#[tokio::test]
async fn accounts_are_made_changed_and_ended() {
    let server = TestServer::open().await;
    assert_eq!(lethe(&server, &["user", "list"]).await.done(), "");
    lethe(&server, &["user", "lock", "alice"]).await.refused(1, "no such account");
    let added = lethe(&server, &["user", "add", "Alice", "--admin"]).await.done();
    let password = added.strip_prefix("Account: @alice:localhost\nPassword: ").expect("both").trim_end().to_owned();
    assert!(password.matches('-').count() >= 4, "five words: {password}");
    let alice = logged_in(&server, "alice", &password).await;
    let added = told(&server, &["--json", "user", "add", "bob", "--password-stdin"], "his password\n").await.done();
    assert_eq!(parsed(&added), json!({"user_id": "@bob:localhost"}));
    lethe(&server, &["user", "add", "bob"]).await.refused(1, "taken");
    lethe(&server, &["user", "add", "b b"]).await.refused(1, "a-z");
    let bob = logged_in(&server, "bob", "his password").await;
    assert_eq!(lethe(&server, &["user", "list"]).await.done(), "@alice:localhost  administrator\n@bob:localhost\n");

    for (done, undone, code) in [
        (&["user", "lock", "bob"][..], &["user", "unlock", "bob"][..], "M_USER_LOCKED"),
        (&["user", "suspend", "@bob:localhost"][..], &["user", "suspend", "bob", "--undo"][..], "M_USER_SUSPENDED"),
    ] {
        assert_eq!(lethe(&server, done).await.done(), "");
        assert_eq!(bob.post("createRoom", &json!({})).await.errcode(), code);
        assert_eq!(parsed(&lethe(&server, &[undone, &["--json"]].concat()).await.done()), json!({}));
        bob.post("createRoom", &json!({})).await.ok();
    }
    let versions = "/_synapse/admin/v2/users";
    lethe(&server, &["user", "admin", "bob"]).await.done();
    bob.get(versions).await.ok();
    lethe(&server, &["user", "admin", "bob", "--undo"]).await.done();
    bob.get(versions).await.refused(403, "M_FORBIDDEN");

    let reset = ["user", "reset-password", "bob", "--password-stdin", "--json"];
    assert_eq!(parsed(&told(&server, &reset, "second\r\n").await.done()), json!({"in_force": true}));
    bob.get("account/whoami").await.ok();
    let again = logged_in(&server, "bob", "second").await;
    let proposed = lethe(&server, &["user", "reset-password", "bob", "--logout"]).await.done();
    let proposed = proposed.strip_prefix("Password: ").expect("a password").trim_end().to_owned();
    for gone in [&bob, &again] {
        gone.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    }
    let bob = logged_in(&server, "bob", &proposed).await;
    lethe(&server, &["user", "logout", "bob"]).await.done();
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let anew = ["user", "reset-password", "bob", "--abandon-private-data", "--password-stdin"];
    told(&server, &anew, "anew\n").await.done();
    let bob = logged_in(&server, "bob", "anew").await;
    lethe(&server, &["user", "deactivate", "bob", "--erase"]).await.done();
    bob.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    lethe(&server, &["user", "deactivate", "bob"]).await.refused(1, "no such account");
    lethe(&server, &["user", "add", "bob"]).await.refused(1, "taken");
    lethe(&server, &["user", "reset-password", "alice", "--logout", "--abandon-private-data"]).await.refused(2, "");
    alice.get("account/whoami").await.ok();
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let server = TestServer::with(
        "[accounts]\nargon2_memory = \"64KiB\"\nargon2_passes = 1\npassword_guesses_log10 = 0\n[limits]\nrates = false",
    )
    .await;
    lethe(&server, &["token", "create"]).await.refused(1, "lethe user add");
    lethe(&server, &["user", "add", "root"]).await.done();
    lethe(&server, &["token", "create", "--uses", "0"]).await.refused(2, "");
    let token = lethe(&server, &["token", "create", "--uses", "1", "--hours", "2"]).await.done();
    let token = token.trim_end();
    let listed = parsed(&lethe(&server, &["token", "list", "--json"]).await.done());
    let end = 1_800_000_000_000_u64 + 2 * 3_600_000;
    assert_eq!(listed, json!({"tokens": [{"token": token, "uses_left": 1, "expires": end, "valid": true}]}));
    let register = |name: &str, token: &str| {
        let auth = json!({"type": "m.login.registration_token", "token": token});
        json!({"username": name, "password": "x", "auth": auth})
    };
    server.post(super::REGISTER, &register("alice", token)).await.ok();
    assert_eq!(server.post(super::REGISTER, &register("bob", token)).await.status, 401, "it is used up");
    let other = lethe(&server, &["token", "create"]).await.done();
    let other = other.trim_end();
    assert!(lethe(&server, &["token", "list"]).await.done().contains(&format!("{other}\n")));
    lethe(&server, &["token", "revoke", other]).await.done();
    lethe(&server, &["token", "revoke", other]).await.refused(1, "no such registration token");
    assert_eq!(server.post(super::REGISTER, &register("bob", other)).await.status, 401);
}

#[tokio::test]
async fn rooms_are_listed_shown_and_shredded_and_what_is_cold_says_so() {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let made = alice.post("createRoom", &json!({"preset": "public_chat", "name": "Lobby"})).await.ok();
    let room = made["room_id"].as_str().expect("a room").to_owned();
    let made = bob.post("createRoom", &json!({"name": "private"})).await.ok();
    let private = made["room_id"].as_str().expect("a room").to_owned();
    let listed = lethe(&server, &["room", "list"]).await.done();
    assert!(listed.contains(&format!("{room}  1 joined  Lobby\n")) && listed.contains(&private), "{listed}");
    assert!(!listed.contains("private"));
    let shown = lethe(&server, &["room", "info", &room]).await.done();
    assert!(shown.contains("name: Lobby\n") && shown.contains("joined members: 1\n"), "{shown}");
    assert!(!shown.contains("alice"));
    let shown = parsed(&lethe(&server, &["room", "info", &private, "--json"]).await.done());
    assert_eq!((&shown["name"], &shown["joined_members"]), (&Value::Null, &json!(1)));
    lethe(&server, &["room", "info", "!nowhere:localhost"]).await.refused(3, "no such room");

    server.restart().await;
    lethe(&server, &["room", "list"]).await.refused(3, "asleep");
    lethe(&server, &["user", "list"]).await.refused(3, "asleep");
    lethe(&server, &["user", "add", "carol"]).await.refused(3, "asleep");
    lethe(&server, &["token", "create"]).await.refused(3, "asleep");
    alice.get("account/whoami").await.ok();
    let listed = lethe(&server, &["room", "list"]).await.done();
    assert!(listed.contains("and 1 that are closed"), "{listed}");
    let waits = lethe(&server, &["room", "shred", &private]).await.done();
    assert!(waits.contains("destroyed when one does"), "{waits}");
    lethe(&server, &["user", "logout", "bob"]).await.refused(3, "cold");
    let waits = told(&server, &["user", "reset-password", "bob", "--password-stdin"], "next\n").await.done();
    assert!(waits.contains("--abandon-private-data") && waits.contains("old one stays good"), "{waits}");
    lethe(&server, &["room", "shred", &room]).await.done();
    assert_ne!(alice.get(&format!("rooms/{}/messages?dir=b", encode(&room))).await.status, 200);
    let kept = tempfile::tempdir().expect("a directory");
    run(kept.path(), &["user", "list"], "").await.refused(4, "");
    server.stop().await;
}

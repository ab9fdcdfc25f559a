//! What `lethe audit` says of a server that people used, and that the README shows it.

use std::{fs, path::Path};

use lethe::{
    audit::{self, Seen},
    config::Config,
};
use serde_json::json;

use crate::{
    rooms::{create, room_of, say},
    server::TestServer,
};

/// What names the people, rooms and words of the sample.
const PRIVATE: &[&str] = &["alice", "bob", "carol", "localhost:", "Plans", "lunch", "!", "@"];

const BEGIN: &str = "<!-- what `lethe audit` says; tests/it/audit.rs keeps it in step -->\n```text\n";
const END: &str = "```\n";

/// What an audit says of a server with three people and two rooms that was stopped.
async fn sample(known: &[String]) -> (Seen, Seen) {
    let mut server = TestServer::open().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let carol = server.register("carol").await;
    let room = room_of(&[&alice, &bob, &carol]).await;
    create(&alice, &json!({"name": "Plans", "invite": [bob.user_id]})).await;
    for (count, by) in [&alice, &bob, &carol].iter().cycle().take(90).enumerate() {
        say(by, &room, &format!("lunch {count}")).await;
    }
    alice.send("POST", "/_matrix/media/v3/upload", &vec![7; 20_000]).await.ok();
    server.halt().await;
    let data = server.directory.path().join("data");
    let config = Config::from_parts("[server]\nname = \"example.org\"", []).expect("valid");
    let with = audit::look(&data, Some(&data.join("keys")), known, Some(&config)).expect("readable");
    let without = audit::look(&data, None, &[], None).expect("readable");
    (with, without)
}

/// A text in which every number is the same, and so is every gap.
fn shape(text: &str) -> Vec<String> {
    let shaped = text.lines().map(|line| {
        let plain: String = line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let words = plain.split_whitespace().map(|word| word.replace("00", "0").replace("00", "0").replace("00", "0"));
        words.collect::<Vec<_>>().join(" ")
    });
    shaped.collect()
}

#[tokio::test]
async fn the_readme_shows_what_a_seized_server_tells() {
    let known = ["alice", "mallory"].map(str::to_owned);
    let (seen, _) = sample(&known).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("a README");
    let (before, rest) = readme.split_once(BEGIN).expect("the sample begins");
    let (shown, after) = rest.split_once(END).expect("the sample ends");
    let text = seen.to_string();
    if std::env::var_os("LETHE_WRITE").is_some() {
        fs::write(path, format!("{before}{BEGIN}{text}{END}{after}")).expect("written");
        return;
    }
    assert_eq!(shape(shown), shape(&text), "LETHE_WRITE=1 writes it anew");
}

#[tokio::test]
async fn an_audit_names_nobody_who_was_not_asked_for() {
    let (with, without) = sample(&[]).await;
    let counts = with.keys.as_ref().expect("keys");
    assert_eq!((counts.accounts, counts.devices, counts.rooms), (3, 3, 2));
    assert!(counts.signing_key && counts.federated_rooms == 0 && counts.restored == 0);
    for seen in [with, without] {
        let json = serde_json::to_string(&seen).expect("JSON");
        for private in PRIVATE {
            assert!(!seen.to_string().contains(private) && !json.contains(private), "{private}");
        }
        assert!(seen.rows.iter().all(|rows| rows.others == 0 && rows.ordered == 0), "{seen}");
    }
}

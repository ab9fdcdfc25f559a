//! A server with two users in a room, one of whom is hostile.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client, escape},
    process::{Process, text},
};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The hostile user.
    Mallory,
    /// The other one.
    Bob,
    /// Nobody.
    Stranger,
}

/// A request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) who: Who,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) header: Option<(String, String)>,
}

impl Ask {
    pub(super) fn new(method: &'static str, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { who: Who::Mallory, method, path: path.into(), kind: "application/json", body: body.into(), header: None }
    }

    pub(super) fn json(method: &'static str, path: impl Into<String>, body: &Value) -> Self {
        Self::new(method, path, body.to_string())
    }

    pub(super) fn with(self, name: &str, value: &str) -> Self {
        Self { header: Some((name.to_owned(), value.to_owned())), ..self }
    }

    pub(super) fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }
}

pub(super) struct World {
    server: Process,
    mallory: Client,
    bob: Client,
    stranger: Client,
    /// The room both are in.
    pub(super) room: String,
    /// A room that Bob alone is in.
    pub(super) private: String,
    /// A message of Bob's in the shared room.
    pub(super) event: String,
    /// A message of Mallory's there.
    pub(super) own_event: String,
    /// A sync token of Bob's.
    pub(super) foreign_token: String,
    /// A sync token of Mallory's.
    pub(super) token: String,
    /// A page token of Bob's room.
    pub(super) foreign_page: String,
    /// Mallory's device.
    pub(super) device: String,
    /// A file of Mallory's.
    pub(super) media: String,
}

pub(super) const MALLORY: &str = "@mallory:localhost";
pub(super) const BOB: &str = "@bob:localhost";

impl World {
    pub(super) fn new(binary: &Path, directory: &Path) -> Self {
        let server = Process::start(binary, directory);
        let mut mallory = server.register("mallory", "the password of mallory", "m");
        let mut bob = server.register("bob", "the password of bob", "b");
        let body = json!({"name": "shared", "invite": [BOB]});
        let room = text(&good(mallory.post("/_matrix/client/v3/createRoom", &body)), "room_id");
        good(bob.post(&format!("/_matrix/client/v3/rooms/{}/join", escape(&room)), &json!({})));
        let private = text(&good(bob.post("/_matrix/client/v3/createRoom", &json!({"name": "private"}))), "room_id");
        let event = say(&mut bob, &room, "1", "hello");
        let own_event = say(&mut mallory, &room, "known", "hello");
        say(&mut bob, &private, "1", "secret");
        let foreign_token = text(&good(bob.get("/_matrix/client/v3/sync")), "next_batch");
        let token = text(&good(mallory.get("/_matrix/client/v3/sync")), "next_batch");
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=1", escape(&private));
        let foreign_page = text(&good(bob.get(&path)), "start");
        let device = text(&good(mallory.get("/_matrix/client/v3/account/whoami")), "device_id");
        let file = mallory.send("POST", "/_matrix/media/v3/upload", "text/plain", &[b'x'; 1000]);
        let media = text(&good(file), "content_uri");
        let stranger = server.client();
        Self {
            server,
            mallory,
            bob,
            stranger,
            room,
            private,
            event,
            own_event,
            foreign_token,
            token,
            foreign_page,
            device,
            media,
        }
    }

    pub(super) fn process_id(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn stop(mut self) {
        self.server.stop();
    }

    /// The path of the shared room, and something under it.
    pub(super) fn in_room(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", escape(&self.room))
    }

    /// The status and error code of an answer; of one that is good, no code.
    pub(super) fn ask(&mut self, ask: &Ask) -> (u16, String) {
        let client = match ask.who {
            Who::Mallory => &mut self.mallory,
            Who::Bob => &mut self.bob,
            Who::Stranger => &mut self.stranger,
        };
        client.headers = ask.header.iter().cloned().collect();
        let send = |client: &mut Client| client.send(ask.method, &ask.path, ask.kind, &ask.body);
        // A server that closed the connection after its last answer may do so while the next request is on its way.
        let answer = send(client).or_else(|| send(client));
        client.headers.clear();
        let Some(answer) = answer else { return (0, "no answer".to_owned()) };
        let code = answer.json()["errcode"].as_str().unwrap_or_default().to_owned();
        (answer.status, code)
    }

    /// What both users see: everything a client is told from the start, and what it would ask besides.
    pub(super) fn digest(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for client in [&mut self.bob, &mut self.mallory] {
            for path in [
                "/_matrix/client/v3/sync",
                "/_matrix/client/v3/devices",
                "/_matrix/client/v3/pushrules/",
                "/_matrix/client/v3/pushers",
                "/_matrix/client/v3/joined_rooms",
                "/_matrix/client/v3/publicRooms",
                "/_matrix/client/v3/profile/%40mallory%3Alocalhost",
                "/_matrix/client/v3/profile/%40bob%3Alocalhost",
                "/_matrix/client/v3/room_keys/version",
            ] {
                // As above: what was asked before may have ended the connection.
                let answer = client.get(path).or_else(|| client.get(path)).expect("an answer");
                (path, answer.status, timeless(answer.json()).to_string()).hash(&mut hasher);
            }
            let keys = json!({"device_keys": {MALLORY: [], BOB: []}});
            let answer = client.post("/_matrix/client/v3/keys/query", &keys).expect("an answer");
            timeless(answer.json()).to_string().hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn say(client: &mut Client, room: &str, transaction: &str, body: &str) -> String {
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{transaction}", escape(room));
    text(&good(client.put(&path, &json!({"msgtype": "m.text", "body": body}))), "event_id")
}

fn good(answer: Option<Answer>) -> Value {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

/// The answer without what differs from one moment to the next.
fn timeless(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let lasting =
                fields.into_iter().filter(|(key, _)| !matches!(key.as_str(), "next_batch" | "prev_batch" | "age"));
            let lasting: BTreeMap<String, Value> = lasting.map(|(key, value)| (key, timeless(value))).collect();
            json!(lasting)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(timeless).collect()),
        other => other,
    }
}

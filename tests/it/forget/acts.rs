//! What people do: everything that puts text on the disk, and everything that takes it away.

use std::collections::BTreeSet;

use lethe::seizure::Credential;
use serde_json::{Value, json};

use super::garden::{Death, Garden};
use crate::{
    rooms::{at, create, put, room_of, say},
    server::{Client, TestServer, encode},
};

/// Who takes part, and what is to be ended later.
pub(super) struct Acts {
    canaries: u32,
    /// Two who talk.
    al: Client,
    bo: Client,
    /// Another device of `bo`, which never asks for its messages.
    tablet: Client,
    /// Somebody in no room.
    eve: Client,
    /// Somebody who will have himself erased.
    cy: Client,
    /// Somebody who will close his account.
    fay: Client,
    room: String,
    /// A room that its only member will leave.
    lonely: String,
    redacted: Vec<String>,
    delayed: Vec<String>,
    devices: Vec<Client>,
    backup: String,
}

/// The numbers of the canaries in `text`.
fn facts(text: &str) -> BTreeSet<u32> {
    let found = text.split("fact-").skip(1);
    let digits = found.map(|found| found.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// One in a hundred of what is planted; at least two.
fn share(canaries: u32, percent: u32) -> u32 {
    (canaries * percent / 100).max(2)
}

/// As many of something that one account may have a hundred of.
fn few(canaries: u32) -> u32 {
    share(canaries, 1).min(50)
}

impl Acts {
    /// Plants everything that has a first day.
    pub(super) async fn begin(
        server: &TestServer,
        garden: &mut Garden,
        credentials: &mut Vec<Credential>,
        canaries: u32,
    ) -> Self {
        let mut people = Vec::new();
        for name in ["al", "bo", "eve", "cy", "fay"] {
            people.push(server.register(name).await);
        }
        let [al, bo, eve, cy, fay] = <[Client; 5]>::try_from(people).ok().expect("five");
        let tablet = server.login(&bo).await;
        let mut devices = Vec::new();
        for _ in 0..few(canaries) {
            devices.push(server.login(&eve).await);
        }
        for client in [&al, &bo, &eve, &cy, &fay, &tablet].into_iter().chain(&devices) {
            credentials.push(Credential::Token(client.token.clone()));
        }
        for client in [&al, &bo, &eve, &cy, &fay] {
            let name = client.user_id.trim_start_matches('@').trim_end_matches(":localhost");
            credentials.push(Credential::Password(name.to_owned(), client.password.clone()));
        }
        let room = room_of(&[&al, &bo, &cy]).await;
        let lonely = create(&eve, &json!({})).await;
        let backup = new_backup(&eve).await;
        let (redacted, delayed) = (Vec::new(), Vec::new());
        let mut acts =
            Self { canaries, al, bo, tablet, eve, cy, fay, room, lonely, redacted, delayed, devices, backup };
        acts.plant_messages(garden).await;
        acts.plant_accounts(garden).await;
        acts
    }

    async fn plant_messages(&mut self, garden: &mut Garden) {
        for number in 0..share(self.canaries, 30) {
            let canary = garden.plant("message", Some(Death::Epoch));
            let content = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": canary, "session_id": "s"});
            let by = [&self.al, &self.bo][number as usize % 2];
            put(by, &self.room, "m.room.encrypted", &canary, &content).await;
        }
        for number in 0..share(self.canaries, 10) {
            let canary = garden.plant("redacted message", Some(Death::Redaction));
            let content = json!({"msgtype": "m.text", "body": canary});
            self.redacted.push(put(&self.al, &self.room, "m.room.message", &format!("r{number}"), &content).await);
        }
        for _ in 0..share(self.canaries, 3) {
            let canary = garden.plant("what an erased person said", Some(Death::Redaction));
            say(&self.cy, &self.room, &canary).await;
            let canary = garden.plant("message of an abandoned room", Some(Death::AtOnce));
            say(&self.eve, &self.lonely, &canary).await;
        }
        for _ in 0..share(self.canaries, 3) {
            // The timeline shows how the topic changed for as long as it lasts.
            let topic = garden.plant("old topic", Some(Death::Epoch));
            self.al.put(&at(&self.room, "state/m.room.topic"), &json!({"topic": topic})).await.ok();
        }
        for number in 0..few(self.canaries) {
            let canary = garden.plant("redacted state", Some(Death::Redaction));
            let state = at(&self.room, &format!("state/org.trial.state/{number}"));
            let sent = self.al.put(&state, &json!({ "text": canary })).await.ok();
            self.redacted.push(sent["event_id"].as_str().expect("an id").to_owned());
            let canary = garden.plant("delayed event that is cancelled", Some(Death::Generation));
            let path = format!("send/m.room.message/{canary}?org.matrix.msc4140.delay=80000000");
            let later = self.al.put(&at(&self.room, &path), &json!({"msgtype": "m.text", "body": canary})).await.ok();
            self.delayed.push(later["delay_id"].as_str().expect("an id").to_owned());
        }
        let topic = garden.plant("topic", None);
        self.al.put(&at(&self.room, "state/m.room.topic"), &json!({"topic": topic})).await.ok();
        for _ in 0..share(self.canaries, 3) {
            self.plant_picture(garden, Some(Death::Epoch)).await;
        }
        for number in 0..share(self.canaries, 15) {
            let canary = garden.plant("to-device message", Some(Death::Epoch));
            let messages =
                json!({"messages": {self.bo.user_id.clone(): {self.tablet.device_id.clone(): {"text": canary}}}});
            self.al.put(&format!("sendToDevice/org.trial/{number}"), &messages).await.ok();
        }
    }

    async fn plant_picture(&self, garden: &mut Garden, death: Option<Death>) {
        let content = garden.plant("content of media", death);
        let name = garden.plant("file name", death);
        let path = format!("/_matrix/media/v3/upload?filename={name}");
        let uri = self.al.send("POST", &path, content.as_bytes()).await.ok()["content_uri"].clone();
        let body = json!({"msgtype": "m.file", "body": "file", "url": uri});
        put(&self.al, &self.room, "m.room.message", &content, &body).await;
    }

    async fn plant_accounts(&self, garden: &mut Garden) {
        let eve = &self.eve;
        let superseded = Some(Death::Generation);
        for _ in 0..share(self.canaries, 5) {
            eve.set_data(&garden.plant("old account data", superseded)).await;
        }
        eve.set_data(&garden.plant("account data", None)).await;
        for _ in 0..share(self.canaries, 5) {
            eve.name_device(&garden.plant("old device name", superseded)).await;
        }
        eve.name_device(&garden.plant("device name", None)).await;
        for device in &self.devices {
            device.name_device(&garden.plant("name of a device that ends", superseded)).await;
        }
        for _ in 0..share(self.canaries, 3) {
            eve.name_profile(&garden.plant("old profile", superseded)).await;
        }
        eve.name_profile(&garden.plant("profile", None)).await;
        for _ in 0..share(self.canaries, 3) {
            let pushkey = garden.plant("pusher that ends", superseded);
            eve.set_pusher(&pushkey, "http").await;
            eve.set_pusher(&pushkey, "").await;
        }
        eve.set_pusher(&garden.plant("pusher", None), "http").await;
        for _ in 0..share(self.canaries, 3) {
            let alias = encode(&format!("#{}:localhost", garden.plant("alias that ends", superseded)));
            self.al.put(&format!("directory/room/{alias}"), &json!({"room_id": self.room})).await.ok();
            self.al.delete(&format!("directory/room/{alias}"), &json!({})).await.ok();
        }
        let alias = encode(&format!("#{}:localhost", garden.plant("alias", None)));
        self.al.put(&format!("directory/room/{alias}"), &json!({"room_id": self.room})).await.ok();
        let tags = format!("user/{}/rooms/{}/tags", encode(&self.al.user_id), encode(&self.room));
        for _ in 0..share(self.canaries, 3) {
            let tag = garden.plant("tag that ends", superseded);
            self.al.put(&format!("{tags}/u.{tag}"), &json!({})).await.ok();
            self.al.delete(&format!("{tags}/u.{tag}"), &json!({})).await.ok();
        }
        for _ in 0..share(self.canaries, 2) {
            self.fay.set_data(&garden.plant("data of an account that ends", Some(Death::AtOnce))).await;
        }
        let version = new_backup(&self.bo).await;
        for session in 0..share(self.canaries, 3) {
            let canary = garden.plant("key of a deleted backup", Some(Death::AtOnce));
            back_up(&self.bo, &version, session, &canary).await;
        }
        for session in 0..share(self.canaries, 5) {
            back_up(eve, &self.backup, session, &garden.plant("backed-up key", None)).await;
        }
    }

    /// Ends everything that does not end by itself.
    pub(super) async fn end(&mut self, garden: &mut Garden, credentials: &mut Vec<Credential>) {
        self.come_back().await;
        self.take_back().await;
        self.end_backup().await;
        self.sign_out(garden).await;
        self.abandon_room().await;
        self.change_passwords(garden, credentials).await;
        self.end_erased(garden).await;
        self.end_account(garden).await;
    }

    /// Redacts, and cancels what was to be sent later.
    pub(super) async fn take_back(&mut self) {
        for (number, event) in self.redacted.iter().enumerate() {
            let path = at(&self.room, &format!("redact/{}/{number}", encode(event)));
            self.al.put(&path, &json!({})).await.ok();
        }
        for delayed in self.delayed.drain(..) {
            let path = format!("/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayed}");
            self.al.post(&path, &json!({"action": "cancel"})).await.ok();
        }
    }

    /// Deletes a backup of keys.
    pub(super) async fn end_backup(&self) {
        let version = self.bo.get("room_keys/version").await.ok()["version"].as_str().expect("a version").to_owned();
        self.bo.delete(&format!("room_keys/version/{version}"), &json!({})).await.ok();
    }

    /// Signs devices out.
    pub(super) async fn sign_out(&mut self, garden: &mut Garden) {
        for device in self.devices.drain(..) {
            device.post("logout", &json!({})).await.ok();
            garden.revoked.push(Credential::Token(device.token));
        }
    }

    /// Has the last member leave a room.
    pub(super) async fn abandon_room(&self) {
        self.eve.post(&at(&self.lonely, "leave"), &json!({})).await.ok();
        self.eve.post(&at(&self.lonely, "forget"), &json!({})).await.ok();
    }

    /// Changes a password, more than once.
    pub(super) async fn change_passwords(&mut self, garden: &mut Garden, credentials: &mut Vec<Credential>) {
        for number in 0..share(self.canaries, 1) {
            let new = format!("another password, number {number}");
            let body = json!({"auth": self.eve.auth(), "new_password": new, "logout_devices": false});
            self.eve.post("account/password", &body).await.ok();
            garden.revoked.push(Credential::Password("eve".to_owned(), std::mem::replace(&mut self.eve.password, new)));
            credentials.push(Credential::Password("eve".to_owned(), self.eve.password.clone()));
        }
    }

    /// Has somebody erased.
    pub(super) async fn end_erased(&self, garden: &mut Garden) {
        close(&self.cy, true, garden).await;
        garden.erased.insert("cy".to_owned());
    }

    /// Closes an account.
    pub(super) async fn end_account(&self, garden: &mut Garden) {
        close(&self.fay, false, garden).await;
    }

    /// Everybody comes, so that what is theirs is open.
    pub(super) async fn come_back(&self) {
        for client in [&self.al, &self.bo, &self.eve] {
            client.get("sync?timeout=0").await.ok();
        }
    }

    /// Plants what is too young to die at the end.
    pub(super) async fn plant_the_young(&self, garden: &mut Garden) {
        self.come_back().await;
        for number in 0..share(self.canaries, 5) {
            say(&self.bo, &self.room, &garden.plant("young message", None)).await;
            let canary = garden.plant("young to-device message", None);
            let messages =
                json!({"messages": {self.bo.user_id.clone(): {self.tablet.device_id.clone(): {"text": canary}}}});
            self.al.put(&format!("sendToDevice/org.trial/young{number}"), &messages).await.ok();
        }
        for _ in 0..share(self.canaries, 1) {
            self.plant_picture(garden, None).await;
        }
    }

    /// The same people at a server that has what theirs had.
    pub(super) fn at(&self, server: &TestServer) -> Self {
        let [al, bo, tablet, eve, cy, fay] =
            [&self.al, &self.bo, &self.tablet, &self.eve, &self.cy, &self.fay].map(|client| client.at(server));
        let devices = self.devices.iter().map(|device| device.at(server)).collect();
        let (room, lonely, backup) = (self.room.clone(), self.lonely.clone(), self.backup.clone());
        let (redacted, delayed, canaries) = (self.redacted.clone(), self.delayed.clone(), self.canaries);
        Self { canaries, al, bo, tablet, eve, cy, fay, room, lonely, redacted, delayed, devices, backup }
    }

    /// The facts in what the room shows.
    pub(super) async fn shown(&self) -> BTreeSet<u32> {
        let path = at(&self.room, "messages?dir=b&limit=1000");
        facts(&self.al.get(&path).await.ok().to_string())
    }

    /// Those who go on see what is theirs.
    pub(super) async fn looks_well(&self) {
        let sync = self.al.get("sync?timeout=0").await.ok();
        let timeline = &sync["rooms"]["join"][&self.room]["timeline"]["events"];
        assert!(timeline.as_array().is_some_and(|events| !events.is_empty()), "{sync}");
        self.eve.get("account/whoami").await.ok();
    }
}

impl Client {
    async fn set_data(&self, text: &str) {
        let path = format!("user/{}/account_data/org.trial", encode(&self.user_id));
        self.put(&path, &json!({ "text": text })).await.ok();
    }

    async fn name_device(&self, name: &str) {
        self.put(&format!("devices/{}", self.device_id), &json!({ "display_name": name })).await.ok();
    }

    async fn name_profile(&self, name: &str) {
        let path = format!("profile/{}/displayname", encode(&self.user_id));
        self.put(&path, &json!({ "displayname": name })).await.ok();
    }

    async fn set_pusher(&self, key: &str, kind: &str) {
        let kind = if kind.is_empty() { Value::Null } else { json!(kind) };
        let body = json!({
            "pushkey": key, "kind": kind, "app_id": "org.trial", "app_display_name": "Trial", "device_display_name": "Phone",
            "lang": "en", "data": {"url": "https://push.example/_matrix/push/v1/notify"},
        });
        self.post("pushers/set", &body).await.ok();
    }
}

async fn close(leaver: &Client, erase: bool, garden: &mut Garden) {
    leaver.post("account/deactivate", &json!({"auth": leaver.auth(), "erase": erase})).await.ok();
    garden.revoked.push(Credential::Token(leaver.token.clone()));
}

async fn new_backup(client: &Client) -> String {
    let data = json!({"public_key": "YQ", "signatures": {}});
    let body = json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": data});
    client.post("room_keys/version", &body).await.ok()["version"].as_str().expect("a version").to_owned()
}

async fn back_up(client: &Client, version: &str, session: u32, canary: &str) {
    let key = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true,
        "session_data": {"ephemeral": "YQ", "ciphertext": canary, "mac": "Yw"},
    });
    let path = format!("room_keys/keys/%21room%3Alocalhost/s{session}?version={version}");
    client.put(&path, &key).await.ok();
}

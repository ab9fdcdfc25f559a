//! What a user does, over the client-server API.

use serde_json::{Value, json};

use crate::{
    http::{Connection, escape},
    server::Server,
};

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery staple of the bench";

/// An account with a device.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl User {
    /// A new account.
    pub(crate) async fn register(server: &Server, name: &str) -> Self {
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": name, "password": PASSWORD, "auth": auth }).to_string();
        let answer = server.connect().ask("POST", "/_matrix/client/v3/register", &body).await.ok("register");
        Self { id: text(&answer, "user_id"), name: name.to_owned(), token: text(&answer, "access_token") }
    }

    /// The same account on another device.
    pub(crate) async fn again(&self, server: &Server) -> Self {
        let body = login(&self.name).to_string();
        let answer = server.connect().ask("POST", "/_matrix/client/v3/login", &body).await.ok("login");
        Self { token: text(&answer, "access_token"), ..self.clone() }
    }
}

/// The body of a login that uses one device again and again.
pub(crate) fn login_body(name: &str) -> String {
    let mut body = login(name);
    body["device_id"] = "BENCH".into();
    body.to_string()
}

fn login(name: &str) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": name });
    json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD })
}

/// Makes an encrypted room by invitation and lets `guests` in; its id.
pub(crate) async fn make_room(server: &Server, host: &User, guests: &[User]) -> String {
    let mut connection = server.connect_as(host);
    let invite: Vec<&str> = guests.iter().map(|guest| guest.id.as_str()).collect();
    let encryption =
        json!({ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let body = json!({ "preset": "private_chat", "name": "A room", "invite": invite, "initial_state": [encryption] });
    let answer = connection.ask("POST", "/_matrix/client/v3/createRoom", &body.to_string()).await.ok("createRoom");
    let room = text(&answer, "room_id");
    for guest in guests {
        let path = format!("/_matrix/client/v3/rooms/{}/join", escape(&room));
        server.connect_as(guest).ask("POST", &path, "{}").await.check("join");
    }
    room
}

/// Sends one event.
pub(crate) async fn send(connection: &mut Connection, room: &str, transaction: &str, content: &str) {
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.encrypted/{transaction}", escape(room));
    connection.ask("PUT", &path, content).await.check("send");
}

/// A field that has to be text.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}")).to_owned()
}

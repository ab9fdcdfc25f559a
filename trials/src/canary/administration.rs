//! What administrators do, over the socket and over HTTP, and what is reported to them.

use serde_json::{Value, json};

use super::{
    Kept, Person, Teller, good,
    rooms::{at, say},
};
use crate::{
    http::escape,
    process::{Process, text},
};

/// Makes an account that administers the server, over the socket, and logs it in.
pub(super) fn appoint(server: &Process, teller: &mut Teller<'_>) {
    let localpart = teller.markers.stored("administrator's localpart");
    let password = format!("{} garden window seldom", teller.markers.never("administrator's password"));
    server.command(&["user", "add", &localpart, "--password-stdin", "--admin"], &password);
    let mut client = server.client();
    client.headers = vec![("User-Agent".to_owned(), teller.markers.never("administrator's user agent"))];
    let device = teller.markers.stored("administrator's device name");
    let body = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": localpart }, "password": password,
        "initial_device_display_name": device
    });
    let answer = good("login", client.post("/_matrix/client/v3/login", &body));
    teller.markers.note("administrator's access token", &text(&answer, "access_token"), Kept::Never);
    client.token = Some(text(&answer, "access_token"));
    teller.root = Some(Person { client, user: format!("@{localpart}:localhost"), password });
}

/// Reports, which lie in the administrator's vault.
pub(super) fn reports(server: &Process, teller: &mut Teller<'_>, room: &str) {
    let reason = teller.markers.stored("reason of a report of a room");
    teller.me.post(&at(room, "report"), &json!({ "reason": reason }));
    let event = say(teller, room, "again", "reported again");
    teller.markers.note("id of an event that is reported", &event, Kept::Stored);
    let reason = teller.markers.stored("reason of a report of an event");
    teller.me.post(&at(room, &format!("report/{}", escape(&event))), &json!({ "reason": reason }));
    let last = teller.markers.stored("reason of a report of a user");
    let path = format!("/_matrix/client/v3/users/{}/report", escape(&teller.other.user));
    teller.me.post(&path, &json!({ "reason": last }));
    assert!(server.command(&["report", "list"], "").contains(&last), "the administrator reads what was reported");
}

/// Accounts that are made, looked for, locked, suspended, and given other passwords.
pub(super) fn accounts(server: &Process, teller: &mut Teller<'_>) {
    let name = teller.markers.stored("localpart of an account that is administered");
    let password = format!("{} lantern copper meadow", teller.markers.never("password set over the socket"));
    server.command(&["user", "add", &name, "--password-stdin"], &password);
    for words in [["user", "lock"], ["user", "unlock"], ["user", "suspend"]] {
        server.command(&[words[0], words[1], &name], "");
    }
    server.command(&["user", "suspend", &name, "--undo"], "");
    let another = format!("{} velvet orchard lamp", teller.markers.never("second password set over the socket"));
    server.command(&["user", "reset-password", &name, "--password-stdin"], &another);
    server.command(&["--json", "user", "list"], "");

    let made = teller.markers.stored("localpart of an account made over HTTP");
    let user = format!("@{made}:localhost");
    let (shown, password) =
        (teller.markers.stored("display name set by another"), teller.markers.never("password set over HTTP"));
    let account = json!({ "password": format!("{password} marble kettle"), "displayname": shown, "admin": false });
    let path = format!("/_synapse/admin/v2/users/{}", escape(&user));
    ask(teller, "PUT", &path, &account);
    let searched = teller.markers.never("name an administrator looks for");
    ask(teller, "GET", &format!("/_synapse/admin/v2/users?name={searched}"), &Value::Null);
    let password = teller.markers.never("second password set over HTTP");
    let path = format!("/_synapse/admin/v1/reset_password/{}", escape(&user));
    ask(teller, "POST", &path, &json!({ "new_password": format!("{password} marble kettle"), "logout_devices": true }));
    for (what, on) in [("lock", true), ("lock", false), ("suspend", true), ("suspend", false)] {
        let path = format!("/_matrix/client/v1/admin/{what}/{}", escape(&user));
        ask(teller, "PUT", &path, &json!({ if what == "lock" { "locked" } else { "suspended" }: on }));
    }
    ask(teller, "GET", &format!("/_matrix/client/v3/admin/whois/{}", escape(&user)), &Value::Null);
    let me = escape(&teller.me.user);
    ask(teller, "GET", &format!("/_synapse/admin/v2/users/{me}/devices"), &Value::Null);
    let pace = json!({ "messages_per_second": 0, "burst_count": 0 });
    ask(teller, "POST", &format!("/_synapse/admin/v1/users/{me}/override_ratelimit"), &pace);
}

/// What the operator has to say.
pub(super) fn notices(server: &Process, teller: &mut Teller<'_>) {
    let text = teller.markers.stored("text of a notice");
    server.command(&["user", "notice", &teller.me.user, &text], "");
    let text = teller.markers.stored("text of a notice over HTTP");
    let content = json!({ "msgtype": "m.text", "body": text });
    let transaction = teller.markers.make("transaction id of a notice", Kept::Stored);
    let path = format!("/_synapse/admin/v1/send_server_notice/{transaction}");
    let notice = json!({ "user_id": teller.me.user, "content": content });
    ask(teller, "PUT", &path, &notice);
}

/// Registration tokens.
pub(super) fn tokens(server: &Process, teller: &mut Teller<'_>) {
    let made = server.command(&["--json", "token", "create", "--uses", "1"], "");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let token = text(&made, "token");
    teller.markers.note("registration token", &token, Kept::Stored);
    server.command(&["token", "list"], "");
    server.command(&["token", "revoke", &token], "");
    let token = teller.markers.stored("registration token made over HTTP");
    ask(teller, "POST", "/_synapse/admin/v1/registration_tokens/new", &json!({ "token": token, "uses_allowed": 3 }));
    let token = teller.markers.never("unknown registration token");
    let path = format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={token}");
    teller.me.client.get(&path).expect("an answer");
}

/// Rooms that are looked at and ended.
pub(super) fn rooms(server: &Process, teller: &mut Teller<'_>) {
    let name = teller.markers.stored("name of a room that is shredded");
    let shredded = text(&teller.me.post("/_matrix/client/v3/createRoom", &json!({ "name": name })), "room_id");
    let name = teller.markers.stored("name of a room that is deleted over HTTP");
    let deleted = text(&teller.me.post("/_matrix/client/v3/createRoom", &json!({ "name": name })), "room_id");
    server.command(&["room", "list"], "");
    server.command(&["room", "info", &shredded], "");
    server.command(&["room", "shred", &shredded], "");
    let searched = teller.markers.never("room an administrator looks for");
    ask(teller, "GET", &format!("/_synapse/admin/v1/rooms?search_term={searched}"), &Value::Null);
    ask(teller, "DELETE", &format!("/_synapse/admin/v1/rooms/{}", escape(&deleted)), &json!({ "block": false }));
}

/// An account that ends and is to be forgotten.
pub(super) fn end(server: &Process, teller: &mut Teller<'_>) {
    let name = teller.markers.stored("localpart of an account that ends");
    let mut client = server.register(&name, "candle border thunder", "d");
    let topic = teller.markers.stored("topic by who is forgotten");
    good(
        "createRoom",
        client.post("/_matrix/client/v3/createRoom", &json!({ "topic": topic, "invite": [teller.me.user] })),
    );
    server.command(&["user", "logout", &name], "");
    server.command(&["user", "deactivate", &name, "--erase"], "");
}

/// Has the administrator ask for something over HTTP.
fn ask(teller: &mut Teller<'_>, method: &str, path: &str, body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let root = teller.root.as_mut().expect("there is an administrator");
    let answer = root.client.send(method, path, "application/json", body.as_bytes()).expect("an answer");
    assert!((200..=202).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.json());
}

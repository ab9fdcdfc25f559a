//! What is asked and passes: nothing of it is kept.

use serde_json::json;

use super::{
    Kept, Teller,
    rooms::{at, say},
};
use crate::{http::escape, process::text};

/// Terms that are searched for.
pub(super) fn searches(teller: &mut Teller<'_>) {
    let term = teller.markers.never("search term");
    let search = json!({ "search_categories": { "room_events": { "search_term": term } } });
    teller.me.post("/_matrix/client/v3/search", &search);
    let term = teller.markers.never("search term for rooms");
    teller.me.post("/_matrix/client/v3/publicRooms", &json!({ "filter": { "generic_search_term": term } }));
    let term = teller.markers.never("search term for people");
    teller.me.post("/_matrix/client/v3/user_directory/search", &json!({ "search_term": term }));
}

/// Requests that are refused.
pub(super) fn broken(teller: &mut Teller<'_>) {
    let query = teller.markers.never("query parameter");
    teller.me.get(&format!("/_matrix/client/v3/account/whoami?{query}={query}"));
    let unknown = teller.markers.never("unknown path");
    refused(teller, "GET", &format!("/_matrix/client/v3/{unknown}"), "");
    let broken = teller.markers.never("broken body");
    refused(teller, "POST", "/_matrix/client/v3/createRoom", &format!("{{\"{broken}"));
    let wrong = teller.markers.never("value of a wrong type");
    refused(teller, "POST", "/_matrix/client/v3/createRoom", &json!({ "preset": wrong }).to_string());
    let token = teller.markers.never("wrong token");
    let mine = teller.me.client.token.replace(token);
    refused(teller, "GET", "/_matrix/client/v3/account/whoami", "");
    teller.me.client.token = mine;
    let batch = teller.markers.never("sync token of nonsense");
    refused(teller, "GET", &format!("/_matrix/client/v3/sync?since={batch}"), "");
    let text = teller.markers.never("message in a room that is not there");
    let body = json!({ "msgtype": "m.text", "body": text }).to_string();
    refused(teller, "PUT", &at("!nowhere:localhost", "send/m.room.message/1"), &body);
}

/// Questions about what is not there.
pub(super) fn unknown(teller: &mut Teller<'_>) {
    let name = teller.markers.never("unknown user's name");
    let login = |user: &str, password: &str| {
        let user = json!({ "type": "m.id.user", "user": user });
        json!({ "type": "m.login.password", "identifier": user, "password": password }).to_string()
    };
    refused(teller, "POST", "/_matrix/client/v3/login", &login(&name, "x"));
    let password = teller.markers.never("wrong password");
    let user = teller.me.user.clone();
    refused(teller, "POST", "/_matrix/client/v3/login", &login(&user, &password));
    let name = teller.markers.never("user asked for");
    refused(teller, "GET", &format!("/_matrix/client/v3/profile/{}", escape(&format!("@{name}:localhost"))), "");
    let alias = teller.markers.never("unknown alias");
    refused(teller, "POST", &format!("/_matrix/client/v3/join/{}", escape(&format!("#{alias}:localhost"))), "{}");
    let server = teller.markers.never("server asked for");
    let room = escape(&format!("!room:{server}.example"));
    refused(teller, "POST", &format!("/_matrix/client/v3/join/{room}?via={server}.example"), "{}");
    let media = teller.markers.never("unknown media");
    refused(teller, "GET", &format!("/_matrix/client/v1/media/download/localhost/{media}"), "");
    let name = teller.markers.never("name that may be free");
    teller.me.get(&format!("/_matrix/client/v3/register/available?username={name}"));
}

/// A page that is looked at, and one that cannot be.
pub(super) fn previews(teller: &mut Teller<'_>) {
    let page = teller.markers.never("previewed page");
    let preview = |url: &str| format!("/_matrix/client/v1/media/preview_url?url={}", escape(url));
    let address = teller.web.url(&format!("/{page}"));
    let shown = teller.me.get(&preview(&address));
    assert!(shown["og:title"].is_string(), "the page was looked at: {shown}");
    let host = teller.markers.never("previewed host");
    refused(teller, "GET", &preview(&format!("https://{host}.invalid/")), "");
}

/// What lives as long as the process, at most.
pub(super) fn passing(teller: &mut Teller<'_>, room: &str) {
    let status = teller.markers.never("presence");
    let path = format!("/_matrix/client/v3/presence/{}/status", escape(&teller.me.user));
    teller.me.put(&path, &json!({ "presence": "online", "status_msg": status }));
    let (connection, list) =
        (teller.markers.never("sliding sync connection"), teller.markers.never("sliding sync list"));
    let list = json!({ list: { "ranges": [[0, 9]], "timeline_limit": 10, "required_state": [["*", "*"]] } });
    let sync = json!({ "conn_id": connection, "lists": list });
    teller.me.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", &sync);
    let filter = teller.markers.never("filter in a query");
    let filter = json!({ "room": { "timeline": { "types": [filter] } } }).to_string();
    teller.me.get(&format!("/_matrix/client/v3/sync?filter={}", escape(&filter)));
    let path = format!("/_matrix/client/v3/user/{}/openid/request_token", escape(&teller.me.user));
    let token = text(&teller.me.post(&path, &json!({})), "access_token");
    teller.me.get(&format!("/_matrix/federation/v1/openid/userinfo?access_token={token}"));
    teller.markers.note("OpenID token", &token, Kept::Never);
    let reason = teller.markers.never("reason of a report of a room, before there is an administrator");
    teller.me.post(&at(room, "report"), &json!({ "reason": reason }));
    let event = say(teller, room, "reported", "reported");
    let reason = teller.markers.never("reason of a report of an event, before there is an administrator");
    teller.me.post(&at(room, &format!("report/{}", escape(&event))), &json!({ "reason": reason }));
}

/// A page that somebody wants to see where previews are turned off.
pub(super) fn previews_off(teller: &mut Teller<'_>) {
    let page = teller.markers.never("page asked for while previews are off");
    let address = teller.web.url(&format!("/{page}"));
    refused(teller, "GET", &format!("/_matrix/client/v1/media/preview_url?url={}", escape(&address)), "");
}

fn refused(teller: &mut Teller<'_>, method: &str, path: &str, body: &str) {
    let answer = teller.me.client.send(method, path, "application/json", body.as_bytes()).expect("an answer");
    assert!((400..=504).contains(&answer.status), "{path}: {} {}", answer.status, answer.json());
}

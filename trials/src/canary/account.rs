//! What accounts keep: data, profile, rules, devices, keys, media.

use serde_json::{Value, json};

use super::{
    Kept, Teller,
    rooms::{at, say},
};
use crate::{http::escape, process::text};

pub(super) fn data(teller: &mut Teller<'_>, room: &str) {
    let base = format!("/_matrix/client/v3/user/{}", escape(&teller.me.user));
    let (kind, value) = (teller.markers.stored("account data type"), teller.markers.stored("account data"));
    teller.me.put(&format!("{base}/account_data/{kind}"), &json!({ "v": value }));
    let value = teller.markers.stored("room account data");
    teller.me.put(&format!("{base}/rooms/{}/account_data/x.y", escape(room)), &json!({ "v": value }));
    let tag = teller.markers.stored("tag");
    teller.me.put(&format!("{base}/rooms/{}/tags/u.{tag}", escape(room)), &json!({ "order": 0.5 }));
    let filter = teller.markers.stored("filter");
    teller.me.post(&format!("{base}/filter"), &json!({ "room": { "timeline": { "types": [filter] } } }));
    let ignored = teller.markers.stored("ignored user");
    let ignored = json!({ "ignored_users": { format!("@{ignored}:elsewhere.example"): {} } });
    teller.me.put(&format!("{base}/account_data/m.ignored_user_list"), &ignored);
}

pub(super) fn profile(teller: &mut Teller<'_>) {
    let name = teller.markers.stored("display name");
    let path = format!("/_matrix/client/v3/profile/{}", escape(&teller.me.user));
    teller.me.put(&format!("{path}/displayname"), &json!({ "displayname": name }));
    let avatar = format!("mxc://elsewhere.example/{}", teller.markers.stored("avatar"));
    teller.me.put(&format!("{path}/avatar_url"), &json!({ "avatar_url": avatar }));
    let field = format!("org.example.{}", teller.markers.stored("profile field"));
    let value = teller.markers.stored("profile field's value");
    teller.me.put(&format!("{path}/{field}"), &json!({ &field: { "v": value } }));
}

/// Rules, pushers, and a gateway that is told of something and answers with an error.
pub(super) fn push(teller: &mut Teller<'_>, room: &str) {
    let (rule, pattern) = (teller.markers.stored("push rule"), teller.markers.stored("push rule's pattern"));
    let path = format!("/_matrix/client/v3/pushrules/global/content/{rule}");
    teller.me.put(&path, &json!({ "pattern": pattern, "actions": ["notify"] }));
    let host = teller.markers.stored("push gateway's host");
    let far = format!("https://{host}.invalid/_matrix/push/v1/notify");
    let query = teller.markers.stored("push gateway's query");
    let near = teller.web.url(&format!("/_matrix/push/v1/notify?{query}"));
    let (key, app) = (teller.markers.stored("push key"), teller.markers.stored("app id"));
    let (name, device) = (teller.markers.stored("app's display name"), teller.markers.stored("pusher's device name"));
    for (url, key) in [(far, format!("{key}-1")), (near, format!("{key}-2"))] {
        let pusher = json!({
            "app_id": app, "pushkey": key, "kind": "http", "app_display_name": name, "device_display_name": device,
            "lang": "en", "data": { "url": url }
        });
        teller.me.post("/_matrix/client/v3/pushers/set", &pusher);
    }
    let noticed = teller.markers.stored("text that is pushed");
    let message = json!({ "msgtype": "m.text", "body": noticed });
    teller.other.put(&at(room, "send/m.room.message/noticed"), &message);
    teller.web.wait_for(&query);
    // What the gateways were not told stays with the server: there is something to say again.
    say(teller, room, "after", "after");
}

pub(super) fn keys(teller: &mut Teller<'_>) {
    let message = teller.markers.stored("to-device content");
    let body = json!({ "messages": { &teller.other.user: { "*": { "x": message } } } });
    let kind = teller.markers.stored("to-device type");
    teller.me.put(&format!("/_matrix/client/v3/sendToDevice/{kind}/1"), &body);
    let key = teller.markers.stored("one-time key");
    let keys = json!({ "one_time_keys": { "signed_curve25519:AAAA": { "key": key, "signatures": {} } } });
    teller.me.post("/_matrix/client/v3/keys/upload", &keys);
}

pub(super) fn backup(teller: &mut Teller<'_>, room: &str) {
    let data = teller.markers.stored("backup auth data");
    let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": { "public_key": data } });
    let version = text(&teller.me.post("/_matrix/client/v3/room_keys/version", &body), "version");
    let (session, data) = (teller.markers.stored("backup session"), teller.markers.stored("backup key"));
    let path = format!("/_matrix/client/v3/room_keys/keys/{}/{session}?version={version}", escape(room));
    let row =
        json!({ "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": { "c": data } });
    teller.me.put(&path, &row);
}

/// A dehydrated device (MSC3814), and a message to it.
pub(super) fn dehydrated(teller: &mut Teller<'_>) {
    let marks = &mut *teller.markers;
    let (device, name) = (marks.stored("dehydrated device"), marks.stored("dehydrated device's name"));
    let (secrets, key) = (marks.stored("dehydrated device's secrets"), marks.stored("dehydrated device's key"));
    let user = &teller.me.user;
    let keys = json!({ format!("ed25519:{device}"): key, format!("curve25519:{device}"): "curve" });
    let body = json!({
        "device_id": device,
        "initial_device_display_name": name,
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": secrets, "nonce": "n" },
        "device_keys": { "user_id": user, "device_id": device, "algorithms": [], "keys": keys, "signatures": {} },
    });
    teller.me.put("/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", &body);
    let message = teller.markers.stored("message to a dehydrated device");
    let body = json!({ "messages": { &teller.me.user: { device: { "x": message } } } });
    teller.other.put("/_matrix/client/v3/sendToDevice/m.asleep/1", &body);
}

/// Another device, with tokens that are refreshed.
pub(super) fn devices(teller: &mut Teller<'_>) {
    let (device, name) = (teller.markers.stored("device id"), teller.markers.stored("second device's name"));
    let body = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": teller.me.user },
        "password": teller.me.password, "device_id": device, "initial_device_display_name": name, "refresh_token": true
    });
    let answer = teller.me.post("/_matrix/client/v3/login", &body);
    teller.markers.note("short-lived token", &text(&answer, "access_token"), Kept::Never);
    let refresh = text(&answer, "refresh_token");
    teller.markers.note("refresh token", &refresh, Kept::Never);
    let answer = teller.me.post("/_matrix/client/v3/refresh", &json!({ "refresh_token": refresh }));
    teller.markers.note("refreshed token", &text(&answer, "access_token"), Kept::Never);
    let user = json!({ "type": "m.id.user", "user": teller.me.user });
    let proof = json!({ "type": "m.login.password", "identifier": user, "password": teller.me.password });
    let token = teller.me.post("/_matrix/client/v1/login/get_token", &json!({ "auth": proof }));
    teller.markers.note("login token", &text(&token, "login_token"), Kept::Never);
    let renamed = teller.markers.stored("device's new name");
    teller.me.put(&format!("/_matrix/client/v3/devices/{device}"), &json!({ "display_name": renamed }));
}

/// Uploads at once and to an id made beforehand.
pub(super) fn media(teller: &mut Teller<'_>) {
    let upload = |teller: &mut Teller<'_>, what: &str, method: &str, path: &str| {
        let (file, kind) =
            (teller.markers.stored(&format!("{what}'s file name")), teller.markers.stored(&format!("{what}'s type")));
        let content = teller.markers.stored(&format!("{what}'s content")).repeat(50);
        let path = format!("{path}?filename={file}.txt");
        let answer = teller.me.client.send(method, &path, &format!("application/{kind}"), content.as_bytes());
        super::good(&path, answer)
    };
    let uri = text(&upload(teller, "upload", "POST", "/_matrix/media/v3/upload"), "content_uri");
    note(teller, "media id", &uri);
    let made: Value = teller.me.post("/_matrix/media/v1/create", &json!({}));
    let id = note(teller, "media id made beforehand", &text(&made, "content_uri"));
    upload(teller, "later upload", "PUT", &format!("/_matrix/media/v3/upload/localhost/{id}"));
    teller.other.client.get(&format!("/_matrix/client/v1/media/download/localhost/{id}")).expect("an answer");
}

fn note(teller: &mut Teller<'_>, field: &str, uri: &str) -> String {
    let id = uri.rsplit('/').next().expect("an id");
    teller.markers.note(field, id, Kept::Never);
    id.to_owned()
}

//! The search for canaries: a marker in every field a client can fill, then a search of the disk and the logs.
//!
//! On the ordinary build nothing may be found. On a build without sealing everything that is stored must be found,
//! field by field, and what is never stored must not be: so the search can fail in both directions.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use rand::{RngExt, rng};
use serde_json::{Value, json};

use crate::{
    http::{Client, escape},
    process::{Process, text},
};

/// Whether a field's value lies somewhere on the disk, under seal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Stored,
    Never,
}

/// Markers and identifiers by the field they were put into.
#[derive(Default)]
struct Markers(BTreeMap<String, (String, Kept)>);

impl Markers {
    /// A fresh marker for a field.
    fn make(&mut self, field: &str, kept: Kept) -> String {
        let letters = (0..14).map(|_| char::from(b'a' + rng().random_range(0..26_u8)));
        let marker: String = "cnry".chars().chain(letters).collect();
        self.note(field, &marker, kept);
        marker
    }

    /// A value the server or the story made.
    fn note(&mut self, field: &str, value: &str, kept: Kept) {
        self.0.insert(field.to_owned(), (value.to_owned(), kept));
    }
}

pub(crate) fn run(sealed: &Path, unsealed: &Path) {
    let (markers, places) = story(sealed);
    let hits = search(&markers, &places);
    let found: Vec<_> = hits.iter().filter(|(_, places)| !places.is_empty()).collect();
    for (field, places) in &found {
        println!("FOUND {field} in {places:?}");
    }
    println!("canaries: {} markers and ids, {} files searched, {} hits", markers.0.len(), places.len(), found.len());
    assert!(found.is_empty(), "the disk or the logs say what they must not");

    let (markers, places) = story(unsealed);
    let hits = search(&markers, &places);
    println!("control, a build without sealing:");
    let mut wrong = Vec::new();
    for (field, (_, kept)) in &markers.0 {
        let there = !hits[field].is_empty();
        println!("  {field}: {}", if there { "found" } else { "not found" });
        if there != (*kept == Kept::Stored) {
            wrong.push(field);
        }
    }
    assert!(wrong.is_empty(), "the control disagrees about {wrong:?}");
}

/// Tells the story on a fresh server; its markers, and the contents of every file and every row it left.
fn story(binary: &Path) -> (Markers, Vec<(String, Vec<u8>)>) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut server = Process::start(binary, directory.path());
    let mut markers = Markers::default();
    tell(&mut server, &mut markers);
    server.stop();
    let mut places = Vec::new();
    read_files(directory.path(), &mut places);
    places.retain(|(name, _)| !name.ends_with("lethe.toml"));
    read_rows(&directory.path().join("data"), &mut places);
    (markers, places)
}

struct Teller<'a> {
    markers: &'a mut Markers,
    client: Client,
    user: String,
}

impl Teller<'_> {
    fn put(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.client.put(path, body).expect("an answer");
        assert_eq!(answer.status, 200, "PUT {path}: {}", answer.json());
        answer.json()
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(path, body).expect("an answer");
        assert_eq!(answer.status, 200, "POST {path}: {}", answer.json());
        answer.json()
    }
}

fn tell(server: &mut Process, markers: &mut Markers) {
    use Kept::{Never, Stored};
    let localpart = markers.make("localpart", Stored);
    let password = format!("{} horse battery", markers.make("password", Never));
    let device = markers.make("device name", Stored);
    let agent = markers.make("user agent", Never);
    let proxy = markers.make("proxy header", Never);
    let client = server.register(&localpart, &password, &device);
    markers.note("access token", client.token.as_deref().expect("a token"), Never);
    markers.note("client address", "203.0.113.77", Never);
    let user = format!("@{localpart}:localhost");
    markers.note("user id", &user, Stored);
    let other_name = markers.make("other localpart", Stored);
    let other_password = format!("{} staple correct", markers.make("other password", Never));
    let mut other = server.register(&other_name, &other_password, "second");
    let other_id = format!("@{other_name}:localhost");
    let mut teller = Teller { markers, client, user };
    teller.client.headers = vec![
        ("User-Agent".to_owned(), agent),
        ("X-Forwarded-For".to_owned(), "203.0.113.77".to_owned()),
        ("Forwarded".to_owned(), format!("for={proxy}")),
    ];

    let room = a_room(&mut teller, &other_id);
    messages(&mut teller, &room);
    let joined = other.post(&format!("/_matrix/client/v3/rooms/{}/join", escape(&room)), &json!({}));
    assert_eq!(joined.expect("an answer").status, 200);
    account(&mut teller, &room, &other_id);
    media(&mut teller);

    // Restarted with the second user away, so that what reaches him goes through his mail.
    server.kill();
    server.restart();
    let address = server.address;
    teller.client = teller.client.again(address);
    let mark = teller.markers.make("cold to-device content", Stored);
    let body = json!({ "messages": { other_id.clone(): { "*": { "x": mark } } } });
    teller.put("/_matrix/client/v3/sendToDevice/m.cold/1", &body);
    let name = teller.markers.make("cold invitation room name", Stored);
    let cold = teller.post("/_matrix/client/v3/createRoom", &json!({ "name": name, "invite": [other_id] }));
    teller.markers.note("cold room id", &text(&cold, "room_id"), Stored);
    teller.client.get("/_matrix/client/v3/sync?timeout=0").expect("an answer");
}

fn a_room(teller: &mut Teller<'_>, other: &str) -> String {
    use Kept::Stored;
    let marks = &mut *teller.markers;
    let (name, topic) = (marks.make("room name", Stored), marks.make("room topic", Stored));
    let (kind, key) = (marks.make("state type", Stored), marks.make("state key", Stored));
    let (value, alias) = (marks.make("state content", Stored), marks.make("alias", Stored));
    let body = json!({
        "name": name, "topic": topic, "room_alias_name": alias, "preset": "private_chat", "invite": [other],
        "initial_state": [{ "type": kind, "state_key": key, "content": { "v": value } }]
    });
    let room = text(&teller.post("/_matrix/client/v3/createRoom", &body), "room_id");
    teller.markers.note("room id", &room, Stored);
    room
}

fn messages(teller: &mut Teller<'_>, room: &str) {
    use Kept::Stored;
    let base = format!("/_matrix/client/v3/rooms/{}", escape(room));
    let body = teller.markers.make("message text", Stored);
    let transaction = teller.markers.make("transaction id", Stored);
    let path = format!("{base}/send/m.room.message/{transaction}");
    let event = text(&teller.put(&path, &json!({ "msgtype": "m.text", "body": body })), "event_id");
    teller.markers.note("event id", &event, Stored);
    let kind = teller.markers.make("event type", Stored);
    teller.put(&format!("{base}/send/{kind}/t2"), &json!({ "x": 1 }));
    let reaction = teller.markers.make("reaction", Stored);
    let relation = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": reaction } });
    teller.put(&format!("{base}/send/m.reaction/t3"), &relation);
    let reason = teller.markers.make("redaction reason", Stored);
    let gone = teller.put(&format!("{base}/send/m.room.message/t4"), &json!({ "msgtype": "m.text", "body": "gone" }));
    let gone = text(&gone, "event_id");
    teller.put(&format!("{base}/redact/{}/t5", escape(&gone)), &json!({ "reason": reason }));
    let receipt = format!("{base}/receipt/m.read/{}", escape(&event));
    teller.post(&receipt, &json!({}));
    let typing = format!("{base}/typing/{}", escape(&teller.user));
    teller.put(&typing, &json!({ "typing": true, "timeout": 1000 }));
}

fn account(teller: &mut Teller<'_>, room: &str, other: &str) {
    use Kept::{Never, Stored};
    let base = format!("/_matrix/client/v3/user/{}", escape(&teller.user));
    let (kind, value) = (teller.markers.make("account data type", Stored), teller.markers.make("account data", Stored));
    teller.put(&format!("{base}/account_data/{kind}"), &json!({ "v": value }));
    let value = teller.markers.make("room account data", Stored);
    teller.put(&format!("{base}/rooms/{}/account_data/x.y", escape(room)), &json!({ "v": value }));
    let tag = teller.markers.make("tag", Stored);
    teller.put(&format!("{base}/rooms/{}/tags/u.{tag}", escape(room)), &json!({ "order": 0.5 }));
    let filter = teller.markers.make("filter", Stored);
    teller.post(&format!("{base}/filter"), &json!({ "room": { "timeline": { "types": [filter] } } }));
    let name = teller.markers.make("display name", Stored);
    let path = format!("/_matrix/client/v3/profile/{}/displayname", escape(&teller.user));
    teller.put(&path, &json!({ "displayname": name }));
    let (push, app) = (teller.markers.make("push key", Stored), teller.markers.make("app id", Stored));
    let pusher = json!({
        "app_id": app, "pushkey": push, "kind": "http", "app_display_name": "a", "device_display_name": "d",
        "lang": "en", "data": { "url": "https://push.example.org/_matrix/push/v1/notify" }
    });
    teller.post("/_matrix/client/v3/pushers/set", &pusher);
    let message = teller.markers.make("to-device content", Stored);
    let body = json!({ "messages": { other: { "*": { "x": message } } } });
    teller.put("/_matrix/client/v3/sendToDevice/m.live/1", &body);
    let key = teller.markers.make("one-time key", Stored);
    let keys = json!({ "one_time_keys": { "signed_curve25519:AAAA": { "key": key, "signatures": {} } } });
    teller.post("/_matrix/client/v3/keys/upload", &keys);
    let backup = teller.markers.make("backup auth data", Stored);
    let version =
        json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": { "public_key": backup } });
    let version = text(&teller.post("/_matrix/client/v3/room_keys/version", &version), "version");
    let (session, data) = (teller.markers.make("backup session", Stored), teller.markers.make("backup key", Stored));
    let path = format!("/_matrix/client/v3/room_keys/keys/{}/{session}?version={version}", escape(room));
    let row =
        json!({ "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": { "c": data } });
    teller.put(&path, &row);
    let query = teller.markers.make("query parameter", Never);
    teller.client.get(&format!("/_matrix/client/v3/account/whoami?{query}={query}")).expect("an answer");
    let unknown = teller.markers.make("unknown path", Never);
    teller.client.get(&format!("/_matrix/client/v3/{unknown}")).expect("an answer");
    let broken = teller.markers.make("broken body", Never);
    let body = format!("{{\"{broken}");
    teller
        .client
        .send("POST", "/_matrix/client/v3/createRoom", "application/json", body.as_bytes())
        .expect("an answer");
    let token = teller.markers.make("wrong token", Never);
    let mine = teller.client.token.replace(token);
    teller.client.get("/_matrix/client/v3/account/whoami").expect("an answer");
    teller.client.token = mine;
}

fn media(teller: &mut Teller<'_>) {
    use Kept::Stored;
    let (file, kind) = (teller.markers.make("file name", Stored), teller.markers.make("content type", Stored));
    let content = teller.markers.make("media content", Stored);
    let path = format!("/_matrix/media/v3/upload?filename={file}.txt");
    let kind = format!("application/{kind}");
    let answer = teller.client.send("POST", &path, &kind, content.repeat(50).as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "an upload: {}", answer.json());
    let uri = text(&answer.json(), "content_uri");
    let id = uri.rsplit('/').next().expect("an id");
    teller.markers.note("media id", id, Kept::Never);
}

/// Which places each field's value is found in, in any of its forms.
fn search(markers: &Markers, places: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<String>> {
    let mut hits = BTreeMap::new();
    for (field, (value, _)) in &markers.0 {
        let forms = forms(value);
        let found = places.iter().filter(|(_, bytes)| forms.iter().any(|form| contains(bytes, form)));
        hits.insert(field.clone(), found.map(|(name, _)| name.clone()).collect());
    }
    hits
}

/// Plain, base64 at every alignment and in both alphabets, hex, percent form.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    for shift in 0..3 {
        let shifted = [vec![0; shift], bytes.to_vec()].concat();
        // The letters that depend on what stands before or behind are left out.
        let (start, end) = (shift * 8 / 6 + usize::from(shift > 0), (shifted.len() * 8) / 6);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            forms.extend(text.get(start..end).map(|text| text.as_bytes().to_vec()));
        }
    }
    let hex = |upper| -> String {
        bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    forms.extend([hex(false).into_bytes(), hex(true).into_bytes(), escape(value).into_bytes()]);
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    forms.extend([percent.to_uppercase().into_bytes(), percent.into_bytes()]);
    forms.retain(|form| form.len() >= 8);
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn contains(bytes: &[u8], form: &[u8]) -> bool {
    let first = form[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(form) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

fn read_files(directory: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path: PathBuf = entry.expect("an entry").path();
        places.push((
            format!("name of {}", path.display()),
            path.file_name().expect("a name").as_encoded_bytes().to_vec(),
        ));
        if path.is_dir() {
            read_files(&path, places);
        } else if path.is_file() {
            places.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
}

/// Every key and value of every database, through RocksDB's own reader.
fn read_rows(data: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    use rocksdb::{DB, IteratorMode, Options};
    let mut rows = 0;
    for instance in ["records", "soup", "inbox"] {
        let path = data.join(instance);
        let families = DB::list_cf(&Options::default(), &path).expect("a database");
        let database = DB::open_cf_for_read_only(&Options::default(), &path, &families, false).expect("a database");
        for family in &families {
            let handle = database.cf_handle(family).expect("a family");
            let mut all = Vec::new();
            for row in database.iterator_cf(&handle, IteratorMode::Start) {
                let (key, value) = row.expect("a row");
                all.extend_from_slice(&key);
                all.extend_from_slice(&value);
                rows += 1;
            }
            places.push((format!("rows of {instance} {family}"), all));
        }
    }
    assert!(rows > 0, "there are no rows to search");
}

#[cfg(test)]
mod tests {
    use super::{contains, forms};

    #[test]
    fn every_form_is_found_inside_other_bytes() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let marker = "cnryabcdefghijklmn";
        for before in ["", "x", "xy", "xyz"] {
            let text = STANDARD.encode(format!("{before}{marker}zz"));
            assert!(forms(marker).iter().any(|form| contains(text.as_bytes(), form)), "after {before:?}");
        }
        assert!(!forms(marker).iter().any(|form| contains(b"cnryabcdefghijklm", form)));
    }
}

//! What rooms hold: names, state, messages, threads, what replaces them.

use serde_json::{Value, json};

use super::{Kept, Teller};
use crate::{http::escape, process::text};

pub(super) fn a_room(teller: &mut Teller<'_>) -> String {
    let marks = &mut *teller.markers;
    let (name, topic) = (marks.stored("room name"), marks.stored("room topic"));
    let (kind, key) = (marks.stored("state type"), marks.stored("state key"));
    let (value, alias) = (marks.stored("state content"), marks.stored("alias"));
    let body = json!({
        "name": name, "topic": topic, "room_alias_name": alias, "preset": "private_chat", "invite": [teller.other.user],
        "initial_state": [{ "type": kind, "state_key": key, "content": { "v": value } }]
    });
    let room = text(&teller.me.post("/_matrix/client/v3/createRoom", &body), "room_id");
    teller.markers.note("room id", &room, Kept::Stored);
    room
}

pub(super) fn messages(teller: &mut Teller<'_>, room: &str) {
    let base = at(room, "");
    let body = teller.markers.stored("message text");
    let transaction = teller.markers.stored("transaction id");
    let path = format!("{base}send/m.room.message/{transaction}");
    let event = text(&teller.me.put(&path, &json!({ "msgtype": "m.text", "body": body })), "event_id");
    teller.markers.note("event id", &event, Kept::Stored);
    let kind = teller.markers.stored("event type");
    teller.me.put(&format!("{base}send/{kind}/t2"), &json!({ "x": 1 }));
    let reaction = teller.markers.stored("reaction");
    let relation = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": reaction } });
    teller.me.put(&format!("{base}send/m.reaction/t3"), &relation);
    let reason = teller.markers.stored("redaction reason");
    let gone = say(teller, room, "t4", "gone");
    teller.me.put(&format!("{base}redact/{}/t5", escape(&gone)), &json!({ "reason": reason }));
    teller.me.post(&format!("{base}receipt/m.read/{}", escape(&event)), &json!({}));
    let typing = format!("{base}typing/{}", escape(&teller.me.user));
    teller.me.put(&typing, &json!({ "typing": true, "timeout": 1000 }));
}

/// A thread that is followed.
pub(super) fn thread(teller: &mut Teller<'_>, room: &str) {
    let root = say(teller, room, "root", "root");
    let reply = teller.markers.stored("text in a thread");
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let body = json!({ "msgtype": "m.text", "body": reply, "m.relates_to": relation });
    let reply = text(&teller.me.put(&at(room, "send/m.room.message/reply"), &body), "event_id");
    teller.markers.note("root of a followed thread", &root, Kept::Stored);
    let path = format!(
        "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription",
        escape(room),
        escape(&root)
    );
    teller.me.put(&path, &json!({ "automatic": reply }));
}

/// Events for later (MSC4140).
pub(super) fn delayed(teller: &mut Teller<'_>, room: &str) {
    let body = teller.markers.stored("text of a delayed event");
    let path = at(room, "send/m.room.message/later?org.matrix.msc4140.delay=86400000");
    let answer = teller.me.put(&path, &json!({ "msgtype": "m.text", "body": body }));
    teller.markers.note("delay id", &text(&answer, "delay_id"), Kept::Stored);
    let key = teller.markers.stored("state key of a delayed event");
    let value = teller.markers.stored("content of a delayed state event");
    let path = at(room, &format!("state/org.example.later/{key}?org.matrix.msc4140.delay=86400000"));
    teller.me.put(&path, &json!({ "v": value }));
}

/// Rooms that replace others.
pub(super) fn upgrade(teller: &mut Teller<'_>) {
    let name = teller.markers.stored("name of a room that is upgraded");
    let old = text(
        &teller.me.post("/_matrix/client/v3/createRoom", &json!({ "name": name, "room_version": "10" })),
        "room_id",
    );
    let new = teller.me.post(&at(&old, "upgrade"), &json!({ "new_version": "12" }));
    teller.markers.note("room id of the upgrade", &text(&new, "replacement_room"), Kept::Stored);
    let lonely = text(&teller.me.post("/_matrix/client/v3/createRoom", &json!({})), "room_id");
    let (body, room) = (teller.markers.stored("tombstone text"), teller.markers.stored("replacement room"));
    let tombstone = json!({ "body": body, "replacement_room": format!("!{room}:elsewhere.example") });
    teller.me.put(&at(&lonely, "state/m.room.tombstone/"), &tombstone);
}

/// What everybody may find, and spaces.
pub(super) fn directory(teller: &mut Teller<'_>, room: &str) {
    let marks = &mut *teller.markers;
    let (name, topic) = (marks.stored("public room name"), marks.stored("public room topic"));
    let (alias, second) = (marks.stored("public alias"), marks.stored("second alias"));
    let body = json!({
        "name": name, "topic": topic, "room_alias_name": alias, "preset": "public_chat", "visibility": "public",
        "creation_content": { "type": "m.space" }
    });
    let space = text(&teller.me.post("/_matrix/client/v3/createRoom", &body), "room_id");
    teller.markers.note("public room id", &space, Kept::Stored);
    let path = format!("/_matrix/client/v3/directory/room/{}", escape(&format!("#{second}:localhost")));
    teller.me.put(&path, &json!({ "room_id": space }));
    let order = teller.markers.stored("order in a space");
    let child = json!({ "via": ["localhost"], "order": order });
    teller.me.put(&at(&space, &format!("state/m.space.child/{}", escape(room))), &child);
    teller.other.get(&format!("/_matrix/client/v1/rooms/{}/hierarchy", escape(&space)));
}

/// A path under a room's.
pub(super) fn at(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", escape(room))
}

/// Says something; the event's id.
pub(super) fn say(teller: &mut Teller<'_>, room: &str, transaction: &str, body: &str) -> String {
    let path = at(room, &format!("send/m.room.message/{transaction}"));
    let message: Value = json!({ "msgtype": "m.text", "body": body });
    text(&teller.me.put(&path, &message), "event_id")
}

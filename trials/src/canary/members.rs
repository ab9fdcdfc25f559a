//! Who comes to a room and goes, and the reasons that are given.

use serde_json::{Value, json};

use super::{Kept, Person, Teller, rooms::at};
use crate::{http::escape, process::text};

pub(super) fn joins(teller: &mut Teller<'_>, room: &str) {
    let reason = teller.markers.stored("reason of a join");
    teller.other.post(&at(room, "join"), &json!({ "reason": reason }));
}

/// Knocking at a room, and being let in, put out and banned.
pub(super) fn knocks(teller: &mut Teller<'_>) {
    let name = teller.markers.stored("name of a room that is knocked at");
    let rules = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } });
    let body = json!({ "name": name, "preset": "private_chat", "initial_state": [rules] });
    let room = text(&teller.me.post("/_matrix/client/v3/createRoom", &body), "room_id");
    teller.markers.note("room id knocked at", &room, Kept::Stored);
    let reason = teller.markers.stored("reason of a knock");
    teller.other.post(&format!("/_matrix/client/v3/knock/{}", escape(&room)), &json!({ "reason": reason }));
    let user = teller.other.user.clone();
    let reason = |teller: &mut Teller<'_>, what: &str| teller.markers.stored(&format!("reason of {what}"));
    let about = |reason: String| json!({ "user_id": user, "reason": reason });
    let reasons = ["an invitation", "a leave", "a second invitation", "a kick", "a ban", "an unban"];
    let [invitation, leave, second, kick, ban, unban] = reasons.map(|what| reason(teller, what));
    let act = |person: &mut Person, what: &str, body: &Value| person.post(&at(&room, what), body);
    act(&mut teller.me, "invite", &about(invitation));
    act(&mut teller.other, "join", &json!({}));
    act(&mut teller.other, "leave", &json!({ "reason": leave }));
    act(&mut teller.me, "invite", &about(second));
    act(&mut teller.me, "kick", &about(kick));
    act(&mut teller.me, "ban", &about(ban));
    act(&mut teller.me, "unban", &about(unban));
}

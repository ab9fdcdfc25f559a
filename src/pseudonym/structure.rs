//! The structural places of an event where an MXID is enrolled even when nobody of that name ever joined.

use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    sender: String,
    state_key: Option<String>,
    content: Value,
}

/// Every MXID in a structural place of the event, and whether it is one that acts or is acted upon, of which an event has
/// two; none when the text is not an event.
pub(super) fn named(json: &str) -> Vec<(OwnedUserId, bool)> {
    let Ok(event) = serde_json::from_str::<Event>(json) else { return Vec::new() };
    let content = &event.content;
    let member = event.state_key.as_deref().filter(|_| event.kind == "m.room.member");
    let acting = [Some(event.sender.as_str()), member].into_iter().flatten();
    let mut names = Vec::new();
    match event.kind.as_str() {
        "m.room.member" => {
            names.extend(content["join_authorised_via_users_server"].as_str());
            names.extend(content["third_party_invite"]["signed"]["mxid"].as_str());
        }
        "m.room.power_levels" => {
            let users = content["users"].as_object().into_iter().flatten();
            names.extend(users.map(|(name, _)| name.as_str()));
        }
        "m.room.create" => {
            names.extend(content["creator"].as_str());
            names.extend(texts(&content["additional_creators"]));
        }
        _ => {}
    }
    names.extend(texts(&content["m.mentions"]["user_ids"]));
    names.extend(texts(&content["m.new_content"]["m.mentions"]["user_ids"]));
    let named = acting.map(|name| (name, true)).chain(names.into_iter().map(|name| (name, false)));
    named.filter_map(|(name, acts)| Some((UserId::parse(name).ok()?, acts))).collect()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

//! Replacing a room by one of another version (spec: client-server API, room upgrades).

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, Int, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    canonical_json::CanonicalJsonValue as Json, events::room::member::MembershipState,
};

use super::{
    Entry, Error,
    create::{InitialState, MAX_INITIAL_STATE, Preset},
    hall::Rooms,
    lifetime::{RETENTION, UNSTABLE},
    make::Wish,
    membership::Change,
    room::Room,
};
use crate::{
    accounts::Account,
    event::{Draft, Event, rules_of},
    house::{Alias, HouseChange},
};

/// State that goes with the room, by type, with its state keys.
const COPIED: [&str; 12] = [
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.encryption",
    "m.room.server_acl",
    RETENTION,
    UNSTABLE,
    "m.space.parent",
    "m.space.child",
];
/// The state events and bans that go with a room: a space has some hundred rooms, and a ban list as many names.
const MOST_COPIED: usize = 1000;

impl Rooms {
    /// Replaces `old` by a new room of `version`; answers when the old one points at it.
    pub async fn upgrade(
        &self,
        old: &Arc<Room>,
        account: &Arc<Account>,
        version: RoomVersionId,
        additional: Vec<OwnedUserId>,
    ) -> Result<OwnedRoomId, Error> {
        let user = &account.user_id;
        let view = old.view();
        let rules = &old.rules.authorization;
        if view.state.power_of(user, rules) < view.state.power_to_send("m.room.tombstone", true, rules) {
            return Err(Error::Forbidden);
        }
        let copied = COPIED.iter().flat_map(|kind| view.state.of_kind(kind)).filter_map(|event| copy(event));
        let mut first: Vec<InitialState> = copied.take(MOST_COPIED).collect();
        let rest = first.split_off(first.len().min(MAX_INITIAL_STATE));
        let wish = Wish { initial_state: first, ..successor(old, account, version, &additional)? };
        let new = self.create(account, wish).await?;
        self.furnish(old, &new, user, rest).await?;
        let content =
            object([("body", text("This room has been replaced")), ("replacement_room", text(new.id.as_str()))]);
        self.send(old, Draft::state(&old.id, user, "m.room.tombstone", "", content), None).await?;
        self.hand_on(old, &new, account).await?;
        self.bring_all_along(old).await;
        if let Some(content) = quietened(old) {
            // Who may replace a room need not be able to silence it.
            let _ = self.send(old, Draft::state(&old.id, user, "m.room.power_levels", "", content), None).await;
        }
        Ok(new.id.clone())
    }

    /// Gives the new room more state than fits into its foundation, and the old one's bans: who was kept out stays out.
    async fn furnish(&self, old: &Room, new: &Arc<Room>, user: &UserId, state: Vec<InitialState>) -> Result<(), Error> {
        for InitialState { kind, state_key, content } in state {
            self.send(new, Draft::state(&new.id, user, &kind, &state_key, content), None).await?;
        }
        let view = old.view();
        let banned = view.state.members().filter(|(_, membership, _)| *membership == MembershipState::Ban);
        for (target, _, event) in banned.take(MOST_COPIED) {
            let change = Change { reason: event.content_str("reason"), ..Change::default() };
            // Nobody bans a creator, and who was made one meanwhile is welcome.
            let _ = self.put_out(new, user, target, true, change).await;
        }
        Ok(())
    }

    /// Makes the old room's aliases and its place in the directory the new one's.
    async fn hand_on(&self, old: &Arc<Room>, new: &Arc<Room>, account: &Account) -> Result<(), Error> {
        let naming = self.naming.lock().await;
        let house = self.house.view()?;
        let mut changes = Vec::new();
        for alias in self.aliases_of(&house, &old.id) {
            let entry = Alias { room: new.id.clone(), slot: new.slot, creator: account.user_id.clone() };
            changes.push(HouseChange::Alias(alias, Some(entry)));
        }
        if house.listed.contains_key(&old.id) {
            changes.push(HouseChange::Listed(old.id.clone(), false));
            changes.push(HouseChange::Listed(new.id.clone(), true));
        }
        if !changes.is_empty() {
            self.house.change(|_| changes).await?;
        }
        drop(naming);
        self.reconsider(&old.id).await;
        self.reconsider(&new.id).await;
        let canonical = old.view().state.find("m.room.canonical_alias", "").and_then(|event| event.content_as());
        let Some(content) = canonical.filter(|content: &CanonicalJsonObject| !content.is_empty()) else {
            return Ok(());
        };
        let user = &account.user_id;
        self.send(new, Draft::state(&new.id, user, "m.room.canonical_alias", "", content), None).await?;
        let empty = Draft::state(&old.id, user, "m.room.canonical_alias", "", CanonicalJsonObject::new());
        let _ = self.send(old, empty, None).await;
        Ok(())
    }
}

/// The room that takes the place of `old`.
fn successor(old: &Room, account: &Account, version: RoomVersionId, additional: &[OwnedUserId]) -> Result<Wish, Error> {
    let rules = rules_of(&version).ok_or(Error::UnsupportedVersion)?.authorization;
    let view = old.view();
    let mut predecessor = object([("room_id", text(old.id.as_str()))]);
    // What is left where everything has expired is the beginning.
    let last =
        view.timeline.last().map(Entry::id).or_else(|| Some(view.state.find("m.room.create", "")?.id().to_owned()));
    if let Some(last) = last.filter(|_| !rules.explicitly_privilege_room_creators) {
        predecessor.insert("event_id".to_owned(), text(last.as_str()));
    }
    let mut creation = object([("predecessor", Json::Object(predecessor))]);
    if let Some(kind) = view.state.room_type() {
        creation.insert("type".to_owned(), Json::String(kind));
    }
    if !view.state.federates() {
        creation.insert("m.federate".to_owned(), Json::Bool(false));
    }
    if rules.additional_room_creators && !additional.is_empty() {
        let creators = additional.iter().map(|user| text(user.as_str())).collect();
        creation.insert("additional_creators".to_owned(), Json::Array(creators));
    }
    let mut levels: CanonicalJsonObject =
        view.state.power_levels().and_then(|event| event.content_as()).unwrap_or_default();
    if let Some(Json::Object(users)) = levels.get_mut("users") {
        let is_creator = |name: &str| {
            rules.explicitly_privilege_room_creators
                && (name == account.user_id.as_str() || additional.iter().any(|user| user == name))
        };
        users.retain(|name, _| !is_creator(name));
        if !rules.explicitly_privilege_room_creators {
            // Who stood above the administrators stands with them where there is nothing above.
            let creators = view.state.creators(&old.rules.authorization);
            let raised = creators.iter().filter(|_| old.rules.authorization.explicitly_privilege_room_creators);
            users.extend(raised.map(|user| (user.to_string(), Json::Integer(Int::from(100)))));
            users.insert(account.user_id.to_string(), Json::Integer(Int::from(100)));
        }
    }
    if rules.integer_power_levels {
        levels.values_mut().for_each(as_integers);
    }
    Ok(Wish {
        version: Some(version),
        preset: Some(Preset::Private),
        creation_content: creation,
        power_level_content_override: levels,
        ..Wish::default()
    })
}

fn copy(event: &Event) -> Option<InitialState> {
    let content: CanonicalJsonObject = event.content_as()?;
    let state_key = event.state_key()?.to_owned();
    (!content.is_empty()).then(|| InitialState { kind: event.kind().to_owned(), state_key, content })
}

/// Levels that older versions let stand as text, as the numbers they mean.
fn as_integers(level: &mut Json) {
    match level {
        Json::String(text) => {
            let number = text.trim().parse::<i64>().ok().and_then(|number| Int::try_from(number).ok());
            *level = number.map_or(Json::Null, Json::Integer);
        }
        Json::Object(levels) => levels.values_mut().for_each(as_integers),
        _ => {}
    }
}

/// Power levels under which nobody but moderators speaks or invites.
fn quietened(old: &Room) -> Option<CanonicalJsonObject> {
    let mut levels: CanonicalJsonObject = old.view().state.power_levels()?.content_as()?;
    levels.values_mut().for_each(as_integers);
    let level = |field: &str, levels: &CanonicalJsonObject| match levels.get(field) {
        Some(Json::Integer(level)) => i64::from(*level),
        _ => 0,
    };
    let least = 50.max(level("users_default", &levels) + 1);
    for field in ["events_default", "invite"] {
        let level = level(field, &levels).max(least);
        levels.insert(field.to_owned(), Json::Integer(Int::new_saturating(level)));
    }
    Some(levels)
}

fn object<const N: usize>(fields: [(&str, Json); N]) -> CanonicalJsonObject {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(value: &str) -> Json {
    Json::String(value.to_owned())
}

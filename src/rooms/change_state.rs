//! State as clients set it: a state event is sent the way its type needs.
//!
//! Nothing here takes anybody's right to the room's key without replacing it: memberships go through their own functions, and
//! whoever narrows the join rules goes through [`Rooms::send_rotating`].

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, OwnedEventId, RoomAliasId, UserId, canonical_json::CanonicalJsonValue,
    events::room::member::MembershipState,
};

use super::{Error, hall::Rooms, membership::Change, room::Room};
use crate::{accounts::Account, event::Draft};

impl Rooms {
    /// Sends a state event as `account`.
    ///
    /// # Errors
    /// An alias that does not lead to the room, and whatever the rules refuse.
    pub async fn set_state(
        &self,
        room: &Arc<Room>,
        account: &Arc<Account>,
        kind: &str,
        state_key: &str,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, Error> {
        match (kind, state_key) {
            ("m.room.member", _) => return self.set_member(room, account, state_key, content).await,
            ("m.room.canonical_alias", "") => self.check_aliases(room, &content)?,
            ("m.room.power_levels", "") => check_levels(room, &content)?,
            // A room is created once.
            ("m.room.create", "") => return Err(Error::Unchangeable),
            _ => {}
        }
        let draft = Draft::state(&room.id, &account.user_id, kind, state_key, content);
        match kind {
            "m.room.join_rules" => self.send_rotating(room, draft, None).await,
            "m.room.tombstone" => {
                let id = self.send(room, draft, None).await?;
                self.bring_all_along(room).await;
                Ok(id)
            }
            _ => self.send(room, draft, None).await,
        }
    }

    async fn set_member(
        &self,
        room: &Arc<Room>,
        account: &Arc<Account>,
        state_key: &str,
        mut content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, Error> {
        let target = UserId::parse(state_key).map_err(|_| Error::Forbidden)?;
        let membership = content.get("membership").and_then(CanonicalJsonValue::as_str);
        let membership = membership.map(MembershipState::from).ok_or(Error::InvalidState)?;
        let (sender, now) = (&account.user_id, room.membership(&target));
        if membership == MembershipState::Join && now == membership && *sender == target {
            // A name or avatar for this room alone. Who once let the user in does not matter any more.
            content.remove("join_authorised_via_users_server");
            let draft = Draft::state(&room.id, sender, "m.room.member", state_key, content);
            return self.send(room, draft, None).await;
        }
        let change = Change { extra: content, ..Change::default() };
        match membership {
            MembershipState::Join if *sender == target => self.enter_room(room, account, change).await?,
            MembershipState::Knock if *sender == target => self.knock(room, account, change).await?,
            MembershipState::Invite => return self.invite(room, sender, &target, change).await,
            MembershipState::Leave if now == MembershipState::Ban => {
                return self.unban(room, sender, &target, change).await;
            }
            MembershipState::Leave => return self.put_out(room, sender, &target, false, change).await,
            MembershipState::Ban => return self.put_out(room, sender, &target, true, change).await,
            _ => return Err(Error::Forbidden),
        }
        room.view().state.member(&target).map(|event| event.id().to_owned()).ok_or(Error::Forbidden)
    }

    /// Every alias that the room did not name before has to lead to it.
    fn check_aliases(&self, room: &Room, content: &CanonicalJsonObject) -> Result<(), Error> {
        let text = |value: &CanonicalJsonValue| value.as_str().map(ToOwned::to_owned);
        let named = |content: &CanonicalJsonObject| -> Option<Vec<String>> {
            let mut aliases = Vec::new();
            match content.get("alias") {
                None | Some(CanonicalJsonValue::Null) => {}
                Some(alias) => aliases.push(text(alias)?),
            }
            match content.get("alt_aliases") {
                None | Some(CanonicalJsonValue::Null) => {}
                Some(CanonicalJsonValue::Array(list)) => {
                    for alias in list {
                        aliases.push(text(alias)?);
                    }
                }
                Some(_) => return None,
            }
            Some(aliases)
        };
        let view = room.view();
        let before = view.state.find("m.room.canonical_alias", "").and_then(|event| event.content_as());
        let before = before.and_then(|content| named(&content)).unwrap_or_default();
        let house = self.house.view()?;
        for alias in named(content).ok_or(Error::InvalidAlias)?.iter().filter(|alias| !alias.is_empty()) {
            let parsed = RoomAliasId::parse(alias.as_str()).map_err(|_| Error::InvalidAlias)?;
            let leads_here = self.living_alias(&house, &parsed).is_some_and(|entry| entry.room == room.id);
            if !leads_here && !before.contains(alias) {
                return Err(Error::BadAlias);
            }
        }
        Ok(())
    }
}

/// Fields of power levels that are one level.
const LEVELS: [&str; 7] = ["ban", "events_default", "invite", "kick", "redact", "state_default", "users_default"];
/// Fields of power levels that hold levels by name.
const NAMED_LEVELS: [&str; 3] = ["events", "notifications", "users"];

/// Power levels have to be levels, and say nothing of those whose power the room's version makes unlimited.
fn check_levels(room: &Room, content: &CanonicalJsonObject) -> Result<(), Error> {
    let rules = &room.rules.authorization;
    let is_level = |value: &CanonicalJsonValue| match value {
        CanonicalJsonValue::Integer(_) => true,
        CanonicalJsonValue::String(text) => !rules.integer_power_levels && text.trim().parse::<i64>().is_ok(),
        _ => false,
    };
    let named = |field: &&str| match content.get(*field) {
        None => true,
        Some(CanonicalJsonValue::Object(levels)) => levels.values().all(is_level),
        Some(_) => false,
    };
    let users = content.get("users").and_then(CanonicalJsonValue::as_object);
    let are_users = users.is_none_or(|users| users.keys().all(|user| UserId::parse(user).is_ok()));
    if !LEVELS.iter().all(|field| content.get(*field).is_none_or(is_level))
        || !NAMED_LEVELS.iter().all(named)
        || !are_users
    {
        return Err(Error::BadLevels);
    }
    let creators = room.view().state.creators(rules);
    let names = |user: &UserId| users.is_some_and(|users| users.contains_key(user.as_str()));
    if rules.explicitly_privilege_room_creators && creators.iter().any(|creator| names(creator)) {
        return Err(Error::Unchangeable);
    }
    Ok(())
}

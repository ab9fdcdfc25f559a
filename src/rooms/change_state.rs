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
            // A room is created once.
            ("m.room.create", _) => return Err(Error::Forbidden),
            _ => {}
        }
        let draft = Draft::state(&room.id, &account.user_id, kind, state_key, content);
        if kind == "m.room.join_rules" {
            self.send_rotating(room, draft, None).await
        } else {
            self.send(room, draft, None).await
        }
    }

    async fn set_member(
        &self,
        room: &Arc<Room>,
        account: &Arc<Account>,
        state_key: &str,
        content: CanonicalJsonObject,
    ) -> Result<OwnedEventId, Error> {
        let target = UserId::parse(state_key).map_err(|_| Error::Forbidden)?;
        let text = |field: &str| content.get(field).and_then(CanonicalJsonValue::as_str).map(ToOwned::to_owned);
        let membership = text("membership").map(MembershipState::from).ok_or(Error::InvalidState)?;
        let is_direct = content.get("is_direct") == Some(&CanonicalJsonValue::Bool(true));
        let change = Change { reason: text("reason"), is_direct, authorised_via: None };
        let (sender, now) = (&account.user_id, room.membership(&target));
        match membership {
            // A name or avatar for this room alone.
            MembershipState::Join if *sender == target && now == MembershipState::Join => {
                let draft = Draft::state(&room.id, sender, "m.room.member", state_key, content);
                return self.send(room, draft, None).await;
            }
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

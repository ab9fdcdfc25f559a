//! The room directory: aliases, and the rooms that are shown to everybody.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId, canonical_json::CanonicalJsonValue,
};
use serde_json::{Value, json};

use super::{Error, core::Access, hall::Rooms, room::Room};
use crate::{
    accounts::Account,
    event::{Draft, MAX_FIELD_BYTES},
    house::{Alias, HouseChange, HouseLedger},
};

/// The most aliases of one room: each is a name nobody else can have.
const MAX_ALIASES: usize = 50;

/// A page of the directory.
pub struct Listing {
    /// Rooms, the largest first.
    pub rooms: Vec<Value>,
    /// How many there are in all.
    pub total: usize,
    /// Where the page before starts.
    pub previous: Option<usize>,
    /// Where the next page starts.
    pub next: Option<usize>,
}

/// Which rooms of the directory.
#[derive(Default)]
pub struct Search {
    /// Only rooms with this text in name, topic or alias, whatever its case.
    pub term: Option<String>,
    /// Only rooms of these types; `None` stands for rooms without one.
    pub types: Option<Vec<Option<String>>>,
    /// How many to leave out.
    pub skip: usize,
    /// The most rooms.
    pub limit: usize,
}

impl Rooms {
    /// Where an alias leads.
    pub fn resolve(&self, alias: &RoomAliasId) -> Result<OwnedRoomId, Error> {
        if alias.server_name() != self.policy.server_name {
            return Err(Error::UnknownAlias);
        }
        let house = self.house.view()?;
        self.living_alias(&house, alias).map(|entry| entry.room.clone()).ok_or(Error::UnknownAlias)
    }

    /// Makes `alias` lead to a room that `account` is in.
    pub async fn add_alias(&self, alias: &RoomAliasId, id: &RoomId, account: &Account) -> Result<(), Error> {
        if alias.server_name() != self.policy.server_name || alias.as_bytes().len() > MAX_FIELD_BYTES {
            return Err(Error::InvalidAlias);
        }
        let room = self.joined(id, account).await?;
        let _naming = self.naming.lock().await;
        let house = self.house.view()?;
        if self.living_alias(&house, alias).is_some() {
            return Err(Error::AliasExists);
        }
        if self.aliases_of(&house, id).len() >= MAX_ALIASES {
            return Err(Error::TooMany);
        }
        let entry = Alias { room: room.id.clone(), slot: room.slot, creator: account.user_id.clone() };
        self.house.change(|_| vec![HouseChange::Alias(alias.to_owned(), Some(entry))]).await?;
        self.reconsider(id).await;
        Ok(())
    }

    /// Takes an alias back: for who made it, and for who may choose the room's canonical alias.
    pub async fn remove_alias(&self, alias: &RoomAliasId, account: &Account) -> Result<(), Error> {
        let house = self.house.view()?;
        let entry = self.living_alias(&house, alias).ok_or(Error::UnknownAlias)?.clone();
        let room = self.reach(&entry.room, account).await.ok();
        let names = room.as_ref().is_some_and(|room| may_name(room, &account.user_id));
        if entry.creator != account.user_id && !names {
            return Err(Error::Forbidden);
        }
        self.house.change(|_| vec![HouseChange::Alias(alias.to_owned(), None)]).await?;
        self.reconsider(&entry.room).await;
        if let Some(room) = room.filter(|_| names) {
            self.drop_canonical(&room, &account.user_id, alias).await?;
        }
        Ok(())
    }

    /// The aliases of a room that `account` may read.
    pub async fn aliases(&self, id: &RoomId, account: &Account) -> Result<Vec<OwnedRoomAliasId>, Error> {
        self.readable(id, account).await?;
        Ok(self.aliases_of(&*self.house.view()?, id))
    }

    pub(super) fn aliases_of(&self, house: &HouseLedger, id: &RoomId) -> Vec<OwnedRoomAliasId> {
        let living = |slot| self.journals.slots.contains(slot);
        let aliases = house.aliases.iter().filter(|(_, entry)| entry.room == id && living(&entry.slot));
        aliases.map(|(alias, _)| alias.clone()).collect()
    }

    /// Whether a room is in the directory.
    pub fn is_listed(&self, id: &RoomId) -> Result<bool, Error> {
        Ok(self.house.view()?.listed.contains_key(id))
    }

    /// Puts a room into the directory, or takes it out: for who may choose its canonical alias.
    pub async fn list(&self, id: &RoomId, account: &Account, listed: bool) -> Result<(), Error> {
        let room = self.joined(id, account).await?;
        if !may_name(&room, &account.user_id) {
            return Err(Error::Forbidden);
        }
        Ok(self.house.change(|_| vec![HouseChange::Listed(id.to_owned(), listed)]).await?)
    }

    /// A page of the directory as `account` sees it. A listed room that is neither public nor open is left out.
    pub async fn listing(&self, account: &Account, search: &Search) -> Result<Listing, Error> {
        let mut found = Vec::new();
        for id in self.house.view()?.listed.keys() {
            let Ok(room) = self.reach(id, account).await else { continue };
            let view = room.view();
            let kind = view.state.room_type();
            if search.types.as_ref().is_some_and(|types| !types.contains(&kind)) || !fits(&room, search) {
                continue;
            }
            found.push((view.state.joined().count(), room));
        }
        found.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.id.cmp(&right.id)));
        let total = found.len();
        let skip = search.skip.min(total);
        let rooms: Vec<Value> = found.iter().skip(skip).take(search.limit).map(|(_, room)| card(room)).collect();
        let behind = skip + rooms.len();
        let previous = (skip > 0).then(|| skip.saturating_sub(search.limit));
        Ok(Listing { rooms, total, previous, next: (behind < total).then_some(behind) })
    }

    /// What a room is, for somebody who may know it.
    pub async fn room_card(&self, id: &RoomId, account: &Account) -> Result<Value, Error> {
        let room = self.reach(id, account).await?;
        if !self.may_know(&room, &account.user_id) {
            return Err(Error::UnknownRoom);
        }
        let mut card = card(&room);
        card["membership"] = json!(room.membership(&account.user_id));
        Ok(card)
    }

    /// Takes an alias that is no more out of the room's own list.
    async fn drop_canonical(&self, room: &Arc<Room>, user: &UserId, alias: &RoomAliasId) -> Result<(), Error> {
        let view = room.view();
        let Some(event) = view.state.find("m.room.canonical_alias", "") else { return Ok(()) };
        let Some(before) = event.content_as::<CanonicalJsonObject>() else { return Ok(()) };
        let mut content = before.clone();
        let is_it = |value: &CanonicalJsonValue| value.as_str() == Some(alias.as_str());
        if content.get("alias").is_some_and(is_it) {
            content.remove("alias");
        }
        if let Some(CanonicalJsonValue::Array(others)) = content.get_mut("alt_aliases") {
            others.retain(|other| !is_it(other));
        }
        if content == before {
            return Ok(());
        }
        let draft = Draft::state(&room.id, user, "m.room.canonical_alias", "", content);
        self.send(room, draft, None).await.map(|_| ())
    }
}

/// Whether `user` is in the room and may choose its canonical alias.
fn may_name(room: &Room, user: &UserId) -> bool {
    let view = room.view();
    let rules = &room.rules.authorization;
    let needed = view.state.power_to_send("m.room.canonical_alias", true, rules);
    view.is_joined(user) && view.state.power_of(user, rules) >= needed
}

fn fits(room: &Room, search: &Search) -> bool {
    let Some(term) = search.term.as_ref().filter(|term| !term.is_empty()) else { return true };
    let term = term.to_lowercase();
    let state = &room.view().state;
    let texts = [state.name(), state.topic(), state.canonical_alias()];
    texts.iter().flatten().any(|text| text.to_lowercase().contains(&term))
}

/// What strangers are shown of a room (spec: `PublicRoomsChunk`, `RoomSummary`).
pub(super) fn card(room: &Room) -> Value {
    let view = room.view();
    let state = &view.state;
    let mut card = json!({
        "room_id": room.id,
        "num_joined_members": state.joined().count(),
        "world_readable": state.history_visibility() == "world_readable",
        "guest_can_join": state.guests_can_join(),
        "join_rule": state.join_rule(),
        "room_version": room.version,
    });
    let texts = [
        ("name", state.name()),
        ("topic", state.topic()),
        ("avatar_url", state.avatar()),
        ("canonical_alias", state.canonical_alias()),
        ("room_type", state.room_type()),
        ("encryption", state.encryption()),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            card[field] = Value::String(text);
        }
    }
    if let Access::Restricted(rooms) = view.access() {
        card["allowed_room_ids"] = json!(rooms);
    }
    card
}

//! Making a room as a client asks for it: names and people are checked before anything is written.

use std::sync::Arc;

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, RoomVersionId,
    canonical_json::CanonicalJsonObject, room_version_rules::RoomIdFormatVersion,
};

use super::{
    Error,
    create::{CreateError, CreateRoom, InitialState, MAX_INVITES, Person, Preset, plan},
    hall::Rooms,
    room::Room,
};
use crate::{
    accounts::Account,
    event::rules_of,
    house::{Alias, HouseChange, HouseLedger},
};

/// What a client asks of a new room.
#[derive(Default)]
pub struct Wish {
    /// Its version; the server's default when there is none.
    pub version: Option<RoomVersionId>,
    /// The preset.
    pub preset: Option<Preset>,
    /// Whether it is published in the directory.
    pub published: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// The local part of its alias.
    pub alias_name: Option<String>,
    /// More state.
    pub initial_state: Vec<InitialState>,
    /// More content of `m.room.create`.
    pub creation_content: CanonicalJsonObject,
    /// Replaces fields of the default power levels.
    pub power_level_content_override: CanonicalJsonObject,
    /// Who is invited.
    pub invite: Vec<OwnedUserId>,
    /// Whether the invitations are to a direct chat.
    pub is_direct: bool,
}

/// What the local part of a room id that is not a hash is made of.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters in the local part of a room id that is not a hash.
const ID_LETTERS: usize = 18;

impl Rooms {
    /// Makes the room.
    ///
    /// # Errors
    /// For an alias that is taken, an invitee who does not exist, state that cannot be.
    pub async fn create(&self, creator: &Arc<Account>, wish: Wish) -> Result<Arc<Room>, Error> {
        if wish.invite.len() > MAX_INVITES {
            return Err(Error::TooMany);
        }
        self.check_room(creator, None)?;
        let version = wish.version.unwrap_or_else(|| self.policy.default_version.clone());
        if !self.policy.versions.contains(&version) {
            return Err(Error::UnsupportedVersion);
        }
        let id = self.fresh_id(&version)?;
        for user in wish.invite.iter().filter(|user| **user != creator.user_id) {
            self.check_invitee(&creator.user_id, user)?;
        }
        // Held until the alias lies in the house, so that a name checked here is still free there.
        let naming = match wish.alias_name {
            Some(_) => Some(self.naming.lock().await),
            None => None,
        };
        let alias = wish.alias_name.map(|name| self.free_alias(&name)).transpose()?;
        let request = CreateRoom {
            creator: self.person(creator.user_id.clone())?,
            version: version.clone(),
            preset: wish.preset,
            published: wish.published,
            name: wish.name,
            topic: wish.topic,
            alias: alias.clone(),
            retention: self.policy.lifetimes.shown(),
            initial_state: wish.initial_state,
            creation_content: wish.creation_content,
            power_level_content_override: wish.power_level_content_override,
            invite: wish.invite.into_iter().map(|user| self.person(user)).collect::<Result<_, _>>()?,
            is_direct: wish.is_direct,
        };
        let plan = plan(&request)?;
        let room = self.found(Some(creator), version, id, plan.drafts).await.map_err(unmade)?;
        let mut changes = Vec::new();
        if let Some(alias) = alias {
            let entry = Alias { room: room.id.clone(), slot: room.slot, creator: creator.user_id.clone() };
            changes.push(HouseChange::Alias(alias, Some(entry)));
        }
        if request.published {
            changes.push(HouseChange::Listed(room.id.clone(), true));
        }
        if !changes.is_empty() {
            self.house.change(|_| changes).await?;
        }
        drop(naming);
        self.reconsider(&room.id).await;
        Ok(room)
    }

    /// An alias of this server that leads nowhere yet.
    fn free_alias(&self, name: &str) -> Result<OwnedRoomAliasId, Error> {
        if name.is_empty() || name.chars().any(|c| c == ':' || c.is_whitespace() || c.is_control()) {
            return Err(Error::InvalidAlias);
        }
        let alias = RoomAliasId::parse(format!("#{name}:{}", self.policy.server_name));
        let alias = alias.map_err(|_| Error::InvalidAlias)?;
        if self.living_alias(&*self.house.view()?, &alias).is_some() { Err(Error::AliasTaken) } else { Ok(alias) }
    }

    /// Where an alias leads, if the room still is.
    pub(super) fn living_alias<'a>(&self, house: &'a HouseLedger, alias: &RoomAliasId) -> Option<&'a Alias> {
        house.aliases.get(alias).filter(|entry| self.journals.slots.contains(&entry.slot))
    }

    pub(super) fn person(&self, user: OwnedUserId) -> Result<Person, Error> {
        let profile = self.profile_of(&user)?;
        Ok(Person { user, profile })
    }

    /// A random id where the version does not derive it from the create event.
    pub(super) fn fresh_id(&self, version: &RoomVersionId) -> Result<Option<OwnedRoomId>, Error> {
        let rules = rules_of(version).ok_or(Error::UnsupportedVersion)?;
        if rules.room_id_format == RoomIdFormatVersion::V2 {
            return Ok(None);
        }
        let letter = |_| {
            let index = self.journals.random.below(LETTERS.len() as u64);
            char::from(LETTERS[usize::try_from(index).unwrap_or_default()])
        };
        let name: String = (0..ID_LETTERS).map(letter).collect();
        RoomId::parse(format!("!{name}:{}", self.policy.server_name)).map(Some).map_err(|_| Error::InvalidState)
    }
}

/// Founders may do everything: what the rules refuse them is state that cannot be.
fn unmade(error: Error) -> Error {
    if matches!(error, Error::Rejected(_)) { Error::InvalidState } else { error }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::UnsupportedRoomVersion => Self::UnsupportedVersion,
            CreateError::InvalidRoomState => Self::InvalidState,
            CreateError::TooMany => Self::TooMany,
        }
    }
}

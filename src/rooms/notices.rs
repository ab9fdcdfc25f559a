//! Server notices (spec: client-server API, server notices): what the operator has to say to a user, in a room of its own.
//!
//! The room is an ordinary sealed room whose key lies with its user alone. It is founded by a name that is no account and under
//! which nobody can log in, and it is destroyed when its user leaves. As in any room, nothing can be said in it before its
//! user has come since the start.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedUserId, UserId, canonical_json::CanonicalJsonValue,
    events::room::member::MembershipState,
};
use serde_json::json;

use super::{
    Error,
    core::StateMap,
    create::{CreateRoom, Person, Preset, plan},
    hall::Rooms,
    room::Room,
    view::Transaction,
};
use crate::{accounts::vault::VaultChange, event::Draft};

/// How notices are sent.
#[derive(Clone)]
pub struct Notices {
    /// Under which name.
    pub sender: OwnedUserId,
    /// What users see of it.
    pub display_name: String,
    /// What the rooms are called.
    pub room_name: String,
}

/// What is to be said.
pub struct Notice {
    /// Its `type`.
    pub kind: String,
    /// Its `state_key`, where it is state.
    pub state_key: Option<String>,
    /// Its content.
    pub content: CanonicalJsonObject,
    /// Which request it is, so that a repeated one says nothing twice.
    pub transaction: Option<Transaction>,
}

impl Notice {
    /// A message of this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let field = |name: &str, text: &str| (name.to_owned(), CanonicalJsonValue::String(text.to_owned()));
        let content = [field("msgtype", "m.text"), field("body", text)].into();
        Self { kind: "m.room.message".to_owned(), state_key: None, content, transaction: None }
    }
}

/// The tag of a room with notices.
const TAG: &str = "m.server_notice";
/// The power of those who are not the sender: they may say nothing.
const SILENT: i32 = -10;

impl Rooms {
    /// Tells `user` something as the operator, in the room between the two, which is made when there is none.
    ///
    /// # Errors
    /// [`Error::NoNotices`] where no name is configured for them, [`Error::UnknownUser`], and [`Error::Cold`] for who has
    /// not come since the start.
    pub async fn send_notice(&self, user: &UserId, notice: Notice) -> Result<OwnedEventId, Error> {
        let notices = self.policy.notices.as_ref().ok_or(Error::NoNotices)?;
        if user.server_name() != self.policy.server_name || !self.accounts.exists(user)? {
            return Err(Error::UnknownUser);
        }
        // An account that had the name first would seem to speak.
        if self.accounts.exists(&notices.sender)? {
            return Err(Error::NoNotices);
        }
        // Held until the room is there: two notices at once would make two.
        let noticing = self.noticing.lock().await;
        let room = match self.notice_room(user) {
            Some(room) => room,
            None => self.found_notice_room(notices, user).await?,
        };
        drop(noticing);
        let Notice { kind, state_key, content, transaction } = notice;
        let draft = match state_key {
            Some(state_key) => Draft::state(&room.id, &notices.sender, &kind, &state_key, content),
            None => Draft::message(&room.id, &notices.sender, &kind, content),
        };
        self.send(&room, draft, transaction).await
    }

    /// Refuses to have `user` turn down the invitation into a room for notices (spec: server notices).
    pub(super) fn check_leaving(&self, room: &Room, user: &UserId) -> Result<(), Error> {
        let view = room.view();
        let turns_down = view.state.membership(user) == MembershipState::Invite;
        if turns_down && self.is_for_notices(&view.state) { Err(Error::NoticeInvite) } else { Ok(()) }
    }

    fn is_for_notices(&self, state: &StateMap) -> bool {
        state.find("m.room.create", "").is_some_and(|create| self.sends_notices(create.sender()))
    }

    /// Whether `user` is the name that notices are sent under: it has no account and no key.
    pub(super) fn sends_notices(&self, user: &UserId) -> bool {
        self.policy.notices.as_ref().is_some_and(|notices| notices.sender == user)
    }

    fn notice_room(&self, user: &UserId) -> Option<Arc<Room>> {
        let is_his = |room: &Arc<Room>| {
            let view = room.view();
            let membership = view.state.membership(user);
            matches!(membership, MembershipState::Join | MembershipState::Invite) && self.is_for_notices(&view.state)
        };
        self.all_open().into_iter().find(is_his)
    }

    async fn found_notice_room(&self, notices: &Notices, user: &UserId) -> Result<Arc<Room>, Error> {
        // Whether a cold account has such a room only its vault can tell.
        let account = self.accounts.open(user).ok_or(Error::Cold)?;
        self.check_room(&account, None)?;
        let version = self.policy.default_version.clone();
        let name = ("displayname".to_owned(), CanonicalJsonValue::String(notices.display_name.clone()));
        let silent = ("users_default".to_owned(), CanonicalJsonValue::Integer(SILENT.into()));
        let request = CreateRoom {
            creator: Person { user: notices.sender.clone(), profile: [name].into() },
            version: version.clone(),
            preset: Some(Preset::Private),
            published: false,
            name: Some(notices.room_name.clone()),
            topic: None,
            alias: None,
            retention: self.policy.lifetimes.shown(),
            initial_state: Vec::new(),
            creation_content: CanonicalJsonObject::new(),
            power_level_content_override: [silent].into(),
            invite: vec![self.person(user.to_owned())?],
            is_direct: false,
        };
        let plan = plan(&request)?;
        let id = self.fresh_id(&version)?;
        let room = self.found(None, version, id, plan.drafts).await?;
        let tag = VaultChange::RoomData(room.id.clone(), "m.tag".to_owned(), Some(json!({ "tags": { TAG: {} } })));
        account.vault.change(&self.journals, |_| vec![tag]).await?;
        account.notify();
        Ok(room)
    }
}

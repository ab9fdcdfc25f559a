//! A changed profile reaches the rooms of its account.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};

use super::{Change, Error, hall::Rooms};
use crate::accounts::{Account, vault::Fact};

impl Rooms {
    /// Gives `account` its present name and avatar in every room it has joined; with `unchanged`, only where that field
    /// was what it says, so that a name for one room stays. A room that refuses keeps the old ones.
    pub async fn show_profile(&self, account: &Arc<Account>, unchanged: Option<(&str, Option<&str>)>) {
        let view = account.view();
        let joined = view.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let joined: Vec<OwnedRoomId> = joined.map(|(id, _)| id.clone()).collect();
        for id in joined {
            if unchanged.is_some_and(|(field, was)| self.shown_in(&id, account, field).as_deref() != was) {
                continue;
            }
            if let Err(error) = self.show_profile_in(&id, account).await {
                crate::log::debug!("a room did not take a new profile", reason = error.reason());
            }
        }
    }

    /// A field of the account's profile as the room shows it.
    fn shown_in(&self, id: &RoomId, account: &Account, field: &str) -> Option<String> {
        let view = self.find(id)?.view();
        view.state.member(&account.user_id)?.content_str(field)
    }

    async fn show_profile_in(&self, id: &RoomId, account: &Arc<Account>) -> Result<(), Error> {
        let room = self.joined(id, account).await?;
        let user = &account.user_id;
        let draft = self.member_draft(&room, user, user, &MembershipState::Join, Change::default());
        self.send(&room, draft, None).await.map(|_| ())
    }
}

//! A changed profile reaches the rooms of its account.

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, events::room::member::MembershipState};

use super::{Change, Error, hall::Rooms};
use crate::accounts::{Account, vault::Fact};

impl Rooms {
    /// Gives `account` its present name and avatar in every room it has joined. A room that refuses keeps the old ones.
    pub async fn show_profile(&self, account: &Arc<Account>) {
        let view = account.view();
        let joined = view.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        let joined: Vec<OwnedRoomId> = joined.map(|(id, _)| id.clone()).collect();
        for id in joined {
            if let Err(error) = self.show_profile_in(&id, account).await {
                crate::log::debug!("a room did not take a new profile", reason = error.reason());
            }
        }
    }

    async fn show_profile_in(&self, id: &RoomId, account: &Arc<Account>) -> Result<(), Error> {
        let room = self.joined(id, account).await?;
        let user = &account.user_id;
        let draft = self.member_draft(&room, user, user, &MembershipState::Join, Change::default());
        self.send(&room, draft, None).await.map(|_| ())
    }
}

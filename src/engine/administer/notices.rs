//! What the operator tells users.

use ruma::{OwnedEventId, UserId};

use super::Error;
use crate::{
    engine::Engine,
    rooms::{self, Notice},
};

impl Engine {
    /// Tells a user something, in the room that notices come in. The account must be open: only its vault knows the room.
    pub async fn send_notice(&self, user: &UserId, notice: Notice) -> Result<OwnedEventId, Error> {
        self.rooms.send_notice(user, notice).await.map_err(|error| match error {
            rooms::Error::UnknownUser => Error::UnknownUser,
            rooms::Error::Cold => Error::Cold,
            rooms::Error::NoNotices => Error::NoNotices,
            error => error.into(),
        })
    }
}

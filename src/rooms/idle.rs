//! Closing rooms in which nobody is open: their keys leave memory with those of their members.

use super::{Error, hall::Rooms, room::Room};

impl Rooms {
    /// Closes the rooms in which nobody of this server has a part whose account is open; how many. What was redacted or
    /// superseded in them goes before. Somebody may hold one all the same, or open it from the house a moment later.
    ///
    /// # Errors
    /// When a room gets no new generation; calling again goes on.
    pub async fn close_deserted(&self) -> Result<usize, Error> {
        let deserted: Vec<_> = self.all_open().into_iter().filter(|room| self.is_deserted(room)).collect();
        if deserted.is_empty() {
            return Ok(0);
        }
        self.rewrite_in(&deserted).await?;
        self.renew_some(&deserted).await?;
        self.pack(&deserted).await?;
        Ok(deserted.into_iter().filter(|room| self.close(room, || self.is_deserted(room))).count())
    }

    fn is_deserted(&self, room: &Room) -> bool {
        self.local_members(&room.view()).iter().all(|(user, _)| self.accounts.is_cold(user))
    }
}

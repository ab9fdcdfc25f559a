//! Rooms that a vault knows and that none of its keys opens: they are *behind* (keys.md M14). A co-member who comes sends the
//! key again, whether or not the vault still knows the room.

use ruma::RoomId;

use super::{Error, hall::Rooms, membership::without};
use crate::accounts::{
    Account,
    vault::{VaultChange, VaultLedger, VaultRoom},
};

/// Days for which a room may be behind.
const LONGEST: u64 = 90;

impl Rooms {
    /// Notes that a room is behind, or has the vault forget it when it has been for long. Nothing happens while the clock is
    /// not trusted.
    pub(super) async fn stay_behind(&self, account: &Account, id: &RoomId, entry: &VaultRoom) -> Result<(), Error> {
        let moment = self.journals.epochs.moment();
        let today = moment.time.day();
        if !moment.trusted || entry.behind.is_some_and(|since| today <= since.saturating_add(LONGEST)) {
            return Ok(());
        }
        let change = |vault: &VaultLedger| match vault.rooms.get(id) {
            // A letter with a key came meanwhile.
            Some(known) if known.behind != entry.behind || known.keys != entry.keys => Vec::new(),
            Some(_) if entry.behind.is_some() => without(vault, id),
            Some(known) => {
                let known = VaultRoom { behind: Some(today), ..known.clone() };
                vec![VaultChange::Room(id.to_owned(), Some(known))]
            }
            None => Vec::new(),
        };
        Ok(account.vault.change(&self.journals, change).await?)
    }
}

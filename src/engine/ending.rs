//! The end of an account and its beginning anew, across the layers.

use ruma::UserId;

use super::Engine;
use crate::{
    accounts::{self, Named},
    house::{self, HouseChange, HouseLedger},
    log,
    secret::SecretText,
};

impl Engine {
    /// Ends an account of this server, open or cold, and then its part in every room that is open; the others follow
    /// when they open (keys.md §2, "account delete"). With `erase` the rooms forget it.
    ///
    /// # Errors
    /// [`accounts::Error::NotFound`] for who has no account here, [`accounts::Error::House`] while the house sleeps.
    pub async fn deactivate(&self, user: &UserId, erase: bool) -> Result<(), accounts::Error> {
        self.accounts.deactivate(user, erase).await?;
        self.rooms.part_with(user).await;
        Ok(())
    }

    /// Gives an account a fresh life without what it had (keys.md §2, "reset"), and has every open room that it is in send
    /// it the room's key; the others do when they open.
    ///
    /// # Errors
    /// [`accounts::Error::NotFound`] when it has no login name or ended meanwhile.
    pub async fn abandon(&self, named: &Named, password: SecretText) -> Result<(), accounts::Error> {
        self.accounts.abandon(named, password).await?;
        self.rooms.heal_for(&named.user).await;
        Ok(())
    }

    /// Drops from the house what names slots that are gone, and clears the rooms that only the house can open
    /// (keys.md §1 M23, M24).
    pub(super) async fn tidy_house(&self) {
        let slots = &self.journals.slots;
        let stray = |house: &HouseLedger| {
            let accounts = house.accounts.iter().filter(|(_, entry)| !slots.contains(&entry.slot));
            let mut changes: Vec<_> = accounts.map(|(name, _)| HouseChange::Account(name.clone(), None)).collect();
            let aliases = house.aliases.iter().filter(|(_, entry)| !slots.contains(&entry.slot));
            changes.extend(aliases.map(|(alias, _)| HouseChange::Alias(alias.clone(), None)));
            let rooms: Vec<_> = house.public.iter().filter(|(_, entry)| !slots.contains(&entry.slot)).collect();
            changes.extend(rooms.iter().map(|(room, _)| HouseChange::Public((*room).clone(), None)));
            let listed = rooms.iter().filter(|(room, _)| house.listed.contains_key(*room));
            changes.extend(listed.map(|(room, _)| HouseChange::Listed((*room).clone(), false)));
            changes
        };
        match self.house.change(stray).await {
            Ok(()) => {}
            Err(house::Error::Asleep) => return,
            Err(_) => log::warn!("the house was not tidied"),
        }
        if let Err(error) = self.rooms.open_public().await {
            log::warn!("the public rooms could not all be opened", reason = error.reason());
        }
    }
}

//! Replacing HK, so that an old image beside an old credential ages (keys.md M16; §2, "HK change").

use std::collections::BTreeSet;

use super::{
    Accounts, Error, Letter,
    vault::{VaultChange, VaultLedger},
};
use crate::{
    house::{self, HouseLedger},
    seal::slots::SlotId,
    secret::Key,
};

impl Accounts {
    /// Replaces HK when it came in another stretch of thirty days than this one. Not while the clock is doubted or the
    /// house sleeps. Whether it was replaced.
    ///
    /// # Errors
    /// When the store or the slot table fails; calling again goes on.
    pub async fn renew_house_key(&self) -> Result<bool, Error> {
        let Some(stretch) = self.journals.epochs.sure_stretch() else { return Ok(false) };
        match self.house.view() {
            Ok(house) if house.keyed == Some(stretch) => return Ok(false),
            Err(house::Error::Asleep) => return Ok(false),
            known => known?,
        };
        self.replace_house_key().await?;
        Ok(true)
    }

    /// Replaces HK: HK′ beside HK in every open vault and in the mail of who is cold, then the house under HK′, then only
    /// HK′ stays in the vaults. A cut leaves either key in force and both within everybody's reach.
    pub(crate) async fn replace_house_key(&self) -> Result<(), Error> {
        let _alone = self.renewing.lock().await;
        let next = self.house.next_key()?;
        let mut told = BTreeSet::new();
        loop {
            self.tell_key(&next, &mut told).await?;
            let knows = |slot: &SlotId| told.contains(slot) || !self.journals.slots.contains(slot);
            let all = |house: &HouseLedger| house.accounts.values().all(|entry| knows(&entry.slot));
            if self.house.put_key(&next, all).await? {
                break;
            }
        }
        let mut done = Ok(());
        for account in self.all_open() {
            let last = |_: &VaultLedger| vec![VaultChange::HouseKeys(vec![next.clone()])];
            done = done.and(account.vault.change(&self.journals, last).await);
        }
        Ok(done?)
    }

    /// Gives `next` to every account that is not among `told`, which it then is.
    async fn tell_key(&self, next: &Key, told: &mut BTreeSet<SlotId>) -> Result<(), Error> {
        let house = self.house.view()?;
        let mut mail = Vec::new();
        for (name, entry) in &house.accounts {
            if !self.journals.slots.contains(&entry.slot) || !told.insert(entry.slot) {
                continue;
            }
            let user = self.user_id(name)?;
            match self.open(&user).filter(|account| account.slot == entry.slot) {
                Some(account) => {
                    let both = |_: &VaultLedger| vec![VaultChange::HouseKeys(self.house.keys())];
                    account.vault.change(&self.journals, both).await?;
                }
                None => mail.push((user, vec![Letter::House(next.clone())])),
            }
        }
        self.post_each(mail).await
    }
}

//! Ending an account (keys.md §2, "account delete"): first the mark of what is to be forgotten, then one slot commit, after
//! which nothing of the account opens. What it leaves in rooms is cleared by them.

use ruma::UserId;

use super::{Account, Accounts, Error, record::Life};
use crate::{
    clock::Timestamp,
    house::{Alias, House, HouseChange, HouseLedger, NameTag, Parted},
    pseudonym::{MemberId, erased},
    seal::slots::{Change, SlotId},
    store::Batch,
};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

impl Accounts {
    /// Ends an account of this server, open or cold: nothing of it opens once this returns. With `erase`, rooms forget
    /// it, those that are closed when they open. Its name is never given to another.
    ///
    /// # Errors
    /// [`Error::NotFound`] for who has no account here.
    pub async fn deactivate(&self, user: &UserId, erase: bool) -> Result<(), Error> {
        let slot = self.entry(user)?.ok_or(Error::NotFound)?.slot;
        let name = user.localpart();
        // Nobody is registered meanwhile: whether this is the last account must stay true.
        let _one = self.registering.lock().await;
        match self.unless_open(name, async || self.end(name, slot, None, erase).await).await? {
            Some(account) => self.end(name, slot, Some(&account), erase).await,
            None => Ok(()),
        }
    }

    async fn end(&self, name: &str, slot: SlotId, open: Option<&Account>, erase: bool) -> Result<(), Error> {
        let mut vault = match open {
            Some(account) => Some(account.vault.write().await),
            None => None,
        };
        if !self.journals.slots.contains(&slot) {
            return Err(Error::NotFound);
        }
        let tag = NameTag::new(slot, name);
        if erase {
            self.house.change(|_| vec![HouseChange::Erased(slot, Some(tag))]).await?;
        } else if self.policy.parted.is_some() {
            let parted = Parted { tag, day: self.clock.now().0 / DAY_MS };
            self.house.change(|_| vec![HouseChange::Parted(slot, Some(parted))]).await?;
        }
        let mut ended = vec![slot];
        let mut login = name.to_owned();
        if let Some(vault) = &vault {
            ended.push(vault.identity().slot);
            ended.extend(vault.ledger.devices.values().flat_map(|device| device.tokens.iter().copied()));
            login = vault.ledger.login.clone().unwrap_or(login);
        }
        let lives = self.record(&login)?.0.into_iter().filter(|life| life.account == slot);
        ended.extend(lives.flat_map(|life| life.wraps).map(|wrap| wrap.slot));
        // The Matrix id is not given out again: whoever had it next would be taken for the one before in every room.
        let mut record = self.record(name)?;
        record.0.push(Life { account: slot, wraps: Vec::new() });
        let mut batch = Batch::default();
        self.put_record(name, &record, &mut batch)?;
        let mut changes: Vec<_> = ended.into_iter().map(|id| Change::Remove { id }).collect();
        let last = self.is_last(slot)?;
        if last {
            changes.push(House::end());
        }
        self.commit_all(batch, changes).await?;
        if let Some(vault) = &mut vault {
            vault.stop();
        }
        drop(vault);
        self.sessions.write().retain(|_, known| known.session.account.slot != slot);
        self.open.write().remove(name);
        if last {
            self.house.close();
        } else {
            self.leave_house(name, erase).await?;
        }
        if let Some(account) = open {
            account.notify();
        }
        Ok(())
    }

    /// Whether no account lives but the one of this slot.
    fn is_last(&self, slot: SlotId) -> Result<bool, Error> {
        let house = self.house.view()?;
        Ok(!house.accounts.values().any(|entry| entry.slot != slot && self.journals.slots.contains(&entry.slot)))
    }

    /// Takes a name out of the house. What must stay there of one who is to be forgotten names nobody.
    async fn leave_house(&self, name: &str, erase: bool) -> Result<(), Error> {
        let user = self.user_id(name)?;
        let nobody = erased(MemberId::new(self.journals.random.as_ref()), &self.policy.server_name);
        let leave = |house: &HouseLedger| {
            let mut changes = vec![HouseChange::Account(name.to_owned(), None)];
            let own = house.aliases.iter().filter(|(_, alias)| erase && alias.creator == user);
            changes.extend(own.map(|(alias, entry)| {
                let entry = Alias { creator: nobody.clone(), ..entry.clone() };
                HouseChange::Alias(alias.clone(), Some(entry))
            }));
            changes
        };
        self.house.change(leave).await?;
        if erase {
            // What was superseded names him still.
            self.house.renew_generation().await?;
        }
        Ok(())
    }

    /// Whether `user` had an account here that has ended.
    pub fn has_ended(&self, user: &UserId) -> Result<bool, Error> {
        if user.server_name() != self.policy.server_name || self.entry(user)?.is_some() {
            return Ok(false);
        }
        self.ended(user.localpart())
    }

    /// Marks those as to be forgotten who ended their accounts so long before `now`, which is trusted, that rooms forget
    /// them unasked; whether there is anybody.
    pub async fn forget_parted(&self, now: Timestamp) -> Result<bool, Error> {
        let Some(lifetime) = self.policy.parted else { return Ok(false) };
        // The day itself does not count: nobody goes early.
        let over = |parted: &Parted| Timestamp((parted.day + 1).saturating_mul(DAY_MS)).after(lifetime) <= now;
        let house = self.house.view()?;
        let due: Vec<_> =
            house.parted.iter().filter(|(_, parted)| over(parted)).map(|(slot, it)| (*slot, *it)).collect();
        if due.is_empty() {
            return Ok(false);
        }
        let marks = due.iter().flat_map(|(slot, parted)| {
            let gone = !self.journals.slots.contains(slot);
            let erased = gone.then_some(HouseChange::Erased(*slot, Some(parted.tag)));
            [Some(HouseChange::Parted(*slot, None)), erased].into_iter().flatten()
        });
        let marks = marks.collect();
        self.house.change(|_| marks).await?;
        Ok(true)
    }

    /// Whether an account that ended is to be forgotten.
    pub fn is_erased(&self, user: &UserId) -> Result<bool, Error> {
        let house = self.house.view()?;
        let mut marks = house.erased.iter().filter(|(slot, _)| !self.journals.slots.contains(slot));
        Ok(marks.any(|(slot, tag)| NameTag::new(*slot, user.localpart()) == *tag))
    }
}

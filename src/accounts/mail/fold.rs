//! Putting letters into the mail, and taking them into the vault of the account that has come.

use ruma::{OwnedUserId, UserId};

use super::{Found, Letter, Mailbox};
use crate::{
    accounts::{
        Account, Accounts, Error,
        vault::{Fact, VaultChange, VaultLedger, VaultRoom},
    },
    house::{AccountEntry, HouseChange, HouseLedger},
    journal::{self, TOGETHER},
    seal::{mail::mail_pair, slots::SlotId},
    secret::Key,
    store::Batch,
};

impl Accounts {
    /// Puts letters into a cold account's mail, durably. For who does not exist it does nothing.
    pub async fn post(&self, user: &UserId, letters: Vec<Letter>) -> Result<(), Error> {
        self.post_each(vec![(user.to_owned(), letters)]).await
    }

    /// As [`Accounts::post`], for several accounts, [`TOGETHER`] with one write.
    pub async fn post_each(&self, post: Vec<(OwnedUserId, Vec<Letter>)>) -> Result<(), Error> {
        let mut post = post.into_iter().peekable();
        while post.peek().is_some() {
            self.post_together(post.by_ref().take(TOGETHER)).await?;
        }
        Ok(())
    }

    async fn post_together(&self, post: impl Iterator<Item = (OwnedUserId, Vec<Letter>)>) -> Result<(), Error> {
        let epoch = self.journals.epochs.current(self.policy.to_device).await?;
        let _turn = self.mailbox.turn.lock().await;
        let house = self.house.view()?;
        let doubt = Doubt(Some(&self.mailbox));
        let mut batch = Batch::default();
        for (user, mut letters) in post {
            let entry = house.accounts.get(user.localpart());
            let Some(entry) = entry.filter(|entry| self.journals.slots.contains(&entry.slot)) else { continue };
            self.mailbox.bound(entry.slot, &mut letters);
            self.mailbox.put(entry, &letters, epoch, &mut batch)?;
        }
        if !batch.is_empty() {
            self.journals.store.commit(batch).await?;
        }
        doubt.dispel();
        Ok(())
    }

    /// Takes mail into the vault and ends with a fresh mail key pair, so that what was folded is shredded with the
    /// old one (keys.md §2, "fold").
    pub(in crate::accounts) async fn fold(&self, account: &Account, found: Found) -> Result<(), Error> {
        let starts = account.view().mail_read.clone();
        let read = found.marks();
        self.take_in(account, found.letters).await?;
        let name = account.user_id.localpart().to_owned();
        let (secret, public) = mail_pair(self.journals.random.as_ref());
        let both = |vault: &VaultLedger| {
            let mut changes = read;
            let mut secrets = vec![secret.clone()];
            secrets.extend(vault.mail.iter().cloned());
            changes.push(VaultChange::Mail(secrets));
            changes
        };
        account.vault.change(&self.journals, both).await?;
        let named = |house: &HouseLedger| {
            let entry = house.accounts.get(&name).cloned().map(|entry| AccountEntry { mail: public, ..entry });
            entry.map(|entry| HouseChange::Account(name.clone(), Some(entry))).into_iter().collect()
        };
        self.house.change(named).await?;

        // What came in meanwhile was sealed to the old key, or to the new one under a header that is read by now.
        let _turn = self.mailbox.turn.lock().await;
        let mut last = Vec::new();
        if self.mailbox.has_more(&account.view())? {
            let late = self.mailbox.read_from(account.slot, &account.view(), &starts)?;
            last = late.marks();
            self.take_in(account, late.letters).await?;
        }
        self.mailbox.senders.lock().retain(|(slot, _), _| *slot != account.slot);
        self.mailbox.loads.lock().remove(&account.slot);
        last.push(VaultChange::Mail(vec![secret]));
        account.vault.change(&self.journals, |_| last).await?;
        Ok(())
    }

    /// Gives an open account another mail key pair, as waking does: its account key was replaced, and the secret of before
    /// may be known to who knows the key of before.
    pub(in crate::accounts) async fn change_mail_key(&self, account: &Account) -> Result<(), Error> {
        let _alone = self.remailing.lock().await;
        // What came while the account opened.
        let found = self.mailbox.read(account.slot, &account.view())?;
        self.fold(account, found).await
    }

    async fn take_in(&self, account: &Account, letters: Vec<(String, Letter)>) -> Result<(), Error> {
        for (mark, letter) in letters {
            match letter {
                Letter::Device(addressed, partition) => {
                    let live = self.journals.slots.epoch_key(partition).is_some();
                    let messages = if live { addressed.placed(&account.view()) } else { Vec::new() };
                    account.deliver(&self.journals, partition, messages, vec![VaultChange::Folded(mark)]).await?;
                }
                Letter::Password(password) => {
                    self.take_password(account, password).await?;
                    account.vault.change(&self.journals, |_| vec![VaultChange::Folded(mark)]).await?;
                }
                Letter::Report(row) => {
                    let marks = vec![VaultChange::Folded(mark)];
                    if self.journals.slots.epoch_key(row.partition).is_some() {
                        account.keep_report(&self.journals, row, marks).await?;
                    } else {
                        account.vault.change(&self.journals, |_| marks).await?;
                    }
                }
                other => {
                    let opens = self.has_room(account, &other);
                    let fold = |vault: &VaultLedger| {
                        let mut changes = vec![VaultChange::Folded(mark)];
                        changes.extend(taken(vault, other, opens));
                        changes
                    };
                    account.vault.change(&self.journals, fold).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the room a letter is about still exists under a slot.
    fn has_room(&self, account: &Account, letter: &Letter) -> bool {
        let Letter::Out { room, .. } = letter else { return false };
        account.view().rooms.get(room).is_some_and(|entry| {
            entry.keys.iter().any(|key| {
                let slot = self.journals.slots.value(&entry.slot);
                slot.is_some_and(|slot| journal::opens(&self.journals, &slot, key).unwrap_or(false))
            })
        })
    }
}

/// Makes the mailbox forget what it noted unless a commit has succeeded.
struct Doubt<'a>(Option<&'a Mailbox>);

impl Doubt<'_> {
    fn dispel(mut self) {
        self.0 = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.0 {
            mailbox.doubt();
        }
    }
}

/// What a letter changes in a vault. Candidate keys are added, never replaced: what opens is decided by the slot.
fn taken(vault: &VaultLedger, letter: Letter, opens: bool) -> Option<VaultChange> {
    match letter {
        Letter::Key { room, slot, key } => {
            let known = vault.rooms.get(&room).filter(|entry| entry.slot == slot);
            let fact = known.map_or(Fact::Joined, |entry| match &entry.fact {
                Fact::Left(_) => Fact::Joined,
                fact => fact.clone(),
            });
            Some(VaultChange::Room(room.clone(), Some(candidate(known, slot, key, fact))))
        }
        Letter::Invite { room, slot, key, stripped } => {
            let known = vault.rooms.get(&room).filter(|entry| entry.slot == slot);
            Some(VaultChange::Room(room.clone(), Some(candidate(known, slot, key, Fact::Invited(stripped)))))
        }
        Letter::Out { room, event } if !opens => {
            let entry = vault.rooms.get(&room).cloned()?;
            let entry = VaultRoom { keys: Vec::new(), fact: Fact::Left(event), ..entry };
            Some(VaultChange::Room(room, Some(entry)))
        }
        Letter::House(key) => {
            if vault.house_keys.contains(&key) {
                return None;
            }
            let mut keys = vault.house_keys.clone();
            keys.push(key);
            Some(VaultChange::HouseKeys(keys))
        }
        Letter::Out { .. } | Letter::Device(..) | Letter::Password(_) | Letter::Report(..) => None,
    }
}

fn candidate(known: Option<&VaultRoom>, slot: SlotId, key: Key, fact: Fact) -> VaultRoom {
    let mut keys = vec![key];
    keys.extend(known.into_iter().flat_map(|entry| entry.keys.iter().cloned()));
    VaultRoom::new(slot, keys, fact)
}

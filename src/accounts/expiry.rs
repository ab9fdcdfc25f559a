//! What accounts forget by themselves: what lies in windows whose time is over, and devices that nobody uses.

use std::{collections::BTreeMap, sync::Arc};

use super::{Account, Accounts, Error, Session, vault::Device};
use crate::{
    clock::{DAY, Timestamp},
    journal::{self, Journals, Position, Stream},
    seal::slots::Change,
    store::{Batch, Partition},
};

/// Tokens that are rewritten together.
const TOKENS: usize = 256;

impl Account {
    /// Serves nothing more from the windows that are over. With `destroy` they also go from the vault for good, those that
    /// have to with a new generation at once.
    ///
    /// # Errors
    /// When the generation cannot be written; calling again goes on.
    async fn forget_expired(
        &self,
        journals: &Journals,
        over: &(dyn Fn(Stream, Partition) -> bool + Send + Sync),
        destroy: bool,
    ) -> Result<(), journal::Error> {
        let mut vault = self.vault.write().await;
        if !vault.has_windows(over) {
            return Ok(());
        }
        let stays = |stream, at: Position| vault.partition_of(at).is_some_and(|partition| !over(stream, partition));
        self.queue.write().retain(|at| stays(Stream::ToDevice, at));
        self.backup.write().retain(|_, at| stays(Stream::Backup, *at));
        self.reports.write().retain(|row| !over(Stream::Reports, row.partition));
        let early = destroy && vault.let_go(journals, over);
        drop(vault);
        if early { self.vault.renew(journals).await } else { Ok(()) }
    }
}

impl Accounts {
    /// Has open accounts forget what lies in windows that are over: all of it is older at `now` than it may become. `ends`
    /// says when nothing was filed any more in each partition. Unless it is `certain` what time it is, it is hidden only.
    ///
    /// # Errors
    /// The first vault that could not be written, after all have been looked at.
    pub async fn forget_expired(
        &self,
        ends: &BTreeMap<Partition, Timestamp>,
        now: Timestamp,
        certain: bool,
    ) -> Result<(), Error> {
        let over = |stream, partition: Partition| {
            // What was filed for longer lives by what holds now, what was filed for less by what held then. A backed-up key
            // lives by its room.
            let class = if stream == Stream::Backup { partition.class } else { self.policy.to_device };
            let lifetime = class.min(partition.class).lifetime();
            let dead = self.journals.slots.epoch_key(partition).is_none();
            let passed = |end: &Timestamp| lifetime.is_some_and(|lifetime| end.after(lifetime) <= now);
            dead || ends.get(&partition).is_some_and(passed)
        };
        let mut done = Ok(());
        for account in self.all_open() {
            done = done.and(account.forget_expired(&self.journals, &over, certain).await);
        }
        Ok(done?)
    }

    /// Reads what an account's windows hold again when it is next used: a clock that was wrong has hidden some of it.
    pub async fn read_again(&self) {
        for account in self.all_open() {
            account.vault.write().await.stop();
        }
    }

    /// Ends devices that have ended with an epoch, because nobody has used them for as long as they live: their sessions,
    /// and what open accounts and the house have of them. A cold account drops its own when it opens.
    ///
    /// # Errors
    /// When a vault or the house cannot be written.
    pub async fn forget_ended(&self) -> Result<(), Error> {
        let slots = &self.journals.slots;
        self.sessions.write().retain(|_, known| slots.contains(&known.session.slot));
        for account in self.all_open() {
            let view = account.view();
            let ended =
                |device: &&Device| !device.tokens.is_empty() && !device.tokens.iter().any(|slot| slots.contains(slot));
            let ended = view.devices.iter().filter(|(_, device)| ended(device)).map(|(id, _)| id.clone());
            let ended: Vec<_> = ended.collect();
            if !ended.is_empty() {
                self.end_devices(&account, &ended).await?;
            }
        }
        Ok(())
    }

    /// Lets the devices that were used since their tokens' epoch live on with the present one: rewrites the tokens' rows,
    /// and ties their slots to it. A device that nobody uses stays where it is and dies there.
    ///
    /// # Errors
    /// When the store or the slot table fails; calling again goes on.
    pub async fn keep_devices(&self) -> Result<(), Error> {
        let current = self.journals.epochs.current(self.policy.inactivity).await?;
        let ends = self.journals.epochs.ends();
        let sessions: BTreeMap<_, Session> = {
            let known = self.sessions.read();
            known.values().map(|known| (known.session.slot, known.session.clone())).collect()
        };
        let used = |session: &Session| {
            let filed = self.journals.slots.epoch_of(&session.slot)?;
            let end = if filed == current { None } else { ends.get(&filed) }?;
            let seen = session.account.view().devices.get(&session.device)?.seen_day;
            (Timestamp((seen + 1).saturating_mul(DAY)) > *end).then_some(())
        };
        let stale: Vec<Session> = sessions.into_values().filter(|session| used(session).is_some()).collect();
        for some in stale.chunks(TOKENS) {
            let mut changes = Vec::new();
            for session in some {
                if self.rewrite_token(session, current).await? {
                    changes.push(Change::Keep { id: session.slot, epoch: current });
                }
            }
            if !changes.is_empty() {
                self.journals.slots.commit(changes).await?;
            }
        }
        Ok(())
    }

    /// Writes a living token's row into `partition`; whether it lives.
    async fn rewrite_token(&self, session: &Session, partition: Partition) -> Result<bool, Error> {
        let account: &Arc<Account> = &session.account;
        // With the right to write in hand: what ends the device or changes its keys has it too.
        let vault = account.vault.write().await;
        if !vault.ledger.devices.contains_key(&session.device) {
            return Ok(false);
        }
        let Some(opened) = self.open_token(&session.durable)?.filter(|opened| opened.slot == session.slot) else {
            return Ok(false);
        };
        let mut batch = Batch::default();
        self.put_again(&session.durable, &opened, partition, &mut batch)?;
        self.journals.store.commit(batch).await?;
        Ok(true)
    }
}

//! Upkeep: epochs ahead of time, packs, generations for whoever changed, keys that are old, merges.

use std::time::Duration;

use super::{Engine, Error};
use crate::{accounts, house, journal::TOGETHER, log, metrics::Task, rooms, store::Class};

/// How often packs are looked for, and whether anything else is due.
const ROUND_EVERY: Duration = Duration::from_mins(1);
/// How often open partitions are merged, which takes the order of writes out of them.
const MERGE_EVERY: Duration = Duration::from_hours(1);
/// How long after a start the first generations come: however often a server is started, what was superseded goes.
const RENEW_FIRST: Duration = Duration::from_hours(1);
/// How often what was redacted is rewritten: it is to be gone within 15 minutes (DESIGN §8), and a round takes its time.
const REWRITE_EVERY: Duration = Duration::from_mins(10);

impl Engine {
    /// The classes rows are written in.
    #[must_use]
    pub fn classes(&self) -> Vec<Class> {
        let accounts = self.accounts.policy();
        let media = self.media.policy();
        let mut classes = vec![accounts.inactivity, accounts.to_device, media.class];
        // Pictures of pages go there.
        classes.extend(media.previews.is_some().then_some(media.remote));
        // Messages, and the backed-up keys that open them.
        classes.extend(self.rooms.classes().into_iter().flat_map(|class| [class, class.longer()]));
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Opens this epoch and the next of every class, so that no request waits for it.
    pub async fn open_epochs(&self) -> Result<(), Error> {
        self.journals.epochs.open_ahead(&self.classes()).await.map_err(|_| Error::Records)
    }

    /// Rewrites single rows as packs where enough have gathered.
    pub async fn pack(&self) {
        self.pack_until(None).await;
    }

    /// As [`Engine::pack`]; begins with no further rooms after `end` of the steady clock.
    pub(super) async fn pack_until(&self, end: Option<Duration>) {
        let mut well = true;
        for rooms in self.rooms.all_open().chunks(TOGETHER) {
            if end.is_some_and(|end| self.clock.monotonic() >= end) {
                break;
            }
            if let Err(error) = self.rooms.pack(rooms).await {
                log::warn!("a room was not packed", reason = error.reason());
                well = false;
            }
        }
        self.metrics.ran(Task::Packs, well);
    }

    /// Ends rooms that are empty for good, and has rooms forget who has been gone for long; nobody while the clock is not
    /// trusted, as nothing else is destroyed then.
    pub async fn part_with_old(&self) {
        let moment = self.journals.epochs.moment();
        if !moment.trusted {
            return;
        }
        if let Some(lifetime) = self.retention.empty_rooms
            && let Err(error) = self.rooms.end_empty(lifetime, moment.time).await
        {
            log::warn!("an empty room was not ended", reason = error.reason());
        }
        match self.accounts.forget_parted(moment.time).await {
            Ok(true) => self.rooms.clear_all().await,
            Ok(false) | Err(accounts::Error::House(house::Error::Asleep)) => {}
            Err(error) => {
                let reason = rooms::Error::from(error).reason();
                log::warn!("accounts that ended are not forgotten yet", reason = reason);
            }
        }
    }

    /// Gives everybody who changed a new generation, and begins to replace the keys that are old.
    pub async fn renew(&self) {
        self.tidy_house().await;
        self.rooms.open_admitted().await;
        if let Err(error) = self.accounts.renew_house_key().await.map_err(rooms::Error::from) {
            log::warn!("the key of the house was not replaced", reason = error.reason());
        }
        self.rooms.find_due().await;
        self.replace_keys().await;
        self.renew_open().await;
    }

    /// Replaces some of the rooms' keys that are due.
    pub async fn replace_keys(&self) {
        if let Err(error) = self.rooms.replace_due().await {
            log::warn!("the key of a room was not replaced", reason = error.reason());
        }
    }

    /// As [`Engine::renew`], without looking for what can be tidied first.
    pub(super) async fn renew_open(&self) {
        let accounts = self.accounts.renew_generations().await.map_err(rooms::Error::from);
        let rooms = self.rooms.renew_generations().await;
        let house = self.house.renew_generation().await.map_err(rooms::Error::from);
        let mut well = true;
        for error in [accounts, rooms, house].into_iter().filter_map(Result::err) {
            log::warn!("somebody got no new generation", reason = error.reason());
            well = false;
        }
        self.metrics.ran(Task::Generations, well);
    }

    /// Takes what was redacted off the disk.
    pub async fn rewrite_redacted(&self) {
        let done = self.rooms.rewrite_redacted().await;
        if let Err(error) = &done {
            log::warn!("what was redacted was not rewritten", reason = error.reason());
        }
        self.metrics.ran(Task::Redactions, done.is_ok());
    }

    /// Merges every partition, leaving out dead rows.
    pub async fn merge(&self) {
        let well = self.journals.store.merge_all().await.is_ok();
        if !well {
            log::warn!("the store was not merged");
        }
        self.metrics.ran(Task::Merge, well);
    }

    /// Closes the accounts that nobody uses, and the rooms in which nobody is left then.
    pub async fn close_idle(&self) {
        if self.accounts.policy().idle.is_none() {
            return;
        }
        let accounts = self.accounts.close_idle().await.map_err(rooms::Error::from);
        let rooms = self.rooms.close_deserted().await;
        if accounts.is_ok_and(|closed| closed > 0) || rooms.is_ok_and(|closed| closed > 0) {
            // Text that was read for them.
            self.journals.packs.clear();
            self.counters.flattened().clear();
        }
        for error in [accounts.err(), rooms.err()].into_iter().flatten() {
            log::warn!("accounts or rooms that nobody uses were not closed", reason = error.reason());
        }
    }

    /// Does all of it, each at its own pace, until `stop` says so.
    pub async fn keep_up(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut pace = Pace::from(self.clock.monotonic());
        loop {
            self.round(&mut pace).await;
            tokio::select! {
                () = tokio::time::sleep(ROUND_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// One round: what is due by now.
    pub async fn round(&self, pace: &mut Pace) {
        let opened = self.open_epochs().await.is_ok();
        if !opened {
            log::error!("the next epochs could not be opened");
        }
        self.metrics.ran(Task::Epochs, opened);
        self.pack().await;
        let kept = self.keep_shown().await;
        self.metrics.ran(Task::Media, kept);
        let now = self.clock.monotonic();
        if is_due(&mut pace.rewritten, now, REWRITE_EVERY) {
            self.rewrite_redacted().await;
        }
        // Nobody knows what the process before this one still had to do.
        let soon = pace.renewed == pace.started;
        let every = if soon { RENEW_FIRST.min(self.retention.superseded) } else { self.retention.superseded };
        if is_due(&mut pace.renewed, now, every) {
            self.part_with_old().await;
            self.renew().await;
        }
        self.replace_keys().await;
        self.close_idle().await;
        if is_due(&mut pace.merged, now, MERGE_EVERY) {
            self.merge().await;
        }
    }
}

/// When what is not done in every round was done last, by the monotonic clock.
pub struct Pace {
    started: Duration,
    rewritten: Duration,
    renewed: Duration,
    merged: Duration,
}

impl From<Duration> for Pace {
    fn from(now: Duration) -> Self {
        Self { started: now, rewritten: now, renewed: now, merged: now }
    }
}

fn is_due(last: &mut Duration, now: Duration, every: Duration) -> bool {
    let due = now.saturating_sub(*last) >= every;
    if due {
        *last = now;
    }
    due
}

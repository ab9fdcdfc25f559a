//! Upkeep: epochs ahead of time, packs, generations for whoever changed, merges.

use std::time::Duration;

use super::{Engine, Error};
use crate::{accounts, log, metrics::Task, rooms, store::Class};

/// How often packs are looked for.
const PACK_EVERY: Duration = Duration::from_mins(1);
/// How often open partitions are merged, which takes the order of writes out of them.
const MERGE_EVERY: Duration = Duration::from_hours(1);
/// How often whoever changed gets a new generation, which shreds what was superseded.
const GENERATION_EVERY: Duration = Duration::from_hours(24);

impl Engine {
    /// The classes rows are written in.
    #[must_use]
    pub fn classes(&self) -> Vec<Class> {
        let accounts = self.accounts.policy();
        let (messages, media) = (self.rooms.policy().messages, self.media.policy());
        let mut classes = vec![accounts.inactivity, accounts.to_device, accounts.backup, messages, media.class];
        // Pictures of pages go there.
        classes.extend(media.previews.is_some().then_some(Class::Day));
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
        let mut well = true;
        for room in self.rooms.all_open() {
            if let Err(error) = self.rooms.pack(&room).await {
                log::warn!("a room was not packed", reason = error.reason());
                well = false;
            }
        }
        self.metrics.ran(Task::Packs, well);
    }

    /// Gives everybody who changed a new generation.
    pub async fn renew(&self) {
        self.tidy_house().await;
        self.rooms.open_admitted().await;
        let mut well = true;
        for account in self.accounts.all_open() {
            if let Err(error) = self.accounts.renew_generation(&account).await {
                log::warn!("an account got no new generation", reason = reason(error));
                well = false;
            }
        }
        for room in self.rooms.all_open() {
            if let Err(error) = self.rooms.renew_generation(&room).await {
                log::warn!("a room got no new generation", reason = error.reason());
                well = false;
            }
        }
        if let Err(error) = self.house.renew_generation().await {
            log::warn!("the house got no new generation", reason = reason(error.into()));
            well = false;
        }
        self.metrics.ran(Task::Generations, well);
    }

    /// Merges every partition, leaving out dead rows.
    pub async fn merge(&self) {
        let well = self.journals.store.merge_all().await.is_ok();
        if !well {
            log::warn!("the store was not merged");
        }
        self.metrics.ran(Task::Merge, well);
    }

    /// Does all of it, each at its own pace, until `stop` says so.
    pub async fn keep_up(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let start = self.clock.monotonic();
        let (mut merged, mut renewed) = (start, start);
        loop {
            let opened = self.open_epochs().await.is_ok();
            if !opened {
                log::error!("the next epochs could not be opened");
            }
            self.metrics.ran(Task::Epochs, opened);
            self.pack().await;
            let dropped = self.media.drop_dead().await.is_ok();
            if !dropped {
                log::error!("media that has expired was not unlinked");
            }
            self.metrics.ran(Task::Media, dropped);
            let now = self.clock.monotonic();
            if now.saturating_sub(renewed) >= GENERATION_EVERY {
                self.renew().await;
                renewed = now;
            }
            if now.saturating_sub(merged) >= MERGE_EVERY {
                self.merge().await;
                merged = now;
            }
            tokio::select! {
                () = tokio::time::sleep(PACK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

fn reason(error: accounts::Error) -> &'static str {
    rooms::Error::from(error).reason()
}

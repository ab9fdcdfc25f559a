//! A living owner: its journal behind one lock, and beside it the last durable value for readers who never wait.
//!
//! A write that is given up half way, by an error or because its task was dropped, stops the owner: memory is never
//! ahead of the disk unnoticed. Whoever holds a stopped owner loads it again.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use tokio::sync::{Mutex, MutexGuard};

use super::{Error, Identity, Journals, Ledger, Owner, Prepared};
use crate::store::Batch;

/// An open owner that is shared.
pub struct Live<L: Ledger + Clone> {
    owner: Mutex<Owner<L>>,
    view: RwLock<Arc<L>>,
    stopped: OnceLock<Identity>,
}

/// The right to write to an owner. Dropped with anything unreported, it stops the owner.
pub struct Writing<'a, L: Ledger + Clone> {
    owner: MutexGuard<'a, Owner<L>>,
    live: &'a Live<L>,
}

impl<L: Ledger + Clone> Live<L> {
    /// Shares `owner`, whose value is durable.
    pub fn new(owner: Owner<L>) -> Self {
        let view = RwLock::new(Arc::new(owner.ledger.clone()));
        Self { owner: Mutex::new(owner), view, stopped: OnceLock::new() }
    }

    /// The last durable value.
    pub fn view(&self) -> Arc<L> {
        Arc::clone(&self.view.read())
    }

    /// Waits for the right to write. Locks are taken in the order room, vault, house.
    pub async fn write(&self) -> Writing<'_, L> {
        Writing { owner: self.owner.lock().await, live: self }
    }

    /// How the owner was opened, once it has stopped and must be loaded again.
    pub fn stopped(&self) -> Option<&Identity> {
        self.stopped.get()
    }

    /// Makes the changes that `decide` derives from the current value durable, as one entry.
    pub async fn change(
        &self,
        journals: &Journals,
        decide: impl FnOnce(&L) -> Vec<L::Change> + Send,
    ) -> Result<(), Error> {
        self.try_change(journals, |ledger| Ok(decide(ledger))).await
    }

    /// As [`Live::change`]; where `decide` refuses, nothing changes.
    pub async fn try_change<E: From<Error>>(
        &self,
        journals: &Journals,
        decide: impl FnOnce(&L) -> Result<Vec<L::Change>, E> + Send,
    ) -> Result<(), E> {
        let mut writing = self.write().await;
        let changes = decide(&writing.ledger)?;
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        writing.change(journals, changes, &mut batch)?;
        Ok(writing.commit(journals, batch).await?)
    }
}

/// Owners whose new generations share one slot commit: their keeps wait for each other meanwhile (keys.md M4).
pub const TOGETHER: usize = 64;

/// Gives at most [`TOGETHER`] owners that changed their new generations with one slot commit: what was superseded is
/// shredded (keys.md §2, "generation"). Whoever else holds several owners of one kind at once must not do so meanwhile.
///
/// # Errors
/// The last error. An owner that cannot be prepared stops and keeps the others from nothing; where the commit fails, all
/// of them stop.
pub async fn renew_together<L: Ledger + Clone>(journals: &Journals, owners: &[&Live<L>]) -> Result<(), Error> {
    let mut outcome = Ok(());
    let (mut batch, mut changes) = (Batch::default(), Vec::new());
    let mut ready: Vec<(Writing<'_, L>, Prepared)> = Vec::new();
    for owner in owners {
        let mut writing = owner.write().await;
        if writing.is_stopped() || !writing.is_dirty() {
            continue;
        }
        let mut rows = Batch::default();
        match writing.prepare(journals, None, &mut rows) {
            Ok(prepared) => {
                batch.extend(rows);
                changes.push(prepared.change(writing.identity()));
                ready.push((writing, prepared));
            }
            Err(error) => outcome = writing.finish(Err(error)),
        }
    }
    if ready.is_empty() {
        return outcome;
    }
    batch.shuffle(journals.random.as_ref());
    let done = async {
        journals.store.commit(batch).await?;
        Ok(journals.slots.commit(changes).await?)
    };
    let done: Result<(), Error> = done.await;
    let mut after = Batch::default();
    for (mut writing, prepared) in ready {
        if done.is_ok() {
            writing.adopt(journals, prepared, &mut after);
        }
        // What became of the commit is told once, below.
        let _ = writing.finish(done);
    }
    done?;
    journals.store.commit(after).await?;
    outcome
}

impl<L: Ledger + Clone> Live<L> {
    /// Gives an owner that changed a new generation.
    ///
    /// # Errors
    /// As [`renew_together`].
    pub async fn renew(&self, journals: &Journals) -> Result<(), Error> {
        renew_together(journals, &[self]).await
    }
}

impl<L: Ledger + Clone> Writing<'_, L> {
    /// Commits `batch`, which holds what was written to this owner, and shows the new value to readers.
    pub async fn commit(mut self, journals: &Journals, batch: Batch) -> Result<(), Error> {
        let done = journals.store.commit(batch).await;
        self.finish(done.map_err(Error::from))
    }

    /// Commits a generation: the rows in `batch` first, then the slot that makes it current.
    pub async fn commit_generation(
        mut self,
        journals: &Journals,
        prepared: Prepared,
        batch: Batch,
    ) -> Result<(), Error> {
        let change = prepared.change(self.identity());
        let done = async {
            journals.store.commit(batch).await?;
            Ok(journals.slots.commit(vec![change]).await?)
        };
        let done = done.await;
        let mut after = Batch::default();
        if done.is_ok() {
            self.adopt(journals, prepared, &mut after);
        }
        self.finish(done)?;
        Ok(journals.store.commit(after).await?)
    }

    /// Ends a write whose commit went elsewhere and ended as `outcome`.
    pub fn finish(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Ok(()) => {
                self.owner.settle();
                *self.live.view.write() = Arc::new(self.owner.ledger.clone());
            }
            Err(_) => self.owner.stop(),
        }
        outcome
    }
}

impl<L: Ledger + Clone> Drop for Writing<'_, L> {
    fn drop(&mut self) {
        if self.owner.is_ahead() {
            self.owner.stop();
        }
        if self.owner.is_stopped() {
            self.live.stopped.get_or_init(|| self.owner.identity().clone());
        }
    }
}

impl<L: Ledger + Clone> Deref for Writing<'_, L> {
    type Target = Owner<L>;

    fn deref(&self) -> &Owner<L> {
        &self.owner
    }
}

impl<L: Ledger + Clone> DerefMut for Writing<'_, L> {
    fn deref_mut(&mut self) -> &mut Owner<L> {
        &mut self.owner
    }
}

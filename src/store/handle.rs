//! The handle that everything above the store holds. Owns nothing but ways to the backend and to its one writer.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use super::{
    Address, Backend, Batch, Durability, Error, Instance, Partition, engine::Engine, queue::Queue, upkeep::Upkeep,
};

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    upkeep: Arc<Upkeep>,
    durability: Durability,
    writer: Writer,
    /// Held while merging: one merge at a time leaves disk and cores to commits.
    merging: tokio::sync::Mutex<()>,
}

enum Writer {
    Thread(Queue),
    Inline(Mutex<Option<Engine>>),
}

impl Store {
    /// A store with a commit thread: whatever is queued goes out as one write and one sync.
    ///
    /// `durability` is what [`Store::commit`] waits for. The thread ends with [`Store::shutdown`] or the last clone.
    #[must_use]
    pub fn threaded(backend: Arc<dyn Backend>, durability: Durability) -> Self {
        Self::new(backend, durability, |engine| Writer::Thread(Queue::start(engine)))
    }

    /// A store that commits in the caller, one batch at a time, synced: for tests that must be reproducible.
    #[must_use]
    pub fn inline(backend: Arc<dyn Backend>) -> Self {
        Self::new(backend, Durability::Synced, |engine| Writer::Inline(Mutex::new(Some(engine))))
    }

    /// The row at `address`; nothing when it or the partition does not exist.
    ///
    /// Sees a commit at the latest when that is answered. Reads from page cache or disk in the caller.
    pub fn get(&self, instance: Instance, partition: Partition, address: &Address) -> Result<Option<Vec<u8>>, Error> {
        self.0.backend.get(instance, partition, address)
    }

    /// The rows at `addresses`, in their order; like [`Store::get`], cheaper than one by one.
    pub fn multi_get(
        &self,
        instance: Instance,
        partition: Partition,
        addresses: &[Address],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.0.backend.multi_get(instance, partition, addresses)
    }

    /// Writes `batch` and answers when the store's durability is reached.
    ///
    /// [`Error::Conflict`] and [`Error::UnknownPartition`] leave everything as it was. After [`Error::Io`] it is
    /// unknown what was written, and the store takes nothing more: every later commit is [`Error::Closed`].
    /// A caller that stops waiting takes nothing back: what was handed over is written.
    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.commit_with(batch, self.0.durability).await
    }

    /// Like [`Store::commit`], with a durability of its own.
    pub async fn commit_with(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        match &self.0.writer {
            Writer::Thread(queue) => queue.commit(batch, durability).await,
            Writer::Inline(engine) => {
                let mut engine = engine.lock();
                let engine = engine.as_mut().ok_or(Error::Closed)?;
                engine.commit(vec![(batch, Durability::Synced)]).pop().unwrap_or(Err(Error::Closed))
            }
        }
    }

    /// Runs `f` when everything handed over before is written and synced, in every durability, and before anything
    /// handed over later is written: the place of a slot commit.
    ///
    /// `f` may read the store; it must not wait for a commit, which waits for it. When the store has failed, `f`
    /// does not run.
    pub async fn barrier<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.with_engine(move |engine| engine.sync().map(|()| f())).await
    }

    /// Like [`Store::barrier`], with copies of the three instances in `directory` made there, before `f` runs.
    ///
    /// `directory` must exist, on the file system of the data if writers are not to wait for the copying.
    pub async fn checkpoint<T: Send + 'static>(
        &self,
        directory: PathBuf,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let backend = Arc::clone(&self.0.backend);
        let copied = self.barrier(move || {
            let mut all = Instance::ALL.into_iter();
            all.try_for_each(|instance| backend.checkpoint(instance, &directory.join(instance.name())))?;
            Ok(f())
        });
        copied.await?
    }

    /// Makes an empty partition, durably; one that exists is left alone.
    pub async fn create_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.with_engine(move |engine| engine.create_partition(instance, partition)).await
    }

    /// Drops a partition with all its rows, also from logs; one that does not exist is fine.
    ///
    /// [`Partition::FOREVER`] is refused with [`Error::Conflict`].
    pub async fn drop_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.with_engine(move |engine| engine.drop_partition(instance, partition)).await
    }

    /// Whether the commit thread is there and would take a commit now. Writes and syncs nothing.
    pub async fn check(&self) -> Result<(), Error> {
        self.with_engine(|engine| engine.alive()).await
    }

    /// The partitions of `instance`, in order.
    pub async fn list_partitions(&self, instance: Instance) -> Result<Vec<Partition>, Error> {
        let backend = Arc::clone(&self.0.backend);
        self.with_engine(move |_| backend.list_partitions(instance)).await
    }

    /// How many files lie there that no partition needs, as a look into the directories shows.
    pub async fn leftovers(&self) -> Result<usize, Error> {
        let backend = Arc::clone(&self.0.backend);
        let look = move || Instance::ALL.into_iter().map(|instance| backend.leftovers(instance)).sum();
        match &self.0.writer {
            Writer::Thread(_) => tokio::task::spawn_blocking(look).await.unwrap_or(Err(Error::Closed)),
            Writer::Inline(_) => look(),
        }
    }

    /// Merges every partition that has changed since its last merge, without the rows that were retired: afterwards
    /// the medium does not tell in which order rows were written.
    ///
    /// Commits go on meanwhile. The partitions go one after the other; the first that fails ends it.
    pub async fn merge_all(&self) -> Result<(), Error> {
        let _one_at_a_time = self.0.merging.lock().await;
        for (instance, partition) in self.0.upkeep.due() {
            self.merge(instance, partition).await?;
        }
        Ok(())
    }

    /// Lets everything that was handed over finish and be synced, then ends the commit thread. Calls after this
    /// answer [`Error::Closed`], except reads.
    pub async fn shutdown(&self) {
        let _no_merge_runs = self.0.merging.lock().await;
        match &self.0.writer {
            Writer::Thread(queue) => queue.stop().await,
            Writer::Inline(engine) => drop(engine.lock().take()),
        }
    }

    fn new(backend: Arc<dyn Backend>, durability: Durability, writer: impl FnOnce(Engine) -> Writer) -> Self {
        let upkeep = Arc::new(Upkeep::default());
        let writer = writer(Engine::new(Arc::clone(&backend), Arc::clone(&upkeep)));
        Self(Arc::new(Shared { backend, upkeep, durability, writer, merging: tokio::sync::Mutex::new(()) }))
    }

    async fn with_engine<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.0.writer {
            Writer::Thread(queue) => queue.run(task).await,
            Writer::Inline(engine) => task(engine.lock().as_mut().ok_or(Error::Closed)?),
        }
    }

    async fn merge(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        let backend = Arc::clone(&self.0.backend);
        let Some(merging) = self.with_engine(move |engine| engine.begin_merge(instance, partition)).await? else {
            return Ok(());
        };
        let merge = move || backend.merge(instance, partition, merging.dead()).map(|()| merging.finish());
        match &self.0.writer {
            Writer::Thread(_) => tokio::task::spawn_blocking(merge).await.unwrap_or(Err(Error::Closed)),
            Writer::Inline(_) => merge(),
        }
    }
}

//! The way to the commit thread. Owns the bounded queue, the thread that empties it, and the grouping of commits.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Batch, Durability, Error, engine::Engine};
use crate::clock::{Clock, SystemClock};

/// One permit of the queue covers this many bytes; even the smallest command takes one.
const PERMIT: usize = 16 * 1024;
/// Permits in all: 16 MiB of rows may wait or be under way. Beyond that callers wait, which slows down whoever sends.
const PERMITS: usize = 1024;
/// Commits written in one go at most: what a sync costs is spread thin enough by then.
const GROUP: usize = 512;
/// The longest that a relaxed write stays unsynced.
const RELAXED_LAG: Duration = Duration::from_secs(1);

type Answer = oneshot::Sender<Result<(), Error>>;
type Task = Box<dyn FnOnce(&mut Engine) + Send>;

enum Command {
    Commit(Batch, Durability, Answer, OwnedSemaphorePermit),
    Task(Task, OwnedSemaphorePermit),
    Stop(oneshot::Sender<()>),
}

/// The sending end of the queue. Its fields are dropped in this order: a thread that nobody can send to ends.
pub(super) struct Queue {
    sender: SyncSender<Command>,
    permits: Arc<Semaphore>,
    _thread: Joined,
}

/// A thread that is waited for: a process that ended before it would tear RocksDB down under its last sync.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        // A task may have held the last clone of the store: then this is the thread itself, which ends anyway.
        if let Some(thread) = self.0.take().filter(|other| other.thread().id() != thread::current().id()) {
            // A thread that panicked has let go as well.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Starts the commit thread; it ends when the queue is dropped or stopped.
    pub(super) fn start(engine: Engine) -> Self {
        // Every command but the last holds a permit, so a send never finds the channel full.
        let (sender, receiver) = sync_channel(PERMITS + 1);
        let started = thread::Builder::new().name("commit".to_owned()).spawn(move || run(engine, &receiver));
        // A thread that cannot be started drops the receiver: every call answers that the store is closed.
        Self { sender, permits: Arc::new(Semaphore::new(PERMITS)), _thread: Joined(started.ok()) }
    }

    /// Hands over a batch and waits for its answer.
    pub(super) async fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let permit = self.permit(batch.weight()).await?;
        let (answer, answered) = oneshot::channel();
        self.send(Command::Commit(batch, durability, answer, permit))?;
        answered.await.unwrap_or(Err(Error::Closed))
    }

    /// Runs `task` on the commit thread, after everything handed over before and before anything handed over later.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.permit(0).await?;
        let (answer, answered) = oneshot::channel();
        let task = move |engine: &mut Engine| drop(answer.send(task(engine)));
        self.send(Command::Task(Box::new(task), permit))?;
        answered.await.unwrap_or(Err(Error::Closed))
    }

    /// Lets what is in the queue finish, ends the thread, and returns when it has let go of the backend.
    pub(super) async fn stop(&self) {
        if self.permits.is_closed() {
            return;
        }
        self.permits.close();
        let (stopped, wait) = oneshot::channel();
        if self.send(Command::Stop(stopped)).is_ok() {
            // A thread that died has let go as well.
            wait.await.unwrap_or_default();
        }
    }

    async fn permit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let wanted = u32::try_from((bytes / PERMIT + 1).min(PERMITS)).unwrap_or(1);
        Arc::clone(&self.permits).acquire_many_owned(wanted).await.map_err(|_| Error::Closed)
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.sender.try_send(command).map_err(|_| Error::Closed)
    }
}

/// Commits that are written together.
#[derive(Default)]
struct Group {
    batches: Vec<(Batch, Durability)>,
    answers: Vec<(Answer, OwnedSemaphorePermit)>,
}

fn run(mut engine: Engine, receiver: &Receiver<Command>) {
    let clock = SystemClock::new();
    let mut lagging: Option<Duration> = None;
    let stopped = loop {
        let first = match next(receiver, lagging.map(|since| (since + RELAXED_LAG).saturating_sub(clock.monotonic()))) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break None,
        };
        let mut group = Group::default();
        let rest = first.and_then(|first| gather(first, receiver, &mut group));
        let Group { batches, answers } = group;
        for ((answer, _permit), outcome) in answers.into_iter().zip(engine.commit(batches)) {
            let _ = answer.send(outcome); // Whoever asked may have gone.
        }
        match rest {
            Some(Command::Task(task, _permit)) => task(&mut engine),
            Some(Command::Stop(stopped)) => break Some(stopped),
            Some(Command::Commit(..)) | None => {}
        }
        lagging = match lagging {
            _ if !engine.is_unsynced() => None,
            None => Some(clock.monotonic()),
            Some(since) if clock.monotonic() < since + RELAXED_LAG => Some(since),
            Some(_) => {
                // A failure stays in the engine: the next commit is refused.
                let _ = engine.sync();
                None
            }
        };
    };
    let _ = engine.sync();
    drop(engine);
    if let Some(stopped) = stopped {
        let _ = stopped.send(());
    }
}

fn next(receiver: &Receiver<Command>, patience: Option<Duration>) -> Result<Command, RecvTimeoutError> {
    match patience {
        Some(patience) => receiver.recv_timeout(patience),
        None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Fills `group` with what waits, up to the first command that is not a commit, which is returned.
fn gather(first: Command, receiver: &Receiver<Command>, group: &mut Group) -> Option<Command> {
    let mut command = Some(first);
    while let Some(Command::Commit(batch, durability, answer, permit)) = command {
        group.batches.push((batch, durability));
        group.answers.push((answer, permit));
        if group.batches.len() == GROUP {
            return None;
        }
        command = receiver.try_recv().ok();
    }
    command
}

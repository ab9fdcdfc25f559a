//! The slot table: the erasable secrets everything else depends on.
//!
//! A slot is 32 bytes under a random name. The whole table is one image sealed under a root key R, and R lies in two
//! sectors that are overwritten in place at every commit: destroying R destroys every secret that was replaced. Nothing
//! exists until its slot does, so the commit here is the moment at which an operation has happened. This module owns
//! `keys/` and never knows what a slot is for.

mod file;
mod format;
mod frozen;
mod memory;
mod table;

use std::{path::PathBuf, sync::Arc};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use self::{
    file::FileMedium,
    frozen::{Frozen, MOST_FROZEN},
    memory::{Fate, MemoryMedium},
};
use self::{format::Root, table::Table};
use crate::{
    clock::Timestamp,
    random::Random,
    secret::Key,
    store::{self, Class, Partition, Store},
};

/// The size of a root sector, bytes: what a disk writes at once or tears.
pub const SECTOR: usize = 4096;
/// An image longer than this is refused: half a million slots, a hundred times the largest server thought of.
pub const MOST_IMAGE: usize = 32 << 20;

/// The random name of a slot, constant over its owner's life and never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(#[serde(with = "super::text")] pub [u8; 16]);

impl SlotId {
    /// A fresh name.
    #[must_use]
    pub fn random(random: &dyn Random) -> Self {
        Self(random.bytes())
    }
}

/// What a slot belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    /// The server key; its value is [`Slots::server_key`].
    Server = 1,
    /// An epoch key; see [`Slots::epoch_key`].
    Epoch = 2,
    /// An account: mixed into every wrap of it.
    Account = 3,
    /// An account's vault.
    Vault = 4,
    /// A room.
    Room = 5,
    /// The house.
    House = 6,
    /// A password wrap.
    Password = 7,
    /// A token wrap.
    Token = 8,
    /// No secret: the highest serial a class ever had; see [`Slots::last_serial`].
    Serial = 9,
    /// No secret: which life of the server this is; see [`Slots::incarnation`].
    Incarnation = 10,
}

/// Which life of the server this is. Restoring a backup begins another: what clients saw between the backup and the
/// restore is unknown to the server, and must not be taken for what happens now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Incarnation {
    /// How often the server was restored.
    pub number: u32,
    /// The day it was restored last.
    pub since: Timestamp,
}

/// Windows that an owner has in one life of the server: a million is one every ten minutes for twenty years.
const WINDOWS_BITS: u32 = 20;

impl Incarnation {
    /// The first serial that windows get in this life: none of an earlier life comes so far, so that a position that a
    /// client has seen stands for nothing else now.
    #[must_use]
    pub fn first_serial(self) -> u32 {
        self.number << WINDOWS_BITS
    }

    /// How often a server can be restored.
    const MOST: u32 = u32::MAX >> WINDOWS_BITS;
}

/// One change of the table.
#[derive(Clone)]
pub enum Change {
    /// Makes a slot or replaces its value.
    Set {
        /// Its name.
        id: SlotId,
        /// What it belongs to.
        kind: SlotKind,
        /// Its value.
        value: Key,
        /// The partition it dies with, for token slots.
        epoch: Option<Partition>,
    },
    /// Destroys a slot; one that does not exist is fine.
    Remove {
        /// Its name.
        id: SlotId,
    },
    /// Lets a token slot live with another epoch; one that does not exist stays that way.
    Keep {
        /// Its name.
        id: SlotId,
        /// The partition it dies with from now on.
        epoch: Partition,
    },
    /// Makes an epoch key, or corrects the end of one that exists and keeps its key.
    OpenEpoch {
        /// The partition it is for.
        partition: Partition,
        /// The epoch key.
        key: Key,
        /// When nothing is filed there any more.
        end: Timestamp,
    },
    /// Makes an epoch key under a clock that is not trusted: its end counts only once [`Change::OpenEpoch`] has set it.
    Provisional {
        /// The partition it is for.
        partition: Partition,
        /// The epoch key.
        key: Key,
        /// When nothing is filed there any more, as far as anybody knows.
        end: Timestamp,
    },
    /// Destroys an epoch key and every token slot that dies with it.
    DropEpoch {
        /// The partition.
        partition: Partition,
    },
}

/// Why the slot table could not be read or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key files cannot be read or written; after a failed commit the table takes no further one.
    #[error("the key files cannot be read or written")]
    Io,
    /// Another process uses these keys.
    #[error("the key files are in use by another process")]
    InUse,
    /// The root key is gone: what the table held cannot be opened again.
    #[error("the root key is unreadable; everything under it is lost")]
    Lost,
    /// The table has outgrown its bound.
    #[error("the slot table is full")]
    Full,
    /// The store could not be synced; the table is unchanged.
    #[error("the store could not be synced before the slot table")]
    Store(store::Error),
}

/// Where the key files lie. Every call is one disk step: it has happened, has not, or was cut in the middle.
pub trait Medium: Send + Sync + 'static {
    /// The two root sectors, each [`SECTOR`] bytes; `None` for one that was never written or cannot be read.
    fn read_sectors(&self) -> Result<[Option<Vec<u8>>; 2], Error>;
    /// Overwrites one root sector in place.
    fn write_sector(&self, which: usize, bytes: &[u8]) -> Result<(), Error>;
    /// Returns when both root sectors are on the medium.
    fn sync_sectors(&self) -> Result<(), Error>;
    /// `length` bytes of image region `region` at `offset`; `None` when there are not so many.
    fn read_image(&self, region: usize, offset: usize, length: usize) -> Result<Option<Vec<u8>>, Error>;
    /// Overwrites image region `region` from `offset` on.
    fn write_image(&self, region: usize, offset: usize, bytes: &[u8]) -> Result<(), Error>;
    /// Returns when image region `region` is on the medium.
    fn sync_image(&self, region: usize) -> Result<(), Error>;
    /// Whether an image was ever written: tells a fresh medium from a ruined one.
    fn has_images(&self) -> Result<bool, Error>;
}

/// The slot table. Clones share it.
#[derive(Clone)]
pub struct Slots(Arc<Shared>);

struct Shared {
    medium: Arc<dyn Medium>,
    store: Store,
    random: Arc<dyn Random>,
    current: RwLock<Current>,
    /// Grows with the requests in flight, which the listeners bound.
    queue: Mutex<Vec<Waiting>>,
    /// Serialises commits; holds whether one has failed, after which the medium's state is unknown.
    turn: tokio::sync::Mutex<bool>,
}

struct Current {
    table: Table,
    generation: u64,
}

impl Slots {
    /// Opens the table on `medium`, or makes a fresh one on an empty medium.
    ///
    /// The higher readable generation wins and is written over the other sector before anything else is read.
    ///
    /// # Errors
    /// [`Error::Lost`] when images exist but no root sector opens one.
    pub async fn open(medium: Arc<dyn Medium>, store: Store, random: Arc<dyn Random>) -> Result<Self, Error> {
        let (from, source) = (medium.clone(), random.clone());
        let current = tokio::task::spawn_blocking(move || load(&*from, &*source)).await.map_err(|_| Error::Io)??;
        Ok(Self(Arc::new(Shared {
            medium,
            store,
            random,
            current: RwLock::new(current),
            queue: Mutex::default(),
            turn: tokio::sync::Mutex::new(false),
        })))
    }

    /// The value of a slot; `None` means its owner does not exist.
    #[must_use]
    pub fn value(&self, id: &SlotId) -> Option<Key> {
        self.0.current.read().table.value(id)
    }

    /// The partition that a token slot dies with.
    #[must_use]
    pub fn epoch_of(&self, id: &SlotId) -> Option<Partition> {
        self.0.current.read().table.slots.get(id)?.epoch
    }

    /// Whether a slot exists.
    #[must_use]
    pub fn contains(&self, id: &SlotId) -> bool {
        self.0.current.read().table.contains(id)
    }

    /// The server key S.
    #[must_use]
    pub fn server_key(&self) -> Key {
        self.0.current.read().table.server.clone()
    }

    /// The epoch key of a partition; that of [`Partition::FOREVER`] comes from the server key.
    #[must_use]
    pub fn epoch_key(&self, partition: Partition) -> Option<Key> {
        self.0.current.read().table.epoch_key(partition)
    }

    /// The live epochs with their ends, in order.
    #[must_use]
    pub fn epochs(&self) -> Vec<(Partition, Timestamp)> {
        self.0.current.read().table.epochs()
    }

    /// The live epochs that were opened under a clock that was not trusted, in order: their ends mean nothing yet.
    #[must_use]
    pub fn provisional(&self) -> Vec<Partition> {
        self.0.current.read().table.provisional()
    }

    /// The highest serial an epoch of `class` ever had; zero before the first.
    #[must_use]
    pub fn last_serial(&self, class: Class) -> u32 {
        self.0.current.read().table.serials.get(&class).copied().unwrap_or(0)
    }

    /// Which life of the server this is.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.0.current.read().table.incarnation
    }

    /// Whether the table would take a commit: waits for one that is under way.
    ///
    /// # Errors
    /// [`Error::Io`] after a failed commit.
    pub async fn check(&self) -> Result<(), Error> {
        if *self.0.turn.lock().await { Err(Error::Io) } else { Ok(()) }
    }

    /// How often the table has been written.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.current.read().generation
    }

    /// The number of slots, epochs and the server key included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.current.read().table.len()
    }

    /// The number of slots of one kind.
    #[must_use]
    pub fn count(&self, kind: SlotKind) -> usize {
        self.0.current.read().table.count(kind)
    }

    /// Never: a table has at least its server key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table as it is at the moment when copies of the three stores were made in `directory`, and what `beside` made
    /// at the same moment. Commits of every kind wait for it.
    ///
    /// # Errors
    /// [`Error::Store`] when the copies cannot be made, [`Error::Io`] after a failed commit.
    pub async fn freeze<T: Send + 'static>(
        &self,
        directory: PathBuf,
        beside: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(Frozen, T), Error> {
        let failed = self.0.turn.lock().await;
        if *failed {
            return Err(Error::Io);
        }
        let made = self.0.store.checkpoint(directory, beside).await.map_err(Error::Store)?;
        let current = self.0.current.read();
        Ok((Frozen { table: current.table.clone(), generation: current.generation }, made))
    }

    /// Makes `changes`, all or none: returns when the new table is durable and the old root key is overwritten.
    ///
    /// The three stores are synced first. Commits that wait at the same time share one image. A caller that stops
    /// waiting may or may not have made its changes.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Full`] leave the table as it was; after [`Error::Io`] the old table or the new one
    /// comes up at the next start, and this one takes no further commit.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        // A task of its own, so that a caller who goes away cannot leave a commit half accounted for.
        let shared = self.0.clone();
        tokio::spawn(async move { shared.commit(changes).await }).await.map_err(|_| Error::Io)?
    }
}

impl Shared {
    async fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        self.queue.lock().push(Waiting { changes, tell });
        let mut failed = self.turn.lock().await;
        let group = std::mem::take(&mut *self.queue.lock());
        if !group.is_empty() {
            let (changes, waiting): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.changes, one.tell)).unzip();
            let result = self.write(&mut failed, changes.concat()).await;
            for tell in waiting {
                // Who no longer waits needs no answer.
                let _ = tell.send(result);
            }
        }
        drop(failed);
        told.await.map_err(|_| Error::Io)?
    }

    async fn write(&self, failed: &mut bool, changes: Vec<Change>) -> Result<(), Error> {
        if *failed {
            return Err(Error::Io);
        }
        let (mut table, generation) = {
            let current = self.current.read();
            (current.table.clone(), current.generation + 1)
        };
        table.apply(changes);
        let (medium, random) = (self.medium.clone(), self.random.clone());
        let written = self.store.barrier(move || persist(&*medium, &table, generation, &*random).map(|()| table)).await;
        match written.map_err(Error::Store)? {
            Ok(table) => {
                *self.current.write() = Current { table, generation };
                Ok(())
            }
            Err(error) => {
                *failed = error != Error::Full;
                Err(error)
            }
        }
    }
}

struct Waiting {
    changes: Vec<Change>,
    tell: oneshot::Sender<Result<(), Error>>,
}

/// Writes a table as `generation`: the image twice, then one root sector, then the other.
fn persist(medium: &dyn Medium, table: &Table, generation: u64, random: &dyn Random) -> Result<(), Error> {
    let root = Key::random(random);
    let image = format::seal_image(table, &root, generation, random)?;
    let region = format::region(generation);
    medium.write_image(region, 0, &image)?;
    medium.write_image(region, image.len(), &image)?;
    medium.sync_image(region)?;
    let sector = Root::over(root, generation, &image)?.sector();
    put_sector(medium, 0, &sector)?;
    put_sector(medium, 1, &sector)
}

/// Overwrites one root sector and makes sure that it is there. The other one stays whole meanwhile.
fn put_sector(medium: &dyn Medium, which: usize, bytes: &[u8]) -> Result<(), Error> {
    medium.write_sector(which, bytes)?;
    medium.sync_sectors()?;
    let read = medium.read_sectors()?;
    if read[which].as_deref() == Some(bytes) { Ok(()) } else { Err(Error::Io) }
}

fn load(medium: &dyn Medium, random: &dyn Random) -> Result<Current, Error> {
    let sectors = medium.read_sectors()?;
    let Some((winner, root)) = &winner(&sectors) else {
        return if medium.has_images()? { Err(Error::Lost) } else { create(medium, random) };
    };
    // A sector that only the page cache holds must be on the medium before the other one is touched.
    medium.sync_sectors()?;
    if sectors[0] != sectors[1] {
        put_sector(medium, 1 - winner, &root.sector())?;
    }
    if root.generation == 0 {
        return first(medium, random);
    }
    Ok(Current { table: read_table(medium, root)?, generation: root.generation })
}

/// The table that `root` was written over, from whichever copy is whole.
fn read_table(medium: &dyn Medium, root: &Root) -> Result<Table, Error> {
    let region = format::region(root.generation);
    for copy in 0..2 {
        if let Some(image) = medium.read_image(region, copy * root.length, root.length)?
            && let Some(table) = format::open_image(root, &image)
        {
            return Ok(table);
        }
    }
    Err(Error::Lost)
}

/// Whether a file that begins like this holds a root key.
#[must_use]
pub fn is_root(start: &[u8]) -> bool {
    start.starts_with(&format::MAGIC)
}

/// The readable root with the higher generation, and which sector it is in.
fn winner(sectors: &[Option<Vec<u8>>; 2]) -> Option<(usize, Root)> {
    let roots = [0, 1].map(|which| sectors[which].as_deref().and_then(Root::read).map(|root| (which, root)));
    let [first, second] = roots;
    match (first, second) {
        (Some(first), Some(second)) => Some(if second.1.generation > first.1.generation { second } else { first }),
        (first, second) => first.or(second),
    }
}

/// Prepares an empty medium. Generation 0 has root sectors and no image, so that a cut on the way to the first table
/// looks neither like a ruined medium nor like a finished one.
fn create(medium: &dyn Medium, random: &dyn Random) -> Result<Current, Error> {
    let sector = Root::over(Key::random(random), 0, &[])?.sector();
    put_sector(medium, 0, &sector)?;
    put_sector(medium, 1, &sector)?;
    first(medium, random)
}

fn first(medium: &dyn Medium, random: &dyn Random) -> Result<Current, Error> {
    let table = Table::new(Key::random(random));
    persist(medium, &table, 1, random)?;
    Ok(Current { table, generation: 1 })
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    pub(crate) use super::frozen::fuzzing::read as read_frozen;
    use super::{
        SECTOR,
        format::{self, Root},
    };

    /// Generation and image length of a sector with these bytes and a checksum that fits.
    pub(crate) fn read_root(bytes: &[u8]) -> Option<(u64, usize)> {
        let mut sector = bytes.get(..SECTOR - 32).unwrap_or(bytes).to_vec();
        sector.resize(SECTOR - 32, 0);
        let checksum = blake3::hash(&sector);
        sector.extend_from_slice(checksum.as_bytes());
        Root::read(&sector).map(|root| (root.generation, root.length))
    }

    /// How many slots and epochs the inside of an image has.
    pub(crate) fn read_table(bytes: &[u8]) -> Option<usize> {
        format::read_table(bytes).map(|table| table.len())
    }
}

#[cfg(test)]
mod tests;

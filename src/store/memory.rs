//! Rows in RAM, with a medium that can lose power: for tests.
//!
//! Owns a model of what a disk keeps: what was synced, what was only written, and every byte it ever saw.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Address, Backend, Error, Fuse, Instance, Partition, Row};
use crate::random::Random;

/// A row as the medium saw it: where it lay, and its bytes.
pub type Written = (Instance, Partition, Address, Vec<u8>);

/// A backend whose rows live in RAM.
#[derive(Default)]
pub struct MemoryBackend {
    fuse: Arc<Fuse>,
    disk: Mutex<Disk>,
    checkpoints: Mutex<BTreeMap<PathBuf, Database>>,
}

#[derive(Clone, Default)]
struct Disk {
    instances: [Database; 3],
    ever: Vec<Written>,
}

type Rows = BTreeMap<Address, Vec<u8>>;

/// One instance: its partitions as they survive a power cut, and the log of what may not.
#[derive(Clone)]
struct Database {
    kept: BTreeMap<Partition, Rows>,
    log: Vec<Vec<(Partition, Address, Vec<u8>)>>,
}

impl Default for Database {
    fn default() -> Self {
        Self { kept: BTreeMap::from([(Partition::FOREVER, Rows::new())]), log: Vec::new() }
    }
}

impl Database {
    fn get(&self, partition: Partition, address: &Address) -> Option<Vec<u8>> {
        let kept = self.kept.get(&partition)?;
        let unsynced = self.log.iter().rev().flat_map(|record| record.iter().rev());
        let newest = unsynced.filter(|(p, a, _)| *p == partition && a == address).map(|(_, _, value)| value).next();
        newest.or_else(|| kept.get(address)).cloned()
    }

    /// Every row that survives a power cut.
    fn rows(&self, instance: Instance) -> impl Iterator<Item = Written> {
        self.kept.iter().flat_map(move |(partition, rows)| {
            rows.iter().map(move |(address, value)| (instance, *partition, *address, value.clone()))
        })
    }

    /// Moves the `records` oldest records of the log to where they survive.
    fn settle(&mut self, records: usize) {
        for (partition, address, value) in self.log.drain(..records).flatten() {
            if let Some(kept) = self.kept.get_mut(&partition) {
                kept.insert(address, value);
            }
        }
    }
}

impl MemoryBackend {
    /// An empty medium with a fuse of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty medium that loses power together with whatever else is on `fuse`.
    #[must_use]
    pub fn with_fuse(fuse: Arc<Fuse>) -> Self {
        Self { fuse, ..Self::default() }
    }

    /// A copy of the medium, with everything it ever saw, on a fuse of its own.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { disk: Mutex::new(self.disk.lock().clone()), ..Self::default() }
    }

    /// A medium that holds the checkpoints of the three instances under `directory`; `None` when one is missing.
    #[must_use]
    pub fn restored(&self, directory: &Path) -> Option<Self> {
        let checkpoints = self.checkpoints.lock();
        let mut disk = Disk::default();
        for instance in Instance::ALL {
            disk.instances[instance.index()] = checkpoints.get(&directory.join(instance.name()))?.clone();
        }
        disk.ever =
            disk.instances.iter().zip(Instance::ALL).flat_map(|(database, instance)| database.rows(instance)).collect();
        Some(Self { disk: Mutex::new(disk), ..Self::default() })
    }

    /// The fuse, to share it with the key files.
    #[must_use]
    pub fn fuse(&self) -> Arc<Fuse> {
        Arc::clone(&self.fuse)
    }

    /// Lets `steps` further disk steps happen; everything after them fails until [`MemoryBackend::crash`].
    ///
    /// A step is: a row written, a sync of one instance, a partition made, dropped or merged.
    pub fn cut_after(&self, steps: u64) {
        self.fuse.cut_after(steps);
    }

    /// The disk steps that have happened so far, those of others on the same fuse included.
    #[must_use]
    pub fn step_count(&self) -> u64 {
        self.fuse.count()
    }

    /// A power cut, and power again: every instance keeps a random prefix of the writes that were not synced.
    pub fn crash(&self, random: &dyn Random) {
        let mut disk = self.disk.lock();
        for database in &mut disk.instances {
            let survivors = random.below(database.log.len() as u64 + 1);
            database.settle(usize::try_from(survivors).unwrap_or(0));
            database.log.clear();
        }
        self.fuse.reset();
    }

    /// Every row ever handed to the medium, in order, dropped and lost ones included: what forensics may find.
    #[must_use]
    pub fn ever(&self) -> Vec<Written> {
        self.disk.lock().ever.clone()
    }

    /// Every row that is there now, in the order of its place.
    #[must_use]
    pub fn image(&self) -> Vec<Written> {
        let disk = self.disk.lock();
        let mut image = Vec::new();
        for instance in Instance::ALL {
            let database = &disk.instances[instance.index()];
            let mut places: BTreeSet<(Partition, Address)> =
                database.kept.iter().flat_map(|(p, rows)| rows.keys().map(|a| (*p, *a))).collect();
            places.extend(database.log.iter().flatten().map(|(p, a, _)| (*p, *a)));
            for (partition, address) in places {
                image.extend(database.get(partition, &address).map(|value| (instance, partition, address, value)));
            }
        }
        image
    }
}

impl Backend for MemoryBackend {
    fn get(&self, instance: Instance, partition: Partition, address: &Address) -> Result<Option<Vec<u8>>, Error> {
        self.fuse.check()?;
        Ok(self.disk.lock().instances[instance.index()].get(partition, address))
    }

    fn multi_get(
        &self,
        instance: Instance,
        partition: Partition,
        addresses: &[Address],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.fuse.check()?;
        let disk = self.disk.lock();
        Ok(addresses.iter().map(|address| disk.instances[instance.index()].get(partition, address)).collect())
    }

    fn write(&self, rows: &[Row]) -> Result<(), Error> {
        let mut disk = self.disk.lock();
        for instance in Instance::ALL {
            let mut record = Vec::new();
            for row in rows.iter().filter(|row| row.instance == instance) {
                if !disk.instances[instance.index()].kept.contains_key(&row.partition) {
                    return Err(Error::UnknownPartition);
                }
                self.fuse.step()?;
                disk.ever.push((instance, row.partition, row.address, row.value.clone()));
                record.push((row.partition, row.address, row.value.clone()));
            }
            // A record that the cut interrupts is torn, and a torn record is none.
            if !record.is_empty() {
                disk.instances[instance.index()].log.push(record);
            }
        }
        Ok(())
    }

    fn sync(&self, instance: Instance) -> Result<(), Error> {
        let mut disk = self.disk.lock();
        self.fuse.step()?;
        let database = &mut disk.instances[instance.index()];
        database.settle(database.log.len());
        Ok(())
    }

    fn create_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        let mut disk = self.disk.lock();
        self.fuse.step()?;
        disk.instances[instance.index()].kept.entry(partition).or_default();
        Ok(())
    }

    fn drop_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        let mut disk = self.disk.lock();
        self.fuse.step()?;
        let database = &mut disk.instances[instance.index()];
        // Dropping empties the log, so what others have in it is written out first.
        database.settle(database.log.len());
        database.kept.remove(&partition);
        Ok(())
    }

    fn list_partitions(&self, instance: Instance) -> Result<Vec<Partition>, Error> {
        self.fuse.check()?;
        Ok(self.disk.lock().instances[instance.index()].kept.keys().copied().collect())
    }

    fn merge(&self, instance: Instance, partition: Partition, dead: &HashSet<Address>) -> Result<(), Error> {
        let mut disk = self.disk.lock();
        self.fuse.step()?;
        let database = &mut disk.instances[instance.index()];
        database.settle(database.log.len());
        if let Some(kept) = database.kept.get_mut(&partition) {
            kept.retain(|address, _| !dead.contains(address));
        }
        Ok(())
    }

    fn checkpoint(&self, instance: Instance, to: &Path) -> Result<(), Error> {
        let disk = self.disk.lock();
        self.fuse.step()?;
        let mut copy = disk.instances[instance.index()].clone();
        copy.settle(copy.log.len());
        match self.checkpoints.lock().entry(to.to_owned()) {
            Entry::Vacant(vacant) => drop(vacant.insert(copy)),
            Entry::Occupied(_) => return Err(Error::Io),
        }
        Ok(())
    }
}

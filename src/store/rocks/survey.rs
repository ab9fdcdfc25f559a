//! What a database tells without any key: which partitions there are, how many rows of which size, and how many of them
//! still show when they were written. Reads a database that nobody has open, and changes nothing.

use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, IteratorMode, properties};

use super::{Cache, Database, Dead, MARKER, database_options, fact, family_options, partition_of, uncached};
use crate::store::{Address, Error, Instance, Partition};

/// Sizes that sealed rows have: 1, 2, 4 … 64 KiB.
pub const SIZES: usize = 7;
/// The level that merges write to.
const MERGED: i32 = 6;
/// For reading only once.
const CACHE: usize = 1 << 20;

/// The rows of one partition of one instance.
pub struct Tally {
    /// The instance.
    pub instance: Instance,
    /// The partition.
    pub partition: Partition,
    /// Rows of 1, 2, 4 … 64 KiB.
    pub rows: [u64; SIZES],
    /// Rows of any other size: none that Lethe writes.
    pub others: u64,
    /// Writes since the last merge, which still show their order.
    pub unmerged: u64,
}

/// Databases of a data directory, opened for reading alone.
pub struct Survey {
    instances: Vec<(Instance, Database, Vec<Partition>)>,
}

impl Survey {
    /// Opens what lies under `directory`; an instance that is not there is empty.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when something else lies there, [`Error::Io`] when it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let mut instances = Vec::new();
        for instance in Instance::ALL {
            let path = directory.join(instance.name());
            if !path.join("CURRENT").exists() {
                continue;
            }
            let (database, partitions) = open(&path)?;
            instances.push((instance, database, partitions));
        }
        Ok(Self { instances })
    }

    /// Counts every row. Takes as long as reading everything does.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Corrupt`].
    pub fn tally(&self) -> Result<Vec<Tally>, Error> {
        let mut tallies = Vec::new();
        for (instance, database, partitions) in &self.instances {
            for partition in partitions {
                tallies.push(count(database, *instance, *partition)?);
            }
        }
        Ok(tallies)
    }

    /// Whether there is a row at `address`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Corrupt`].
    pub fn has(&self, instance: Instance, partition: Partition, address: &Address) -> Result<bool, Error> {
        let found = self.instances.iter().find(|(one, _, _)| *one == instance);
        let Some((_, database, _)) = found else { return Ok(false) };
        let Some(family) = database.cf_handle(&super::name_of(partition)) else { return Ok(false) };
        Ok(database.get_pinned_cf_opt(&family, address.0, &uncached()).map_err(fact)?.is_some())
    }
}

fn open(path: &Path) -> Result<(Database, Vec<Partition>), Error> {
    let mut options = database_options()?;
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    let names = Database::list_cf(&options, path).map_err(fact)?;
    let partitions = names.iter().filter(|name| *name != MARKER).map(|name| partition_of(name).ok_or(Error::Corrupt));
    let mut partitions: Vec<Partition> = partitions.collect::<Result<_, _>>()?;
    partitions.sort_unstable();
    let cache = Cache::new_lru_cache(CACHE);
    let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, family_options(&cache, Dead::default())));
    let database = Database::open_cf_descriptors_read_only(&options, path, families, false).map_err(fact)?;
    Ok((database, partitions))
}

fn count(database: &Database, instance: Instance, partition: Partition) -> Result<Tally, Error> {
    let name = super::name_of(partition);
    let family = database.cf_handle(&name).ok_or(Error::Corrupt)?;
    let mut tally = Tally { instance, partition, rows: [0; SIZES], others: 0, unmerged: 0 };
    for row in database.iterator_cf_opt(&family, uncached(), IteratorMode::Start) {
        let (_, value) = row.map_err(fact)?;
        match (0..SIZES).find(|power| value.len() == 1024 << power) {
            Some(power) => tally.rows[power] += 1,
            None => tally.others += 1,
        }
    }
    let files = database.live_files().map_err(fact)?;
    let fresh = files.iter().filter(|file| file.column_family_name == name && file.level < MERGED);
    tally.unmerged = fresh.map(|file| file.num_entries).sum();
    for property in [properties::NUM_ENTRIES_ACTIVE_MEM_TABLE, properties::NUM_ENTRIES_IMM_MEM_TABLES] {
        tally.unmerged += database.property_int_value_cf(&family, property).map_err(fact)?.unwrap_or(0);
    }
    Ok(tally)
}

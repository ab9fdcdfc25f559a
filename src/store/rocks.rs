//! Rows in RocksDB, one database per instance and one column family per partition.
//!
//! Owns every option and every file name of RocksDB; nothing else names it. Never deletes a row: a tombstone would
//! link addresses, so dead rows go in a merge, by a compaction filter.

mod survey;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    ffi::CStr,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, BoundColumnFamily, Cache, ColumnFamilyDescriptor, CompactOptions,
    CompactionDecision, DBCompactionStyle, DBCompressionType, DBWithThreadMode, ErrorKind, InfoLogger, LogLevel,
    MultiThreaded, Options, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions,
    checkpoint::Checkpoint,
    compaction_filter::CompactionFilter,
    compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory},
};

pub use self::survey::{SIZES, Survey, Tally};
use super::{Address, Backend, Class, Error, Instance, Partition, Row};

/// What finds rows, indexes and filters, of all three databases together.
const CACHE: usize = 16 << 20;
/// One partition's rows in RAM before they are written out.
const WRITE_BUFFER: usize = 4 << 20;
/// All rows of one database in RAM: many partitions may be open at once.
const WRITE_BUFFERS: usize = 16 << 20;
/// What a partition takes from the heap at a time; most partitions are nearly empty.
const ARENA_BLOCK: usize = 64 << 10;
/// The log is read again at each start, at about 250 MB/s.
const LOG: u64 = 64 << 20;
/// The list of files names the first and last address of dropped ones until it is rewritten. So it is rewritten with each
/// change: it is small, and its files change a few times an hour.
const MANIFEST: &str = "max_manifest_space_amp_pct=0;max_manifest_file_size=1";
/// File descriptors of one database.
const OPEN_FILES: i32 = 256;
/// How long files that belong to nobody may be in the making, in microseconds.
const PATIENCE: u64 = 2_000_000;
/// The family RocksDB insists on. It holds one constant row, whose rewriting starts a new log.
const MARKER: &str = "default";

type Database = DBWithThreadMode<MultiThreaded>;

/// The default backend.
pub struct RocksBackend {
    instances: [Rocks; 3],
}

/// One instance.
struct Rocks {
    database: Database,
    cache: Cache,
    dead: Mutex<HashMap<Partition, Dead>>,
    merging: Mutex<()>,
}

impl RocksBackend {
    /// Opens the databases under `directory`, making what is missing.
    ///
    /// [`Error::Corrupt`] when something else lies there, [`Error::Io`] when it cannot be read or is in use.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let cache = Cache::new_lru_cache(CACHE);
        let open = &|instance: Instance| Rocks::open(&directory.join(instance.name()), &cache);
        // Opening waits for the disk most of the time, so the three do it at once.
        let [records, soup, inbox] = std::thread::scope(|scope| {
            let threads = Instance::ALL.map(|instance| scope.spawn(move || open(instance)));
            threads.map(|thread| thread.join().unwrap_or(Err(Error::Io)))
        });
        Ok(Self { instances: [records?, soup?, inbox?] })
    }

    fn of(&self, instance: Instance) -> &Rocks {
        &self.instances[instance.index()]
    }
}

impl Backend for RocksBackend {
    fn get(&self, instance: Instance, partition: Partition, address: &Address) -> Result<Option<Vec<u8>>, Error> {
        let rocks = self.of(instance);
        let Some(family) = rocks.family(partition) else { return Ok(None) };
        rocks.database.get_cf_opt(&family, address.0, &uncached()).map_err(fact)
    }

    fn multi_get(
        &self,
        instance: Instance,
        partition: Partition,
        addresses: &[Address],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let rocks = self.of(instance);
        let Some(family) = rocks.family(partition) else { return Ok(vec![None; addresses.len()]) };
        let addresses = addresses.iter().map(|address| &address.0);
        let found = rocks.database.batched_multi_get_cf_opt(&family, addresses, false, &uncached());
        found.into_iter().map(|row| row.map(|row| row.map(|row| row.to_vec())).map_err(fact)).collect()
    }

    fn write(&self, rows: &[Row]) -> Result<(), Error> {
        for instance in Instance::ALL {
            self.of(instance).write(rows.iter().filter(|row| row.instance == instance))?;
        }
        Ok(())
    }

    fn sync(&self, instance: Instance) -> Result<(), Error> {
        self.of(instance).database.flush_wal(true).map_err(fact)
    }

    fn create_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.of(instance).create(partition)
    }

    fn drop_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.of(instance).drop_partition(partition)
    }

    fn list_partitions(&self, instance: Instance) -> Result<Vec<Partition>, Error> {
        let mut partitions: Vec<Partition> = self.of(instance).dead.lock().keys().copied().collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    fn leftovers(&self, instance: Instance) -> Result<usize, Error> {
        self.of(instance).leftovers()
    }

    fn merge(&self, instance: Instance, partition: Partition, dead: &HashSet<Address>) -> Result<(), Error> {
        self.of(instance).merge(partition, dead)
    }

    fn checkpoint(&self, instance: Instance, to: &Path) -> Result<(), Error> {
        let checkpoint = Checkpoint::new(&self.of(instance).database).map_err(fact)?;
        checkpoint.create_checkpoint(to).map_err(fact)
    }
}

impl Rocks {
    fn open(path: &Path, cache: &Cache) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|_| Error::Io)?;
        let options = database_options()?;
        let there = path.join("CURRENT").exists();
        let names = if there { Database::list_cf(&options, path).map_err(fact)? } else { Vec::new() };
        let mut families = vec![ColumnFamilyDescriptor::new(MARKER, family_options(cache, Dead::default()))];
        let mut dead = HashMap::new();
        for name in names.iter().filter(|name| *name != MARKER) {
            let partition = partition_of(name).ok_or(Error::Corrupt)?;
            let leave_out = dead.entry(partition).or_insert_with(Dead::default).clone();
            families.push(ColumnFamilyDescriptor::new(name, family_options(cache, leave_out)));
        }
        let database = Database::open_cf_descriptors(&options, path, families).map_err(fact)?;
        let rocks = Self { database, cache: cache.clone(), dead: Mutex::new(dead), merging: Mutex::new(()) };
        rocks.create(Partition::FOREVER)?;
        Ok(rocks)
    }

    fn family(&self, partition: Partition) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.database.cf_handle(&name_of(partition))
    }

    fn write<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Result<(), Error> {
        let mut families: HashMap<Partition, Arc<BoundColumnFamily<'_>>> = HashMap::new();
        let mut batch = WriteBatch::default();
        for row in rows {
            if let Some(family) = families.get(&row.partition) {
                batch.put_cf(family, row.address.0, &row.value);
            } else {
                let family = self.family(row.partition).ok_or(Error::UnknownPartition)?;
                batch.put_cf(&family, row.address.0, &row.value);
                families.insert(row.partition, family);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.database.write_opt(batch, &unsynced()).map_err(fact) }
    }

    fn create(&self, partition: Partition) -> Result<(), Error> {
        let mut dead = self.dead.lock();
        if let Entry::Vacant(vacant) = dead.entry(partition) {
            let leave_out = Dead::default();
            let options = family_options(&self.cache, leave_out.clone());
            self.database.create_cf(name_of(partition), &options).map_err(fact)?;
            vacant.insert(leave_out);
        }
        Ok(())
    }

    /// The files of a dropped family go at once; its rows in the log go when every other family has written out
    /// what it has there, and a new log has begun.
    fn drop_partition(&self, partition: Partition) -> Result<(), Error> {
        if self.dead.lock().remove(&partition).is_none() {
            return Ok(());
        }
        self.database.drop_cf(&name_of(partition)).map_err(fact)?;
        let marker = self.database.cf_handle(MARKER).ok_or(Error::Corrupt)?;
        self.database.put_cf_opt(&marker, [], [], &unsynced()).map_err(fact)?;
        self.database.flush_cf(&marker).map_err(fact)?;
        let others: Vec<Partition> = self.dead.lock().keys().copied().collect();
        for family in others.into_iter().filter_map(|other| self.family(other)) {
            self.database.flush_cf(&family).map_err(fact)?;
        }
        Ok(())
    }

    /// Sorted files that belong to no family. Old logs and lists of files go with the new ones that replace them.
    fn leftovers(&self) -> Result<usize, Error> {
        if self.strays()? == 0 {
            return Ok(0);
        }
        // What is being written just now belongs to nobody yet, and what it replaces to nobody any more.
        let mut patience = WaitForCompactOptions::default();
        patience.set_timeout(PATIENCE);
        let _ = self.database.wait_for_compact(&patience);
        self.strays()
    }

    fn strays(&self) -> Result<usize, Error> {
        let there = sorted_files(self.database.path())?;
        let known = self.database.live_files().map_err(fact)?;
        let known: HashSet<String> =
            known.into_iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect();
        Ok(there.iter().filter(|name| !known.contains(*name)).count())
    }

    fn merge(&self, partition: Partition, dead: &HashSet<Address>) -> Result<(), Error> {
        let _one_at_a_time = self.merging.lock();
        let leave_out = self.dead.lock().get(&partition).cloned();
        let (Some(family), Some(leave_out)) = (self.family(partition), leave_out) else { return Ok(()) };
        match self.database.flush_cf(&family) {
            Err(_) if !self.dead.lock().contains_key(&partition) => return Ok(()), // Dropped just now.
            flushed => flushed.map_err(fact)?,
        }
        *leave_out.0.lock() = Arc::new(dead.clone());
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        self.database.compact_range_cf_opt(&family, None::<&[u8]>, None::<&[u8]>, &options);
        *leave_out.0.lock() = Arc::default();
        // A merge answers nothing itself; what went wrong in it is counted.
        match self.database.property_int_value(rocksdb::properties::BACKGROUND_ERRORS) {
            Ok(Some(0) | None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(Error::Io),
        }
    }
}

/// The rows that the merge under way leaves out; nothing while there is none.
#[derive(Clone, Default)]
struct Dead(Arc<Mutex<Arc<HashSet<Address>>>>);

impl CompactionFilterFactory for Dead {
    type Filter = LeaveOut;

    /// Rows are left out by whole merges only: anywhere else RocksDB would put a tombstone in their place.
    fn create(&mut self, context: CompactionFilterContext) -> LeaveOut {
        let whole = context.is_manual_compaction && context.is_full_compaction;
        LeaveOut(if whole { Arc::clone(&self.0.lock()) } else { Arc::default() })
    }

    fn name(&self) -> &CStr {
        c"dead"
    }
}

struct LeaveOut(Arc<HashSet<Address>>);

impl CompactionFilter for LeaveOut {
    fn filter(&mut self, _level: u32, key: &[u8], _value: &[u8]) -> CompactionDecision {
        match key.try_into() {
            Ok(address) if self.0.contains(&Address(address)) => CompactionDecision::Remove,
            _ => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        c"dead"
    }
}

fn database_options() -> Result<Options, Error> {
    let mut options = Options::default().get_options_from_string(MANIFEST).map_err(fact)?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // No info log: with a logger of one's own RocksDB makes no LOG file.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| {}));
    options.set_keep_log_file_num(1);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_recycle_log_file_num(0);
    options.set_wal_ttl_seconds(0);
    options.set_wal_size_limit_mb(0);
    options.set_max_total_wal_size(LOG);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_background_jobs(2);
    Ok(options)
}

fn family_options(cache: &Cache, dead: Dead) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(10.0, false);
    // Within the cache, so that what a start of many partitions costs is bounded.
    table.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_arena_block_size(ARENA_BLOCK);
    // In this style a merge takes all files to the last level in one go, so a row that is left out needs no
    // tombstone on the way.
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_compaction_filter_factory(dead);
    options
}

/// Rows lie at random addresses and are read once when their owner opens: the cache is for what finds them.
fn uncached() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    // A row says itself whether it is whole: it is sealed.
    options.set_verify_checksums(false);
    options
}

fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

/// The names of the sorted files in `directory`.
fn sorted_files(directory: &Path) -> Result<Vec<String>, Error> {
    let names = std::fs::read_dir(directory).map_err(|_| Error::Io)?;
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "sst")).collect())
}

/// The name of a partition's family: class code and serial, as in `3-17`.
fn name_of(partition: Partition) -> String {
    format!("{}-{}", partition.class.code(), partition.serial)
}

fn partition_of(name: &str) -> Option<Partition> {
    let (code, serial) = name.split_once('-')?;
    let partition = Partition { class: Class::from_code(code.parse().ok()?)?, serial: serial.parse().ok()? };
    (name_of(partition) == name).then_some(partition)
}

/// What an error of RocksDB means; its text may hold paths and addresses and is dropped.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn fact(error: rocksdb::Error) -> Error {
    if error.kind() == ErrorKind::Corruption { Error::Corrupt } else { Error::Io }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        for class in Class::ALL {
            for serial in [0, 1, 17, u32::MAX] {
                let partition = Partition { class, serial };
                assert!(partition_of(&name_of(partition)) == Some(partition));
            }
        }
        assert_eq!(name_of(Partition { class: Class::Week, serial: 17 }), "3-17");
        for name in ["", "default", "3", "3-", "-3", "0-1", "8-1", "3-017", "03-17", "3-+17", "3-4294967296", "3-1-1"] {
            assert!(partition_of(name).is_none(), "{name}");
        }
    }
}

//! A real disk that somebody looks at after each of its steps: what he finds there is what a cut just then would leave.
//!
//! The steps are those at which the proof of the key protocol cuts its machine in memory; here they are done by RocksDB
//! and by the key files.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use lethe::{
    clock::Clock,
    config::Config,
    engine::{Engine, Settings},
    random::Random,
    seal::slots::{self, FileMedium, Medium},
    server::Server,
    store::{Address, Backend, Durability, Error, Instance, Partition, RocksBackend, Row, Store},
};

/// What a disk has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rows of one instance were written.
    Rows,
    /// An instance was synced.
    Synced,
    /// A partition was made.
    Made,
    /// A partition was dropped, and the log and the list of files begun anew.
    Dropped,
    /// A partition was merged.
    Merged,
    /// A copy was made.
    Copied,
    /// A slot image was written.
    Image,
    /// A slot image was synced.
    ImageSynced,
    /// A root sector was overwritten.
    Sector,
    /// The root sectors were synced.
    SectorSynced,
}

type Look = Box<dyn FnMut(Step) + Send>;

/// Somebody who looks on, from time to time.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Option<Look>>);

impl Watch {
    /// Calls `look` after each step from now on, before the next can begin.
    pub(crate) fn begin(&self, look: impl FnMut(Step) + Send + 'static) {
        *self.0.lock().expect("no panic") = Some(Box::new(look));
    }

    /// Looks no more.
    pub(crate) fn end(&self) {
        *self.0.lock().expect("no panic") = None;
    }

    /// Starts a server whose disk is watched.
    pub(crate) async fn launch(
        self: &Arc<Self>,
        config: Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Server {
        fs::create_dir_all(&config.storage.data).expect("a directory");
        let keys = FileMedium::open(&config.storage.keys_directory()).expect("keys");
        let rows = RocksBackend::open(&config.storage.data).expect("a store");
        let keys = Arc::new(Watched { disk: keys, watch: Arc::clone(self) });
        let rows = Arc::new(Watched { disk: rows, watch: Arc::clone(self) });
        let (store, settings) = (Store::threaded(rows, Durability::Synced), Settings::of(&config).expect("valid"));
        let engine = Engine::assemble(store, keys, clock, random, settings).await.expect("an engine");
        Server::serve(config, engine).await.expect("started")
    }
}

struct Watched<D> {
    disk: D,
    watch: Arc<Watch>,
}

impl<D> Watched<D> {
    /// Does one step and has it looked at, while nothing else is done.
    fn step<T, E>(&self, step: Step, act: impl FnOnce(&D) -> Result<T, E>) -> Result<T, E> {
        let mut look = self.watch.0.lock().expect("no panic");
        let done = act(&self.disk)?;
        if let Some(look) = &mut *look {
            look(step);
        }
        Ok(done)
    }
}

impl Backend for Watched<RocksBackend> {
    fn get(&self, instance: Instance, partition: Partition, address: &Address) -> Result<Option<Vec<u8>>, Error> {
        self.disk.get(instance, partition, address)
    }

    fn multi_get(
        &self,
        instance: Instance,
        partition: Partition,
        addresses: &[Address],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.disk.multi_get(instance, partition, addresses)
    }

    fn write(&self, rows: &[Row]) -> Result<(), Error> {
        for instance in Instance::ALL {
            let rows: Vec<Row> = rows.iter().filter(|row| row.instance == instance).cloned().collect();
            if !rows.is_empty() {
                self.step(Step::Rows, |disk| disk.write(&rows))?;
            }
        }
        Ok(())
    }

    fn sync(&self, instance: Instance) -> Result<(), Error> {
        self.step(Step::Synced, |disk| disk.sync(instance))
    }

    fn create_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.step(Step::Made, |disk| disk.create_partition(instance, partition))
    }

    fn drop_partition(&self, instance: Instance, partition: Partition) -> Result<(), Error> {
        self.step(Step::Dropped, |disk| disk.drop_partition(instance, partition))
    }

    fn list_partitions(&self, instance: Instance) -> Result<Vec<Partition>, Error> {
        self.disk.list_partitions(instance)
    }

    fn leftovers(&self, instance: Instance) -> Result<usize, Error> {
        self.disk.leftovers(instance)
    }

    fn merge(&self, instance: Instance, partition: Partition, dead: &HashSet<Address>) -> Result<(), Error> {
        self.step(Step::Merged, |disk| disk.merge(instance, partition, dead))
    }

    fn checkpoint(&self, instance: Instance, to: &Path) -> Result<(), Error> {
        self.step(Step::Copied, |disk| disk.checkpoint(instance, to))
    }
}

impl Medium for Watched<FileMedium> {
    fn read_sectors(&self) -> Result<[Option<Vec<u8>>; 2], slots::Error> {
        self.disk.read_sectors()
    }

    fn write_sector(&self, which: usize, bytes: &[u8]) -> Result<(), slots::Error> {
        self.step(Step::Sector, |disk| disk.write_sector(which, bytes))
    }

    fn sync_sectors(&self) -> Result<(), slots::Error> {
        self.step(Step::SectorSynced, FileMedium::sync_sectors)
    }

    fn read_image(&self, region: usize, offset: usize, length: usize) -> Result<Option<Vec<u8>>, slots::Error> {
        self.disk.read_image(region, offset, length)
    }

    fn write_image(&self, region: usize, offset: usize, bytes: &[u8]) -> Result<(), slots::Error> {
        self.step(Step::Image, |disk| disk.write_image(region, offset, bytes))
    }

    fn sync_image(&self, region: usize) -> Result<(), slots::Error> {
        self.step(Step::ImageSynced, |disk| disk.sync_image(region))
    }

    fn has_images(&self) -> Result<bool, slots::Error> {
        self.disk.has_images()
    }
}

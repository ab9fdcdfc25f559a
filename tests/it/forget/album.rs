//! What lay on a disk after each step of something: the files as a process that is killed leaves them, or the blocks of
//! a file system as a power cut does, on which nothing is that was not written out.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use lethe::{
    clock::{Clock, ManualClock, SystemClock, Timestamp},
    store::{Instance, Partition},
};
use rocksdb::{DB, Options};
use tempfile::TempDir;

use crate::watch::{Step, Watch};

/// The size of a file system of its own: a small server leaves some 30 MiB.
const DEVICE: u64 = 192 << 20;

/// Where a server's files lie: in a directory, or on an ext4 of their own in a file.
pub(super) struct Ground {
    directory: PathBuf,
    /// Where the file with the file system lies.
    device: Option<TempDir>,
}

impl Ground {
    /// A directory.
    pub(super) fn plain() -> (Self, TempDir) {
        let directory = scratch();
        (Self { directory: directory.path().to_owned(), device: None }, directory)
    }

    /// A file system in a file under `beside`. Needs root.
    pub(super) fn device(beside: &Path) -> (Self, TempDir) {
        let device = TempDir::new_in(beside).expect("a scratch directory");
        let file = device.path().join("disk");
        fs::File::create(&file).and_then(|file| file.set_len(DEVICE)).expect("a file");
        run(Command::new("mkfs.ext4").arg("-q").arg(&file));
        Self::mounted(device)
    }

    fn mounted(device: TempDir) -> (Self, TempDir) {
        let directory = scratch();
        run(Command::new("mount").args(["-o", "loop"]).arg(device.path().join("disk")).arg(directory.path()));
        (Self { directory: directory.path().to_owned(), device: Some(device) }, directory)
    }

    fn photograph(&self, step: Option<Step>, at: Timestamp, work: Duration) -> Shot {
        let device = self.device.is_some();
        let copy = match &self.device {
            None => {
                let copy = scratch();
                while !copied(&self.directory, copy.path()) {
                    fs::remove_dir_all(copy.path()).expect("removed");
                }
                copy
            }
            Some(device) => {
                let (from, copy) = (device.path().join("disk"), TempDir::new_in(device.path()).expect("a directory"));
                let to = copy.path().join("disk");
                loop {
                    run(Command::new("cp").arg("--sparse=always").args([&from, &to]));
                    // The system may write something out meanwhile.
                    if Command::new("cmp").arg("-s").args([&from, &to]).status().is_ok_and(|same| same.success()) {
                        break;
                    }
                }
                copy
            }
        };
        Shot { step, at, work, copy, device, torn: false }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.device.is_some() {
            // What is left of a server may have files open for a moment longer.
            run(Command::new("umount").arg("--lazy").arg(&self.directory));
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// What lay on a disk at some time.
pub(super) struct Shot {
    /// What the disk had just done; nothing at the beginning.
    pub(super) step: Option<Step>,
    /// When, by the server's clock.
    pub(super) at: Timestamp,
    /// How long it took the server to get here.
    pub(super) work: Duration,
    copy: TempDir,
    device: bool,
    /// Whether the step after it was cut in its middle.
    pub(super) torn: bool,
}

impl Shot {
    /// The files. What is done to them is done to this copy.
    pub(super) fn open(self) -> (Ground, TempDir) {
        if self.device {
            return Ground::mounted(self.copy);
        }
        (Ground { directory: self.copy.path().to_owned(), device: None }, self.copy)
    }

    /// What lies there when RocksDB has dropped the families that `next` has not, and done nothing more; nothing when there
    /// are none.
    pub(super) fn without_families_that_lack_in(&self, next: &Self) -> Option<Self> {
        let gone = |instance: Instance| {
            let families = |shot: &Self| DB::list_cf(&Options::default(), shot.instance(instance)).expect("a database");
            let (there, next) = (families(self), families(next));
            (instance, there.into_iter().filter(|name| !next.contains(name)).collect::<Vec<_>>())
        };
        if self.device || next.step != Some(Step::Dropped) {
            return None;
        }
        let (instance, gone) = Instance::ALL.into_iter().map(gone).find(|(_, gone)| !gone.is_empty())?;
        let torn = self.altered();
        let path = torn.instance(instance);
        let options = Options::default().get_options_from_string("avoid_flush_during_recovery=true").expect("options");
        let families = DB::list_cf(&options, &path).expect("a database");
        let database = DB::open_cf(&options, &path, families).expect("a database");
        for name in gone {
            database.drop_cf(&name).expect("dropped");
        }
        Some(torn)
    }

    /// What lies there when every segment of media is unlinked, and no directory; nothing when there are none.
    pub(super) fn without_segments_of(&self, partition: Partition) -> Option<Self> {
        let name = format!("data/media/{}-{}", partition.class.code(), partition.serial);
        if self.device || !self.copy.path().join(&name).exists() {
            return None;
        }
        let torn = self.altered();
        for segment in fs::read_dir(torn.copy.path().join(&name)).expect("a directory") {
            fs::remove_file(segment.expect("an entry").path()).expect("removed");
        }
        Some(torn)
    }

    fn altered(&self) -> Self {
        let copy = scratch();
        assert!(copied(self.copy.path(), copy.path()), "nobody changes it");
        Self { copy, torn: true, ..*self }
    }

    fn instance(&self, instance: Instance) -> PathBuf {
        self.copy.path().join("data").join(instance.name())
    }
}

/// The shots that were taken since it was asked last.
#[derive(Clone)]
pub(super) struct Album(Arc<Mutex<Vec<Shot>>>, Arc<Ground>);

impl Album {
    pub(super) fn of(ground: Ground) -> Self {
        Self(Arc::default(), Arc::new(ground))
    }

    /// Takes a shot now, and after each step from now on. `clock` is the server's.
    pub(super) fn begin(&self, watch: &Watch, clock: Arc<ManualClock>) {
        let (album, first) = (self.clone(), self.1.photograph(None, clock.now(), Duration::ZERO));
        self.0.lock().expect("no panic").push(first);
        let (real, mut spent) = (SystemClock::new(), Duration::ZERO);
        watch.begin(move |step| {
            let work = real.monotonic().saturating_sub(spent);
            let shot = album.1.photograph(Some(step), clock.now(), work);
            album.0.lock().expect("no panic").push(shot);
            spent = real.monotonic().saturating_sub(work);
        });
    }

    pub(super) fn end(&self, watch: &Watch) -> Vec<Shot> {
        watch.end();
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

fn scratch() -> TempDir {
    TempDir::new().expect("a scratch directory")
}

fn run(command: &mut Command) {
    let done = command.output().expect("a command");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Copies a directory. Whether nothing changed meanwhile.
fn copied(from: &Path, to: &Path) -> bool {
    let listed = |from: &Path| {
        let mut files = Vec::new();
        list(from, &mut files).map(|()| files)
    };
    let copy = || -> io::Result<bool> {
        let before = listed(from)?;
        fs::create_dir_all(to)?;
        for (path, ..) in &before {
            let to = to.join(path.strip_prefix(from).expect("within"));
            fs::create_dir_all(to.parent().expect("within"))?;
            fs::copy(path, to)?;
        }
        Ok(listed(from)? == before)
    };
    match copy() {
        Ok(same) => same,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{error}"),
    }
}

/// The files under a directory, with what tells that one has changed.
fn list(directory: &Path, files: &mut Vec<(PathBuf, u64, SystemTime)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let facts = fs::symlink_metadata(&path)?;
        if facts.is_dir() {
            list(&path, files)?;
        } else if facts.is_file() {
            files.push((path, facts.len(), facts.modified()?));
        }
    }
    files.sort_unstable();
    Ok(())
}

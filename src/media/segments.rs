//! Segment files: where sealed blobs lie, one behind the other, a directory for each partition.
//!
//! There is no file per blob: a file has times, and times would tell when each blob came. Knows no key and no length
//! of a blob's content. Everything here blocks.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::store::{Class, Partition};

/// A segment that has reached this takes no further blob: files stay small enough to be moved about.
const FULL: u64 = 256 << 20;

/// The segment files.
pub(super) struct Segments {
    root: PathBuf,
    tails: Mutex<HashMap<Partition, Tail>>,
}

/// The segment that a partition's next blob goes to.
struct Tail {
    number: u32,
    file: Arc<File>,
    end: u64,
}

/// A stretch of a segment that is one blob's alone.
pub(super) struct Extent {
    /// The segment.
    pub(super) file: Arc<File>,
    /// Its number.
    pub(super) segment: u32,
    /// Where the stretch begins.
    pub(super) offset: u64,
}

impl Segments {
    /// The segments under `root`, which need not exist yet.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, tails: Mutex::default() }
    }

    /// Sets `size` bytes at the end of a segment of `partition` aside.
    pub(super) fn reserve(&self, partition: Partition, size: u64) -> io::Result<Extent> {
        let mut tails = self.tails.lock();
        let tail = match tails.remove(&partition) {
            Some(tail) if tail.end < FULL => tail,
            Some(full) => self.begin(partition, full.number.saturating_add(1))?,
            None => self.resume(partition)?,
        };
        let extent = Extent { file: Arc::clone(&tail.file), segment: tail.number, offset: tail.end };
        tails.insert(partition, Tail { end: tail.end + size, ..tail });
        Ok(extent)
    }

    /// Opens a segment for reading.
    pub(super) fn open(&self, partition: Partition, segment: u32) -> io::Result<File> {
        File::open(self.directory(partition).join(segment.to_string()))
    }

    /// Unlinks everything of `partition`; nothing there is fine.
    pub(super) fn drop_partition(&self, partition: Partition) -> io::Result<()> {
        let mut tails = self.tails.lock();
        tails.remove(&partition);
        match fs::remove_dir_all(self.directory(partition)) {
            Ok(()) => sync(&self.root),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The partitions that have segments.
    pub(super) fn partitions(&self) -> io::Result<Vec<Partition>> {
        Ok(names(&self.root)?.iter().filter_map(|name| parse(name)).collect())
    }

    /// Goes on behind whatever a process before this one wrote: what it left unfinished is never pointed at.
    fn resume(&self, partition: Partition) -> io::Result<Tail> {
        let directory = self.directory(partition);
        let last = names(&directory)?.iter().filter_map(|name| name.parse::<u32>().ok()).max();
        let tail = self.begin(partition, last.unwrap_or(0))?;
        if tail.end < FULL { Ok(tail) } else { self.begin(partition, tail.number.saturating_add(1)) }
    }

    /// Opens segment `number` for writing, making it and its directories durably.
    fn begin(&self, partition: Partition, number: u32) -> io::Result<Tail> {
        let directory = self.directory(partition);
        let path = directory.join(number.to_string());
        let fresh = !path.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if fresh {
            sync(&directory)?;
            sync(&self.root)?;
            self.root.parent().map_or(Ok(()), sync)?;
        }
        let end = file.metadata()?.len();
        Ok(Tail { number, file: Arc::new(file), end })
    }

    fn directory(&self, partition: Partition) -> PathBuf {
        self.root.join(format!("{}-{}", partition.class.code(), partition.serial))
    }
}

fn parse(name: &str) -> Option<Partition> {
    let (code, serial) = name.split_once('-')?;
    Some(Partition { class: Class::from_code(code.parse().ok()?)?, serial: serial.parse().ok()? })
}

/// The names in `directory`; none when it does not exist.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes the names in `directory` durable.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

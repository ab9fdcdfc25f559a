//! What lies on the disk of a server that is off.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lethe::{
    seizure::Image,
    store::{Address, Class, Instance, Partition, Written},
};
use rocksdb::{DB, IteratorMode, Options};

/// The size of a root sector, bytes.
const SECTOR: usize = 4096;

/// A copy of a data directory with its keys.
pub(crate) struct Capture {
    rows: Vec<Written>,
    pub(super) sectors: Vec<Vec<u8>>,
    slots: Vec<Vec<u8>>,
    segments: Vec<(Partition, u32, Vec<u8>)>,
    /// The partitions there are in whatever instance.
    pub(super) partitions: BTreeSet<Partition>,
    /// Every file as it is.
    pub(super) files: Vec<Vec<u8>>,
    /// How many of them, the first, are lists of sorted files.
    lists: usize,
}

impl Capture {
    /// Reads everything under `data`.
    pub(crate) fn of(data: &Path) -> Self {
        let (mut rows, mut partitions) = (Vec::new(), BTreeSet::new());
        for instance in Instance::ALL {
            read_rows(&data.join(instance.name()), instance, &mut rows, &mut partitions);
        }
        let keys = data.join("keys");
        let root = fs::read(keys.join("root")).expect("a root");
        let sectors: Vec<Vec<u8>> = root.chunks(SECTOR).map(<[u8]>::to_vec).collect();
        let mut slots = Vec::new();
        for region in ["slots.0", "slots.1"] {
            let file = fs::read(keys.join(region)).expect("a region");
            let lengths = sectors.iter().map(|sector| usize::try_from(u32_at(sector, 20)).expect("small"));
            slots.extend(lengths.filter_map(|length| file.get(..length)).map(<[u8]>::to_vec));
        }
        let mut paths = Vec::new();
        walk(data, &mut |path| paths.push(path));
        let is_list =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"));
        let (lists, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_list);
        let files = lists.iter().chain(&others).map(|path| fs::read(path).expect("a file")).collect();
        let (segments, lists) = (segments(&data.join("media")), lists.len());
        Self { rows, sectors, slots, segments, partitions, files, lists }
    }

    /// Every row of all `captures` and every slot image, with the root keys of the last.
    pub(crate) fn all<'a>(captures: impl IntoIterator<Item = &'a Self>) -> Image {
        let mut rows: BTreeSet<&Written> = BTreeSet::new();
        let mut slots: BTreeSet<&Vec<u8>> = BTreeSet::new();
        let mut segments: BTreeSet<&(Partition, u32, Vec<u8>)> = BTreeSet::new();
        let mut sectors: &[Vec<u8>] = &[];
        for capture in captures {
            rows.extend(&capture.rows);
            slots.extend(&capture.slots);
            segments.extend(&capture.segments);
            sectors = &capture.sectors;
        }
        let rows: Vec<Written> = rows.into_iter().cloned().collect();
        let slots: Vec<Vec<u8>> = slots.into_iter().cloned().collect();
        let mut image = Image::new(&rows, sectors, &slots);
        for (partition, number, bytes) in segments {
            image.add_segment(*partition, *number, bytes.clone());
        }
        image
    }
}

impl Capture {
    /// How many rows of an `earlier` capture are gone. No file has anything of them; only lists of sorted files may name the
    /// address of one, until they are written anew (`doc/storage.md`, "RocksDB").
    pub(super) fn gone_since(&self, earlier: &Self) -> usize {
        let there: BTreeSet<&Written> = self.rows.iter().collect();
        let gone: Vec<&Written> = earlier.rows.iter().filter(|row| !there.contains(row)).collect();
        for (_, _, address, value) in &gone {
            // A row begins with a random nonce.
            for (bytes, files) in [(&address.0[..], &self.files[self.lists..]), (&value[..24], &self.files[..])] {
                let left = files.iter().any(|file| memchr::memmem::find(file, bytes).is_some());
                assert!(!left || self.rows.iter().any(|(_, _, there, _)| there == address), "a dead row is left");
            }
        }
        gone.len()
    }
}

/// The root keys in `sectors`.
pub(super) fn root_keys(sectors: &[Vec<u8>]) -> Vec<Vec<u8>> {
    sectors.iter().map(|sector| sector[56..88].to_vec()).collect()
}

fn read_rows(path: &Path, instance: Instance, rows: &mut Vec<Written>, partitions: &mut BTreeSet<Partition>) {
    let families = DB::list_cf(&Options::default(), path).expect("a database");
    let database = DB::open_cf_for_read_only(&Options::default(), path, &families, false).expect("a database");
    for name in &families {
        let Some(partition) = partition(name) else { continue };
        partitions.insert(partition);
        let family = database.cf_handle(name).expect("a family");
        for row in database.iterator_cf(&family, IteratorMode::Start) {
            let (address, value) = row.expect("a row");
            let address = Address(address[..].try_into().expect("16 bytes"));
            rows.push((instance, partition, address, value.to_vec()));
        }
    }
}

fn segments(media: &Path) -> Vec<(Partition, u32, Vec<u8>)> {
    let mut found = Vec::new();
    walk(media, &mut |path: PathBuf| {
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let partition = path.parent().and_then(name).and_then(|name| partition(&name));
        let number = name(&path).and_then(|name| name.parse().ok());
        if let (Some(partition), Some(number)) = (partition, number) {
            found.push((partition, number, fs::read(&path).expect("a segment")));
        }
    });
    found
}

fn walk(directory: &Path, each: &mut dyn FnMut(PathBuf)) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, each);
        } else if path.is_file() {
            each(path);
        }
    }
}

/// The partition that families and directories of this name belong to.
fn partition(name: &str) -> Option<Partition> {
    let (code, serial) = name.split_once('-')?;
    Some(Partition { class: Class::from_code(code.parse().ok()?)?, serial: serial.parse().ok()? })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

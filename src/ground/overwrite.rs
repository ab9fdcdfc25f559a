//! Trying out whether overwriting a file overwrites its bytes: a file like the root key's, written twice.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use super::disk::device_file;
use crate::random::Random;

/// The size of the file of the root key, bytes.
const SIZE: usize = 8192;
/// What memory for reading past the page cache has to be aligned to.
const PAGE: usize = 4096;
/// The unit in which the places of extents are asked for, bytes.
const UNIT: usize = 512;
/// The name of the file that is tried out; it is removed again.
const NAME: &str = ".overwriting";

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The new bytes lie where the old ones lay.
    InPlace {
        /// Whether they were also read back from the disk itself, past the file system.
        on_disk: bool,
    },
    /// The new bytes lie elsewhere, or the old ones were still read from the disk.
    OldStays,
    /// It could not be tried; the text says why.
    Untried(&'static str),
}

/// Tries it out in `directory`, on a file of its own.
#[must_use]
pub fn try_out(directory: &Path, device: (u32, u32), random: &dyn Random) -> Seen {
    let path = directory.join(NAME);
    let seen = rewrite(&path, device, random);
    let _ = fs::remove_file(&path);
    seen.unwrap_or(Seen::Untried("a file cannot be written there"))
}

fn rewrite(path: &Path, device: (u32, u32), random: &dyn Random) -> io::Result<Seen> {
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let [mut old, mut new] = [vec![0; SIZE], vec![0; SIZE]];
    random.fill(&mut old);
    random.fill(&mut new);
    file.write_all_at(&old, 0)?;
    file.sync_all()?;
    let before = match extents(path) {
        Ok(extents) => extents,
        Err(reason) => return Ok(Seen::Untried(reason)),
    };
    file.write_all_at(&new, 0)?;
    file.sync_data()?;
    Ok(match extents(path) {
        Ok(after) if after == before => on_disk(&after, device, &old, &new),
        Ok(_) => Seen::OldStays,
        Err(reason) => Seen::Untried(reason),
    })
}

/// A stretch of the disk, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: u64,
    length: usize,
}

/// Where a file lies; a reason when that cannot be known.
fn extents(path: &Path) -> Result<Vec<Extent>, &'static str> {
    let listed = Command::new("filefrag").args(["-v", &format!("-b{UNIT}")]).arg(path).env("LC_ALL", "C").output();
    let listed = listed.map_err(|_| "the program filefrag (e2fsprogs) is not there")?;
    parse(&String::from_utf8_lossy(&listed.stdout)).ok_or("the file system does not say where files lie")
}

/// The lines of extents: `number: first..last: first..last: length: expected: flags`.
fn parse(listing: &str) -> Option<Vec<Extent>> {
    let mut extents = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let [number, _, physical, length, .., flags] = fields.as_slice() else { continue };
        if number.parse::<u32>().is_err() {
            continue;
        }
        if ["unknown", "delalloc", "encoded", "inline", "not_aligned"].iter().any(|word| flags.contains(word)) {
            return None;
        }
        let first: u64 = physical.split("..").next()?.trim().parse().ok()?;
        let length = length.parse::<usize>().ok()?.checked_mul(UNIT)?;
        extents.push(Extent { start: first.checked_mul(UNIT as u64)?, length });
    }
    // The last block of a file may reach beyond its end.
    let length: usize = extents.iter().map(|extent| extent.length).sum();
    (SIZE..2 * SIZE).contains(&length).then_some(extents)
}

/// Reads the file from the disk under the file system, where this user may.
fn on_disk(extents: &[Extent], device: (u32, u32), old: &[u8], new: &[u8]) -> Seen {
    let Some(read) = device_file(device).and_then(|disk| read_extents(disk, extents)) else {
        return Seen::InPlace { on_disk: false };
    };
    if read.starts_with(new) {
        Seen::InPlace { on_disk: true }
    } else if read.chunks(UNIT).zip(old.chunks(UNIT)).any(|(read, old)| read == old) {
        Seen::OldStays
    } else {
        // Encrypted by the file system, or the numbers mean something else.
        Seen::InPlace { on_disk: false }
    }
}

fn read_extents(disk: PathBuf, extents: &[Extent]) -> Option<Vec<u8>> {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    let disk: File = OpenOptions::new().read(true).custom_flags(direct).open(disk).ok()?;
    let mut read = Vec::new();
    for extent in extents {
        let mut space = vec![0; extent.length + PAGE];
        let aligned = space.as_ptr().align_offset(PAGE);
        let buffer = space.get_mut(aligned..aligned + extent.length)?;
        disk.read_exact_at(buffer, extent.start).ok()?;
        read.extend_from_slice(buffer);
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const LISTING: &str = "Filesystem type is: ef53
File size of x is 8192 (16 blocks of 512 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..       1:      34816..     34817:      2:            
   1:        2..      15:      40000..     40013:     14:      34818: last,eof
x: 2 extents found
";

    #[test]
    fn extents_are_read() {
        let extent = |start: u64, length: usize| Extent { start: start * 512, length: length * 512 };
        assert_eq!(parse(LISTING), Some(vec![extent(34816, 2), extent(40000, 14)]));
        assert_eq!(parse(&LISTING.replace("last,eof", "last,unknown_loc,delalloc,eof")), None);
        assert_eq!(parse("x: FIBMAP/FIEMAP unsupported\n"), None);
    }

    #[test]
    fn nothing_stays_behind() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let _ = try_out(directory.path(), (0, 0), &SeededRandom::new(1));
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
        let missing = try_out(&directory.path().join("no"), (0, 0), &SeededRandom::new(1));
        assert_eq!(missing, Seen::Untried("a file cannot be written there"));
    }
}

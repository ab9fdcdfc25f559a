//! Files of a backup: made private, read in pieces, durable when a function here returns. Everything blocks.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Error, manifest::Listed};

/// Bytes in memory at a time.
const PIECE: usize = 1 << 20;

/// Makes a file that was not there, for its owner alone.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Makes a directory that was not there, for its owner alone; an empty one is fine.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if path.read_dir()?.next().is_some() {
                return Err(Error::Taken);
            }
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        made => made?,
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(File::open(path)?.sync_all()?)
}

/// A whole file, if it is there.
pub(super) fn read_bounded(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(Error::Io) } else { Ok(Some(bytes)) }
}

/// Every file under `directory`, by its path from there, in order; a directory that is not there has none.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(inner) = left.pop() {
        let entries = match directory.join(&inner).read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The first `length` bytes of a file copied to where none was.
pub(super) fn copy(from: &Path, to: &Path, length: u64) -> Result<blake3::Hash, Error> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let hash = pour(from, length, &mut |piece| Ok(target.write_all(piece)?))?;
    target.sync_all()?;
    Ok(hash)
}

/// The hash of the first `length` bytes of a file.
pub(super) fn hash(path: &Path, length: u64) -> Result<blake3::Hash, Error> {
    pour(path, length, &mut |_| Ok(()))
}

fn pour(from: &Path, length: u64, each: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<blake3::Hash, Error> {
    let mut source = File::open(from)?.take(length);
    let mut piece = vec![0; PIECE];
    let (mut hasher, mut seen) = (blake3::Hasher::new(), 0);
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            break;
        }
        seen += read as u64;
        hasher.update(&piece[..read]);
        each(&piece[..read])?;
    }
    if seen == length { Ok(hasher.finalize()) } else { Err(Error::Io) }
}

/// Whether a file is what a manifest says.
pub(super) fn is_whole(directory: &Path, listed: &Listed) -> bool {
    let path = directory.join(&listed.path);
    let same = |hash: blake3::Hash| hash.to_hex().as_str() == listed.hash;
    fs::metadata(&path).is_ok_and(|found| found.len() == listed.length) && hash(&path, listed.length).is_ok_and(same)
}

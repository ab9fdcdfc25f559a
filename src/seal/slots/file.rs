//! Key files on a disk.
//!
//! `root` is preallocated and only ever overwritten in place; `slots.0` and `slots.1` take the images by turns. A lock
//! file keeps a second process away for as long as the medium lives.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{Error, Medium, SECTOR};
use crate::ground;

/// The directory of key files, locked.
pub struct FileMedium {
    root: File,
    images: [File; 2],
    /// Held, never read: dropping it unlocks the directory.
    _lock: File,
}

impl FileMedium {
    /// Opens or makes the key files in `directory` and locks them.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process holds them.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        if !directory.join("root").exists() {
            ground::mark_fresh(directory);
        }
        let lock = private(&directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let root = private(&directory.join("root"))?;
        let length = root.metadata().map_err(failed)?.len();
        if length < 2 * SECTOR as u64 {
            // Real blocks, not a hole: later writes must land where these lie.
            let missing = vec![0; 2 * SECTOR - usize::try_from(length).map_err(|_| Error::Io)?];
            root.write_all_at(&missing, length).map_err(failed)?;
            root.sync_all().map_err(failed)?;
        }
        let images = [private(&directory.join("slots.0"))?, private(&directory.join("slots.1"))?];
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed)?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|opened| opened.sync_all()).map_err(failed)?;
        }
        Ok(Self { root, images, _lock: lock })
    }
}

impl FileMedium {
    /// Opens key files for reading alone; every write fails.
    ///
    /// # Errors
    /// [`Error::InUse`] when a process uses them, [`Error::Io`] when they are not there.
    pub fn read_only(directory: &Path) -> Result<Self, Error> {
        let open = |name: &str| File::open(directory.join(name)).map_err(failed);
        let lock = open("lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { root: open("root")?, images: [open("slots.0")?, open("slots.1")?], _lock: lock })
    }
}

impl Medium for FileMedium {
    fn read_sectors(&self) -> Result<[Option<Vec<u8>>; 2], Error> {
        // A sector the disk cannot read is a torn one: the other may still be whole.
        Ok([0, SECTOR as u64].map(|at| {
            let mut sector = vec![0; SECTOR];
            self.root.read_exact_at(&mut sector, at).is_ok().then_some(sector)
        }))
    }

    fn write_sector(&self, which: usize, bytes: &[u8]) -> Result<(), Error> {
        self.root.write_all_at(bytes, (which * SECTOR) as u64).map_err(failed)
    }

    fn sync_sectors(&self) -> Result<(), Error> {
        self.root.sync_data().map_err(failed)
    }

    fn read_image(&self, region: usize, offset: usize, length: usize) -> Result<Option<Vec<u8>>, Error> {
        let mut image = vec![0; length];
        Ok(self.images[region].read_exact_at(&mut image, offset as u64).is_ok().then_some(image))
    }

    fn write_image(&self, region: usize, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.images[region].write_all_at(bytes, offset as u64).map_err(failed)
    }

    fn sync_image(&self, region: usize) -> Result<(), Error> {
        self.images[region].sync_data().map_err(failed)
    }

    fn has_images(&self) -> Result<bool, Error> {
        let length = |image: &File| image.metadata().map(|metadata| metadata.len()).map_err(failed);
        Ok(length(&self.images[0])? > 0 || length(&self.images[1])? > 0)
    }
}

/// Opens or makes a file that only its owner may read.
fn private(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(file)
}

fn failed(_: io::Error) -> Error {
    Error::Io
}

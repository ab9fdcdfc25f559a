//! Backups of a running server, and what is restored from them.
//!
//! A backup is two things in two places: the sealed data, and the slot table of the same commit. The table is sealed
//! under a fresh key that lies in the backup's data and nowhere else. So the data alone are rows without slots, the
//! table alone is noise, also beside any other image of the data; both together are the server as it was then, and what
//! dies afterwards lives on in them until one of the two is destroyed.
//!
//! Owns the layout of both. Knows no row and no owner.

mod files;
mod make;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, time::Duration};

#[cfg(any(test, fuzzing))]
pub(crate) use self::manifest::fuzzing;
pub use self::{
    make::Backups,
    restore::{Restored, Wanted, restore},
};
use crate::{seal::slots, store};

/// Lies in a data directory while a restore into it is under way: no server starts on it.
pub const UNFINISHED: &str = ".restoring";
/// Copies that a backup under way has made in the data directory; a start removes what a cut left behind.
pub const STAGE: &str = ".backup";
/// What the backup's data say about themselves, written last.
const MANIFEST: &str = "backup.json";
/// The directory of media within the data.
const MEDIA: &str = "media";

/// Where a backup goes.
pub struct Places {
    /// A directory for the data, which is empty or not there yet.
    pub data: PathBuf,
    /// A file for the slot table, which is not there yet.
    pub keys: PathBuf,
}

/// What a backup came to.
#[derive(Clone, Copy)]
pub struct Made {
    /// Files of the data.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many of the files share their bytes on the disk with those of the server.
    pub linked: usize,
    /// How long writes waited.
    pub held: Duration,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another backup is under way.
    #[error("another backup is under way")]
    Busy,
    /// What was to be made is there already.
    #[error("one of the places is taken: a backup overwrites nothing")]
    Taken,
    /// The directory above a place is missing.
    #[error("the directory above one of the places is not there")]
    NoParent,
    /// The table was to lie with the data, or one of both inside what the server uses.
    #[error("data and keys must lie apart from each other and from the server's own directories")]
    NotApart,
    /// A file cannot be read or written.
    #[error("a file cannot be read or written")]
    Io,
    /// The disk is full.
    #[error("there is no space left")]
    NoSpace,
    /// The data are no backup, or one that was cut off.
    #[error("this is no backup, or one that was not finished")]
    Unfinished,
    /// The table is not the one that was made with the data.
    #[error("the key file does not belong to these data")]
    Strangers,
    /// This many files are missing or not what they were.
    #[error("{0} files are missing or not what they were")]
    Damaged(usize),
    /// The clock shows a time before the backup.
    #[error("the clock is behind the time of the backup: set it first")]
    Clock,
    /// The store failed.
    #[error("the store failed")]
    Store,
    /// The slot table failed.
    #[error("the slot table failed")]
    Slots,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Self::Taken,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io,
        }
    }
}

impl From<store::Error> for Error {
    fn from(_: store::Error) -> Self {
        Self::Store
    }
}

impl From<slots::Error> for Error {
    fn from(error: slots::Error) -> Self {
        match error {
            slots::Error::InUse => Self::Taken,
            slots::Error::Store(_) => Self::Store,
            _ => Self::Slots,
        }
    }
}

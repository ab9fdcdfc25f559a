//! Restoring: from a backup's data and its slot table to directories that a server starts on, as another life of it.
//!
//! A mark lies in the directory from the first step to the last, and no server starts beside it; a restore that was cut
//! off is begun again. The table is the last thing that is written.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Error, MEDIA, UNFINISHED, files, manifest::Manifest};
use crate::{
    clock::Timestamp,
    random::Random,
    seal::slots::{FileMedium, Frozen, MOST_FROZEN, SlotKind},
    store::Instance,
};

/// The time of a restore is known to the day.
const DAY: Duration = Duration::from_hours(24);

/// What is to be restored, and where to.
pub struct Wanted {
    /// The backup's data.
    pub data: PathBuf,
    /// The backup's slot table.
    pub keys: PathBuf,
    /// The data directory to make.
    pub into: PathBuf,
    /// The directory of keys to make.
    pub keys_into: PathBuf,
    /// Whether to take what is whole of a backup that is damaged.
    pub damaged: bool,
}

/// What was restored.
#[derive(Clone, Copy)]
pub struct Restored {
    /// Files of the data.
    pub files: usize,
    /// Files that are missing or not what they were.
    pub damaged: usize,
    /// Epochs that have ended since the backup was made; what lay in them is gone.
    pub ended: usize,
    /// Accounts, ended ones included.
    pub accounts: usize,
    /// Rooms.
    pub rooms: usize,
    /// How often the server has been restored now.
    pub incarnation: u32,
}

/// Restores a backup at the time `now`. Nothing of the backup changes.
///
/// Epochs that have outlived their class by then are left out before anything is served. A clock that is ahead leaves out
/// too much, and the backup is still there to be restored again.
///
/// # Errors
/// [`Error::Taken`] when the directories are not empty, [`Error::Damaged`], [`Error::Strangers`], [`Error::Unfinished`].
pub fn restore(wanted: &Wanted, now: Timestamp, random: &dyn Random) -> Result<Restored, Error> {
    let manifest = Manifest::read(&wanted.data)?;
    let sealed = files::read_bounded(&wanted.keys, MOST_FROZEN)?.ok_or(Error::Io)?;
    let (mut frozen, at) = Frozen::open(&manifest.key, &sealed).ok_or(Error::Strangers)?;
    if now < at {
        return Err(Error::Clock);
    }
    let whole = |file| files::is_whole(&wanted.data, file);
    let (taken, damaged): (Vec<_>, Vec<_>) = manifest.files.iter().partition(|file| whole(file));
    if !damaged.is_empty() && !wanted.damaged {
        return Err(Error::Damaged(damaged.len()));
    }
    begin(wanted)?;
    // What is damaged is taken as it is: rows say themselves whether they are whole.
    for file in taken.iter().chain(damaged.iter().filter(|file| wanted.data.join(&file.path).is_file())) {
        let (from, to) = (wanted.data.join(&file.path), wanted.into.join(&file.path));
        make_directories(&wanted.into, Path::new(&file.path).parent().unwrap_or(Path::new("")))?;
        let length = fs::metadata(&from)?.len();
        files::copy(&from, &to, length)?;
    }
    sync_all(&wanted.into)?;
    let ended = frozen.expire(now);
    let incarnation = frozen.begin_incarnation(now.floor_to(DAY))?.number;
    frozen.install(&FileMedium::open(&wanted.keys_into)?, random)?;
    fs::remove_file(wanted.into.join(UNFINISHED))?;
    files::sync_directory(&wanted.into)?;
    Ok(Restored {
        files: taken.len(),
        damaged: damaged.len(),
        ended,
        accounts: frozen.count(SlotKind::Account),
        rooms: frozen.count(SlotKind::Room),
        incarnation,
    })
}

/// Makes the directory with the mark in it, or empties one that a restore was cut off in.
fn begin(wanted: &Wanted) -> Result<(), Error> {
    let mark = wanted.into.join(UNFINISHED);
    let again = mark.is_file();
    if again {
        let names = Instance::ALL.map(Instance::name);
        for name in names.into_iter().chain([MEDIA]) {
            removed(fs::remove_dir_all(wanted.into.join(name)))?;
        }
        // Nothing was ever served from these keys.
        for name in ["root", "slots.0", "slots.1", "lock"] {
            removed(fs::remove_file(wanted.keys_into.join(name)))?;
        }
    } else {
        files::create_directory(&wanted.into)?;
    }
    let taken = wanted.keys_into.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Error::Taken);
    }
    if !again {
        files::create(&mark, &[])?;
    }
    files::sync_directory(&wanted.into)
}

fn removed(result: std::io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn make_directories(into: &Path, inner: &Path) -> Result<(), Error> {
    let missing: Vec<&Path> = inner.ancestors().take_while(|path| !into.join(path).is_dir()).collect();
    missing.into_iter().rev().try_for_each(|path| files::create_directory(&into.join(path)))
}

fn sync_all(into: &Path) -> Result<(), Error> {
    let files = files::list(into)?;
    let mut directories: Vec<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    directories.sort_unstable();
    directories.dedup();
    directories.into_iter().try_for_each(|inner| files::sync_directory(&into.join(inner)))
}

//! Making a backup: copies beside the data while everything waits, then, while nothing does, the way to where it goes.
//!
//! The copies are hard links, so what waits does so for some milliseconds. They lie in the data directory until they are
//! where they should be: a link does not leave its file system. The slot table of the moment is in memory only, until it
//! is sealed. The manifest comes last: before it there is no backup.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Error, MEDIA, Made, Places, STAGE, files,
    manifest::{Listed, Manifest},
};
use crate::{
    clock::{Clock, Timestamp},
    journal::Journals,
    random::Random,
    seal::slots::Frozen,
    secret::Key,
    store::Instance,
};

/// Makes the backups of a server, one at a time.
pub struct Backups {
    /// The data directory.
    data: PathBuf,
    /// The directory of keys.
    keys: PathBuf,
    under_way: tokio::sync::Mutex<()>,
}

impl Backups {
    /// Of the server with these directories.
    #[must_use]
    pub fn new(data: PathBuf, keys: PathBuf) -> Self {
        Self { data, keys, under_way: tokio::sync::Mutex::default() }
    }

    /// Removes what a backup that was cut off has left in the data directory: it would keep alive what expires.
    pub fn clear(data: &Path) -> Result<(), Error> {
        match fs::remove_dir_all(data.join(STAGE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes one. What fails leaves nothing in the places.
    pub async fn make(&self, journals: &Journals, clock: Arc<dyn Clock>, places: &Places) -> Result<Made, Error> {
        let _one = self.under_way.try_lock().map_err(|_| Error::Busy)?;
        let places = self.resolved(places)?;
        // From here on everything in the places is this backup's, to be removed when it fails.
        files::create_directory(&places.data)?;
        let made = self.make_at(journals, clock, &places).await;
        let cleared = Self::clear(&self.data);
        let whole = made.and_then(|made| cleared.map(|()| made));
        if whole.is_err() {
            let _ = fs::remove_dir_all(&places.data);
        }
        whole
    }

    async fn make_at(&self, journals: &Journals, clock: Arc<dyn Clock>, places: &Places) -> Result<Made, Error> {
        // Afterwards the copies tell the order of what was written since, and nothing before.
        journals.store.merge_all().await?;
        Self::clear(&self.data)?;
        files::create_directory(&self.data.join(STAGE))?;
        let (data, stage) = (self.data.clone(), self.data.join(STAGE));
        let before = clock.monotonic();
        let staged = stage.clone();
        let (frozen, linked) = journals.slots.freeze(stage.clone(), move || stage_media(&data, &staged)).await?;
        let (held, at) = (clock.monotonic().saturating_sub(before), clock.now());
        let lengths = linked?;
        let random = Arc::clone(&journals.random);
        let places = Places { data: places.data.clone(), keys: places.keys.clone() };
        let moved = tokio::task::spawn_blocking(move || put(&stage, &lengths, &frozen, at, &places, &*random));
        let (files, linked) = moved.await.map_err(|_| Error::Io)??;
        let bytes = files.iter().map(|file| file.length).sum();
        Ok(Made { files: files.len(), bytes, linked, held })
    }

    /// The places without links in their paths; fails unless they are free and apart from everything.
    fn resolved(&self, places: &Places) -> Result<Places, Error> {
        let (data, keys) = (resolved(&places.data)?, resolved(&places.keys)?);
        let mut own = vec![self.data.clone(), self.keys.clone()];
        own = own.iter().map(|path| path.canonicalize()).collect::<Result<_, _>>()?;
        let within = |path: &Path| own.iter().any(|own| path.starts_with(own) || own.starts_with(path));
        if keys.starts_with(&data) || data.starts_with(&keys) || within(&data) || within(&keys) {
            return Err(Error::NotApart);
        }
        if fs::symlink_metadata(&keys).is_ok() {
            return Err(Error::Taken);
        }
        Ok(Places { data, keys })
    }
}

fn resolved(path: &Path) -> Result<PathBuf, Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Error::NoParent) };
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(_) => Ok(parent.canonicalize().map_err(|_| Error::NoParent)?.join(name)),
    }
}

/// Links the segments of media as they are, and says how long they are at this moment: they may grow.
fn stage_media(data: &Path, stage: &Path) -> Result<Vec<(PathBuf, u64)>, Error> {
    let mut lengths = Vec::new();
    for path in files::list(&data.join(MEDIA))? {
        let (path, from) = (Path::new(MEDIA).join(&path), data.join(MEDIA).join(&path));
        let to = stage.join(&path);
        fs::create_dir_all(to.parent().unwrap_or(stage))?;
        fs::hard_link(&from, &to)?;
        lengths.push((path, fs::metadata(&from)?.len()));
    }
    Ok(lengths)
}

/// Puts everything where it should be, the manifest last; the files, and how many of them are links.
fn put(
    stage: &Path,
    media: &[(PathBuf, u64)],
    frozen: &Frozen,
    at: Timestamp,
    places: &Places,
    random: &dyn Random,
) -> Result<(Vec<Listed>, usize), Error> {
    let (mut listed, mut linked) = (Vec::new(), 0);
    for instance in Instance::ALL {
        let name = Path::new(instance.name());
        directories(&places.data, name)?;
        for path in files::list(&stage.join(name))? {
            let path = name.join(path);
            let length = fs::metadata(stage.join(&path))?.len();
            // Sorted files are never written again; the others are small and the backup's own.
            let (file, is_link) = take(stage, places, &path, length, true)?;
            linked += usize::from(is_link && path.extension().is_some_and(|end| end == "sst"));
            listed.push(file);
        }
    }
    for (path, length) in media {
        directories(&places.data, path.parent().unwrap_or(path))?;
        // A segment may grow, and what has no head yet may change.
        listed.push(take(stage, places, path, *length, false)?.0);
    }
    let mut directories: Vec<&Path> =
        listed.iter().flat_map(|file| Path::new(&file.path).ancestors().skip(1)).collect();
    directories.sort_unstable();
    directories.dedup();
    directories.iter().try_for_each(|inner| files::sync_directory(&places.data.join(inner)))?;
    let key = Key::random(random);
    let sealed = frozen.seal(&key, at, random)?;
    let manifest = Manifest::new(key, listed);
    files::create(&places.keys, &sealed)?;
    let finished =
        places.keys.parent().map_or(Ok(()), files::sync_directory).and_then(|()| manifest.write(&places.data));
    if finished.is_err() {
        let _ = fs::remove_file(&places.keys);
    }
    finished.map(|()| (manifest.files, linked))
}

/// Makes the directories on the way to `inner`, each for its owner alone.
fn directories(data: &Path, inner: &Path) -> Result<(), Error> {
    let missing: Vec<&Path> = inner.ancestors().take_while(|path| !data.join(path).is_dir()).collect();
    missing.into_iter().rev().try_for_each(|path| files::create_directory(&data.join(path)))
}

/// Takes one file over, as a link where that is allowed and can be.
fn take(stage: &Path, places: &Places, path: &Path, length: u64, link: bool) -> Result<(Listed, bool), Error> {
    let (from, to) = (stage.join(path), places.data.join(path));
    let linked = link && fs::hard_link(&from, &to).is_ok();
    let hash = if linked {
        fs::set_permissions(&to, Permissions::from_mode(0o600))?;
        files::hash(&to, length)?
    } else {
        files::copy(&from, &to, length)?
    };
    let path = path.to_str().ok_or(Error::Io)?.to_owned();
    Ok((Listed { path, length, hash: hash.to_hex().to_string() }, linked))
}

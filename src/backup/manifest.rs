//! What a backup's data say about themselves: which files belong to them, and the key of the slot table that was taken
//! with them. A backup without it was not finished. The form is described in `doc/storage.md`.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::{MANIFEST, MEDIA, files};
use crate::{backup::Error, secret::Key, store::Instance};

/// A manifest is not longer: some 500 000 files.
const MOST: usize = 64 << 20;
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u8,
    /// What the slot table is sealed under.
    pub(super) key: Key,
    pub(super) files: Vec<Listed>,
}

/// A file of the data.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Its path within the data.
    pub(super) path: String,
    /// Its length, bytes.
    pub(super) length: u64,
    /// The BLAKE3 hash of its bytes, in hexadecimal.
    pub(super) hash: String,
}

impl Manifest {
    pub(super) fn new(key: Key, files: Vec<Listed>) -> Self {
        Self { version: VERSION, key, files }
    }

    /// Writes it into the directory of the data: after this the backup is one.
    pub(super) fn write(&self, data: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec(self).map_err(|_| Error::Io)?;
        let part = data.join(format!("{MANIFEST}.part"));
        let written = files::create(&part, &text);
        zeroize::Zeroize::zeroize(&mut text);
        written?;
        std::fs::rename(part, data.join(MANIFEST))?;
        files::sync_directory(data)
    }

    /// Reads it from the directory of the data.
    pub(super) fn read(data: &Path) -> Result<Self, Error> {
        Self::parse(&files::read_bounded(&data.join(MANIFEST), MOST)?.ok_or(Error::Unfinished)?)
    }

    fn parse(text: &[u8]) -> Result<Self, Error> {
        let manifest: Self = serde_json::from_slice(text).map_err(|_| Error::Unfinished)?;
        let whole = manifest.version == VERSION && manifest.files.iter().all(|file| is_ours(Path::new(&file.path)));
        if whole { Ok(manifest) } else { Err(Error::Unfinished) }
    }
}

/// Whether a path names a file that a backup has, and nothing outside it.
fn is_ours(path: &Path) -> bool {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let Some(Component::Normal(top)) = path.components().next() else { return false };
    plain && path.components().count() > 1 && (top == MEDIA || Instance::ALL.iter().any(|one| top == one.name()))
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::Manifest;

    /// The paths of a manifest that is taken.
    pub(crate) fn paths(text: &[u8]) -> Option<Vec<String>> {
        Manifest::parse(text).ok().map(|manifest| manifest.files.into_iter().map(|file| file.path).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outside_a_backup_are_not_named() {
        for path in ["soup/000012.sst", "media/3-17/0", "records/CURRENT"] {
            assert!(is_ours(Path::new(path)), "{path}");
        }
        for path in ["", "soup", "keys/root", "../soup/x", "/soup/x", "soup/../keys/root", "./soup/x", "lethe.toml"] {
            assert!(!is_ours(Path::new(path)), "{path}");
        }
    }
}

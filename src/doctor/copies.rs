//! Old copies of keys: each brings back what was alive when it was made.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{Finding, Report};
use crate::{
    clock::Timestamp,
    config::Config,
    seal::slots::{Frozen, is_root},
};

/// A backup's keys are replaced daily; an hour more for the one under way.
const FRESH_S: u64 = 25 * 60 * 60;
/// Entries of a directory that are looked at.
const MOST: usize = 10_000;

const WHY: &str =
    "It brings back what was alive when it was made: what has expired, been redacted or ended since then.";

pub(super) fn examine(config: &Config, now: Timestamp, report: &mut Report) {
    let check = "keys.copies";
    let (data, keys) = (&config.storage.data, config.storage.keys_directory());
    let mut near = vec![data.clone(), keys.clone()];
    near.extend([data, &keys].into_iter().filter_map(|path| Some(path.canonicalize().ok()?.parent()?.to_owned())));
    near.sort_unstable();
    near.dedup();
    let own = keys.canonicalize().ok();
    let mut found = false;
    for directory in &near {
        for path in entries(directory) {
            let inside = directory == data || *directory == keys;
            if is_backup(&path) && (inside || is_old(&path, now)) {
                let shown = path.display();
                report.add(Finding::warning(
                    check,
                    format!("the key file of a backup lies at {shown}"),
                    WHY,
                    "Keep one backup, its key file apart from data and server, and destroy the key files before it.",
                ));
                found = true;
            }
            let apart = own.is_none() || path.canonicalize().ok() != own;
            if apart && is_table(&path) {
                let shown = path.display();
                report.add(Finding::warning(
                    check,
                    format!("a copy of keys/ lies at {shown}"),
                    WHY,
                    "Destroy it, unless a server uses it; `lethe backup` makes keys that open one copy of the data only.",
                ));
                found = true;
            }
        }
    }
    if !found {
        report.add(Finding::fine(check, "no old copies of keys lie beside data and keys"));
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().take(MOST);
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    paths
}

fn is_backup(path: &Path) -> bool {
    start::<8>(path).is_some_and(|start| Frozen::is_one(&start))
}

/// Whether a directory holds a root key.
fn is_table(path: &Path) -> bool {
    path.is_dir() && start::<8>(&path.join("root")).is_some_and(|start| is_root(&start))
}

fn is_old(path: &Path, now: Timestamp) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.is_some_and(|at| (now.0 / 1000).saturating_sub(at.as_secs()) > FRESH_S)
}

/// The first bytes of a plain file.
fn start<const N: usize>(path: &Path) -> Option<[u8; N]> {
    let mut start = [0; N];
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file.then(|| File::open(path).ok()?.read_exact(&mut start).ok())??;
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_keys_are_found() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let mut config = Config::default();
        config.storage.data = at("data");
        fs::create_dir_all(at("data/keys")).unwrap();
        fs::write(at("data/keys/root"), b"lethekey and more").unwrap();
        let modified = fs::metadata(at("data")).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        let now = Timestamp(modified.as_secs() * 1000);
        let found = |now| {
            let mut report = Report::default();
            examine(&config, now, &mut report);
            report.findings().iter().filter(|finding| !finding.fix.is_empty()).count()
        };
        assert_eq!(found(now), 0);
        fs::write(at("today.keys"), b"lethebak and more").unwrap();
        fs::write(at("short"), b"lethe").unwrap();
        assert_eq!(found(now), 0);
        assert_eq!(found(Timestamp(now.0 + 100_000_000)), 1);
        fs::write(at("data/k"), b"lethebak and more").unwrap();
        assert_eq!(found(now), 1, "beside the data at any age");
        fs::create_dir(at("old")).unwrap();
        fs::write(at("old/root"), b"lethekey and more").unwrap();
        assert_eq!(found(now), 2);
    }
}

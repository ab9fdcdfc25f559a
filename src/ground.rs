//! What the server stands on: file systems, disks, swap, limits, the clock. Facts and what they mean for forgetting.
//!
//! Owns the reading of what the kernel says about this machine; changes nothing but the flags of a fresh directory.

pub mod disk;
pub mod mounts;
pub mod overwrite;
pub mod process;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{disk::Disk, mounts::Mount};

/// What becomes of the old bytes when a file is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwriting {
    /// The new bytes land where the old ones lay, as far as the file system is concerned.
    InPlace,
    /// The old bytes stay somewhere; the text says why.
    KeepsOld(&'static str),
    /// Nobody here can say; the text says why.
    Unknown(&'static str),
    /// There is no disk: everything is gone with the power.
    Memory,
}

/// Where a directory lies.
pub struct Place {
    /// The mount it is on.
    pub mount: Mount,
    /// The disk under the mount, if there is one the kernel shows.
    pub disk: Option<Disk>,
    /// What overwriting does there.
    pub overwriting: Overwriting,
}

/// Where `directory`, or the nearest directory above it that exists, lies.
#[must_use]
pub fn place(directory: &Path) -> Option<Place> {
    let existing = existing(directory)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts::of(&mounts, &existing)?;
    let disk = Disk::of(Path::new("/sys"), mount.device);
    let overwriting = overwriting(&mount, disk.as_ref(), &flags(&existing));
    Some(Place { mount, disk, overwriting })
}

/// The path itself or the nearest one above it that exists, without links.
fn existing(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|path| path.canonicalize().ok())
}

/// What a directory or the files in it are marked with.
#[derive(Default)]
struct Flags {
    /// Never copied on write (btrfs).
    no_copies: bool,
    /// Contents go through the journal too (ext3, ext4).
    journaled: bool,
}

/// The flags that hold for the key files in `directory`: those of the root file, or the directory's, which new files
/// take over.
fn flags(directory: &Path) -> Flags {
    use rustix::fs::{IFlags, ioctl_getflags};
    let root = directory.join("root");
    let path = if root.is_file() { root } else { directory.to_owned() };
    let Some(flags) = fs::File::open(path).ok().and_then(|file| ioctl_getflags(&file).ok()) else {
        return Flags::default();
    };
    Flags { no_copies: flags.contains(IFlags::NOCOW), journaled: flags.contains(IFlags::JOURNALING) }
}

fn overwriting(mount: &Mount, disk: Option<&Disk>, flags: &Flags) -> Overwriting {
    if disk.is_some_and(|disk| disk.snapshots) {
        return Overwriting::KeepsOld("a thin or snapshotted volume");
    }
    match mount.kind.as_str() {
        "ext2" | "ext3" | "ext4" if flags.journaled || mount.journals_data() => {
            Overwriting::KeepsOld("ext4 that writes data through its journal")
        }
        "ext2" | "ext3" | "ext4" | "xfs" | "jfs" | "vfat" | "exfat" => Overwriting::InPlace,
        "btrfs" if flags.no_copies => Overwriting::InPlace,
        "btrfs" => Overwriting::KeepsOld("btrfs with copy-on-write"),
        "zfs" => Overwriting::KeepsOld("zfs"),
        "bcachefs" => Overwriting::KeepsOld("bcachefs"),
        "f2fs" | "nilfs2" | "ubifs" | "jffs2" => Overwriting::KeepsOld("a log-structured file system"),
        "overlay" | "aufs" | "fuse.fuse-overlayfs" => Overwriting::KeepsOld("a layer of a container"),
        "tmpfs" | "ramfs" => Overwriting::Memory,
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" | "glusterfs" | "fuse.glusterfs"
        | "fuse.sshfs" | "afs" | "lustre" => Overwriting::Unknown("the file system of another machine"),
        kind if kind.starts_with("fuse") => Overwriting::Unknown("a file system in user space"),
        _ => Overwriting::Unknown("a file system this version does not know"),
    }
}

/// Asks btrfs not to copy on write in a directory that is still empty; elsewhere nothing happens.
pub fn mark_fresh(directory: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let Ok(opened) = fs::File::open(directory) else { return };
    if let Ok(flags) = ioctl_getflags(&opened) {
        let _ = ioctl_setflags(&opened, flags | IFlags::NOCOW);
    }
}

#[cfg(test)]
mod tests;

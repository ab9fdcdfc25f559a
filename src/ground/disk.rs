//! The disks under a file system, as `/sys` shows them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How deep devices stand on each other at most: RAID, LVM and encryption make four.
const DEEPEST: usize = 8;

/// What lies under a file system, all the way down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
pub struct Disk {
    /// Some of it is flash, which writes elsewhere and erases later.
    pub flash: bool,
    /// What is written is encrypted below the file system.
    pub encrypted: bool,
    /// Some of it is thin-provisioned or has snapshots: old blocks stay.
    pub snapshots: bool,
    /// Some of it is a file in another file system.
    pub file: bool,
}

impl Disk {
    /// The disk of these device numbers; nothing for file systems without one, such as btrfs, zfs and NFS.
    #[must_use]
    pub fn of(sys: &Path, (major, minor): (u32, u32)) -> Option<Self> {
        let device = sys.join("dev/block").join(format!("{major}:{minor}")).canonicalize().ok()?;
        let mut disk = Self::default();
        disk.look(&device, DEEPEST);
        Some(disk)
    }

    /// The disk of a device file, for file systems whose numbers say nothing.
    #[must_use]
    pub fn of_source(sys: &Path, source: &str) -> Option<Self> {
        let name = Path::new(source).canonicalize().ok()?.file_name()?.to_owned();
        let device = sys.join("class/block").join(name).canonicalize().ok()?;
        let mut disk = Self::default();
        disk.look(&device, DEEPEST);
        Some(disk)
    }

    fn look(&mut self, device: &Path, depth: usize) {
        let read = |name: &str| fs::read_to_string(device.join(name)).unwrap_or_default();
        let uuid = read("dm/uuid");
        self.encrypted |= uuid.starts_with("CRYPT-");
        self.snapshots |= ["-tpool", "-tdata", "-cow", "-real"].iter().any(|end| uuid.trim_end().ends_with(end));
        self.file |= device.join("loop").is_dir();
        let below: Vec<PathBuf> = below(device);
        if below.is_empty() {
            // A partition's queue is its disk's.
            let queue = [device.join("queue"), device.join("../queue")];
            let turns = queue.iter().find_map(|queue| fs::read_to_string(queue.join("rotational")).ok());
            self.flash |= turns.is_some_and(|turns| turns.trim() == "0");
        } else if depth > 0 {
            for device in &below {
                self.look(device, depth - 1);
            }
        }
    }
}

fn below(device: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(device.join("slaves")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.path().canonicalize().ok()).collect()
}

/// The device file of these device numbers, if there is one.
#[must_use]
pub fn device_file((major, minor): (u32, u32)) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name)).filter(|path| path.exists())
}

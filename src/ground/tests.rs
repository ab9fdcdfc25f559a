//! File systems and what overwriting does on them.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::{
    Flags, Overwriting,
    disk::Disk,
    mounts::{self, Mount},
    overwriting, place,
};

const MOUNTS: &str = "\
24 30 0:22 / /proc rw - proc proc rw
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 30 0:40 / /var/lib rw - btrfs /dev/sdb rw,space_cache=v2
41 40 8:17 /keys /var/lib/lethe-keys rw - ext4 /dev/sdc rw,data=journal
42 30 0:50 / /mnt/a\\040b rw - fuse.sshfs host:/x rw
43 42 0:51 / /mnt/a\\040b rw - tmpfs none rw
44 30 0:60 / /srv rw - zfs pool/srv rw
";

fn mount(path: &str) -> Mount {
    mounts::of(MOUNTS, Path::new(path)).expect("mounted")
}

#[test]
fn the_nearest_mount_counts() {
    assert_eq!(mount("/etc").kind, "ext4");
    assert_eq!((mount("/var/lib/lethe").kind.as_str(), mount("/var/lib/lethe").device), ("btrfs", (0, 40)));
    assert_eq!(mount("/var/lib/lethe-keys").source, "/dev/sdc");
    assert_eq!(mount("/mnt/a b/x").kind, "tmpfs", "the last one lies on top");
    assert_eq!(mount("/mnt/ab").kind, "ext4");
}

#[test]
fn file_systems_are_judged() {
    let none = Flags::default();
    let judge = |path: &str, flags: &Flags| overwriting(&mount(path), None, flags);
    assert_eq!(judge("/", &none), Overwriting::InPlace);
    assert!(matches!(judge("/", &Flags { journaled: true, ..Flags::default() }), Overwriting::KeepsOld(_)));
    assert!(matches!(judge("/var/lib/lethe-keys", &none), Overwriting::KeepsOld(_)), "data=journal");
    assert!(matches!(judge("/var/lib", &none), Overwriting::KeepsOld(_)));
    assert_eq!(judge("/var/lib", &Flags { no_copies: true, ..Flags::default() }), Overwriting::InPlace);
    assert!(matches!(judge("/srv", &none), Overwriting::KeepsOld("zfs")));
    assert_eq!(judge("/mnt/a b", &none), Overwriting::Memory);
    let thin = Disk { snapshots: true, ..Disk::default() };
    assert!(matches!(overwriting(&mount("/"), Some(&thin), &none), Overwriting::KeepsOld(_)));
}

#[test]
fn this_machine_is_somewhere() {
    let here = place(Path::new("./does/not/exist/yet")).expect("mounted");
    assert!(here.mount.point.is_absolute() && !here.mount.kind.is_empty());
}

/// A `/sys` of a flash disk with a partition, encrypted, with a thin volume on it.
#[test]
fn disks_are_looked_at_all_the_way_down() {
    let sys = TempDir::new().expect("a directory");
    let file = |path: &str, text: &str| {
        let path = sys.path().join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, text).expect("written");
    };
    let link = |path: &str, to: &str| {
        let path = sys.path().join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        symlink(sys.path().join(to), path).expect("linked");
    };
    file("devices/nvme/queue/rotational", "0\n");
    file("devices/nvme/part/size", "1\n");
    file("devices/crypt/dm/uuid", "CRYPT-LUKS2-00-x\n");
    file("devices/pool/dm/uuid", "LVM-aaa-tpool\n");
    file("devices/thin/dm/uuid", "LVM-bbb\n");
    file("devices/spinning/queue/rotational", "1\n");
    link("devices/crypt/slaves/part", "devices/nvme/part");
    link("devices/pool/slaves/crypt", "devices/crypt");
    link("devices/thin/slaves/pool", "devices/pool");
    link("dev/block/259:1", "devices/nvme/part");
    link("dev/block/254:0", "devices/crypt");
    link("dev/block/254:2", "devices/thin");
    link("dev/block/8:0", "devices/spinning");
    let disk = |minor| Disk::of(sys.path(), minor);
    assert_eq!(disk((259, 1)), Some(Disk { flash: true, ..Disk::default() }));
    assert_eq!(disk((254, 0)), Some(Disk { flash: true, encrypted: true, ..Disk::default() }));
    assert_eq!(disk((254, 2)), Some(Disk { flash: true, encrypted: true, snapshots: true, file: false }));
    assert_eq!(disk((8, 0)), Some(Disk::default()));
    assert_eq!(disk((0, 40)), None);
}

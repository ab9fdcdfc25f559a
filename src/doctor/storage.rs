//! The directories of data and keys: who may read them, and whether what is overwritten is gone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{Finding, Report};
use crate::{
    config::Config,
    ground::{self, Overwriting, Place, overwrite, overwrite::Seen},
    random::Random,
};

const WHY_OVERWRITE: &str = "Forgetting rests on overwriting the root key in keys/: where old bytes stay, so does \
                             everything that was to be forgotten.";
const FIX_OVERWRITE: &str = "Put `storage.keys` on a small ext4 or xfs file system of its own, without snapshots; \
                             doc/operations.md, \"Where keys lie\".";

pub(super) fn examine(config: &Config, random: &dyn Random, report: &mut Report) {
    let (data, keys) = (config.storage.data.clone(), config.storage.keys_directory());
    directory("data.directory", &data, report);
    directory("keys.directory", &keys, report);
    let (data_place, keys_place) = (ground::place(&data), ground::place(&keys));
    if let Some(place) = &data_place {
        data_file_system(place, report);
    }
    if let Some(place) = &keys_place {
        report.add(overwriting(place, &keys, random));
        disk(place, report);
    }
    if let (Some(data_place), Some(keys_place)) = (data_place, keys_place)
        && data_place.mount.device == keys_place.mount.device
    {
        report.add(Finding::advice(
            "keys.apart",
            "keys and data lie on the same file system",
            "A backup, a snapshot or a stolen disk that has the one has the other, and brings back what was alive then.",
            "Mount another medium and set `storage.keys` to a directory there; leave it out of every backup of the data.",
        ));
    }
}

fn directory(check: &'static str, path: &Path, report: &mut Report) {
    let shown = path.display();
    let Ok(metadata) = fs::metadata(path) else {
        report.add(Finding::advice(
            check,
            format!("{shown} is not there, or cannot be seen by this user"),
            "The server makes it at its first start.",
            "Run the doctor as the server's own user, after its first start.",
        ));
        return;
    };
    let own = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() {
        let why = "The server cannot start.";
        report.add(Finding::error(
            check,
            format!("{shown} is not a directory"),
            why,
            "Remove it or configure another.",
        ));
    } else if metadata.permissions().mode() & 0o077 != 0 {
        report.add(Finding::error(
            check,
            format!("other users of this machine may enter {shown}"),
            "They can read the sealed files, and in keys/ the root key.",
            format!("chmod 700 {shown}"),
        ));
    } else if own != 0 && metadata.uid() != own {
        report.add(Finding::warning(
            check,
            format!("{shown} belongs to another user"),
            "If the server runs as this user, it cannot start; if not, the doctor sees less than it.",
            "Run the doctor as the server's own user.",
        ));
    } else {
        report.add(Finding::fine(check, format!("{shown} is its owner's alone")));
    }
}

fn data_file_system(place: &Place, report: &mut Report) {
    let check = "data.file-system";
    let kind = &place.mount.kind;
    match place.overwriting {
        Overwriting::Memory => report.add(Finding::warning(
            check,
            format!("the data lie in memory ({kind})"),
            "They are gone with the power, accounts and all.",
            "Put `storage.data` on a disk.",
        )),
        _ if kind == "overlay" => report.add(Finding::error(
            check,
            "the data lie in a layer of the container",
            "They are gone when the container is replaced, as every upgrade does.",
            "Mount a volume at `storage.data`.",
        )),
        Overwriting::Unknown(reason) => report.add(Finding::warning(
            check,
            format!("the data lie on {reason} ({kind})"),
            "The database needs locks and syncs that mean what they say.",
            "Put `storage.data` on a disk of this machine.",
        )),
        _ => report.add(Finding::fine(check, format!("the data lie on {kind}"))),
    }
}

/// What the file system is known for, and what it does when tried.
fn overwriting(place: &Place, keys: &Path, random: &dyn Random) -> Finding {
    let check = "keys.overwriting";
    let kind = &place.mount.kind;
    match place.overwriting {
        Overwriting::KeepsOld(reason) => {
            Finding::error(check, format!("the keys lie on {reason}: old bytes stay"), WHY_OVERWRITE, FIX_OVERWRITE)
        }
        Overwriting::Unknown(reason) => Finding::warning(
            check,
            format!("the keys lie on {reason} ({kind}): nobody here can say whether old bytes stay"),
            WHY_OVERWRITE,
            FIX_OVERWRITE,
        ),
        Overwriting::Memory => Finding::warning(
            check,
            format!("the keys lie in memory ({kind})"),
            "They are gone with the power, and with them every account and message.",
            "Set `storage.keys` to a directory on a disk, unless that is what you want.",
        ),
        Overwriting::InPlace => match overwrite::try_out(keys, place.mount.device, random) {
            Seen::OldStays => Finding::error(
                check,
                format!("{kind} wrote new bytes of a file to another place than the old ones"),
                WHY_OVERWRITE,
                FIX_OVERWRITE,
            ),
            Seen::InPlace { on_disk: true } => {
                Finding::fine(check, format!("{kind} overwrites in place: tried, and read back from the disk"))
            }
            Seen::InPlace { on_disk: false } => Finding::fine(check, format!("{kind} overwrites in place: tried")),
            Seen::Untried(reason) => {
                Finding::fine(check, format!("{kind} is known to overwrite in place; not tried: {reason}"))
            }
        },
    }
}

fn disk(place: &Place, report: &mut Report) {
    let check = "keys.disk";
    let Some(disk) = place.disk else { return };
    if disk.file {
        report.add(Finding::advice(
            check,
            "the keys lie on a file system inside a file",
            "What overwriting does there depends on where that file lies.",
            "Run the doctor's checks on the file system that holds it.",
        ));
    } else if disk.flash {
        let but = if disk.encrypted { " (encrypted, which helps when its key is not on this machine)" } else { "" };
        report.add(Finding::advice(
            check,
            format!("the disk under the keys is flash, or shows itself as such{but}"),
            "Flash writes elsewhere and erases later: old bytes of keys/ can be read from its chips for a while.",
            "Trim it (fstrim, mount option discard), encrypt the disk, or put keys/ on a medium that erases in place.",
        ));
    } else {
        report.add(Finding::fine(check, "the disk under the keys overwrites in place, as far as it shows"));
    }
}

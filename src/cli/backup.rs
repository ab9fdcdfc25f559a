//! `lethe backup` and `lethe restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Error, Screen, show};
use crate::{
    admin::Request,
    backup::{self, Restored},
    clock::{Clock, SystemClock},
    random::OsRandom,
};

/// Where a backup goes: seen from the server, which writes it.
#[derive(Args)]
pub(super) struct Backup {
    /// A directory for the sealed data, empty or not there yet. On the file system of the server's data it takes hardly
    /// any space.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A file for the keys of this moment, not there yet; on another medium.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

/// What is restored, and where to.
#[derive(Args)]
pub(super) struct Restore {
    /// The directory of the backup's data.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The backup's key file.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The data directory to make, empty or not there yet.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The directory of keys to make; `keys` in the data directory when absent.
    #[arg(long, value_name = "DIR")]
    keys_into: Option<PathBuf>,
    /// Take what is whole of a backup that is damaged.
    #[arg(long)]
    damaged: bool,
}

pub(super) fn back_up(screen: &Screen, places: &Backup) -> Result<(), Error> {
    screen.ask(&Request::Backup { data: absolute(&places.data)?, keys: absolute(&places.keys)? })
}

pub(super) fn restore(wanted: &Restore, as_json: bool) -> Result<(), Error> {
    let keys_into = wanted.keys_into.clone().unwrap_or_else(|| wanted.into.join("keys"));
    let wanted = backup::Wanted {
        data: absolute(&wanted.data)?,
        keys: absolute(&wanted.keys)?,
        into: absolute(&wanted.into)?,
        keys_into: absolute(&keys_into)?,
        damaged: wanted.damaged,
    };
    let restored = backup::restore(&wanted, SystemClock::new().now(), &OsRandom)?;
    let Restored { files, damaged, ended, accounts, rooms, incarnation } = restored;
    if as_json {
        let data = json!({
            "files": files, "damaged": damaged, "ended": ended, "accounts": accounts, "rooms": rooms,
            "incarnation": incarnation,
        });
        return show(&data.to_string());
    }
    show(&format!("Restored {files} files: {accounts} accounts and {rooms} rooms as they were"))?;
    if damaged > 0 {
        show(&format!("{damaged} files were damaged: what lay in them is missing or refused where it is read"))?;
    }
    if ended > 0 {
        show(&format!("{ended} epochs have ended since the backup, and what lay in them is gone"))?;
    }
    show("Whoever logged out or changed the password since the backup must do so again")?;
    show("The backup still opens: delete its key file once the server runs, and make another")
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    Ok(std::path::absolute(path)?)
}

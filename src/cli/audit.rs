//! `lethe audit`: what a seized server tells.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, show};
use crate::{audit, config::Config};

/// What is looked at.
#[derive(Args)]
pub(super) struct Options {
    /// The data directory of a stopped server, or a copy of one.
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The directory of its keys; without, the data are looked at as who has nothing else sees them.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// A name to look for: an account's, or an mxc:// URI. May be given more than once.
    #[arg(long, value_name = "NAME")]
    known: Vec<String>,
}

pub(super) fn run(options: &Options, file: Option<&Path>, as_json: bool) -> Result<(), Error> {
    let config = file.map(|file| Config::load(Some(file))).transpose()?;
    let seen = audit::look(&options.data, options.keys.as_deref(), &options.known, config.as_ref())?;
    if as_json {
        return show(&serde_json::to_string(&seen).unwrap_or_default());
    }
    seen.to_string().lines().try_for_each(show)
}

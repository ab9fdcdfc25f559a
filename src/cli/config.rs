//! `lethe config`: the configuration's documentation and a check of it.

use std::io::{self, Write};

use clap::Subcommand;

use super::{Error, show};
use crate::config::Config;

/// What can be done with the configuration.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print every key with its documentation and default.
    Example,
    /// Read the configuration and say whether it is valid.
    Check,
}

pub(super) fn example() -> Result<(), Error> {
    Ok(io::stdout().write_all(Config::example().as_bytes())?)
}

/// Reaching this function is the check: what is not valid does not load.
pub(super) fn check(_config: &Config) -> Result<(), Error> {
    show("The configuration is valid.")
}

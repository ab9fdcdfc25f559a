//! `lethe report`: what users reported.

use clap::Subcommand;

use super::{Error, Screen};
use crate::admin::Request;

/// What can be done with reports. They lie in the vaults of the administrators, and go by themselves as messages to
/// devices do.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show them, the oldest first. What lies with an administrator who has not come since the start is missing.
    List,
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    let Command::List = command;
    screen.ask(&Request::ReportList)
}

//! `lethe retention`: what is kept for how long.

use clap::Subcommand;

use super::{Error, Screen};
use crate::admin::Request;

/// What the running server forgets, and when.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show every lifetime in force: as it is configured, the class it acts as, and how much is destroyed together.
    Show,
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    let Command::Show = command;
    screen.ask(&Request::RetentionShow)
}

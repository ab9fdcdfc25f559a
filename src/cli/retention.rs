//! `lethe retention`: what is kept for how long.

use clap::Subcommand;

use super::{Error, Screen};
use crate::admin::Request;

/// What the running server forgets, and when.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show every lifetime in force: as it is configured, the class it acts as, and how much is destroyed together.
    Show,
    /// Show how far forgetting has got, and whether the clock is trusted.
    State,
    /// Say that the machine's clock is right, so that what has expired is destroyed at once. Look at another clock first.
    ConfirmClock,
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    screen.ask(&match command {
        Command::Show => Request::RetentionShow,
        Command::State => Request::RetentionState,
        Command::ConfirmClock => Request::RetentionConfirmClock,
    })
}

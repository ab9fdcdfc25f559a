//! `lethe token`: registration tokens.

use clap::Subcommand;

use super::{Error, ask};
use crate::{admin::Request, config::Config};

/// What can be done with registration tokens.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and show it.
    Create {
        /// How many accounts it is good for; any number when absent.
        #[arg(long)]
        uses: Option<u32>,
        /// After how many hours it dies; never when absent.
        #[arg(long, value_name = "HOURS")]
        hours: Option<u32>,
    },
}

pub(super) fn run(config: &Config, command: &Command) -> Result<(), Error> {
    let Command::Create { uses, hours } = command;
    ask(config, &Request::TokenCreate { uses: *uses, expires_in: hours.map(|hours| u64::from(hours) * 3600) })
}

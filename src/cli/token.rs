//! `lethe token`: registration tokens.

use clap::Subcommand;

use super::{Error, Screen};
use crate::admin::Request;

/// What can be done with registration tokens. Those of `registration.tokens_file` and the one a new server prints are not
/// among them.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and show it.
    Create {
        /// How many accounts it is good for; any number when absent.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// After how many hours it dies; never when absent.
        #[arg(long, value_name = "HOURS")]
        hours: Option<u32>,
    },
    /// List the tokens.
    List,
    /// Revoke a token.
    Revoke {
        /// Its text.
        token: String,
    },
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    screen.ask(&match command {
        Command::Create { uses, hours } => {
            Request::TokenCreate { uses: *uses, expires_in: hours.map(|hours| u64::from(hours) * 3600) }
        }
        Command::List => Request::TokenList,
        Command::Revoke { token } => Request::TokenRevoke { token: token.clone() },
    })
}

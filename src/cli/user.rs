//! `lethe user`: accounts.

use std::io::{self, BufRead};

use clap::Subcommand;

use super::{Error, ask};
use crate::{admin::Request, config::Config, secret::SecretText};

/// What can be done with accounts.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an account. Without --password-stdin, a passphrase is proposed and shown once.
    Add {
        /// The name before the colon.
        name: String,
        /// Read the password from standard input: arguments are visible to every process.
        #[arg(long)]
        password_stdin: bool,
    },
}

pub(super) fn run(config: &Config, command: &Command) -> Result<(), Error> {
    let Command::Add { name, password_stdin } = command;
    let password = if *password_stdin { Some(read_line()?) } else { None };
    ask(config, &Request::UserAdd { localpart: name.clone(), password })
}

fn read_line() -> Result<SecretText, Error> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(SecretText::new(line))
}

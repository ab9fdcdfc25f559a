//! The command line: `lethe serve`, and commands that talk to a running server.

mod audit;
mod backup;
mod config;
mod doctor;
mod health;
mod report;
mod retention;
mod room;
mod serve;
mod token;
mod user;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    admin,
    config::{Config, Error as ConfigError},
    server::Error as ServerError,
};

/// The file read when none is named, if it exists.
const DEFAULT_FILE: &str = "lethe.toml";

/// A Matrix homeserver that forgets.
#[derive(Parser)]
#[command(name = "lethe", version)]
struct Arguments {
    /// The configuration file; `lethe.toml` in the current directory when that exists.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it gets SIGTERM or SIGINT.
    Serve,
    /// Ask the running server whether it is ready.
    Health,
    /// Look for what should be changed: here, or from outside with --external. Exits with 1 after warnings, 2 after errors.
    Doctor(doctor::Options),
    /// Back up the running server: its data, and its keys of the same moment. Either is useless alone.
    Backup(backup::Backup),
    /// Show what whoever takes a stopped server's directories learns from them, and nothing else.
    Audit(audit::Options),
    /// Make the directories of a server from a backup. What has expired since stays gone.
    Restore(backup::Restore),
    /// Accounts.
    #[command(subcommand)]
    User(user::Command),
    /// Rooms.
    #[command(subcommand)]
    Room(room::Command),
    /// What users reported.
    #[command(subcommand)]
    Report(report::Command),
    /// What is kept for how long, and how far forgetting has got.
    #[command(subcommand)]
    Retention(retention::Command),
    /// Registration tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// The configuration.
    #[command(subcommand)]
    Config(config::Command),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Admin(#[from] admin::ClientError),
    #[error(transparent)]
    Backup(#[from] crate::backup::Error),
    #[error(transparent)]
    Audit(#[from] crate::audit::Error),
    #[error("the server is not ready, or does not run")]
    NotReady,
    /// The doctor found something and has said so; the exit code.
    #[error("there is something to change")]
    Found(u8),
    #[error("the terminal cannot be used")]
    Terminal(#[from] io::Error),
    /// The server's reason for not doing what was asked.
    #[error("{0}")]
    Refused(String),
    /// The same, where it can be done once somebody has come.
    #[error("{0}")]
    NotNow(String),
}

impl Error {
    /// What the process exits with: 1 for a failure or refusal, 3 for what can be done once somebody has come, 4 when no
    /// server runs. 2 is for arguments that are not understood.
    fn code(&self) -> u8 {
        match self {
            Self::NotNow(_) => 3,
            Self::Admin(admin::ClientError::NotRunning) => 4,
            _ => 1,
        }
    }
}

/// Parses the process's arguments and does what they say.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Found(code)) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "lethe: {error}");
            ExitCode::from(error.code())
        }
    }
}

fn execute(arguments: &Arguments) -> Result<(), Error> {
    match &arguments.command {
        Command::Serve => serve::run(load(arguments)?),
        Command::Health => health::run(&load(arguments)?),
        Command::Doctor(options) => doctor::run(&load(arguments), file(arguments).as_deref(), options, arguments.json),
        Command::Backup(places) => backup::back_up(&screen(arguments)?, places),
        Command::Audit(options) => audit::run(options, file(arguments).as_deref(), arguments.json),
        Command::Restore(wanted) => backup::restore(wanted, arguments.json),
        Command::User(command) => user::run(&screen(arguments)?, command),
        Command::Room(command) => room::run(&screen(arguments)?, command),
        Command::Report(command) => report::run(&screen(arguments)?, command),
        Command::Retention(command) => retention::run(&screen(arguments)?, command),
        Command::Token(command) => token::run(&screen(arguments)?, command),
        Command::Config(config::Command::Example) => config::example(),
        Command::Config(config::Command::Check) => config::check(&load(arguments)?),
    }
}

fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
    Config::load(file(arguments).as_deref())
}

/// The configuration file, if there is one.
fn file(arguments: &Arguments) -> Option<PathBuf> {
    let default = PathBuf::from(DEFAULT_FILE);
    arguments.config.clone().or_else(|| default.exists().then_some(default))
}

/// Where answers of a running server are shown.
struct Screen {
    config: Config,
    json: bool,
}

fn screen(arguments: &Arguments) -> Result<Screen, Error> {
    Ok(Screen { config: load(arguments)?, json: arguments.json })
}

impl Screen {
    /// Asks the running server and shows its answer.
    fn ask(&self, request: &admin::Request) -> Result<(), Error> {
        match admin::ask(&self.config, request)? {
            admin::Answer::Done { data, .. } if self.json => show(&data.to_string()),
            admin::Answer::Done { lines, .. } => lines.iter().try_for_each(|line| show(line)),
            admin::Answer::Failed { reason, later: true } => Err(Error::NotNow(reason)),
            admin::Answer::Failed { reason, later: false } => Err(Error::Refused(reason)),
        }
    }
}

/// Writes one line to standard output.
fn show(line: &str) -> Result<(), Error> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

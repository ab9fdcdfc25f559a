//! `lethe user`: accounts.

use std::io::{self, BufRead};

use clap::{Args, Subcommand};

use super::{Error, Screen};
use crate::{admin::Request, secret::SecretText};

/// What can be done with accounts. NAME is what an account logs in with, its Matrix id, or the part of that before the
/// colon.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the accounts.
    List,
    /// Make an account. Without --password-stdin, a passphrase is proposed and shown once.
    Add {
        /// What it logs in with.
        name: String,
        #[command(flatten)]
        password: Password,
        /// Let it administer the server.
        #[arg(long)]
        admin: bool,
    },
    /// Lock an account: it can only log out, and keeps everything.
    Lock {
        /// The account.
        name: String,
    },
    /// Unlock an account.
    Unlock {
        /// The account.
        name: String,
    },
    /// Suspend an account: it can read and leave, and takes no part.
    Suspend {
        /// The account.
        name: String,
        /// Take that back.
        #[arg(long)]
        undo: bool,
    },
    /// Let an account administer the server.
    Admin {
        /// The account.
        name: String,
        /// Take that back.
        #[arg(long)]
        undo: bool,
    },
    /// End an account for good. Its name is not given out again.
    Deactivate {
        /// The account.
        name: String,
        /// Have every room forget what it said and who it was: now where the room is open, else when it opens.
        #[arg(long)]
        erase: bool,
    },
    /// End every device of an account that somebody has used since the server started.
    Logout {
        /// The account.
        name: String,
    },
    /// Tell an account something, in a room of its own for such notices. Somebody must have used it since the server
    /// started. Needs `server_notices.localpart`.
    Notice {
        /// The account.
        name: String,
        /// What it is told.
        text: String,
    },
    /// Give an account another password. Without --password-stdin, a passphrase is proposed and shown once.
    ///
    /// Nobody but the account holds its key. An account that somebody has used since the server started has the new
    /// password at once; any other gets it when one of its devices is used next.
    ResetPassword {
        /// The account.
        name: String,
        #[command(flatten)]
        password: Password,
        /// End its devices too.
        #[arg(long)]
        logout: bool,
        /// Give up what only the old password opens: settings, device keys, backed-up keys. The account begins anew, and
        /// its rooms open again once another member uses the server.
        #[arg(long, conflicts_with = "logout")]
        abandon_private_data: bool,
    },
}

/// Where a password comes from.
#[derive(Args)]
pub(super) struct Password {
    /// Read the password from standard input: arguments are visible to every process.
    #[arg(long)]
    password_stdin: bool,
}

impl Password {
    fn read(&self) -> Result<Option<SecretText>, Error> {
        if self.password_stdin { read_line().map(Some) } else { Ok(None) }
    }
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    let name = String::clone;
    screen.ask(&match command {
        Command::List => Request::UserList,
        Command::Add { name, password, admin } => {
            Request::UserAdd { localpart: name.clone(), password: password.read()?, admin: *admin }
        }
        Command::Lock { name: of } => Request::UserLock { name: name(of), locked: true },
        Command::Unlock { name: of } => Request::UserLock { name: name(of), locked: false },
        Command::Suspend { name: of, undo } => Request::UserSuspend { name: name(of), suspended: !undo },
        Command::Admin { name: of, undo } => Request::UserAdmin { name: name(of), admin: !undo },
        Command::Deactivate { name: of, erase } => Request::UserDeactivate { name: name(of), erase: *erase },
        Command::Logout { name: of } => Request::UserLogout { name: name(of) },
        Command::Notice { name: of, text } => Request::UserNotice { name: name(of), text: text.clone() },
        Command::ResetPassword { name: of, password, logout, abandon_private_data } => Request::UserResetPassword {
            name: name(of),
            password: password.read()?,
            end_devices: *logout,
            abandon: *abandon_private_data,
        },
    })
}

fn read_line() -> Result<SecretText, Error> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(SecretText::new(line))
}

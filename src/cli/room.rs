//! `lethe room`: rooms.

use clap::Subcommand;

use super::{Error, Screen};
use crate::admin::Request;

/// What can be done with rooms. Only those are known that are open, because a member has used the server since it
/// started, or that anybody here may join.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the rooms.
    List,
    /// Show a room: never who is in it, and what it is called only when anybody here may know.
    Info {
        /// Its id.
        room: String,
    },
    /// Destroy a room's key: nothing of it opens afterwards, for anybody. Every client that had it is told that it is out.
    /// A room that no member has used since the server started is destroyed when one comes.
    Shred {
        /// Its id.
        room: String,
    },
    /// Forget a user in a room that they have left: what they said is destroyed, and their name where no other server has
    /// been in the room.
    Erase {
        /// Its id.
        room: String,
        /// The user's Matrix id.
        user: String,
    },
}

pub(super) fn run(screen: &Screen, command: &Command) -> Result<(), Error> {
    screen.ask(&match command {
        Command::List => Request::RoomList,
        Command::Info { room } => Request::RoomInfo { room: room.clone() },
        Command::Shred { room } => Request::RoomShred { room: room.clone() },
        Command::Erase { room, user } => Request::RoomErase { room: room.clone(), user: user.clone() },
    })
}

//! What administrators do, over the socket and over HTTP: the same operations on the open layers.
//!
//! Owns what an administrator is shown. He sees accounts by their names and rooms by their ids; who is in a room, what a
//! private room is called and what a device is called is not for him, although the running server knows it. The rooms of an
//! account he may learn while it is open: tools need them to help its owner.

mod notices;
mod rooms;
mod tokens;
mod users;

pub use self::{
    rooms::{RoomShown, RoomsShown, Shredded},
    tokens::{NewToken, TokenShown},
    users::{DeviceShown, UserShown},
};
use crate::{accounts, backup, house, rooms as room_layer};

/// Why something asked by an administrator is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such account.
    #[error("there is no such account")]
    UnknownUser,
    /// There is no such room, or nobody has come who can open it.
    #[error("there is no such room, or nobody who is in it has come since the server started")]
    UnknownRoom,
    /// The user must be out of the room first.
    #[error("the user is in the room: put them out first")]
    StillIn,
    /// There is no such registration token.
    #[error("there is no such registration token")]
    UnknownToken,
    /// The account's own key is needed, and it is not in memory.
    #[error("the account is cold: only its own key opens this, and nobody has used it since the server started")]
    Cold,
    /// An account with a name of its own for logging in must be named by it.
    #[error("name the account by what its owner logs in with: nobody else knows it")]
    NoLoginName,
    /// The token has characters or a length that tokens cannot have.
    #[error("a token has 1 to 64 letters, digits and . _ ~ -")]
    InvalidToken,
    /// The token exists already.
    #[error("the token exists already")]
    TokenExists,
    /// There are as many tokens as there may be.
    #[error("there are too many tokens")]
    TooManyTokens,
    /// There is no name to send notices under, or an account has it.
    #[error("set server_notices.localpart to a name that no account has")]
    NoNotices,
    /// There is no house yet, and tokens lie in it.
    #[error("make the first account with `lethe user add`: tokens are kept among accounts")]
    NoHouse,
    /// An account layer failed.
    #[error("the account failed")]
    Account(#[from] accounts::Error),
    /// A room failed.
    #[error("the room failed")]
    Room(#[from] room_layer::Error),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] backup::Error),
}

impl From<house::Error> for Error {
    fn from(error: house::Error) -> Self {
        Self::Account(error.into())
    }
}

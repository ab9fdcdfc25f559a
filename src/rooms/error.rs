//! What can go wrong with a room.

use super::core::Rejection;
use crate::{accounts, event, house, journal, seal, store};

/// A fact about a room, without any identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such room, or it cannot be reached now.
    #[error("unknown room")]
    UnknownRoom,
    /// The caller is not joined to the room.
    #[error("not joined")]
    NotJoined,
    /// The caller may not do this.
    #[error("forbidden")]
    Forbidden,
    /// The rules of the room refuse the event.
    #[error("refused by the room's rules")]
    Rejected(Rejection),
    /// The event cannot be built.
    #[error("the event cannot be built")]
    Event(#[from] event::Error),
    /// The room's state cannot be made.
    #[error("invalid room state")]
    InvalidState,
    /// The state cannot be changed like this, by anybody.
    #[error("state that cannot be")]
    Unchangeable,
    /// The power levels have not the form of power levels.
    #[error("not power levels")]
    BadLevels,
    /// The room version is not supported.
    #[error("unsupported room version")]
    UnsupportedVersion,
    /// There is no such account.
    #[error("unknown user")]
    UnknownUser,
    /// The invitee refuses invitations.
    #[error("invitations are blocked")]
    InviteBlocked,
    /// The room must be left before it can be forgotten.
    #[error("still in the room")]
    StillIn,
    /// Other servers cannot be reached.
    #[error("federation is off")]
    NoFederation,
    /// The alias is taken.
    #[error("the alias is taken")]
    AliasTaken,
    /// There is no such event, or the caller may not see it.
    #[error("unknown event")]
    UnknownEvent,
    /// The alias leads nowhere.
    #[error("unknown alias")]
    UnknownAlias,
    /// The alias is there already.
    #[error("the alias exists")]
    AliasExists,
    /// The text is not an alias this server can have.
    #[error("invalid alias")]
    InvalidAlias,
    /// The alias in a state event does not lead to the room.
    #[error("the alias does not lead to the room")]
    BadAlias,
    /// The same user has annotated the event with the same key.
    #[error("duplicate annotation")]
    DuplicateAnnotation,
    /// The event is not part of the thread.
    #[error("not an event of the thread")]
    OtherThread,
    /// A thread cannot start at an event that relates to another.
    #[error("a thread under a related event")]
    NestedThread,
    /// The pagination token is not one of this room.
    #[error("unknown token")]
    BadToken,
    /// The room has as much state as it may.
    #[error("too much state")]
    TooMuchState,
    /// The account has as many rooms as it may.
    #[error("too many rooms")]
    TooManyRooms,
    /// More of something than one request may ask for.
    #[error("too many for one request")]
    TooMany,
    /// There is no name to send notices under, or an account has it.
    #[error("no notices")]
    NoNotices,
    /// The invitation is one to a room for notices.
    #[error("an invitation that cannot be turned down")]
    NoticeInvite,
    /// The account has not come since the start.
    #[error("a cold account")]
    Cold,
    /// Nobody here can vouch for a restricted join.
    #[error("no member can let the user in")]
    NobodyVouches,
    /// An account failed.
    #[error("an account failed")]
    Account(#[from] accounts::Error),
    /// The house sleeps or failed.
    #[error("the house is not there")]
    House(#[from] house::Error),
    /// The room's journal failed.
    #[error("the room's journal failed")]
    Journal(#[from] journal::Error),
}

impl Error {
    /// An unknown room looks like one the caller is not in.
    #[must_use]
    pub fn hide_unknown(self) -> Self {
        if self == Self::UnknownRoom { Self::NotJoined } else { self }
    }

    /// A fixed word for the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Journal(journal::Error::Hole) => "hole",
            Self::Journal(journal::Error::Broken) => "broken",
            Self::Journal(journal::Error::Malformed) => "malformed",
            Self::Journal(journal::Error::Stopped) => "stopped",
            Self::Journal(journal::Error::Store(_)) => "store",
            Self::Journal(_) => "seal",
            Self::Account(_) => "account",
            Self::House(_) => "house",
            _ => "room",
        }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Journal(error.into())
    }
}

impl<E: Into<seal::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Journal(journal::Error::Seal(error.into()))
    }
}

//! What can go wrong with an account.

use crate::{house, journal, seal, store};

/// A fact about an account, without any identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Name or password are wrong; which of them is not said.
    #[error("wrong name or password")]
    Forbidden,
    /// The token is not one that lives.
    #[error("unknown token")]
    UnknownToken,
    /// The token would be good if it had not ended: the client refreshes or logs in again with what it keeps.
    #[error("expired token")]
    SoftLogout,
    /// An administrator has locked the account.
    #[error("the account is locked")]
    Locked,
    /// The name is taken.
    #[error("the name is taken")]
    Taken,
    /// The name has characters or a length that names cannot have.
    #[error("the name is invalid")]
    InvalidName,
    /// The password is too easy to guess.
    #[error("the password is too weak")]
    WeakPassword,
    /// Too many logins at once.
    #[error("too many logins at once")]
    Busy,
    /// There is no such device, filter, or other thing.
    #[error("not found")]
    NotFound,
    /// The account has as many of these as it may.
    #[error("too many")]
    TooMany,
    /// The house sleeps or failed.
    #[error("the house is not there")]
    House(#[from] house::Error),
    /// The vault failed.
    #[error("the vault failed")]
    Journal(#[from] journal::Error),
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

/// The only reason why a wrap cannot be made: what goes into it grew from a name.
pub(super) fn too_long(_: seal::password::Error) -> Error {
    Error::InvalidName
}

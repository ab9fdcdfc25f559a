//! What can go wrong with a journal.

use crate::{seal, store};

/// A fact about a journal, without any identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store refused or lost the operation.
    #[error("the store failed")]
    Store(store::Error),
    /// A row or the slot table could not be sealed or opened.
    #[error("the seal failed")]
    Seal(seal::Error),
    /// A row is missing in the middle of a journal.
    #[error("a journal has a hole")]
    Hole,
    /// An entry does not follow the one before it, or rows noted in a checkpoint are gone.
    #[error("a journal is broken")]
    Broken,
    /// An entry opened, but what it says cannot be applied.
    #[error("an entry is not understood")]
    Malformed,
    /// An earlier failure left memory and disk apart; the owner must be loaded again.
    #[error("the owner has stopped")]
    Stopped,
}

impl<E: Into<seal::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Seal(error.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

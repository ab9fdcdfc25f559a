//! What can go wrong with media.

use crate::{journal, seal::blob::Refused};

/// A fact about a blob, without any identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such blob, or not any more.
    #[error("unknown media")]
    NotFound,
    /// The id was made and its content has not come.
    #[error("the content has not come yet")]
    NotYetUploaded,
    /// The id has content, or is just getting it.
    #[error("there is content already")]
    Overwrites,
    /// Somebody else made the id.
    #[error("the id is somebody else's")]
    NotYours,
    /// The account has as many ids without content as it may.
    #[error("too many ids wait for content")]
    TooManyPending,
    /// More bytes than an upload may have, or than it announced.
    #[error("the upload is too large")]
    TooLarge,
    /// Fewer bytes than the upload announced.
    #[error("the upload is incomplete")]
    Incomplete,
    /// The account has uploaded as much as it may.
    #[error("the account's quota is used up")]
    Quota,
    /// Pages are not previewed.
    #[error("there are no previews")]
    NoPreviews,
    /// Not an address of a page.
    #[error("not an address of a page")]
    NotAnAddress,
    /// The page cannot be loaded, or must not be.
    #[error("the page cannot be loaded")]
    NoPage,
    /// The blob is not a picture of a format that is known.
    #[error("not a picture")]
    NotAPicture,
    /// The picture has more bytes or pixels than are taken for a thumbnail.
    #[error("the picture is too large")]
    PictureTooLarge,
    /// A segment cannot be read or written, or is not what was written.
    #[error("a segment of media cannot be read or written")]
    Segment,
    /// The store, the slots or the epochs failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
}

impl From<std::io::Error> for Error {
    fn from(_: std::io::Error) -> Self {
        Self::Segment
    }
}

impl From<Refused> for Error {
    fn from(_: Refused) -> Self {
        Self::Segment
    }
}

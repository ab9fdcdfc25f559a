//! Everything that turns plaintext into sealed bytes and back: key derivation, rows, wraps, the slot table, epochs, mail.
//!
//! Owns every key at rest and every byte layout of a sealed thing (`doc/storage.md`). It never knows a Matrix type, never
//! decides what is written when, and never keeps a secret in a type that can be printed or serialised by accident.

pub mod blob;
pub(crate) mod cipher;
pub mod derive;
pub mod epochs;
#[cfg(test)]
mod golden;
pub mod mail;
pub mod password;
pub mod row;
pub mod slots;
pub(crate) mod text;
pub mod ticket;
pub mod token;

/// What can go wrong with a seal, whichever part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A blob.
    #[error("a blob")]
    Blob(#[from] blob::Refused),
    /// A row.
    #[error("a row")]
    Row(#[from] row::Error),
    /// The slot table.
    #[error("the slot table")]
    Slots(#[from] slots::Error),
    /// An epoch.
    #[error("an epoch")]
    Epochs(#[from] epochs::Error),
    /// Mail.
    #[error("mail")]
    Mail(#[from] mail::Malformed),
}

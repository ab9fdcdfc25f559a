//! The one persistence idea above the store: an owner has a *keep*, a journal of what must last, and *windows*,
//! journals of what must die.
//!
//! Owns how entries become rows, how the end of a journal is found, generations and packs. Knows neither Matrix nor
//! who an owner is, and never persists anything outside the two kinds of journal.

mod error;
mod keep;
mod live;
mod owner;
mod pack;
mod reader;
mod shelf;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

pub use self::{
    error::Error,
    live::{Live, TOGETHER, Writing, renew_together},
    owner::{Identity, Ledger, NewRow, Owner, Prepared, Rewrite},
    shelf::{Packs, Shelf},
    window::{Position, Stream, WindowRecord},
};
#[cfg(any(test, fuzzing))]
pub(crate) use self::{owner::replay, pack::Pack};
use crate::{
    random::Random,
    seal::{derive::keep_key, epochs::Epochs, row::RowKey, slots::Slots},
    secret::Key,
    store::{Instance, Partition, Store},
};

/// What every owner needs to read and write its journals.
#[derive(Clone)]
pub struct Journals {
    /// Where rows go.
    pub store: Store,
    /// Whose existence decides what exists.
    pub slots: Slots,
    /// Which partition a row of a class goes to.
    pub epochs: Epochs,
    /// Nonces and fresh secrets.
    pub random: Arc<dyn Random>,
    /// Packs that were opened lately.
    pub packs: Packs,
}

/// Whether a slot's value and an owner key open a keep.
pub fn opens(journals: &Journals, slot: &Key, owner: &Key) -> Result<bool, Error> {
    let address = RowKey::new(&keep_key(slot, owner)).address(0);
    Ok(journals.store.get(Instance::Soup, Partition::FOREVER, &address)?.is_some())
}

//! Reading single entries beside the writer: where they lie, and the packs that were opened lately.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use super::{Error, Journals, Position, pack::Pack, window::Window};
use crate::store::Address;

/// Where the entries of one stream are found, as of one moment.
#[derive(Clone, Default)]
pub struct Shelf(Arc<[Window]>);

impl Shelf {
    pub(super) fn new(windows: Vec<Window>) -> Self {
        Self(windows.into())
    }

    /// Reads one entry; `None` when its window is gone, or its row lies elsewhere by now.
    pub fn fetch(&self, journals: &Journals, position: Position) -> Result<Option<Vec<u8>>, Error> {
        match self.0.iter().find(|window| window.holds(position)) {
            Some(window) => window.fetch(journals, position),
            None => Ok(None),
        }
    }
}

/// The plain text of packs in RAM, all together: some hundred packs, which is what a few people reading back need.
const MOST_BYTES: u64 = 8 << 20;
/// A pack of ordinary events, for sizing the cache's tables.
const USUAL_BYTES: u64 = 48 << 10;

/// Packs that were opened lately, of every owner.
#[derive(Clone)]
pub struct Packs(Arc<Cache<Address, Arc<Pack>, Weight>>);

#[derive(Clone)]
struct Weight;

impl Weighter<Address, Arc<Pack>> for Weight {
    fn weight(&self, _: &Address, pack: &Arc<Pack>) -> u64 {
        pack.entries.iter().map(|(_, plain)| plain.len() as u64 + 32).sum::<u64>() + 64
    }
}

impl Default for Packs {
    fn default() -> Self {
        let items = usize::try_from(MOST_BYTES / USUAL_BYTES).unwrap_or(usize::MAX);
        Self(Arc::new(Cache::with_weighter(items, MOST_BYTES, Weight)))
    }
}

impl Packs {
    pub(super) fn get(&self, address: &Address) -> Option<Arc<Pack>> {
        self.0.get(address)
    }

    pub(super) fn put(&self, address: Address, pack: Arc<Pack>) {
        self.0.insert(address, pack);
    }

    /// Lets go of every pack: something in them has expired or was taken back.
    pub fn clear(&self) {
        self.0.clear();
    }
}

//! Writing entries into an owner's windows.

use super::{Ledger, Owner};
use crate::{
    journal::{Error, Journals, Position, Stream, window::Window},
    seal::row::Primer,
    store::{Batch, Partition},
};

impl<L: Ledger> Owner<L> {
    /// Puts one entry of `stream` into `batch`, in `partition`, which must be living. Opens a window where none is
    /// open, with `primer`; its secret is written before the row, in the same batch.
    pub fn append(
        &mut self,
        journals: &Journals,
        stream: Stream,
        partition: Partition,
        primer: impl FnOnce(&L) -> Primer,
        plain: &[u8],
        batch: &mut Batch,
    ) -> Result<Position, Error> {
        let newest = self.windows.iter().rev().find(|window| window.record.stream == stream);
        let after = newest.map_or(Position::START, |window| Position::new(window.record.serial, 0));
        self.append_behind(journals, stream, partition, after, primer, plain, batch)
    }

    /// As [`Owner::append`], in any open window that is not before the one of `after`: for streams in which the order of
    /// all entries does not matter, so that several partitions are written beside each other.
    #[expect(clippy::too_many_arguments, reason = "the place, the entry and what primes it")]
    pub fn append_behind(
        &mut self,
        journals: &Journals,
        stream: Stream,
        partition: Partition,
        after: Position,
        primer: impl FnOnce(&L) -> Primer,
        plain: &[u8],
        batch: &mut Batch,
    ) -> Result<Position, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        (self.dirty, self.ahead) = (true, true);
        let fits = |window: &Window| {
            let record = &window.record;
            let open = record.stream == stream && record.partition == partition && !record.closed;
            open && record.serial >= after.serial()
        };
        let at = if let Some(at) = self.windows.iter().rposition(fits) {
            at
        } else {
            let primer = primer(&self.ledger);
            self.open_window(journals, stream, partition, primer, batch)?
        };
        self.windows[at].append(journals, plain, batch)
    }
}

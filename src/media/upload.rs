//! Uploads: content comes in pieces and leaves in sealed chunks; its head is written last.
//!
//! A head without its blob cannot be: the blob is synced first. A blob without a head is garbage that nothing can
//! find and that goes with its partition.

use std::{os::unix::fs::FileExt, sync::Arc};

use tokio::sync::OwnedSemaphorePermit;

use super::{Claim, Error, Head, Info, Media, MediaId, segments::Extent};
use crate::{
    journal,
    random::Random,
    seal::blob::{BlobKey, PLAIN, Shape},
    store::Partition,
};

/// An upload under way; dropped before [`Upload::finish`], it leaves nothing that can be found.
pub struct Upload {
    pub(super) media: Arc<Media>,
    pub(super) id: MediaId,
    pub(super) claim: Option<Claim>,
    pub(super) partition: Partition,
    pub(super) sink: Arc<Sink>,
    pub(super) received: u64,
    pub(super) next: u32,
    pub(super) pending: Vec<u8>,
    /// Its share of the memory that uploads may take together.
    pub(super) _memory: OwnedSemaphorePermit,
}

/// Where an upload's chunks go.
pub(super) struct Sink {
    pub(super) key: BlobKey,
    pub(super) shape: Shape,
    pub(super) extent: Extent,
    pub(super) random: Arc<dyn Random>,
}

impl Upload {
    /// Takes the next piece of the content.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there is more than was announced.
    pub async fn push(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > self.sink.shape.length {
            return Err(Error::TooLarge);
        }
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(PLAIN - self.pending.len()));
            self.pending.extend_from_slice(now);
            piece = later;
            if self.pending.len() == PLAIN {
                let plain = std::mem::replace(&mut self.pending, Vec::with_capacity(PLAIN));
                let (sink, index) = (Arc::clone(&self.sink), self.next);
                blocking(move || sink.write(index, &plain)).await?;
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Writes what is left and the head; the answer means both are on the disk.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when less came than was announced.
    pub async fn finish(self, info: Info) -> Result<MediaId, Error> {
        if self.received < self.sink.shape.length {
            return Err(Error::Incomplete);
        }
        let (sink, rest, next) = (Arc::clone(&self.sink), self.pending, self.next);
        blocking(move || sink.finish(next, &rest)).await?;
        let extent = &self.sink.extent;
        let head = Head { info, length: self.sink.shape.length, segment: extent.segment, offset: extent.offset };
        self.media.put_head(&self.id, self.partition, self.sink.key.head(), &head).await?;
        if let Some(claim) = self.claim {
            claim.fulfil();
        }
        Ok(self.id)
    }
}

impl Sink {
    fn write(&self, index: u32, plain: &[u8]) -> Result<(), Error> {
        let (start, size) = self.shape.sealed(index);
        let chunk = self.key.seal(index, plain, size, &*self.random);
        Ok(self.extent.file.write_all_at(&chunk, self.extent.offset + start)?)
    }

    /// Writes the last chunk of content and those that only pad, and syncs them all.
    fn finish(&self, next: u32, rest: &[u8]) -> Result<(), Error> {
        for index in next..self.shape.chunks() {
            self.write(index, if index == next { rest } else { &[] })?;
        }
        Ok(self.extent.file.sync_data()?)
    }
}

/// Runs what blocks on the disk beside the threads that answer requests.
pub(super) async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(task).await.unwrap_or(Err(Error::Journal(journal::Error::Stopped)))
}

//! Downloads: sealed chunks are read and opened one at a time, as fast as the client takes them.

use std::{
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{Error, Info, upload::blocking};
use crate::{
    house::KeptBlob,
    journal,
    seal::blob::{BlobKey, PLAIN, Shape},
    store::Store,
};

/// A blob that was found; its first chunk has been opened.
pub struct Blob {
    /// What the uploader said about it.
    pub info: Info,
    pub(super) source: Arc<Source>,
    pub(super) first: Bytes,
}

/// Where a blob's chunks come from.
pub(super) struct Source {
    length: u64,
    place: Place,
}

enum Place {
    Segment { key: BlobKey, shape: Shape, file: File, offset: u64 },
    Rows { blob: KeptBlob, store: Store },
}

impl Source {
    /// A blob in a segment file.
    pub(super) fn in_segment(key: BlobKey, shape: Shape, file: File, offset: u64) -> Self {
        Self { length: shape.length, place: Place::Segment { key, shape, file, offset } }
    }

    /// A blob that its owner keeps.
    pub(super) fn kept(blob: KeptBlob, store: Store) -> Self {
        Self { length: blob.length, place: Place::Rows { blob, store } }
    }

    /// The content of the chunk `index`.
    pub(super) fn chunk(&self, index: u32) -> Result<Bytes, Error> {
        match &self.place {
            Place::Segment { key, shape, file, offset } => {
                let (start, size) = shape.sealed(index);
                let mut chunk = vec![0; size];
                file.read_exact_at(&mut chunk, offset + start)?;
                let mut plain = key.open(index, chunk)?;
                plain.truncate(shape.content(index));
                Ok(plain.into())
            }
            Place::Rows { blob, store } => {
                let (instance, partition, address) = blob.place(index);
                let row = store.get(instance, partition, &address).map_err(journal::Error::from)?;
                // Nothing shows it since, and its rows are merged away.
                let row = row.ok_or(Error::NotFound)?;
                Ok(blob.open(index, row).map_err(journal::Error::from)?.into())
            }
        }
    }

    /// What every chunk but the last holds, bytes.
    fn plain(&self) -> usize {
        match &self.place {
            Place::Segment { .. } => PLAIN,
            Place::Rows { .. } => KeptBlob::PLAIN,
        }
    }

    fn chunks(&self) -> u32 {
        match &self.place {
            Place::Segment { shape, .. } => shape.chunks(),
            Place::Rows { blob, .. } => blob.rows(),
        }
    }
}

impl Blob {
    /// The length of the content, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.source.length
    }

    /// The content as a body that reads on demand.
    #[must_use]
    pub fn into_body(self) -> Download {
        let whole = 0..self.length();
        self.into_part(whole)
    }

    /// The bytes of `range`, which lies within the content, as a body that reads on demand.
    #[must_use]
    pub fn into_part(self, range: Range<u64>) -> Download {
        let plain = self.source.plain() as u64;
        let first = u32::try_from(range.start / plain).unwrap_or(u32::MAX);
        let skip = usize::try_from(range.start % plain).unwrap_or(0);
        let left = range.end.min(self.length()).saturating_sub(range.start);
        let (ready, next) = if first == 0 { (Some(self.first), 1) } else { (None, first) };
        Download { source: self.source, ready, reading: None, next, skip, left }
    }

    /// The whole content. The caller has looked at its length.
    pub(super) async fn read_all(self) -> Result<Vec<u8>, Error> {
        blocking(move || {
            let mut whole = self.first.to_vec();
            for index in 1..self.source.chunks() {
                whole.extend_from_slice(&self.source.chunk(index)?);
            }
            Ok(whole)
        })
        .await
    }
}

/// A blob's content on its way: at most one chunk is held here and one is being read.
pub struct Download {
    source: Arc<Source>,
    ready: Option<Bytes>,
    reading: Option<JoinHandle<Result<Bytes, Error>>>,
    next: u32,
    /// What is left out of the next chunk, which is the first one sent.
    skip: usize,
    left: u64,
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut chunk = if let Some(chunk) = this.ready.take() {
            Ok(chunk)
        } else {
            let reading = this.reading.get_or_insert_with(|| {
                let (source, index) = (Arc::clone(&this.source), this.next);
                tokio::task::spawn_blocking(move || source.chunk(index))
            });
            let read = ready!(Pin::new(reading).poll(cx));
            this.reading = None;
            this.next += 1;
            read.unwrap_or(Err(Error::Journal(journal::Error::Stopped)))
        };
        match &mut chunk {
            Ok(chunk) => {
                chunk.advance(std::mem::take(&mut this.skip).min(chunk.len()));
                chunk.truncate(usize::try_from(this.left).unwrap_or(usize::MAX));
                this.left -= chunk.len() as u64;
            }
            Err(_) => this.left = 0,
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

//! Blobs that outlive their upload, because something current shows them: they are sealed anew under a secret of their
//! owner's keep.
//!
//! First the rows, then the secret: a cut between the two leaves rows that nothing opens.

use std::{collections::HashMap, sync::Arc};

use super::{Error, Info, Media, MediaId, download::Blob, upload::blocking};
use crate::{
    house::KeptBlob,
    journal,
    rooms::{Kept, Turnover},
    store::Batch,
};

/// The longest blob that is kept, bytes: pictures that people and rooms show of themselves are far below.
const MOST_BYTES: u64 = 10 << 20;
/// What one room keeps, bytes: it is not counted against anybody's quota.
pub const MOST_OF_A_ROOM: u64 = 64 << 20;
/// Rows written together, 64 KiB each.
const ROWS_AT_ONCE: u32 = 16;

impl Media {
    /// Seals anew what an owner is to keep, and says what its keep is to say then. What is too long, or too much for one
    /// owner, or gone already, is left out.
    ///
    /// # Errors
    /// When something cannot be read or written; what was written until then is noise.
    pub async fn keep(self: &Arc<Self>, turnover: Turnover, most: Option<u64>) -> Result<Kept, Error> {
        let mut kept: Kept = turnover.unused.into_iter().map(|id| (id, None)).collect();
        let mut bytes = turnover.kept_bytes;
        for text in turnover.missing {
            let Some(id) = MediaId::parse(&text) else { continue };
            let blob = match self.open(id).await {
                Ok(blob) => blob,
                Err(Error::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let fits = most.is_none_or(|most| bytes.saturating_add(blob.length()) <= most);
            if blob.length() <= MOST_BYTES && fits {
                bytes += blob.length();
                kept.insert(text, Some(self.seal_anew(blob).await?));
            }
        }
        Ok(kept)
    }

    async fn seal_anew(self: &Arc<Self>, blob: Blob) -> Result<KeptBlob, Error> {
        let media = Arc::clone(self);
        let Info { content_type, filename } = blob.info.clone();
        let kept = KeptBlob::new(blob.length(), content_type, filename, &*self.journals.random);
        let content = blob.read_all().await?;
        let sealed = kept.clone();
        let batches = blocking(move || {
            let mut batches = Vec::new();
            for first in (0..sealed.rows()).step_by(ROWS_AT_ONCE as usize) {
                let mut batch = Batch::new();
                for index in first..sealed.rows().min(first + ROWS_AT_ONCE) {
                    let start = index as usize * KeptBlob::PLAIN;
                    let chunk = content.get(start..).unwrap_or_default();
                    let chunk = &chunk[..chunk.len().min(KeptBlob::PLAIN)];
                    sealed.put(index, chunk, &*media.journals.random, &mut batch).map_err(journal::Error::from)?;
                }
                batches.push(batch);
            }
            Ok(batches)
        });
        for batch in batches.await? {
            self.journals.store.commit(batch).await.map_err(journal::Error::from)?;
        }
        Ok(kept)
    }

    /// Lets go of what is shown no more, once its owner's keep says so: `ids` with what was needed to read them.
    ///
    /// # Errors
    /// When the store fails: the rows stay as noise.
    pub async fn release(&self, ids: &HashMap<String, KeptBlob>) -> Result<(), Error> {
        let mut batch = Batch::new();
        for (text, blob) in ids {
            blob.retire(&mut batch);
            if let Some(id) = MediaId::parse(text) {
                self.thumbnails.drop_blob(id);
            }
        }
        Ok(self.journals.store.commit(batch).await.map_err(journal::Error::from)?)
    }
}

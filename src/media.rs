//! Media: blobs sealed in chunks, in segment files that are dropped with their partition, and thumbnails of them.
//!
//! Owns the segment files, the heads that say where in them a blob lies, and how much memory uploads, downloads and
//! thumbnails take. It never stores who uploaded a blob, when, or who looked at it, and writes nothing about a blob
//! outside its seal. The formats stand in `doc/storage.md`.

mod download;
mod error;
mod keep;
mod pending;
mod preview;
mod quota;
mod segments;
#[cfg(test)]
mod tests;
mod thumbnail;
mod upload;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedServerName, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::{
    download::Source,
    pending::Pending,
    preview::Previews,
    quota::Quotas,
    segments::Segments,
    thumbnail::Thumbnails,
    upload::{Sink, blocking},
};
pub use self::{
    download::{Blob, Download},
    error::Error,
    keep::MOST_OF_A_ROOM,
    pending::Claim,
    preview::{Policy as PreviewPolicy, Preview},
    thumbnail::{Thumbnail, Wanted},
    upload::Upload,
};
#[cfg(any(test, fuzzing))]
pub(crate) use self::{preview::fuzzing::read as read_page, thumbnail::fuzzing};
use crate::{
    clock::{Clock, Timestamp},
    journal::{self, Journals},
    log,
    rooms::Rooms,
    seal::{
        blob::{BlobKey, PLAIN, Shape},
        derive::{Usage, address},
        row::{Context, RowKind, open_one, seal_one},
    },
    secret::Key,
    store::{Batch, Class, Instance, Partition},
};

/// The memory all uploads take together, KiB: 128 at once. More wait, unread.
const MEMORY_KIB: usize = 16 << 10;
/// What an upload holds, KiB: a chunk as it came, and a chunk as it is sealed.
const UPLOAD_KIB: u32 = 128;
/// The longest anybody waits for content to come: proxies cut longer silences.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The longest content type and file name kept, bytes; file systems take no longer names either.
const LONGEST_TEXT: usize = 255;

/// What the configuration says about media.
#[derive(Clone)]
pub struct Policy {
    /// Where segment files lie.
    pub directory: PathBuf,
    /// The lifetime of uploads.
    pub class: Class,
    /// The lifetime of what comes from elsewhere.
    pub remote: Class,
    /// The largest upload, bytes.
    pub max_upload: u64,
    /// What one account can upload into partitions that live, bytes on the disk.
    pub quota: u64,
    /// The most memory for thumbnails, bytes.
    pub thumbnail_cache: u64,
    /// This server.
    pub server_name: OwnedServerName,
    /// How pages are previewed, if they are.
    pub previews: Option<PreviewPolicy>,
}

/// The name of a blob: 16 random bytes, of which nothing can be read and which cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaId([u8; 16]);

impl MediaId {
    /// The id behind `text`, which has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (length == bytes.len()).then_some(Self(bytes))
    }

    /// The bytes that name its rows.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it stands in `mxc://` URIs.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// What an uploader says about a blob.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The content type as it was sent.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The file name as it was sent.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

impl Info {
    /// Keeps what is not overlong: a longer file name is cut, a longer content type means nothing.
    #[must_use]
    pub fn new(content_type: Option<String>, filename: Option<String>) -> Self {
        let content_type = content_type.filter(|text| text.len() <= LONGEST_TEXT);
        let filename = filename.map(|mut text| {
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
            text
        });
        Self { content_type, filename }
    }
}

/// A head: what lies in the row that a media id leads to.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    info: Info,
    #[serde(rename = "l")]
    length: u64,
    #[serde(rename = "s")]
    segment: u32,
    #[serde(rename = "o")]
    offset: u64,
}

impl Head {
    /// No blob is longer and no segment reaches further, bytes: what says so was not written here.
    const MOST: u64 = 1 << 48;

    fn read(plain: &[u8]) -> Result<Self, Error> {
        let head: Option<Self> = serde_json::from_slice(plain).ok();
        let head = head.filter(|head| head.length <= Self::MOST && head.offset <= Self::MOST);
        head.ok_or(Error::Journal(journal::Error::Malformed))
    }
}

/// All media of this server.
pub struct Media {
    journals: Journals,
    clock: Arc<dyn Clock>,
    policy: Policy,
    segments: Segments,
    memory: Arc<Semaphore>,
    quotas: Quotas,
    pending: Arc<Pending>,
    thumbnails: Thumbnails,
    previews: Option<Previews>,
    /// Who keeps what outlives its upload.
    rooms: OnceLock<Arc<Rooms>>,
}

impl Media {
    /// The media under the policy's directory, which need not exist yet.
    #[must_use]
    pub fn new(journals: Journals, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        Self {
            journals,
            clock,
            segments: Segments::new(policy.directory.clone()),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
            quotas: Quotas::default(),
            pending: Arc::default(),
            thumbnails: Thumbnails::new(policy.thumbnail_cache),
            previews: policy.previews.clone().map(Previews::new),
            policy,
            rooms: OnceLock::new(),
        }
    }

    /// Says where to look for what outlives its upload. Called once, while the server is put together.
    pub fn look_in(&self, rooms: Arc<Rooms>) {
        let _ = self.rooms.set(rooms);
    }

    /// What the configuration says.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Makes an id that `user` may upload content to, until the time that comes with it.
    ///
    /// # Errors
    /// [`Error::TooManyPending`].
    pub fn create(&self, user: &UserId) -> Result<(MediaId, Timestamp), Error> {
        let id = MediaId(self.journals.random.bytes());
        self.pending.add(id, user, self.clock.monotonic())?;
        Ok((id, self.clock.now().after(pending::LIFETIME)))
    }

    /// Takes `id`, which [`Media::create`] made for `user`, for an upload.
    ///
    /// # Errors
    /// [`Error::NotFound`] also when its time is over, [`Error::NotYours`], [`Error::Overwrites`].
    pub async fn claim(self: &Arc<Self>, user: &UserId, id: MediaId) -> Result<Claim, Error> {
        match self.pending.take(id, user, self.clock.monotonic()) {
            Err(Error::NotFound) => {
                let media = Arc::clone(self);
                let found = blocking(move || media.find(&id)).await?;
                Err(if found.is_some() { Error::Overwrites } else { Error::NotFound })
            }
            taken => taken,
        }
    }

    /// Begins an upload of `length` bytes by `user`, to a fresh id when there is no `claim`; waits while uploads take
    /// all the memory they may.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Quota`].
    pub async fn upload(self: &Arc<Self>, user: &UserId, claim: Option<Claim>, length: u64) -> Result<Upload, Error> {
        if length > self.policy.max_upload {
            return Err(Error::TooLarge);
        }
        self.upload_for(self.policy.class, user, claim, length).await
    }

    async fn upload_for(
        self: &Arc<Self>,
        class: Class,
        user: &UserId,
        claim: Option<Claim>,
        length: u64,
    ) -> Result<Upload, Error> {
        let memory = Arc::clone(&self.memory).acquire_many_owned(UPLOAD_KIB).await;
        let memory = memory.map_err(|_| Error::Journal(journal::Error::Stopped))?;
        let partition = self.journals.epochs.current(class).await.map_err(journal::Error::from)?;
        let shape = Shape::of(length);
        self.quotas.charge(user, partition, shape.size, self.policy.quota)?;
        let media = Arc::clone(self);
        let extent = blocking(move || Ok(media.segments.reserve(partition, shape.size)?)).await?;
        let id = claim.as_ref().map_or_else(|| MediaId(self.journals.random.bytes()), |claim| claim.id);
        let epoch = self.journals.slots.epoch_key(partition).ok_or(Error::NotFound)?;
        let key = BlobKey::new(&epoch, &id.0);
        let sink = Arc::new(Sink { key, shape, extent, random: Arc::clone(&self.journals.random) });
        let pending = Vec::with_capacity(usize::try_from(length).map_or(PLAIN, |length| length.min(PLAIN)));
        Ok(Upload {
            media: Arc::clone(self),
            id,
            claim,
            partition,
            sink,
            received: 0,
            next: 0,
            pending,
            _memory: memory,
        })
    }

    /// Waits until the content of `id` is there, if the id was made before it; at most for `patience`.
    ///
    /// # Errors
    /// [`Error::NotYetUploaded`].
    pub async fn arrived(&self, id: MediaId, patience: Duration) -> Result<(), Error> {
        let Some(mut arrived) = self.pending.watch(id, self.clock.monotonic()) else { return Ok(()) };
        // Whatever ends the wait but the time: looking for the blob tells what came of it.
        let wait = async { drop(arrived.wait_for(|arrived| *arrived).await) };
        tokio::time::timeout(patience.min(LONGEST_WAIT), wait).await.map_err(|_| Error::NotYetUploaded)
    }

    /// The blob `id`.
    ///
    /// # Errors
    /// [`Error::NotFound`] also when its time is over.
    pub async fn open(self: &Arc<Self>, id: MediaId) -> Result<Blob, Error> {
        Ok(self.open_with_partition(id).await?.1)
    }

    /// Unlinks what lay in a partition whose key is gone, and forgets what was made from it.
    ///
    /// # Errors
    /// [`Error::Segment`] when files cannot be unlinked; calling again goes on.
    pub async fn drop_partition(self: &Arc<Self>, partition: Partition) -> Result<(), Error> {
        self.thumbnails.forget(partition);
        self.quotas.forget(partition);
        let media = Arc::clone(self);
        blocking(move || Ok(media.segments.drop_partition(partition)?)).await
    }

    /// Drops every partition of media whose key is gone: after epochs have expired, and at start, because a cut may
    /// come between a key's end and its files'.
    ///
    /// # Errors
    /// Those of [`Media::drop_partition`].
    pub async fn drop_dead(self: &Arc<Self>) -> Result<(), Error> {
        let media = Arc::clone(self);
        for partition in blocking(move || Ok(media.segments.partitions()?)).await? {
            if self.journals.slots.epoch_key(partition).is_none() {
                self.drop_partition(partition).await?;
            }
        }
        Ok(())
    }

    async fn open_with_partition(self: &Arc<Self>, id: MediaId) -> Result<(Partition, Blob), Error> {
        let media = Arc::clone(self);
        let found = blocking(move || {
            let Some((partition, key, head)) = media.find(&id)? else { return media.open_kept(&id) };
            let file = media.segments.open(partition, head.segment)?;
            let source = Source::in_segment(key, Shape::of(head.length), file, head.offset);
            let first = source.chunk(0)?;
            Ok((partition, Blob { info: head.info, source: Arc::new(source), first }))
        });
        let found = found.await;
        if matches!(found, Err(Error::Segment)) {
            log::error!("a segment of media is damaged or missing");
        }
        found
    }

    /// A blob that its owner keeps. Blocks.
    fn open_kept(&self, id: &MediaId) -> Result<(Partition, Blob), Error> {
        let kept = self.rooms.get().and_then(|rooms| rooms.kept_blob(&id.text())).ok_or(Error::NotFound)?;
        let info = Info { content_type: kept.content_type.clone(), filename: kept.filename.clone() };
        let source = Source::kept(kept, self.journals.store.clone());
        let first = source.chunk(0)?;
        Ok((Partition::FOREVER, Blob { info, source: Arc::new(source), first }))
    }

    async fn put_head(&self, id: &MediaId, partition: Partition, key: &Key, head: &Head) -> Result<(), Error> {
        let address = address(&self.journals.slots.server_key(), Usage::MediaAddress, &id.0);
        let plain = serde_json::to_vec(head).map_err(|_| Error::Journal(journal::Error::Malformed))?;
        let context = Context { partition, kind: RowKind::Media };
        let row = seal_one(key, context, &address, &plain, &*self.journals.random).map_err(journal::Error::from)?;
        let mut batch = Batch::new();
        batch.put_if_absent(Instance::Soup, partition, address, row);
        Ok(self.journals.store.commit(batch).await.map_err(journal::Error::from)?)
    }

    /// Looks for a head in every partition that may have it, first those of the class uploads go to now. Blocks.
    fn find(&self, id: &MediaId) -> Result<Option<(Partition, BlobKey, Head)>, Error> {
        let journals = &self.journals;
        let address = address(&journals.slots.server_key(), Usage::MediaAddress, &id.0);
        let others = Class::ALL.into_iter().filter(|class| *class != self.policy.class);
        for class in std::iter::once(self.policy.class).chain(others) {
            for partition in journals.epochs.shown(class) {
                let row = journals.store.get(Instance::Soup, partition, &address).map_err(journal::Error::from)?;
                let (Some(row), Some(epoch)) = (row, journals.slots.epoch_key(partition)) else { continue };
                let key = BlobKey::new(&epoch, &id.0);
                let context = Context { partition, kind: RowKind::Media };
                let plain = open_one(key.head(), context, &address, row).map_err(journal::Error::from)?;
                return Ok(Some((partition, key, Head::read(&plain)?)));
            }
        }
        Ok(None)
    }
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod heads {
    use super::{Head, Shape};

    /// The shape of the blob that a head is of, and where its last chunk begins.
    pub(crate) fn read(plain: &[u8]) -> Option<(Shape, u64)> {
        let head = Head::read(plain).ok()?;
        let shape = Shape::of(head.length);
        Some((shape, head.offset + shape.sealed(shape.chunks() - 1).0))
    }
}

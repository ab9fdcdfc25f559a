//! Thumbnails: made on request, from a few formats, within bounds of bytes, pixels and memory; kept in RAM only.
//!
//! Pictures are decoded and encoded anew, so nothing of what a camera wrote beside the pixels gets through.

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder, guess_format,
    metadata::Orientation,
};
use quick_cache::{Weighter, sync::Cache};
use tokio::sync::Semaphore;

use super::{Error, Media, MediaId};
use crate::store::Partition;

/// The largest file taken: photos of today's telephones are below it.
const MOST_BYTES: u64 = 20 << 20;
/// The most pixels of a picture taken: what today's telephones take without special modes.
const MOST_PIXELS: u64 = 50_000_000;
/// The longest side of a thumbnail; clients ask for up to 1600.
const MOST_SIDE: u32 = 2048;
/// What a decoder may take for itself, bytes: a picture of [`MOST_PIXELS`] in four bytes each and as much again would
/// be 400 MB, so pictures with deep colours are refused before that.
const MOST_DECODER: u64 = 256 << 20;
/// The pixels of all pictures decoded at the same time; a large picture is decoded alone.
const PIXELS_AT_ONCE: u32 = 50_000_000;
/// JPEG quality: the usual one of thumbnails.
const QUALITY: u8 = 80;
/// What a cached thumbnail costs beside its bytes.
const OVERHEAD: u64 = 200;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether the picture is cropped to the wanted shape, instead of fitted into it.
    pub crop: bool,
}

/// A small picture.
pub struct Thumbnail {
    /// `image/jpeg`, or `image/png` where something shows through.
    pub content_type: &'static str,
    /// The encoded picture.
    pub bytes: Bytes,
    partition: Partition,
}

impl Thumbnail {
    /// What the name of such a file ends in.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        if self.content_type == "image/png" { "png" } else { "jpg" }
    }
}

/// Thumbnails that were made, and who may make more.
pub(super) struct Thumbnails {
    cache: Cache<(MediaId, Wanted), Arc<Thumbnail>, ByBytes>,
    cores: Arc<Semaphore>,
    pixels: Arc<Semaphore>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<(MediaId, Wanted), Arc<Thumbnail>> for ByBytes {
    fn weight(&self, _key: &(MediaId, Wanted), thumbnail: &Arc<Thumbnail>) -> u64 {
        thumbnail.bytes.len() as u64 + OVERHEAD
    }
}

impl Thumbnails {
    /// A cache of at most `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        // An ordinary thumbnail has some 20 KiB.
        let items = usize::try_from(bytes / (20 << 10)).unwrap_or(0).max(16);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache: Cache::with_weighter(items, bytes, ByBytes),
            cores: Arc::new(Semaphore::new(cores)),
            pixels: Arc::new(Semaphore::new(PIXELS_AT_ONCE as usize)),
        }
    }

    /// Forgets what was made from a blob.
    pub(super) fn drop_blob(&self, id: MediaId) {
        self.cache.retain(|(of, _), _| *of != id);
    }

    /// Forgets what was made from a partition.
    pub(super) fn forget(&self, partition: Partition) {
        self.cache.retain(|_, thumbnail| thumbnail.partition != partition);
    }
}

impl Media {
    /// A thumbnail of the picture `id`: never larger than the picture itself, and no animation.
    ///
    /// # Errors
    /// [`Error::NotAPicture`] for whatever is not a picture in JPEG, PNG, GIF or WebP, which encrypted files never
    /// are; [`Error::PictureTooLarge`].
    pub async fn thumbnail(self: &Arc<Self>, id: MediaId, wanted: Wanted) -> Result<Arc<Thumbnail>, Error> {
        let wanted =
            Wanted { width: wanted.width.min(MOST_SIDE), height: wanted.height.min(MOST_SIDE), crop: wanted.crop };
        let key = (id, wanted);
        if let Some(thumbnail) = self.cached(&key) {
            return Ok(thumbnail);
        }
        // As many at once as there are cores: each holds the file it reads, and decoding occupies a core.
        let core = Arc::clone(&self.thumbnails.cores).acquire_owned().await.map_err(|_| Error::NotFound)?;
        if let Some(thumbnail) = self.cached(&key) {
            return Ok(thumbnail);
        }
        let (partition, blob) = self.open_with_partition(id).await?;
        if blob.length() > MOST_BYTES {
            return Err(Error::PictureTooLarge);
        }
        let file = blob.read_all().await?;
        let count = pixels(&file)?;
        let memory =
            Arc::clone(&self.thumbnails.pixels).acquire_many_owned(count).await.map_err(|_| Error::NotFound)?;
        // A decoder that panics has met a picture it does not understand.
        let drawn = tokio::task::spawn_blocking(move || {
            let _held_to_the_end = (core, memory);
            render(&file, wanted)
        });
        let (content_type, bytes) = drawn.await.unwrap_or(Err(Error::NotAPicture))?;
        let thumbnail = Arc::new(Thumbnail { content_type, bytes: bytes.into(), partition });
        self.thumbnails.cache.insert(key, Arc::clone(&thumbnail));
        Ok(thumbnail)
    }

    /// A thumbnail made before, if its picture still lives.
    fn cached(&self, key: &(MediaId, Wanted)) -> Option<Arc<Thumbnail>> {
        let thumbnail = self.thumbnails.cache.get(key)?;
        if self.journals.slots.epoch_key(thumbnail.partition).is_none() {
            self.thumbnails.cache.remove(key);
            return None;
        }
        Some(thumbnail)
    }
}

/// How many pixels `file` says it has, if they are not too many.
fn pixels(file: &[u8]) -> Result<u32, Error> {
    let (_, (width, height)) = look_at(file)?;
    let count = u64::from(width) * u64::from(height);
    if count > MOST_PIXELS { Err(Error::PictureTooLarge) } else { Ok(u32::try_from(count).unwrap_or(PIXELS_AT_ONCE)) }
}

/// The content type of a picture and how many pixels wide and high it says it is.
pub(super) fn look_at(file: &[u8]) -> Result<(&'static str, (u32, u32)), Error> {
    let reader = reader(file)?;
    let content_type = reader.format().map_or("", |format| format.to_mime_type());
    Ok((content_type, reader.into_dimensions().map_err(|error| fault(&error))?))
}

/// Draws the thumbnail and encodes it.
fn render(file: &[u8], wanted: Wanted) -> Result<(&'static str, Vec<u8>), Error> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let mut decoder = reader(file)?.into_decoder().map_err(|error| fault(&error))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| fault(&error))?;
    let lies = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (width, height) = if lies { (wanted.height, wanted.width) } else { (wanted.width, wanted.height) };
    let mut small = if wanted.crop { crop(&picture, width, height) } else { fit(picture, width, height) };
    small.apply_orientation(orientation);
    encode(&small)
}

fn fit(picture: DynamicImage, width: u32, height: u32) -> DynamicImage {
    if picture.width() <= width && picture.height() <= height { picture } else { picture.thumbnail(width, height) }
}

fn crop(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    let (has_width, has_height) = (picture.width(), picture.height());
    let scaled = |of: u32, by: u32, to: u32| {
        u32::try_from(u64::from(of) * u64::from(by) / u64::from(to)).unwrap_or(u32::MAX).max(1)
    };
    let (cut_width, cut_height) =
        (has_width.min(scaled(has_height, width, height)), has_height.min(scaled(has_width, height, width)));
    let cut = picture.crop_imm((has_width - cut_width) / 2, (has_height - cut_height) / 2, cut_width, cut_height);
    if cut_width <= width { cut } else { cut.thumbnail_exact(width, height) }
}

fn encode(picture: &DynamicImage) -> Result<(&'static str, Vec<u8>), Error> {
    let mut bytes = Cursor::new(Vec::new());
    let clear = picture.color().has_alpha() && picture.to_rgba8().pixels().any(|pixel| pixel.0[3] != u8::MAX);
    if clear {
        picture.to_rgba8().write_to(&mut bytes, ImageFormat::Png).map_err(|error| fault(&error))?;
        return Ok(("image/png", bytes.into_inner()));
    }
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(&picture.to_rgb8())
        .map_err(|error| fault(&error))?;
    Ok(("image/jpeg", bytes.into_inner()))
}

fn reader(file: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, Error> {
    let format = guess_format(file).map_err(|_| Error::NotAPicture)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Gif | ImageFormat::WebP) {
        return Err(Error::NotAPicture);
    }
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_DECODER);
    reader.limits(limits);
    Ok(reader)
}

fn fault(error: &ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::PictureTooLarge,
        _ => Error::NotAPicture,
    }
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::Wanted;

    /// A thumbnail of a picture that has at most so many pixels.
    pub(crate) fn render(file: &[u8], side: usize, most: u32) -> Option<Vec<u8>> {
        let side = u32::try_from(side).ok()?.max(1);
        let wanted = Wanted { width: side, height: side.div_ceil(2), crop: side % 2 == 1 };
        super::pixels(file).ok().filter(|count| *count <= most)?;
        super::render(file, wanted).ok().map(|(_, bytes)| bytes)
    }
}

//! Blobs: media sealed in chunks, so that neither side ever holds more of one than a chunk.
//!
//! A blob's key comes from its epoch's key and its media id: it dies with the epoch, and whoever does not know the id
//! cannot open it even before. Owns the chunk layout and the sizes blobs are padded to; knows no file.

use super::{
    cipher::{Cipher, NONCE, TAG},
    derive::{Usage, derive},
};
use crate::{random::Random, secret::Key};

/// A sealed chunk, bytes; the last one of a blob can be shorter.
pub const SEALED: usize = 64 << 10;
/// What a full chunk holds, bytes.
pub const PLAIN: usize = SEALED - OVERHEAD;

const VERSION: u8 = 1;
const OVERHEAD: usize = NONCE + TAG;
/// The smallest blob, bytes: small avatars and previews look alike.
const SMALLEST: u64 = 4 << 10;

/// A chunk does not open: it is not what was written at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk does not open")]
pub struct Refused;

/// The keys of one blob.
pub struct BlobKey {
    media: Key,
    cipher: Cipher,
}

impl BlobKey {
    /// The keys of the blob `id` in the epoch whose key is `epoch`.
    #[must_use]
    pub fn new(epoch: &Key, id: &[u8; 16]) -> Self {
        let media = derive(Usage::Media, epoch, &[id]);
        let cipher = Cipher::new(derive(Usage::MediaChunk, &media, &[]));
        Self { media, cipher }
    }

    /// The key the blob's head is sealed under.
    #[must_use]
    pub fn head(&self) -> &Key {
        &self.media
    }

    /// Seals the chunk `index`: `plain` and zeros, into `size` bytes.
    ///
    /// # Panics
    /// When `plain` does not fit: callers cut by [`PLAIN`] and [`Shape`].
    #[must_use]
    pub fn seal(&self, index: u32, plain: &[u8], size: usize, random: &dyn Random) -> Vec<u8> {
        assert!(plain.len() + OVERHEAD <= size && size <= SEALED, "a chunk fits its size");
        let mut chunk = Vec::with_capacity(size);
        let nonce: [u8; NONCE] = random.bytes();
        chunk.extend_from_slice(&nonce);
        chunk.extend_from_slice(plain);
        chunk.resize(size - TAG, 0);
        let tag = self.cipher.seal(&nonce, &associated(index), &mut chunk[NONCE..]);
        chunk.extend_from_slice(&tag);
        chunk
    }

    /// Opens the chunk `index`; what comes back has the zeros it was padded with.
    pub fn open(&self, index: u32, mut chunk: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let end = chunk.len().checked_sub(TAG).filter(|&end| end >= NONCE).ok_or(Refused)?;
        let nonce: [u8; NONCE] = chunk[..NONCE].try_into().map_err(|_| Refused)?;
        let tag: [u8; TAG] = chunk[end..].try_into().map_err(|_| Refused)?;
        if !self.cipher.open(&nonce, &associated(index), &mut chunk[NONCE..end], &tag) {
            return Err(Refused);
        }
        chunk.truncate(end);
        chunk.drain(..NONCE);
        Ok(chunk)
    }
}

/// How a blob of some length lies on the disk: `size` bytes, cut into chunks of [`SEALED`] bytes and a shorter last one.
///
/// Sizes are 4 KiB times a power of two or times one and a half: 4, 6, 8, 12, 16, 24 … KiB. A size tells a length
/// within a factor of one and a half, and costs a fifth of it on average, a half at worst (beyond 4 KiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The length of the content, bytes.
    pub length: u64,
    /// The bytes it takes on the disk.
    pub size: u64,
}

impl Shape {
    /// The shape of a blob of `length` bytes.
    #[must_use]
    pub fn of(length: u64) -> Self {
        let mut size = SMALLEST;
        while capacity(size) < length {
            let half_more = size + size / 2;
            size = if capacity(half_more) < length { size * 2 } else { half_more };
        }
        Self { length, size }
    }

    /// How many chunks there are.
    #[must_use]
    pub fn chunks(self) -> u32 {
        u32::try_from(self.size.div_ceil(SEALED as u64)).unwrap_or(u32::MAX)
    }

    /// Where the sealed chunk `index` begins within the blob, and how long it is.
    #[must_use]
    pub fn sealed(self, index: u32) -> (u64, usize) {
        let start = u64::from(index) * SEALED as u64;
        (start, bounded(self.size.saturating_sub(start), SEALED))
    }

    /// How many bytes of content the chunk `index` holds.
    #[must_use]
    pub fn content(self, index: u32) -> usize {
        bounded(self.length.saturating_sub(u64::from(index) * PLAIN as u64), PLAIN)
    }
}

/// What fits into `size` bytes of chunks.
fn capacity(size: u64) -> u64 {
    size - size.div_ceil(SEALED as u64) * OVERHEAD as u64
}

fn bounded(value: u64, most: usize) -> usize {
    usize::try_from(value).map_or(most, |value| value.min(most))
}

fn associated(index: u32) -> [u8; 5] {
    let [a, b, c, d] = index.to_be_bytes();
    [VERSION, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{random::SeededRandom, seal::golden};

    fn key(byte: u8) -> BlobKey {
        BlobKey::new(&Key::from_bytes([byte; 32]), &[byte; 16])
    }

    #[test]
    fn chunks_have_the_agreed_bytes() {
        let chunk = key(1).seal(7, b"some content", 128, &SeededRandom::new(1));
        golden::check("blob-chunk-v1", &chunk);
        let mut plain = b"some content".to_vec();
        plain.resize(128 - OVERHEAD, 0);
        assert_eq!(key(1).open(7, chunk), Ok(plain));
    }

    #[test]
    fn chunks_open_with_their_key_at_their_place_unchanged() {
        let random = SeededRandom::new(1);
        let chunk = key(1).seal(0, b"x", 128, &random);
        assert_eq!(key(2).open(0, chunk.clone()), Err(Refused));
        assert_eq!(key(1).open(1, chunk.clone()), Err(Refused));
        assert_eq!(key(1).open(0, chunk[..127].to_vec()), Err(Refused));
        for at in 0..chunk.len() {
            let mut other = chunk.clone();
            other[at] ^= 1;
            assert_eq!(key(1).open(0, other), Err(Refused));
        }
        for short in 0..OVERHEAD {
            assert_eq!(key(1).open(0, vec![0; short]), Err(Refused));
        }
    }

    #[test]
    fn sizes_are_few() {
        let size = |length| Shape::of(length).size;
        assert_eq!([0, 1, 4056, 4057, 6104, 6105].map(size), [4096, 4096, 4096, 6144, 6144, 8192]);
        assert_eq!((size(65_496), size(65_497)), (65_536, 98_304));
        let sizes: std::collections::BTreeSet<u64> = (0..2_000_000).step_by(13).map(size).collect();
        assert_eq!(sizes.len(), 19);
    }

    proptest! {
        #[test]
        fn a_shape_holds_its_length(length in 0_u64..1 << 40) {
            let shape = Shape::of(length);
            prop_assert!(capacity(shape.size) >= length);
            prop_assert!(shape.size == SMALLEST || shape.size <= length + length / 2 + 128 + length / 500);
            let (start, last) = shape.sealed(shape.chunks() - 1);
            prop_assert_eq!(start + last as u64, shape.size);
            prop_assert!(shape.content(shape.chunks() - 1) + OVERHEAD <= last);
            let full = length / PLAIN as u64;
            if full > 0 {
                prop_assert_eq!(shape.content(u32::try_from(full - 1).unwrap()), PLAIN);
            }
        }
    }
}

//! Rows: what one address of the store holds.
//!
//! A row is `nonce ‖ XChaCha20-Poly1305(header ‖ body ‖ padding) ‖ tag`, its total size one of seven powers of two, so a
//! store shows a histogram and nothing else. A journal entry is one row or, when long, a run of consecutive rows; every row
//! carries the hash of the sealed row before it, so a journal cannot be cut, reordered or mixed from two lives unnoticed.
//! This module never decides an index and never talks to a store: it is handed a way to fetch.

use std::{cell::RefCell, sync::Arc};

use zstd::zstd_safe;

use super::{
    cipher::{Cipher, NONCE, TAG},
    derive::{Usage, derive, first_half},
};
use serde::{Deserialize, Serialize};

use crate::{
    random::Random,
    secret::Key,
    store::{Address, Partition},
};

/// The smallest row, bytes.
pub const SMALLEST: usize = 1 << 10;
/// The largest row, bytes; longer entries span rows.
pub const LARGEST: usize = 1 << 16;
/// No entry is longer before compression, and none is unpacked beyond it: 32 MiB is far above a checkpoint of the largest
/// room, and far below what would hurt a small machine.
pub const MOST_PLAIN: usize = 32 << 20;
/// A primer longer than this costs more to load than it saves.
pub const MOST_PRIMER: usize = 4 << 10;

const VERSION: u8 = 2;
/// Version, flags, part k, of n, body length, hash of the row before.
const HEADER: usize = 1 + 1 + 2 + 2 + 4 + 32;
const OVERHEAD: usize = NONCE + HEADER + TAG;
/// The longest body of one row, bytes.
pub const BODY: usize = LARGEST - OVERHEAD;
/// The longest body of the smallest row.
const SMALL_BODY: usize = SMALLEST - OVERHEAD;
const COMPRESSED: u8 = 1;
/// The fastest level that still finds the primer's repetitions; rows are short, higher levels gain a few percent.
const LEVEL: i32 = 1;
/// A level that finds them too but leaves literals as they are, which opens in a third of the time. Coding them takes a
/// quarter of base64 off, which most of them are.
const LIGHT_LEVEL: i32 = -1;
/// The same for what is longer than [`MOST_SHORT`], where finding every repetition costs more than it saves.
const LONG_LIGHT_LEVEL: i32 = -4;
/// What is longer does not become a smallest row at [`LIGHT_LEVEL`].
const MOST_SHORT: usize = 2 * SMALLEST;
/// What a zstd dictionary in zstd's own format starts with; a primer is raw content and must not be taken for one.
const DICTIONARY_MAGIC: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();

/// Why a row could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The plaintext is longer than its kind of row allows.
    #[error("the entry is too long")]
    TooLong,
    /// The bytes do not authenticate under this key, address and context.
    #[error("a row does not open")]
    Refused,
    /// The bytes authenticate but are not a layout this version knows.
    #[error("a row has an unknown layout")]
    Malformed,
}

/// Why an entry could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError<E> {
    /// The store failed.
    #[error("the store failed")]
    Fetch(E),
    /// The entry's later parts were never written: the reader skips to `next`, the indices before it stay used.
    #[error("an unfinished entry")]
    Truncated {
        /// The first index behind the unfinished run.
        next: u64,
    },
    /// A row does not open or has an unknown layout.
    #[error(transparent)]
    Row(Error),
}

/// What a row is for; part of what its seal authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RowKind {
    /// A page of a keep journal's checkpoint.
    Checkpoint = 1,
    /// An entry of a keep journal.
    Entry = 2,
    /// An entry of a window journal.
    Window = 3,
    /// Entries of a window rewritten as one.
    Pack = 4,
    /// A token row.
    Token = 5,
    /// A login record.
    Login = 6,
    /// A record of the server's own, or a door of a federated room.
    Record = 7,
    /// Mail to a cold account or room.
    Mail = 8,
    /// A media blob's head.
    Media = 9,
}

/// Where a row lives: part of what its seal authenticates, so no row can be moved to another lifetime.
#[derive(Clone, Copy)]
pub struct Context {
    /// The partition the row is stored in.
    pub partition: Partition,
    /// What the row is for.
    pub kind: RowKind,
}

/// The keys of one journal: for addresses and for values.
#[derive(Clone)]
pub struct RowKey {
    addresses: Key,
    cipher: Cipher,
}

impl RowKey {
    /// The row keys under a journal's key `k`.
    #[must_use]
    pub fn new(k: &Key) -> Self {
        Self { addresses: derive(Usage::RowAddress, k, &[]), cipher: row_cipher(k) }
    }

    /// Where the row with `index` lies.
    #[must_use]
    pub fn address(&self, index: u64) -> Address {
        Address(first_half(&blake3::keyed_hash(self.addresses.expose(), &index.to_be_bytes())))
    }
}

/// The hash of the last sealed row of an entry; what the next entry of the journal carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryHash(#[serde(with = "super::text")] pub [u8; 32]);

impl EntryHash {
    /// What a journal's first entry carries.
    pub const NONE: Self = Self([0; 32]);

    /// Nonce and tag stand for the whole row: who has no key can make no other row with the same two, and who has it can
    /// write the journal anew.
    fn of(nonce: &[u8; NONCE], tag: &[u8; TAG]) -> Self {
        let mut seal = [0; NONCE + TAG];
        seal[..NONCE].copy_from_slice(nonce);
        seal[NONCE..].copy_from_slice(tag);
        Self(*blake3::hash(&seal).as_bytes())
    }
}

/// What compression starts from: text that resembles the journal's entries, known to whoever opens them.
#[derive(Clone)]
pub struct Primer(Arc<[u8]>);

impl Default for Primer {
    fn default() -> Self {
        Self::empty()
    }
}

impl Serialize for Primer {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        super::text::serialize(&self.0, to)
    }
}

impl<'de> Deserialize<'de> for Primer {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = super::text::deserialize(from)?;
        Ok(Self::new(&bytes))
    }
}

impl Primer {
    /// A primer of the last [`MOST_PRIMER`] bytes of `content`; any bytes will do, also none.
    #[must_use]
    pub fn new(content: &[u8]) -> Self {
        let mut tail = &content[content.len().saturating_sub(MOST_PRIMER)..];
        while tail.starts_with(&DICTIONARY_MAGIC) {
            tail = &tail[1..];
        }
        Self(tail.into())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// No primer.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new([]))
    }
}

/// A sealed entry.
pub struct Sealed {
    /// The rows, to be written as one batch, in this order where batches are not atomic.
    pub rows: Vec<(Address, Vec<u8>)>,
    /// What the next entry carries.
    pub hash: EntryHash,
    /// The next entry's index.
    pub next: u64,
}

/// An opened entry.
pub struct Opened {
    /// What was sealed.
    pub plain: Vec<u8>,
    /// The hash of the entry before, as the writer knew it: the reader compares.
    pub previous: EntryHash,
    /// The hash of this entry.
    pub hash: EntryHash,
    /// The next entry's index.
    pub next: u64,
}

/// Seals a journal entry into the rows from `index` on.
///
/// # Errors
/// [`Error::TooLong`] above [`MOST_PLAIN`].
pub fn seal_entry(
    key: &RowKey,
    index: u64,
    cx: Context,
    previous: &EntryHash,
    plain: &[u8],
    primer: &Primer,
    random: &dyn Random,
) -> Result<Sealed, Error> {
    if plain.len() > MOST_PLAIN {
        return Err(Error::TooLong);
    }
    let packed = pack(plain, primer);
    let (body, flags) = packed.as_deref().map_or((plain, 0), |packed| (packed, COMPRESSED));
    let parts = u16::try_from(body.len().div_ceil(BODY).max(1)).map_err(|_| Error::TooLong)?;
    let mut sealed = Sealed { rows: Vec::with_capacity(usize::from(parts)), hash: *previous, next: index };
    for part in 0..parts {
        let start = usize::from(part) * BODY;
        let chunk = &body[start..body.len().min(start + BODY)];
        let address = key.address(sealed.next);
        let header = Header { flags, part, parts, previous: sealed.hash };
        let (row, hash) = seal_row(&key.cipher, cx, &address, &header, chunk, random);
        sealed.hash = hash;
        sealed.next += 1;
        sealed.rows.push((address, row));
    }
    Ok(sealed)
}

/// How [`open_entry`] reads the row at an address; `None` when there is none.
pub type Fetch<'a, E> = dyn FnMut(&Address) -> Result<Option<Vec<u8>>, E> + 'a;

/// Opens the entry that starts at `index`; `None` when there is no row.
///
/// # Errors
/// [`OpenError::Truncated`] when later parts are missing, [`OpenError::Row`] for anything that is not what a writer with
/// this key wrote here.
pub fn open_entry<E>(
    key: &RowKey,
    index: u64,
    cx: Context,
    primer: &Primer,
    fetch: &mut Fetch<'_, E>,
) -> Result<Option<Opened>, OpenError<E>> {
    let address = key.address(index);
    let Some(row) = fetch(&address).map_err(OpenError::Fetch)? else { return Ok(None) };
    let (first, mut body, mut hash) = open_row(&key.cipher, cx, &address, row).map_err(OpenError::Row)?;
    if first.part != 0 {
        return Err(OpenError::Row(Error::Malformed));
    }
    let mut next = index + 1;
    for part in 1..first.parts {
        let address = key.address(next);
        let Some(row) = fetch(&address).map_err(OpenError::Fetch)? else {
            return Err(OpenError::Truncated { next });
        };
        let (header, chunk, following) = open_row(&key.cipher, cx, &address, row).map_err(OpenError::Row)?;
        // A writer that found the run unfinished after a crash goes on behind it: that is another entry's first row.
        if header.part == 0 {
            return Err(OpenError::Truncated { next });
        }
        if (header.part, header.parts, header.previous) != (part, first.parts, hash) {
            return Err(OpenError::Row(Error::Malformed));
        }
        body.extend_from_slice(&chunk);
        hash = following;
        next += 1;
    }
    let plain = unpack(body, first.flags, primer).map_err(OpenError::Row)?;
    Ok(Some(Opened { plain, previous: first.previous, hash, next }))
}

/// Seals a row that is no journal entry (login record, token row, record) under `key`.
///
/// # Errors
/// [`Error::TooLong`] when it does not fit one row.
pub fn seal_one(
    key: &Key,
    cx: Context,
    address: &Address,
    plain: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, Error> {
    let packed = pack(plain, &Primer::empty());
    let (body, flags) = packed.as_deref().map_or((plain, 0), |packed| (packed, COMPRESSED));
    if body.len() > BODY || plain.len() > MOST_PLAIN {
        return Err(Error::TooLong);
    }
    let header = Header { flags, part: 0, parts: 1, previous: EntryHash::NONE };
    Ok(seal_row(&row_cipher(key), cx, address, &header, body, random).0)
}

/// Opens what [`seal_one`] sealed.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Malformed`].
pub fn open_one(key: &Key, cx: Context, address: &Address, row: Vec<u8>) -> Result<Vec<u8>, Error> {
    let (header, body, _) = open_row(&row_cipher(key), cx, address, row)?;
    if (header.part, header.parts, header.previous) != (0, 1, EntryHash::NONE) {
        return Err(Error::Malformed);
    }
    unpack(body, header.flags, &Primer::empty())
}

struct Header {
    flags: u8,
    part: u16,
    parts: u16,
    previous: EntryHash,
}

fn row_cipher(k: &Key) -> Cipher {
    Cipher::new(derive(Usage::RowCipher, k, &[]))
}

/// The smallest row size that holds `length` bytes; callers never ask beyond the largest.
fn padded(length: usize) -> usize {
    length.next_power_of_two().max(SMALLEST)
}

fn seal_row(
    cipher: &Cipher,
    cx: Context,
    address: &Address,
    header: &Header,
    body: &[u8],
    random: &dyn Random,
) -> (Vec<u8>, EntryHash) {
    let size = padded(OVERHEAD + body.len());
    let length = u32::try_from(body.len()).expect("a body fits its row");
    let mut row = Vec::with_capacity(size);
    let nonce: [u8; NONCE] = random.bytes();
    row.extend_from_slice(&nonce);
    row.extend_from_slice(&[VERSION, header.flags]);
    row.extend_from_slice(&header.part.to_be_bytes());
    row.extend_from_slice(&header.parts.to_be_bytes());
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(&header.previous.0);
    row.extend_from_slice(body);
    row.resize(size - TAG, 0);
    let tag = cipher.seal(&nonce, &associated(cx, address), &mut row[NONCE..]);
    row.extend_from_slice(&tag);
    (row, EntryHash::of(&nonce, &tag))
}

fn open_row(
    cipher: &Cipher,
    cx: Context,
    address: &Address,
    mut row: Vec<u8>,
) -> Result<(Header, Vec<u8>, EntryHash), Error> {
    let size = row.len();
    if !(SMALLEST..=LARGEST).contains(&size) || !size.is_power_of_two() {
        return Err(Error::Refused);
    }
    let nonce: [u8; NONCE] = field(&row, 0)?;
    let tag: [u8; TAG] = field(&row, size - TAG)?;
    let inside = &mut row[NONCE..size - TAG];
    if !cipher.open(&nonce, &associated(cx, address), inside, &tag) {
        return Err(Error::Refused);
    }
    let [version, flags] = field(&row, NONCE)?;
    let header = Header {
        flags,
        part: u16::from_be_bytes(field(&row, NONCE + 2)?),
        parts: u16::from_be_bytes(field(&row, NONCE + 4)?),
        previous: EntryHash(field(&row, NONCE + 10)?),
    };
    let length = usize::try_from(u32::from_be_bytes(field(&row, NONCE + 6)?)).map_err(|_| Error::Malformed)?;
    if version != VERSION || flags > COMPRESSED || header.part >= header.parts || length > size - OVERHEAD {
        return Err(Error::Malformed);
    }
    row.truncate(NONCE + HEADER + length);
    row.drain(..NONCE + HEADER);
    Ok((header, row, EntryHash::of(&nonce, &tag)))
}

fn associated(cx: Context, address: &Address) -> [u8; 23] {
    let mut bytes = [0; 23];
    bytes[..16].copy_from_slice(&address.0);
    bytes[16] = VERSION;
    bytes[17] = cx.kind as u8;
    bytes[18] = cx.partition.class.code();
    bytes[19..].copy_from_slice(&cx.partition.serial.to_be_bytes());
    bytes
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Error> {
    bytes.get(at..at + N).and_then(|field| field.try_into().ok()).ok_or(Error::Malformed)
}

thread_local! {
    // A fresh compression context per row costs more than the row.
    static PACKER: RefCell<zstd_safe::CCtx<'static>> = RefCell::new(zstd_safe::CCtx::create());
    static UNPACKER: RefCell<zstd_safe::DCtx<'static>> = RefCell::new(zstd_safe::DCtx::create());
}

/// The compressed form, when rows are smaller for it. Of the forms that take the same room it is the one that opens
/// fastest: rows are opened more often than sealed, and padding takes what more compression saves. Coding letters is tried
/// where taking a quarter off would make rows smaller.
fn pack(plain: &[u8], primer: &Primer) -> Option<Vec<u8>> {
    if cfg!(lethe_unsealed) || plain.len() <= SMALL_BODY {
        return None;
    }
    let level = if plain.len() > MOST_SHORT { LONG_LIGHT_LEVEL } else { LIGHT_LEVEL };
    let light = compress(plain, primer, level).filter(|packed| room(packed.len()) < room(plain.len()));
    let least = light.as_ref().map_or(plain.len(), Vec::len);
    if least <= SMALL_BODY || room(least / 4 * 3) == room(least) {
        return light;
    }
    compress(plain, primer, LEVEL).filter(|packed| room(packed.len()) < room(least)).or(light)
}

/// The bytes of the rows that hold a body.
fn room(body: usize) -> usize {
    let (full, rest) = (body / BODY, body % BODY);
    full * LARGEST + if rest > 0 || full == 0 { padded(OVERHEAD + rest) } else { 0 }
}

fn compress(plain: &[u8], primer: &Primer, level: i32) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    PACKER.with_borrow_mut(|packer| packer.compress_using_dict(&mut packed, plain, &primer.0, level)).ok()?;
    Some(packed)
}

/// The plain text of an entry's body.
pub(crate) fn unpack(body: Vec<u8>, flags: u8, primer: &Primer) -> Result<Vec<u8>, Error> {
    if flags & COMPRESSED == 0 {
        return Ok(body);
    }
    let length = zstd_safe::get_frame_content_size(&body).ok().flatten().ok_or(Error::Malformed)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= MOST_PLAIN).ok_or(Error::Malformed)?;
    let mut plain = Vec::with_capacity(length);
    UNPACKER
        .with_borrow_mut(|unpacker| unpacker.decompress_using_dict(&mut plain, &body, &primer.0))
        .map_err(|_| Error::Malformed)?;
    Ok(plain)
}

#[cfg(test)]
mod tests;

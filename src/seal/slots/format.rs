//! The bytes of a root sector and of a slot image.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};
use zeroize::Zeroizing;

use super::{
    Error, Incarnation, MOST_IMAGE, SECTOR, SlotId, SlotKind,
    table::{Epoch, Slot, Table},
};
use crate::{
    clock::Timestamp,
    random::Random,
    seal::derive::{Usage, derive},
    secret::Key,
    store::{Class, Partition},
};

pub(super) const MAGIC: [u8; 8] = *b"lethekey";
const VERSION: u8 = 1;
const CHECKSUM: usize = 32;
pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;
/// Id, value, kind, class, flags, a zero, serial.
const ENTRY: usize = 16 + 32 + 1 + 1 + 2 + 4;
const HEAD: usize = 1 + 4;
/// No table is written more often: a commit a nanosecond for three centuries. What says more was made by somebody else, and
/// there would be no generation after it.
pub(super) const MOST_GENERATION: u64 = u64::MAX >> 1;
/// The flag of an epoch whose end was set while the clock was not trusted.
const PROVISIONAL: u8 = 1;

/// What a root sector says.
pub(super) struct Root {
    pub(super) generation: u64,
    /// The image's length, bytes.
    pub(super) length: usize,
    key: Key,
    hash: [u8; 32],
}

/// The image region of a generation: never that of the one before.
pub(super) fn region(generation: u64) -> usize {
    usize::from(generation % 2 == 1)
}

impl Root {
    pub(super) fn over(key: Key, generation: u64, image: &[u8]) -> Result<Self, Error> {
        if image.len() > MOST_IMAGE {
            return Err(Error::Full);
        }
        Ok(Self { generation, length: image.len(), key, hash: *blake3::hash(image).as_bytes() })
    }

    pub(super) fn sector(&self) -> Zeroizing<Vec<u8>> {
        let length = u32::try_from(self.length).expect("an image is bounded");
        let mut sector = Zeroizing::new(Vec::with_capacity(SECTOR));
        sector.extend_from_slice(&MAGIC);
        sector.extend_from_slice(&[VERSION, u8::from(region(self.generation) == 1), 0, 0]);
        sector.extend_from_slice(&self.generation.to_be_bytes());
        sector.extend_from_slice(&length.to_be_bytes());
        sector.extend_from_slice(&self.hash);
        sector.extend_from_slice(self.key.expose());
        sector.resize(SECTOR - CHECKSUM, 0);
        let checksum = blake3::hash(&sector);
        sector.extend_from_slice(checksum.as_bytes());
        sector
    }

    /// `None` for a torn, empty or foreign sector.
    pub(super) fn read(sector: &[u8]) -> Option<Self> {
        let (body, checksum) = sector.split_at_checked(SECTOR - CHECKSUM)?;
        if blake3::hash(body).as_bytes()[..] != *checksum {
            return None;
        }
        let mut fields = Fields(body);
        let (magic, [version, _, _, _]) = (fields.take::<8>()?, fields.take::<4>()?);
        let generation = u64::from_be_bytes(fields.take()?);
        let length = usize::try_from(u32::from_be_bytes(fields.take()?)).ok()?;
        let (hash, key) = (fields.take()?, Key::from_bytes(fields.take()?));
        let is_ours = magic == MAGIC && version == VERSION;
        let is_bounded = length <= MOST_IMAGE && generation <= MOST_GENERATION;
        (is_ours && is_bounded).then_some(Self { generation, length, key, hash })
    }
}

/// Seals `table` under `root`; the length is a multiple of 4 KiB.
pub(super) fn seal_image(table: &Table, root: &Key, generation: u64, random: &dyn Random) -> Result<Vec<u8>, Error> {
    let count = entries(table);
    let size = (NONCE + HEAD + count * ENTRY + TAG).next_multiple_of(SECTOR);
    if size > MOST_IMAGE {
        return Err(Error::Full);
    }
    let mut image = Vec::with_capacity(size);
    let nonce: [u8; NONCE] = random.bytes();
    image.extend_from_slice(&nonce);
    write_table(table, &mut image)?;
    image.resize(size - TAG, 0);
    let tag = cipher(root)
        .encrypt_inout_detached(&nonce.into(), &associated(generation), (&mut image[NONCE..]).into())
        .expect("an image is shorter than the cipher's limit");
    image.extend_from_slice(&tag);
    Ok(image)
}

/// `None` for anything but the image that `root` was written over.
pub(super) fn open_image(root: &Root, image: &[u8]) -> Option<Table> {
    if *blake3::hash(image).as_bytes() != root.hash {
        return None;
    }
    let (nonce, rest) = image.split_first_chunk::<NONCE>()?;
    let (inside, tag) = rest.split_last_chunk::<TAG>()?;
    let mut inside = Zeroizing::new(inside.to_vec());
    cipher(&root.key)
        .decrypt_inout_detached(
            &(*nonce).into(),
            &associated(root.generation),
            inside.as_mut_slice().into(),
            &(*tag).into(),
        )
        .ok()?;
    read_table(&inside)
}

fn entries(table: &Table) -> usize {
    table.len() + table.serials.len() + usize::from(table.incarnation != Incarnation::default())
}

/// Bytes that [`write_table`] writes.
pub(super) fn table_size(table: &Table) -> usize {
    HEAD + entries(table) * ENTRY
}

/// Appends the inside of an image.
pub(super) fn write_table(table: &Table, image: &mut Vec<u8>) -> Result<(), Error> {
    let count = entries(table);
    image.push(VERSION);
    image.extend_from_slice(&u32::try_from(count).map_err(|_| Error::Full)?.to_be_bytes());
    entry(image, &[0; 16], &table.server, (SlotKind::Server, 0), None);
    for (partition, epoch) in &table.epochs {
        let flags = if epoch.provisional { PROVISIONAL } else { 0 };
        entry(image, &timed(epoch.end), &epoch.key, (SlotKind::Epoch, flags), Some(*partition));
    }
    let none = Key::from_bytes([0; 32]);
    for (&class, &serial) in &table.serials {
        entry(image, &[0; 16], &none, (SlotKind::Serial, 0), Some(Partition { class, serial }));
    }
    if table.incarnation != Incarnation::default() {
        let Incarnation { number, since } = table.incarnation;
        put_entry(image, &timed(since), &none, (SlotKind::Incarnation, 0), 0, number);
    }
    for (id, slot) in &table.slots {
        entry(image, &id.0, &slot.value, (slot.kind, 0), slot.epoch);
    }
    Ok(())
}

fn timed(at: Timestamp) -> [u8; 16] {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&at.0.to_be_bytes());
    id
}

/// The table inside an image.
pub(super) fn read_table(inside: &[u8]) -> Option<Table> {
    let mut fields = Fields(inside);
    let [version] = fields.take()?;
    let count = u32::from_be_bytes(fields.take()?);
    if version != VERSION {
        return None;
    }
    let mut server = None;
    let mut table = Table::new(Key::from_bytes([0; 32]));
    for _ in 0..count {
        let (id, value) = (fields.take::<16>()?, Key::from_bytes(fields.take()?));
        let ([kind, class, flags, _], serial) = (fields.take::<4>()?, u32::from_be_bytes(fields.take()?));
        let epoch = Class::from_code(class).map(|class| Partition { class, serial });
        match kind_from(kind)? {
            SlotKind::Server => server = Some(value),
            SlotKind::Epoch => {
                let end = Timestamp(u64::from_be_bytes(*id.last_chunk()?));
                table.epochs.insert(epoch?, Epoch { key: value, end, provisional: flags & PROVISIONAL != 0 });
            }
            SlotKind::Serial => drop(table.serials.insert(epoch?.class, serial)),
            SlotKind::Incarnation => {
                let since = Timestamp(u64::from_be_bytes(*id.last_chunk()?));
                let number = Some(serial).filter(|number| *number <= Incarnation::MOST)?;
                table.incarnation = Incarnation { number, since };
            }
            kind => drop(table.slots.insert(SlotId(id), Slot { kind, value, epoch })),
        }
    }
    Some(Table { server: server?, ..table })
}

fn entry(image: &mut Vec<u8>, id: &[u8; 16], value: &Key, (kind, flags): (SlotKind, u8), epoch: Option<Partition>) {
    let (class, serial) = epoch.map_or((0, 0), |epoch| (epoch.class.code(), epoch.serial));
    put_entry(image, id, value, (kind, flags), class, serial);
}

fn put_entry(image: &mut Vec<u8>, id: &[u8; 16], value: &Key, (kind, flags): (SlotKind, u8), class: u8, serial: u32) {
    image.extend_from_slice(id);
    image.extend_from_slice(value.expose());
    image.extend_from_slice(&[kind as u8, class, flags, 0]);
    image.extend_from_slice(&serial.to_be_bytes());
}

fn kind_from(code: u8) -> Option<SlotKind> {
    let all = [
        SlotKind::Server,
        SlotKind::Epoch,
        SlotKind::Account,
        SlotKind::Vault,
        SlotKind::Room,
        SlotKind::House,
        SlotKind::Password,
        SlotKind::Token,
        SlotKind::Serial,
        SlotKind::Incarnation,
    ];
    all.into_iter().find(|kind| *kind as u8 == code)
}

fn cipher(root: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(derive(Usage::SlotImage, root, &[]).expose().into())
}

fn associated(generation: u64) -> [u8; 9] {
    let mut bytes = [VERSION; 9];
    bytes[1..].copy_from_slice(&generation.to_be_bytes());
    bytes
}

/// Reads fixed-width fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

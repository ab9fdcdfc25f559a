//! The slot table of one moment, outside `keys/`: what a backup keeps beside the data.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};
use zeroize::Zeroizing;

use super::{
    Error, Incarnation, MOST_IMAGE, Medium, SECTOR, SlotKind,
    format::{self, MOST_GENERATION, NONCE, TAG},
    persist, read_table,
    table::Table,
    winner,
};
use crate::{
    clock::Timestamp,
    random::Random,
    seal::derive::{Usage, derive},
    secret::Key,
    store::Partition,
};

const MAGIC: [u8; 8] = *b"lethebak";
const VERSION: u8 = 1;
/// Magic, version, three zeros.
const HEAD: usize = 8 + 4;
/// Generation and time.
const FACTS: usize = 8 + 8;
/// More bytes than a sealed table ever has.
pub const MOST_FROZEN: usize = MOST_IMAGE + SECTOR;

/// The slot table as it was when a backup was made.
pub struct Frozen {
    pub(super) table: Table,
    pub(super) generation: u64,
}

impl Frozen {
    /// The table, and the time at which it was taken, sealed under `key`; its length is a multiple of 4 KiB.
    ///
    /// # Errors
    /// [`Error::Full`] when the table is too large.
    pub fn seal(&self, key: &Key, at: Timestamp, random: &dyn Random) -> Result<Vec<u8>, Error> {
        let size = (HEAD + NONCE + FACTS + format::table_size(&self.table) + TAG).next_multiple_of(SECTOR);
        if size > MOST_FROZEN {
            return Err(Error::Full);
        }
        let mut inside = Zeroizing::new(Vec::with_capacity(size));
        inside.extend_from_slice(&self.generation.to_be_bytes());
        inside.extend_from_slice(&at.0.to_be_bytes());
        format::write_table(&self.table, &mut inside)?;
        inside.resize(size - HEAD - NONCE - TAG, 0);
        Ok(seal_inside(key, &mut inside, random))
    }

    /// What was sealed under `key`, and the time it was taken; `None` for anything else.
    #[must_use]
    pub fn open(key: &Key, sealed: &[u8]) -> Option<(Self, Timestamp)> {
        let rest = sealed.strip_prefix(&head())?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (inside, tag) = rest.split_last_chunk::<TAG>()?;
        let mut inside = Zeroizing::new(inside.to_vec());
        cipher(key)
            .decrypt_inout_detached(&(*nonce).into(), &head(), inside.as_mut_slice().into(), &(*tag).into())
            .ok()?;
        let (generation, rest) = inside.split_first_chunk::<8>()?;
        let (at, table) = rest.split_first_chunk::<8>()?;
        let table = format::read_table(table)?;
        let generation = u64::from_be_bytes(*generation);
        let frozen = (generation <= MOST_GENERATION).then_some(Self { table, generation })?;
        Some((frozen, Timestamp(u64::from_be_bytes(*at))))
    }

    /// Whether a file that begins like this is a sealed table.
    #[must_use]
    pub fn is_one(start: &[u8]) -> bool {
        start.starts_with(&MAGIC)
    }

    /// Leaves out the epochs whose last row has outlived its class at `now`, and what dies with them; how many.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let ended =
            self.table.epochs().into_iter().filter(|(partition, end)| {
                partition.class.lifetime().is_some_and(|lifetime| end.after(lifetime) <= now)
            });
        let ended: Vec<_> = ended.collect();
        for (partition, _) in &ended {
            self.table.drop_epoch(*partition);
        }
        ended.len()
    }

    /// Begins another life of the server on `day`; which.
    ///
    /// # Errors
    /// [`Error::Full`] after the last.
    pub fn begin_incarnation(&mut self, day: Timestamp) -> Result<Incarnation, Error> {
        let number = self.table.incarnation.number + 1;
        if number > Incarnation::MOST {
            return Err(Error::Full);
        }
        self.table.incarnation = Incarnation { number, since: day };
        Ok(self.table.incarnation)
    }

    /// The table that lies on a medium, which stays as it is.
    ///
    /// # Errors
    /// [`Error::Lost`] when no root opens one.
    pub fn peek(medium: &dyn Medium) -> Result<Self, Error> {
        let (_, root) = winner(&medium.read_sectors()?).ok_or(Error::Lost)?;
        Ok(Self { table: read_table(medium, &root)?, generation: root.generation })
    }

    /// The server key S.
    #[must_use]
    pub fn server_key(&self) -> Key {
        self.table.server.clone()
    }

    /// The live epochs with their ends, in order.
    #[must_use]
    pub fn epochs(&self) -> Vec<(Partition, Timestamp)> {
        self.table.epochs()
    }

    /// Which life of the server it is from.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.table.incarnation
    }

    /// The number of slots of one kind.
    #[must_use]
    pub fn count(&self, kind: SlotKind) -> usize {
        self.table.count(kind)
    }

    /// Makes this the table of an empty medium, under a fresh root key.
    ///
    /// # Errors
    /// [`Error::InUse`] when a table is or was there.
    pub fn install(&self, medium: &dyn Medium, random: &dyn Random) -> Result<(), Error> {
        let written = |sector: Option<Vec<u8>>| sector.is_some_and(|sector| sector.iter().any(|byte| *byte != 0));
        if medium.has_images()? || medium.read_sectors()?.into_iter().any(written) {
            return Err(Error::InUse);
        }
        persist(medium, &self.table, self.generation + 1, random)
    }
}

/// What a sealed table is, around its `inside`.
fn seal_inside(key: &Key, inside: &mut [u8], random: &dyn Random) -> Vec<u8> {
    let nonce: [u8; NONCE] = random.bytes();
    let tag = cipher(key)
        .encrypt_inout_detached(&nonce.into(), &head(), (&mut *inside).into())
        .expect("a table is shorter than the cipher's limit");
    [&head()[..], &nonce, &*inside, &tag].concat()
}

fn head() -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8] = VERSION;
    head
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(derive(Usage::BackupTable, key, &[]).expose().into())
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{Frozen, Key, Random, Timestamp, seal_inside};

    /// The table, and its time, whose sealed form has these bytes inside.
    pub(crate) fn read(inside: &[u8], random: &dyn Random) -> Option<(Frozen, Timestamp)> {
        let key = Key::from_bytes([1; 32]);
        let sealed = seal_inside(&key, &mut inside.to_vec(), random);
        assert!(Frozen::open(&Key::from_bytes([2; 32]), &sealed).is_none(), "another key opens it");
        Frozen::open(&key, &sealed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        random::SeededRandom,
        seal::{
            golden,
            slots::{Change, MemoryMedium, SlotId},
        },
        store::{Class, Fuse},
    };

    const DAY: u64 = 86_400_000;
    const OLD: Partition = Partition { class: Class::Week, serial: 4 };
    const NEW: Partition = Partition { class: Class::Week, serial: 5 };

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    fn frozen() -> Frozen {
        let mut table = Table::new(key(1));
        table.apply(vec![
            Change::OpenEpoch { partition: OLD, key: key(2), end: Timestamp(DAY) },
            Change::OpenEpoch { partition: NEW, key: key(3), end: Timestamp(2 * DAY) },
            Change::Set { id: SlotId([4; 16]), kind: SlotKind::Room, value: key(5), epoch: None },
            Change::Set { id: SlotId([6; 16]), kind: SlotKind::Token, value: key(7), epoch: Some(OLD) },
        ]);
        table.incarnation = Incarnation { number: 3, since: Timestamp(DAY) };
        Frozen { table, generation: 9 }
    }

    #[test]
    fn a_sealed_table_opens_under_its_key_alone_and_has_the_agreed_bytes() {
        let sealed = frozen().seal(&key(8), Timestamp(77), &SeededRandom::new(1)).unwrap();
        assert!(sealed.len() == SECTOR && Frozen::is_one(&sealed[..8]));
        golden::check("backup-table-v1", &sealed);
        let (opened, at) = Frozen::open(&key(8), &sealed).unwrap();
        assert!(opened.table == frozen().table && opened.generation == 9 && at == Timestamp(77));
        assert!(Frozen::open(&key(9), &sealed).is_none());
        for at in [0, 8, 20, 40, sealed.len() - 1] {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(Frozen::open(&key(8), &other).is_none(), "{at}");
        }
        for length in [0, 12, 50, sealed.len() - 1] {
            assert!(Frozen::open(&key(8), &sealed[..length]).is_none());
        }
    }

    #[test]
    fn a_table_that_nobody_can_go_on_from_is_refused() {
        let opens = |frozen: &Frozen| {
            let sealed = frozen.seal(&key(8), Timestamp(77), &SeededRandom::new(1)).unwrap();
            Frozen::open(&key(8), &sealed).is_some()
        };
        let last = Incarnation::MOST;
        for (generation, number, expected) in [
            (MOST_GENERATION, last, true),
            (MOST_GENERATION + 1, last, false),
            (u64::MAX, 0, false),
            (9, last + 1, false),
            (9, u32::MAX, false),
        ] {
            let mut frozen = Frozen { generation, ..frozen() };
            frozen.table.incarnation.number = number;
            assert_eq!(opens(&frozen), expected, "{generation} {number}");
        }
    }

    #[test]
    fn what_has_outlived_its_class_is_left_out() {
        let mut frozen = frozen();
        assert_eq!(frozen.expire(Timestamp(8 * DAY - 1)), 0);
        assert_eq!(frozen.expire(Timestamp(8 * DAY)), 1);
        assert!(frozen.table.epoch_key(OLD).is_none() && frozen.table.epoch_key(NEW).is_some());
        assert_eq!((frozen.count(SlotKind::Token), frozen.count(SlotKind::Room)), (0, 1));
        assert_eq!(frozen.table.serials[&Class::Week], 5, "names of partitions are not used again");
    }

    #[tokio::test]
    async fn a_restored_table_begins_another_life_under_another_root() {
        let mut first = frozen();
        let life = first.begin_incarnation(Timestamp(5 * DAY)).unwrap();
        assert!(life == Incarnation { number: 4, since: Timestamp(5 * DAY) });
        assert_eq!(life.first_serial(), 4 << 20);
        let medium = Arc::new(MemoryMedium::with_fuse(Arc::new(Fuse::new())));
        first.install(&*medium, &SeededRandom::new(2)).unwrap();
        assert_eq!(first.install(&*medium, &SeededRandom::new(3)), Err(Error::InUse));
        let store = crate::store::Store::inline(Arc::new(crate::store::MemoryBackend::new()));
        let slots = super::super::Slots::open(medium, store, Arc::new(SeededRandom::new(4))).await.unwrap();
        assert!(slots.incarnation() == life && slots.value(&SlotId([4; 16])) == Some(key(5)));
        assert_eq!(slots.generation(), 10);
        slots.commit(vec![Change::Remove { id: SlotId([4; 16]) }]).await.unwrap();
        assert!(slots.incarnation() == life);
        first.table.incarnation.number = Incarnation::MOST;
        assert!(first.begin_incarnation(Timestamp(0)).is_err());
    }
}

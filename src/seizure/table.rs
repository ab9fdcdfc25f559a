//! Roots and slot tables, from their bytes.

use std::collections::{BTreeMap, HashMap};

use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};

use crate::{
    seal::{
        derive::{Usage, derive},
        slots::SlotId,
    },
    secret::Key,
    store::{Class, Partition},
};

/// Every table that a root opens.
#[derive(Default)]
pub(super) struct Tables {
    servers: Vec<Key>,
    epochs: BTreeMap<Partition, Vec<Key>>,
    slots: HashMap<SlotId, Vec<Key>>,
}

impl Tables {
    /// Tries the root key of each sector, torn or not, on each image ever written.
    pub(super) fn open(sectors: &[Vec<u8>], images: &[Vec<u8>]) -> Self {
        let mut tables = Self::default();
        for sector in sectors {
            let generation = sector.get(12..).and_then(|rest| rest.first_chunk::<8>());
            let root = sector.get(56..).and_then(|rest| rest.first_chunk::<32>());
            let (Some(generation), Some(root)) = (generation, root) else { continue };
            let root = Key::from_bytes(*root);
            for image in images {
                if let Some(inside) = open(image, &root, *generation) {
                    tables.read(&inside);
                }
            }
        }
        tables
    }

    /// Takes in what another image's tables hold.
    pub(super) fn add(&mut self, other: Self) {
        self.servers.extend(other.servers);
        for (partition, keys) in other.epochs {
            self.epochs.entry(partition).or_default().extend(keys);
        }
        for (slot, values) in other.slots {
            self.slots.entry(slot).or_default().extend(values);
        }
    }

    pub(super) fn servers(&self) -> Vec<Key> {
        self.servers.clone()
    }

    pub(super) fn values(&self, slot: &SlotId) -> Vec<Key> {
        self.slots.get(slot).cloned().unwrap_or_default()
    }

    /// Every epoch key, that of what never expires among them.
    pub(super) fn epochs(&self) -> Vec<(Partition, Key)> {
        let known = self.epochs.iter().flat_map(|(partition, keys)| keys.iter().map(|key| (*partition, key.clone())));
        let forever = self.servers.iter().map(|server| (Partition::FOREVER, derive(Usage::ForeverEpoch, server, &[])));
        known.chain(forever).collect()
    }

    fn read(&mut self, inside: &[u8]) {
        let Some((&[_, a, b, c, d], entries)) = inside.split_first_chunk::<5>() else { return };
        let count = u32::from_be_bytes([a, b, c, d]) as usize;
        for entry in entries.as_chunks::<56>().0.iter().take(count) {
            let (Some(id), Some(value)) = (entry.first_chunk(), entry[16..].first_chunk()) else { continue };
            let (id, value) = (SlotId(*id), Key::from_bytes(*value));
            let serial = u32::from_be_bytes([entry[52], entry[53], entry[54], entry[55]]);
            let values = match (entry[48], Class::from_code(entry[49])) {
                (1, _) => &mut self.servers,
                (2, Some(class)) => self.epochs.entry(Partition { class, serial }).or_default(),
                _ => self.slots.entry(id).or_default(),
            };
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
}

fn open(image: &[u8], root: &Key, generation: [u8; 8]) -> Option<Vec<u8>> {
    let (nonce, rest) = image.split_first_chunk::<24>()?;
    let (inside, tag) = rest.split_last_chunk::<16>()?;
    let mut inside = inside.to_vec();
    let cipher = XChaCha20Poly1305::new(derive(Usage::SlotImage, root, &[]).expose().into());
    let associated = [&[1][..], &generation].concat();
    cipher
        .decrypt_inout_detached(&(*nonce).into(), &associated, inside.as_mut_slice().into(), &(*tag).into())
        .ok()
        .map(|()| inside)
}

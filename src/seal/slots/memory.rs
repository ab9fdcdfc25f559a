//! Key files in RAM that lose power like a disk: for tests.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Error, Medium, SECTOR};
use crate::{random::Random, store::Fuse};

/// What becomes of a write that no sync has covered when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never reached the medium.
    Old,
    /// It reached the medium.
    New,
    /// Some of its 512-byte parts reached the medium, and one only half.
    Torn,
}

/// Key files in RAM, on a fuse.
pub struct MemoryMedium {
    fuse: Arc<Fuse>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// Two root sectors and two image regions, as they are on the platter.
    places: [Vec<u8>; 4],
    in_flight: Vec<Write>,
    ever: Vec<Vec<u8>>,
}

#[derive(Clone)]
struct Write {
    place: usize,
    offset: usize,
    bytes: Vec<u8>,
}

const IMAGES: usize = 2;

impl MemoryMedium {
    /// An empty medium that loses power together with whatever else is on `fuse`.
    #[must_use]
    pub fn with_fuse(fuse: Arc<Fuse>) -> Self {
        Self { fuse, state: Mutex::default() }
    }

    /// A copy of the medium, with everything it ever saw, on another fuse.
    #[must_use]
    pub fn copy(&self, fuse: Arc<Fuse>) -> Self {
        Self { fuse, state: Mutex::new(self.state.lock().clone()) }
    }

    /// A power cut: every write that was not synced gets a random fate.
    pub fn crash(&self, random: &dyn Random) {
        self.crash_with(random, &mut |_| match random.below(3) {
            0 => Fate::Old,
            1 => Fate::New,
            _ => Fate::Torn,
        });
    }

    /// A power cut with the fates that `fate` gives, by the number of the write in flight.
    pub fn crash_with(&self, random: &dyn Random, fate: &mut dyn FnMut(usize) -> Fate) {
        let mut state = self.state.lock();
        for (number, write) in std::mem::take(&mut state.in_flight).into_iter().enumerate() {
            match fate(number) {
                Fate::Old => {}
                Fate::New => write.land(&mut state.places, |_| true),
                Fate::Torn => {
                    let (parts, half): ([u8; 32], u64) = (random.bytes(), random.below(SECTOR as u64));
                    write.land(&mut state.places, |at| {
                        (at as u64).abs_diff(half) < 256 || parts[at / 512 % 32] & 1 == 1
                    });
                }
            }
        }
    }

    /// Puts image region `region` back as it is on `older`.
    pub fn put_back(&self, older: &Self, region: usize) {
        let old = older.state.lock().places[IMAGES + region].clone();
        self.state.lock().places[IMAGES + region] = old;
    }

    /// The number of writes that no sync has covered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.lock().in_flight.len()
    }

    /// The root sectors as they are on the medium.
    #[must_use]
    pub fn sectors(&self) -> [Vec<u8>; 2] {
        let state = self.state.lock();
        [state.places[0].clone(), state.places[1].clone()]
    }

    /// Everything ever handed to the medium except the root sectors' former content: what forensics may find.
    #[must_use]
    pub fn ever(&self) -> Vec<Vec<u8>> {
        self.state.lock().ever.clone()
    }

    fn write(&self, place: usize, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        // The write that the cut interrupts may still land, whole or torn; later ones never start.
        let before = self.fuse.blown();
        let step = self.fuse.step();
        if !before {
            let mut state = self.state.lock();
            state.in_flight.push(Write { place, offset, bytes: bytes.to_vec() });
            if place >= IMAGES {
                state.ever.push(bytes.to_vec());
            }
        }
        step.map_err(|_| Error::Io)
    }

    fn sync(&self, covers: impl Fn(usize) -> bool) -> Result<(), Error> {
        self.fuse.step().map_err(|_| Error::Io)?;
        let state = &mut *self.state.lock();
        let (synced, rest) = std::mem::take(&mut state.in_flight).into_iter().partition(|write| covers(write.place));
        state.in_flight = rest;
        for write in synced as Vec<Write> {
            write.land(&mut state.places, |_| true);
        }
        Ok(())
    }

    /// What a running system reads: the platter with everything in flight on top.
    fn read(&self, place: usize) -> Result<Vec<u8>, Error> {
        self.fuse.check().map_err(|_| Error::Io)?;
        let state = self.state.lock();
        let mut places = state.places.clone();
        for write in &state.in_flight {
            write.land(&mut places, |_| true);
        }
        Ok(std::mem::take(&mut places[place]))
    }
}

impl Write {
    fn land(&self, places: &mut [Vec<u8>; 4], lands: impl Fn(usize) -> bool) {
        let place = &mut places[self.place];
        place.resize(place.len().max(self.offset + self.bytes.len()), 0);
        for (at, byte) in self.bytes.iter().enumerate().filter(|(at, _)| lands(*at)) {
            place[self.offset + at] = *byte;
        }
    }
}

impl Medium for MemoryMedium {
    fn read_sectors(&self) -> Result<[Option<Vec<u8>>; 2], Error> {
        let sector = |which| self.read(which).map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()));
        Ok([sector(0)?, sector(1)?])
    }

    fn write_sector(&self, which: usize, bytes: &[u8]) -> Result<(), Error> {
        self.write(which, 0, bytes)
    }

    fn sync_sectors(&self) -> Result<(), Error> {
        self.sync(|place| place < IMAGES)
    }

    fn read_image(&self, region: usize, offset: usize, length: usize) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read(IMAGES + region)?.get(offset..offset + length).map(<[u8]>::to_vec))
    }

    fn write_image(&self, region: usize, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.write(IMAGES + region, offset, bytes)
    }

    fn sync_image(&self, region: usize) -> Result<(), Error> {
        self.sync(|place| place == IMAGES + region)
    }

    fn has_images(&self) -> Result<bool, Error> {
        Ok(!self.read(IMAGES)?.is_empty() || !self.read(IMAGES + 1)?.is_empty())
    }
}

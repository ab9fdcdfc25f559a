//! What was redacted leaves the disk (keys.md §2, "redact"): the windows that hold it are rewritten under fresh secrets, in
//! the generation that drops its marks. A cut anywhere leaves the marks, and they do it again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ruma::OwnedEventId;

use super::{
    Error,
    hall::Rooms,
    ledger::{RoomChange, RoomLedger, StoredEvent},
    room::{Room, Writer},
    row::Row,
    upkeep::Prepare,
    view::View,
};
use crate::{
    event::{self, EventKey},
    journal::{Prepared, Stream, TOGETHER},
    store::Batch,
};

/// Entries of one room that are rewritten before those who write to it get their turn: some tens of milliseconds. One
/// window is rewritten whole, however long it is.
const MOST_ENTRIES: usize = 4096;

impl Rooms {
    /// Rewrites what was redacted in every open room. Rooms share slot commits; a room with much to rewrite takes its
    /// turn again and again until nothing is left.
    ///
    /// # Errors
    /// The last error; marks that are left do it again.
    pub async fn rewrite_redacted(&self) -> Result<(), Error> {
        let open = self.all_open();
        self.rewrite_in(&open).await
    }

    /// As [`Rooms::rewrite_redacted`], in these rooms.
    pub(super) async fn rewrite_in(&self, rooms: &[Arc<Room>]) -> Result<(), Error> {
        let rewrite: Prepare<'_> = &|rooms, writer, batch| rooms.prepare_redacted(writer, batch);
        let mut due: Vec<Arc<Room>> = rooms.iter().filter(|room| room.is_marked()).cloned().collect();
        let mut outcome = Ok(());
        while !due.is_empty() {
            let mut left = Vec::new();
            for rooms in due.chunks(TOGETHER) {
                match self.renew_together(rooms, rewrite).await {
                    Ok(()) => left.extend(rooms.iter().filter(|room| room.is_marked() && !room.is_stopped()).cloned()),
                    // These try again when they open next, or with the next round.
                    error => outcome = error,
                }
            }
            due = left;
        }
        outcome
    }

    /// The next generation of a room in which something was redacted, with some of it gone from the windows.
    fn prepare_redacted(&self, writer: &mut Writer, batch: &mut Batch) -> Result<Option<Prepared>, Error> {
        if writer.owner.ledger.marks.is_empty() {
            return Ok(None);
        }
        let known = writer.owner.ledger.clone();
        let Portion { windows, done } = Portion::of(&writer.view, &known);
        let changes = done.into_iter().map(|id| RoomChange::Mark(id, false)).collect();
        let mut rewrite = |stream, _, plain: &[u8]| {
            // A row that is not understood stays as it is: the room would not have opened with it.
            if stream == Stream::Timeline { without_redacted(&known, plain).ok().flatten() } else { None }
        };
        let wanted = |serial| windows.wants(serial);
        let prepared = writer.owner.prepare_rewrite_of(&self.journals, None, changes, &wanted, &mut rewrite, batch)?;
        Ok(Some(prepared))
    }
}

/// A row without what was redacted of it, when that changes it. That it was sent, and by which request, stays: a retry
/// must be recognised.
fn without_redacted(known: &RoomLedger, plain: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let row = Row::decode(plain)?;
    let redacted = |stored: &StoredEvent| -> Result<Option<StoredEvent>, Error> {
        if !known.marks.contains(&stored.id) {
            return Ok(None);
        }
        let fresh = known.stored(&event::redact(&known.revealed(stored)?, &known.rules)?);
        Ok((fresh.text != stored.text).then_some(fresh))
    };
    let before = row.event();
    let event = redacted(&before)?;
    let replaced = row.replaced.as_ref().map(&redacted).transpose()?.flatten();
    if event.is_none() && replaced.is_none() {
        return Ok(None);
    }
    let replaced = replaced.or_else(|| row.replaced.clone());
    Ok(Some(row.with(event.unwrap_or(before), replaced, false).encode()?))
}

/// What of a room's marks is done in one go.
struct Portion {
    windows: Windows,
    /// The marks of which nothing is left then: at least one.
    done: Vec<OwnedEventId>,
}

/// Which windows are looked into.
#[derive(Default)]
struct Windows {
    chosen: BTreeSet<u32>,
    /// And all up to this one: a marked event that is shown no longer may lie in any of them.
    up_to: u32,
}

impl Windows {
    fn wants(&self, serial: u32) -> bool {
        serial <= self.up_to || self.chosen.contains(&serial)
    }

    /// Takes windows in, up to [`MOST_ENTRIES`], and if `at_least_one`, a first one of whatever length. The keys all of
    /// whose `places` are wanted then.
    fn choose<K>(
        &mut self,
        places: Vec<(BTreeSet<u32>, K)>,
        lengths: &BTreeMap<u32, usize>,
        at_least_one: bool,
    ) -> Vec<K> {
        let (mut entries, mut done) = (0, Vec::new());
        for (place, key) in places {
            let fresh = place.iter().filter(|serial| !self.wants(**serial)).filter_map(|serial| lengths.get(serial));
            let more: usize = fresh.sum();
            if more == 0 || entries + more <= MOST_ENTRIES || (at_least_one && done.is_empty()) {
                entries += more;
                self.chosen.extend(place);
                done.push(key);
            }
        }
        done
    }
}

impl Portion {
    fn of(view: &View, known: &RoomLedger) -> Self {
        let marked: HashMap<EventKey, &OwnedEventId> =
            known.marks.iter().filter_map(|id| Some((EventKey::of(id)?, id))).collect();
        let mut lengths: BTreeMap<u32, usize> = BTreeMap::new();
        // An event lies in its own row and in that of the event which replaced it.
        let mut places: HashMap<EventKey, BTreeSet<u32>> = HashMap::new();
        for entry in &view.timeline {
            let serial = entry.position.serial();
            *lengths.entry(serial).or_default() += 1;
            let replaced = entry.replaces().and_then(|event| EventKey::of(event.id()));
            let found = [Some(entry.key()), replaced].into_iter().flatten().filter(|key| marked.contains_key(key));
            found.for_each(|key| places.entry(key).or_default().extend([serial]));
        }
        let mut windows = Windows::default();
        let hidden = known.marks.iter().filter(|id| EventKey::of(id).is_none_or(|key| !places.contains_key(&key)));
        let mut done: Vec<OwnedEventId> = hidden.cloned().collect();
        if !done.is_empty() {
            windows.up_to = view.timeline.front().map_or(u32::MAX, |entry| entry.position.serial());
        }
        let mut places: Vec<(BTreeSet<u32>, EventKey)> = places.into_iter().map(|(key, place)| (place, key)).collect();
        places.sort_unstable();
        for key in windows.choose(places, &lengths, done.is_empty()) {
            done.extend(marked.get(&key).map(|id| (*id).clone()));
        }
        Self { windows, done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_rewritten_is_rewritten_for_all_of_its_marks() {
        let lengths = BTreeMap::from([(1, MOST_ENTRIES + 1), (2, MOST_ENTRIES - 1), (3, 1), (4, 1)]);
        let place = |serials: &[u32]| serials.iter().copied().collect::<BTreeSet<u32>>();
        let long = (0..9).map(|key| (place(&[1]), key)).collect();
        let mut windows = Windows::default();
        assert_eq!(windows.choose(long, &lengths, true).len(), 9, "a long window at once, whatever its length");
        let several = vec![(place(&[2]), 0), (place(&[2]), 1), (place(&[2, 3]), 2), (place(&[3]), 3), (place(&[4]), 4)];
        let mut windows = Windows::default();
        assert_eq!(windows.choose(several, &lengths, true), [0, 1, 2, 3], "no more entries than the bound");
        assert!(windows.wants(3) && !windows.wants(4) && !windows.wants(1));
        assert!(Windows::default().choose(vec![(place(&[1]), 0)], &lengths, false).is_empty(), "others go first");
    }
}

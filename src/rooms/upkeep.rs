//! Upkeep of rooms: packs, new generations, windows that are over.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Error,
    hall::Rooms,
    room::{Room, RoomWriting, Writer},
};
use crate::{
    clock::Timestamp,
    journal::{Prepared, Stream, TOGETHER},
    store::{Batch, Partition},
};

/// Packs of one room in one round of upkeep: what is left waits for the next, and no room keeps the others waiting.
const MOST_PACKS: usize = 256;
/// Rooms whose packs share a commit: each may add one of 64 KiB for every window it has, some thirty at the most.
const PACKED_TOGETHER: usize = 16;

/// How a room comes to its new generation; `None` where it needs none.
pub(super) type Prepare<'a> =
    &'a (dyn Fn(&Rooms, &mut Writer, &mut Batch) -> Result<Option<Prepared>, Error> + Send + Sync);

impl Rooms {
    /// Rewrites single rows of these rooms as packs where enough have gathered. Senders get their turn between two packs.
    ///
    /// # Errors
    /// The last error; the other rooms are packed all the same.
    pub async fn pack(&self, rooms: &[Arc<Room>]) -> Result<(), Error> {
        let (mut due, mut outcome) = (rooms.to_vec(), Ok(()));
        for _ in 0..MOST_PACKS {
            let mut left = Vec::new();
            for rooms in due.chunks(PACKED_TOGETHER) {
                match self.pack_together(rooms).await {
                    Ok(more) => left.extend(more),
                    Err(error) => outcome = Err(error),
                }
            }
            due = left;
            if due.is_empty() {
                break;
            }
        }
        outcome
    }

    /// Writes the next packs of some rooms with one commit; those of which more are to be packed.
    async fn pack_together(&self, rooms: &[Arc<Room>]) -> Result<Vec<Arc<Room>>, Error> {
        // Whoever holds several rooms at once is alone in that.
        let _alone = self.renewing.lock().await;
        let mut outcome = Ok(());
        let mut ready: Vec<(&Arc<Room>, RoomWriting<'_>)> = Vec::new();
        let (mut batch, mut after) = (Batch::default(), Batch::default());
        for room in rooms {
            let mut writer = room.writer.lock().await;
            if writer.gone || writer.owner.is_stopped() || !writer.owner.wants_pack() {
                continue;
            }
            let (mut rows, mut dead) = (Batch::default(), Batch::default());
            match writer.owner.pack(&self.journals, &mut rows, &mut dead) {
                Ok(()) => {
                    batch.extend(rows);
                    after.extend(dead);
                    ready.push((room, writer));
                }
                Err(error) => {
                    writer.owner.stop();
                    self.forget_open(&room.id);
                    outcome = Err(error.into());
                }
            }
        }
        if ready.is_empty() {
            return outcome.map(|()| Vec::new());
        }
        batch.shuffle(self.journals.random.as_ref());
        if let Err(error) = self.journals.store.commit(batch).await {
            for (room, writer) in &mut ready {
                writer.owner.stop();
                self.forget_open(&room.id);
            }
            return Err(Error::Journal(error.into()));
        }
        let mut left = Vec::new();
        for (room, writer) in &mut ready {
            writer.owner.settle();
            room.publish(writer);
            left.extend(writer.owner.wants_pack().then(|| Arc::clone(room)));
        }
        // Readers find the entries in their packs from here on.
        self.journals.store.commit(after).await?;
        outcome.map(|()| left)
    }

    /// Gives every open room that changed a new generation: what was superseded is shredded (keys.md §2, "generation").
    ///
    /// # Errors
    /// The last error; the other rooms have their generation all the same.
    pub async fn renew_generations(&self) -> Result<(), Error> {
        self.renew_some(&self.all_open()).await
    }

    /// As [`Rooms::renew_generations`], in these rooms.
    pub(super) async fn renew_some(&self, rooms: &[Arc<Room>]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for rooms in rooms.chunks(TOGETHER) {
            outcome = self.renew_together(rooms, &plain).await.and(outcome);
        }
        outcome
    }

    /// Gives at most [`TOGETHER`] rooms their new generations with one slot commit. Who writes to one of them waits
    /// meanwhile (keys.md M4). A room that cannot be prepared stops, and keeps the others from nothing.
    pub(super) async fn renew_together(&self, rooms: &[Arc<Room>], prepare: Prepare<'_>) -> Result<(), Error> {
        // Whoever holds several rooms at once is alone in that.
        let _alone = self.renewing.lock().await;
        let mut outcome = Ok(());
        let mut ready: Vec<(&Arc<Room>, RoomWriting<'_>, Prepared)> = Vec::new();
        let (mut batch, mut changes) = (Batch::default(), Vec::new());
        for room in rooms {
            let mut writer = room.writer.lock().await;
            if writer.gone || writer.owner.is_stopped() {
                continue;
            }
            let mut rows = Batch::default();
            match prepare(self, &mut writer, &mut rows) {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    batch.extend(rows);
                    changes.push(prepared.change(writer.owner.identity()));
                    ready.push((room, writer, prepared));
                }
                Err(error) => {
                    writer.owner.stop();
                    self.forget_open(&room.id);
                    outcome = Err(error);
                }
            }
        }
        if ready.is_empty() {
            return outcome;
        }
        batch.shuffle(self.journals.random.as_ref());
        if let Err(error) = self.accounts.commit_all(batch, changes).await {
            for (room, writer, _) in &mut ready {
                writer.owner.stop();
                self.forget_open(&room.id);
            }
            return Err(error.into());
        }
        let mut after = Batch::default();
        for (room, mut writer, prepared) in ready {
            writer.owner.adopt(&self.journals, prepared, &mut after);
            room.publish(&writer);
        }
        self.journals.store.commit(after).await?;
        outcome
    }

    /// Lets go of the windows of open rooms whose epochs are dead, and of those that are over: all that lies in them is
    /// older at `now` than their room lets it become. These go for good with new generations at once. `ends` says when
    /// nothing was filed any more in each partition.
    ///
    /// # Errors
    /// The last error, after all rooms have been looked at; calling again goes on.
    pub async fn let_go(&self, ends: &BTreeMap<Partition, Timestamp>, now: Timestamp) -> Result<(), Error> {
        let mut early = Vec::new();
        for room in self.all_open() {
            let mut writer = room.writer.lock().await;
            if writer.gone {
                continue;
            }
            let lifetime = writer.view.lifetime();
            let over = |stream, partition: Partition| {
                let passed = |end: &Timestamp| lifetime.is_some_and(|lifetime| end.after(lifetime) <= now);
                stream == Stream::Timeline && ends.get(&partition).is_some_and(passed)
            };
            let before = writer.owner.arranged();
            if writer.owner.let_go(&self.journals, &over) {
                early.push(Arc::clone(&room));
            }
            if writer.owner.arranged() != before {
                room.publish(&writer);
            }
        }
        self.renew_some(&early).await
    }
}

/// A generation of a room that has changed.
fn plain(rooms: &Rooms, writer: &mut Writer, batch: &mut Batch) -> Result<Option<Prepared>, Error> {
    if !writer.owner.is_dirty() {
        return Ok(None);
    }
    Ok(Some(writer.owner.prepare(&rooms.journals, None, batch)?))
}

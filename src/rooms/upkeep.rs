//! Upkeep of a room: packs, new generations.

use std::sync::Arc;

use super::{Error, hall::Rooms, room::Room};
use crate::store::Batch;

/// Packs of one room in one round of upkeep: what is left waits for the next, and no room keeps the others waiting.
const MOST_PACKS: usize = 256;

impl Rooms {
    /// Rewrites single rows as packs where enough have gathered. Senders get their turn between two packs.
    pub async fn pack(&self, room: &Arc<Room>) -> Result<(), Error> {
        for _ in 0..MOST_PACKS {
            let mut writer = room.writer.lock().await;
            if writer.gone || !writer.owner.wants_pack() {
                break;
            }
            let (mut batch, mut after) = (Batch::default(), Batch::default());
            writer.owner.pack(&self.journals, &mut batch, &mut after)?;
            self.settle(room, &mut writer, batch).await?;
            // Readers find the entries in their packs from here on.
            self.journals.store.commit(after).await?;
        }
        Ok(())
    }

    /// Gives a room that changed a new generation: what was superseded is shredded (keys.md §2, "generation").
    pub async fn renew_generation(&self, room: &Arc<Room>) -> Result<(), Error> {
        let mut writer = room.writer.lock().await;
        if writer.gone || !writer.owner.is_dirty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let prepared = writer.owner.prepare(&self.journals, None, &mut batch)?;
        let change = prepared.change(writer.owner.identity());
        if let Err(error) = self.accounts.commit_all(batch, vec![change]).await {
            writer.owner.stop();
            self.forget_open(&room.id);
            return Err(error.into());
        }
        let mut after = Batch::default();
        writer.owner.adopt(&self.journals, prepared, &mut after);
        room.publish(&writer);
        Ok(self.journals.store.commit(after).await?)
    }
}

//! Forgetting: what is older than its room's lifetime leaves the room's view, and with it every answer.
//!
//! Hidden and let go of in one step, before anything is destroyed on the disk. A view forgets from its beginning alone:
//! the low-water mark is a place in the timeline, nothing before it is served, and it never moves back. It follows from
//! the clock and from what the windows say, so it is written with the room's checkpoint only, and when the lifetime
//! changes: a lifetime made longer brings nothing back.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use super::{
    Error,
    hall::Rooms,
    ledger::{LowWater, RoomChange},
    room::{Room, Writer},
    view::View,
};
use crate::{
    clock::Timestamp,
    journal::{Journals, Owner, Position},
    store::{Batch, Class},
};

/// How far back the wall clock must step for what was hidden meanwhile to be shown again: more than corrections of a
/// clock that is right.
const STEPPED_BACK: Duration = Duration::from_mins(5);

impl Rooms {
    /// Takes what has expired by `now` out of every open room. With `certain`, the clock is known to be right, and what
    /// must outlive the process is written; without, events are hidden in memory alone.
    ///
    /// # Errors
    /// The first room that could not be written, after all have been looked at.
    pub async fn forget_expired(&self, now: Timestamp, certain: bool) -> Result<(), Error> {
        let (mut done, mut any) = (Ok(()), false);
        for room in self.all_open() {
            match self.forget_in(&room, now, certain).await {
                Ok(forgot) => any |= forgot,
                error => done = done.and(error.map(drop)),
            }
        }
        if any {
            self.journals.packs.clear();
        }
        done
    }

    /// Takes what has expired by `now` out of a room. Whether there was anything.
    async fn forget_in(&self, room: &Arc<Room>, now: Timestamp, certain: bool) -> Result<bool, Error> {
        let mut writer = room.writer.lock().await;
        if writer.gone || writer.owner.is_stopped() {
            return Ok(false);
        }
        if now.after(STEPPED_BACK) < writer.hidden_at {
            // The clock was ahead: what it hid is still on the disk, because nothing was destroyed by it.
            self.read_again(room, &mut writer)?;
        }
        let (low, end) = (writer.view.low, writer.view.end());
        writer.forget(&self.journals, now, certain);
        let noted = LowWater { position: writer.view.low, ..LowWater::of(writer.view.lifetime()) };
        if certain && writer.owner.ledger.low.is_none_or(|low| low.seconds != noted.seconds) {
            let mut batch = Batch::default();
            writer.owner.change(&self.journals, vec![RoomChange::Low(noted)], &mut batch)?;
            self.settle(room, &mut writer, batch).await?;
        }
        if writer.view.low == low {
            return Ok(false);
        }
        debug_assert!(writer.view.end() == end, "what has expired was there all the same");
        room.publish(&writer);
        room.change_view(View::forget_receipts);
        drop(writer);
        self.recount(room);
        Ok(true)
    }

    /// Has the unread counts of a room told again: what was unread may have expired.
    fn recount(&self, room: &Room) {
        self.notify(room);
        let Some(watcher) = self.watcher() else { return };
        for (user, _) in self.local_members(&room.view()) {
            if let Some(account) = self.accounts.open(&user) {
                watcher.read(&account);
            }
        }
    }
}

impl Writer {
    /// Takes what has expired out of the view. What was hidden by a clock that is not `certain` is not in the next
    /// checkpoint.
    pub(super) fn forget(&mut self, journals: &Journals, now: Timestamp, certain: bool) {
        let Self { owner, view, .. } = self;
        let noted = owner.ledger.low.and_then(LowWater::lifetime);
        let limit = shorter(noted, view.lifetime());
        let hidden = owner.ledger.low.map_or(0, |low| view.index_of(low.position));
        let expired = view.expired(now, |position| shorter(limit, lives_for(owner, journals, position)));
        let first = view.first;
        view.forget(expired.max(hidden));
        view.low = view.low.max(owner.ledger.low.map_or(Position::START, |low| low.position));
        if view.first != first {
            self.transactions = self.transactions.starting(view.first);
        }
        self.hidden_at = now;
        if certain && let Some(low) = &mut owner.ledger.low {
            low.position = low.position.max(view.low);
        }
    }
}

/// How long an entry lives by the window it lies in; nothing where for ever.
fn lives_for(owner: &Owner<super::ledger::RoomLedger>, journals: &Journals, position: Position) -> Option<Duration> {
    owner.class_at(journals, position).map_or(Some(Duration::ZERO), Class::lifetime)
}

/// The shorter of two lifetimes; nothing is for ever.
fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

impl View {
    /// Lets go of receipts in threads of which nothing is left.
    fn forget_receipts(&mut self) {
        let dead = self.receipts.keys().filter(|(_, thread)| !self.has_thread_named(thread.as_deref())).cloned();
        for place in dead.collect::<Vec<_>>() {
            self.receipts.remove(&place);
        }
    }

    /// How many of the oldest events have expired by `now`: those up to the last one that has. `lifetime` says how long
    /// the events of a position's window live.
    ///
    /// Windows are looked at from the newest on, because a later one may die before an earlier one. Within a window it is
    /// the beginning that counts: one event that claims to be old does not take what came before it away.
    fn expired(&self, now: Timestamp, lifetime: impl Fn(Position) -> Option<Duration>) -> usize {
        let mut end = self.timeline.len();
        while let Some(last) = end.checked_sub(1).and_then(|last| self.timeline.get(last)) {
            let start = self.index_of(last.position.window()).min(end - 1);
            if let Some(lifetime) = lifetime(last.position) {
                let of_window = self.timeline.iter().take(end).skip(start);
                let expired = of_window.take_while(|entry| entry.ts.after(lifetime) <= now).count();
                if expired > 0 {
                    return start + expired;
                }
            }
            end = start;
        }
        0
    }
}

//! Pictures that people and rooms show of themselves, and whatever else current state shows, stay while they are shown.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
};

use ruma::OwnedRoomId;

use super::Engine;
use crate::{
    house::{HouseLedger, KeptBlob},
    log, media,
    rooms::{self, Kept, Room, Turnover, View, core::StateMap},
};

/// What was looked at last, so that nothing is looked at twice. In RAM only.
#[derive(Default)]
pub(super) struct Seen {
    house: Weak<HouseLedger>,
    profiles: BTreeSet<String>,
    rooms: HashMap<OwnedRoomId, Weak<StateMap>>,
}

/// Why something is not kept.
enum Failure {
    Media,
    Room(rooms::Error),
}

impl From<rooms::Error> for Failure {
    fn from(error: rooms::Error) -> Self {
        Self::Room(error)
    }
}

impl From<media::Error> for Failure {
    fn from(_: media::Error) -> Self {
        Self::Media
    }
}

impl Engine {
    /// Has every open owner keep what it shows, and let go of what it shows no more. An upload whose lifetime ends before
    /// the next round is lost: rounds are a minute apart, and no lifetime is shorter than an hour.
    ///
    /// Whether everything went well.
    pub async fn keep_shown(&self) -> bool {
        let mut seen = self.seen.lock().await;
        let Ok(house) = self.house.view() else { return true };
        let fresh = !std::ptr::eq(seen.house.as_ptr(), Arc::as_ptr(&house));
        let mut unused = Vec::new();
        let mut well = true;
        if fresh {
            let shown = self.rooms.shown_by_profiles(&house);
            let mut turnover = Turnover::between(shown.clone(), &house.blobs);
            unused = std::mem::take(&mut turnover.unused);
            well &= is_well(self.keep_in_house(turnover).await);
            let shown: BTreeSet<String> = shown.into_iter().collect();
            // A room may show what no profile shows any more.
            if !seen.profiles.is_subset(&shown) {
                seen.rooms.clear();
            }
            seen.profiles = shown;
            seen.house = Arc::downgrade(&house);
        }
        let open = self.rooms.all_open();
        seen.rooms.retain(|id, _| open.iter().any(|room| room.id == *id));
        for room in open {
            let view = room.view();
            let known = seen.rooms.get(&room.id);
            if known.is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&view.state))) {
                continue;
            }
            if is_well(self.keep_of_room(&room, &view, &seen.profiles).await) {
                seen.rooms.insert(room.id.clone(), Arc::downgrade(&view.state));
            } else {
                well = false;
            }
        }
        if well && !unused.is_empty() {
            well = is_well(self.let_go_in_house(&house, unused).await);
        } else if !well {
            // What was not done is tried again.
            seen.house = Weak::new();
        }
        well
    }

    async fn keep_in_house(&self, turnover: Turnover) -> Result<(), Failure> {
        let kept = self.media.keep(turnover, None).await?;
        if kept.is_empty() {
            return Ok(());
        }
        Ok(self.rooms.keep_in_house(kept).await?)
    }

    async fn let_go_in_house(&self, house: &HouseLedger, unused: Vec<String>) -> Result<(), Failure> {
        let known = unused.iter().filter_map(|id| Some((id.clone(), house.blobs.get(id)?.clone())));
        let released: HashMap<String, KeptBlob> = known.collect();
        let kept: Kept = unused.into_iter().map(|id| (id, None)).collect();
        self.rooms.keep_in_house(kept).await?;
        Ok(self.media.release(&released).await?)
    }

    /// What profiles show is the house's.
    async fn keep_of_room(&self, room: &Arc<Room>, view: &View, profiles: &BTreeSet<String>) -> Result<(), Failure> {
        let turnover = Turnover::between(self.rooms.shown_by_state(view, profiles), &view.blobs);
        if turnover.is_empty() {
            return Ok(());
        }
        let known = turnover.unused.iter().filter_map(|id| Some((id.clone(), view.blobs.get(id)?.clone())));
        let released: HashMap<String, KeptBlob> = known.collect();
        let most = Some(media::MOST_OF_A_ROOM);
        let kept = self.media.keep(turnover, most).await?;
        if kept.is_empty() {
            return Ok(());
        }
        self.rooms.keep_in_room(room, kept).await?;
        Ok(self.media.release(&released).await?)
    }
}

/// Whether it is done; what is not is tried again.
fn is_well(done: Result<(), Failure>) -> bool {
    let Err(failure) = done else { return true };
    match failure {
        Failure::Room(error) => log::warn!("what is shown is not kept", reason = error.reason()),
        Failure::Media => log::warn!("what is shown cannot be read or written"),
    }
    false
}

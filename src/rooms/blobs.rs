//! Blobs that rooms and profiles keep because their current state shows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use ruma::events::room::member::MembershipState;

use super::{Error, hall::Rooms, ledger::RoomChange, room::Room, view::View};
use crate::{
    event::Event,
    house::{HouseChange, HouseLedger, KeptBlob},
    store::Batch,
};

/// Letters of a media id.
const ID_LETTERS: usize = 22;
/// The most blobs one room keeps: a large set of emotes.
const MOST_BLOBS: usize = 256;

/// What an owner should keep and does not, and what it keeps although nothing shows it any more.
#[derive(Default)]
pub struct Turnover {
    /// Media ids to keep, the most wanted first.
    pub missing: Vec<String>,
    /// Media ids to let go.
    pub unused: Vec<String>,
    /// The bytes that the owner keeps beside `unused`.
    pub kept_bytes: u64,
}

/// What an owner begins and ceases to keep.
pub type Kept = BTreeMap<String, Option<KeptBlob>>;

impl Turnover {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unused.is_empty()
    }

    /// From what is kept to what is shown.
    #[must_use]
    pub fn between(shown: Vec<String>, kept: &OrdMap<String, KeptBlob>) -> Self {
        let mut turnover = Self { missing: shown, ..Self::default() };
        let wanted: BTreeSet<String> = turnover.missing.iter().cloned().collect();
        for (id, blob) in kept {
            if wanted.contains(id) {
                turnover.missing.retain(|missing| missing != id);
                turnover.kept_bytes += blob.length;
            } else {
                turnover.unused.push(id.clone());
            }
        }
        turnover
    }
}

impl Rooms {
    /// The blob of this media id that the house or an open room keeps.
    #[must_use]
    pub fn kept_blob(&self, id: &str) -> Option<KeptBlob> {
        let in_house = self.house.view().ok().and_then(|house| house.blobs.get(id).cloned());
        in_house.or_else(|| self.all_open().iter().find_map(|room| room.view().blobs.get(id).cloned()))
    }

    /// The media of this server that profiles show.
    #[must_use]
    pub fn shown_by_profiles(&self, house: &HouseLedger) -> Vec<String> {
        let values = house.profiles.values().flat_map(|profile| profile.0.values());
        self.ids_in(values.filter_map(serde_json::Value::as_str), &BTreeSet::new())
    }

    /// The media of this server that the current state of a room shows and that is not among `others`: its picture first,
    /// then in no order that matters. Who is out shows nothing.
    #[must_use]
    pub fn shown_by_state(&self, view: &View, others: &BTreeSet<String>) -> Vec<String> {
        let is_out = |event: &Event| matches!(event.membership(), Some(MembershipState::Leave | MembershipState::Ban));
        let picture = view.state.find("m.room.avatar", "");
        let events = picture.into_iter().chain(view.state.iter()).filter(|event| !is_out(event));
        let mut found = self.ids_in(events.map(|event| event.content_text()), others);
        found.truncate(MOST_BLOBS);
        found
    }

    /// Notes in the house what it begins and ceases to keep.
    pub async fn keep_in_house(&self, kept: Kept) -> Result<(), Error> {
        let changes = kept.into_iter().map(|(id, blob)| HouseChange::Blob(id, blob)).collect();
        Ok(self.house.change(|_| changes).await?)
    }

    /// Notes in a room what it begins and ceases to keep.
    pub async fn keep_in_room(&self, room: &Arc<Room>, kept: Kept) -> Result<(), Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        let mut batch = Batch::default();
        let changes = kept.into_iter().map(|(id, blob)| RoomChange::Blob(id, blob)).collect();
        writer.owner.change(&self.journals, changes, &mut batch)?;
        writer.view.blobs = writer.owner.ledger.blobs.clone();
        self.settle(room, &mut writer, batch).await
    }

    /// The ids of this server's media that stand in `texts` and are not among `others`, each once.
    fn ids_in<'a>(&self, texts: impl Iterator<Item = &'a str>, others: &BTreeSet<String>) -> Vec<String> {
        let start = format!("mxc://{}/", self.policy.server_name);
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for text in texts {
            for behind in text.split(&start).skip(1) {
                let id: String = behind.chars().take_while(|c| is_letter(*c)).collect();
                if id.len() == ID_LETTERS && !others.contains(&id) && known.insert(id.clone()) {
                    found.push(id);
                }
            }
        }
        found
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

//! Joins of a moment ago, so that sync does not overtake what the client has yet to understand.
//!
//! Whoever invites somebody into an encrypted room sends the keys of what was said before in a message between devices,
//! ahead of the invitation. Clients read such messages on one connection and rooms on another, and take the keys only
//! from whom they know to have invited them: they note that when their own request to join is answered, unless a sync has
//! told them by then that they are in. So while messages that came before wait for the device, a connection that does not
//! carry them tells of an invitation turned into a room only when they have been fetched, or a moment after the join. In
//! RAM only.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, RoomId};

use crate::{accounts::Session, seal::slots::SlotId};

/// How long messages are waited for: a phone under load decrypts some in half a second.
const WAIT: Duration = Duration::from_secs(1);

type Device = (SlotId, OwnedDeviceId);

/// Rooms that devices joined a moment ago, and until when.
#[derive(Default)]
pub(super) struct Joins(Mutex<HashMap<Device, BTreeMap<OwnedRoomId, Duration>>>);

impl Joins {
    /// Notes a join at `now` of the steady clock. What is over goes: there are as many as can be asked for in a moment.
    pub(super) fn note(&self, session: &Session, room: &RoomId, now: Duration) {
        let mut devices = self.0.lock();
        for rooms in devices.values_mut() {
            rooms.retain(|_, end| *end > now);
        }
        devices.retain(|_, rooms| !rooms.is_empty());
        devices.entry(device(session)).or_default().insert(room.to_owned(), now.saturating_add(WAIT));
    }

    /// The rooms that the session's device joined a moment before `now`.
    pub(super) fn of(&self, session: &Session, now: Duration) -> BTreeMap<OwnedRoomId, Duration> {
        let devices = self.0.lock();
        let rooms = devices.get(&device(session)).into_iter().flatten();
        rooms.filter(|(_, end)| **end > now).map(|(room, end)| (room.clone(), *end)).collect()
    }
}

fn device(session: &Session) -> Device {
    (session.account.slot, session.device.clone())
}

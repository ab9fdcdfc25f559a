//! The order of an account's rooms: by the last event that counts as activity.
//!
//! A room's stamp is an integer and not a clock: it starts at the coarse time of the event, which its members know
//! anyway, and steps by one where that does not say which came first. It never decreases while the process lives.

use std::collections::HashMap;

use ruma::OwnedRoomId;

use crate::{clock::Timestamp, journal::Position, rooms::View};

/// Events that move a room up (MSC4186).
const BUMPS: [&str; 8] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
];

/// How much older than the newest stamp the activity of a room never seen before must be to count as old: the longest
/// step that coarse time takes.
const BUCKET: u64 = 300_000;

/// The stamps of one account's rooms.
#[derive(Default)]
pub(super) struct Recency {
    rooms: HashMap<OwnedRoomId, Stamp>,
    last: u64,
}

struct Stamp {
    end: Position,
    bump: Position,
    told: u64,
}

/// The last activity of a room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Activity {
    /// When it came, as exactly as it is known: for comparing, never for telling.
    pub(super) arrived: Timestamp,
    /// Its coarse time.
    pub(super) ts: Timestamp,
    /// Where it stands.
    pub(super) position: Position,
}

impl Recency {
    /// Notes the activity of rooms; `look` is asked only where a room has moved since the last time.
    pub(super) fn note<'a>(
        &mut self,
        rooms: impl Iterator<Item = (&'a OwnedRoomId, Position)>,
        look: impl Fn(&OwnedRoomId) -> Activity,
    ) {
        let mut moved: Vec<_> = rooms
            .filter(|(id, end)| self.rooms.get(*id).is_none_or(|known| known.end != *end))
            .map(|(id, end)| (look(id), id, end))
            .collect();
        moved.sort_unstable();
        for (activity, id, end) in moved {
            let known = self.rooms.get(id);
            let stamp = match known {
                Some(known) if activity.position <= known.bump => known.told,
                None if activity.ts.0.saturating_add(BUCKET) < self.last => activity.ts.0,
                _ => activity.ts.0.max(self.last + 1),
            };
            let bump = known.map_or(activity.position, |known| known.bump.max(activity.position));
            self.last = self.last.max(stamp);
            self.rooms.insert(id.clone(), Stamp { end, bump, told: stamp });
        }
    }

    /// The stamp of a room that was noted.
    #[must_use]
    pub(super) fn stamp(&self, room: &OwnedRoomId) -> u64 {
        self.rooms.get(room).map_or(0, |known| known.told)
    }

    /// Forgets rooms the account has no part in.
    pub(super) fn retain(&mut self, keep: impl Fn(&OwnedRoomId) -> bool) {
        self.rooms.retain(|id, _| keep(id));
    }
}

/// The last activity in `view`: an event that counts, else the newest of what is left.
#[must_use]
pub(super) fn activity(view: &View) -> Activity {
    let counts = |kind: &str| BUMPS.contains(&kind);
    let entry = view.timeline.iter().rev().find(|entry| counts(entry.kind())).or_else(|| view.timeline.last());
    // Where everything has expired, the room keeps its place.
    let expired = || Activity { arrived: view.last_ts, ts: view.last_ts, position: view.end() };
    entry.map_or_else(expired, |entry| Activity {
        arrived: view.arrived(entry),
        ts: entry.ts,
        position: entry.position,
    })
}

#[cfg(test)]
mod tests {
    use ruma::RoomId;

    use super::*;

    fn id(name: &str) -> OwnedRoomId {
        RoomId::parse(format!("!{name}:b")).unwrap()
    }

    fn note(recency: &mut Recency, rooms: &[(&str, u64, u64, u64)]) {
        let ids: Vec<_> = rooms.iter().map(|(name, ..)| id(name)).collect();
        let ends = ids.iter().zip(rooms).map(|(id, room)| (id, Position(room.3)));
        recency.note(ends, |wanted| {
            let (_, arrived, ts, position) = rooms[ids.iter().position(|id| id == wanted).unwrap()];
            Activity { arrived: Timestamp(arrived), ts: Timestamp(ts), position: Position(position) }
        });
    }

    #[test]
    fn newer_activity_has_the_greater_stamp_and_nothing_sinks() {
        let mut recency = Recency::default();
        note(
            &mut recency,
            &[("a", 1_000_005, 1_000_000, 7), ("b", 1_000_003, 1_000_000, 9), ("c", 500_000, 500_000, 3)],
        );
        assert_eq!(
            [recency.stamp(&id("c")), recency.stamp(&id("b")), recency.stamp(&id("a"))],
            [500_000, 1_000_000, 1_000_001]
        );
        // The same coarse time, later: on top. Nothing new: as before. Expired: as before.
        note(&mut recency, &[("b", 1_000_009, 1_000_000, 10), ("c", 500_000, 500_000, 3), ("a", 1, 1, 2)]);
        assert_eq!(
            [recency.stamp(&id("b")), recency.stamp(&id("a")), recency.stamp(&id("c"))],
            [1_000_002, 1_000_001, 500_000]
        );
        // A room that turns up late takes the place of its activity.
        note(&mut recency, &[("d", 600_000, 600_000, 1)]);
        assert_eq!(recency.stamp(&id("d")), 600_000);
        recency.retain(|room| *room == id("a"));
        assert_eq!(recency.stamp(&id("d")), 0);
    }
}

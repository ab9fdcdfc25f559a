//! The sync points of every device, in RAM for the last few tokens, and their way into the vault.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{point::Point, token::SyncToken};
use crate::{
    accounts::vault::{SavedPoint, VaultLedger},
    journal::Position,
    random::Random,
};

/// Points kept per device: an answer may be lost and asked for again, more than a few times in a row never.
const MOST_POINTS: usize = 6;
/// Devices with points at once; the one that was silent for longest is resumed from its vault.
const MOST_DEVICES: usize = 4096;
/// How often a device's point is written to its vault at most.
const SAVE_EVERY: Duration = Duration::from_mins(10);

/// Who syncs.
pub(super) type Who = (OwnedUserId, OwnedDeviceId);

/// The sync points of every device.
pub(super) struct Points {
    /// Tells this process's tokens from those of others.
    boot: u64,
    devices: Mutex<HashMap<Who, Device>>,
}

struct Device {
    count: u64,
    /// Oldest first; the one used last is the last to go.
    points: VecDeque<(u64, Arc<Point>)>,
    acknowledged: Option<u64>,
    saved: Duration,
    used: Duration,
}

impl Points {
    /// No points yet.
    #[must_use]
    pub(super) fn new(random: &dyn Random) -> Self {
        let boot = u64::from(u32::from_le_bytes(random.bytes()));
        Self { boot: boot << 32, devices: Mutex::default() }
    }

    /// The point a token names: exactly, or an earlier one that outlived the process, or none.
    pub(super) fn find(&self, who: &Who, token: SyncToken, vault: &VaultLedger, now: Duration) -> Option<Arc<Point>> {
        let mut devices = self.devices.lock();
        if let Some(device) = devices.get_mut(who) {
            device.used = now;
            if let Some(at) = device.points.iter().position(|(number, _)| *number == token.number) {
                let (number, point) = device.points.remove(at)?;
                device.points.push_back((number, Arc::clone(&point)));
                device.acknowledged = Some(number);
                return Some(point);
            }
        }
        drop(devices);
        let saved = vault.sync_points.get(&who.1)?;
        // Whoever holds a later token of the same process has seen at least what was saved.
        let covers = saved.token >> 32 == token.number >> 32 && saved.token <= token.number;
        covers.then(|| Arc::new(Point::resumed(saved, token.to_device)))
    }

    /// Keeps a new point and gives it a number.
    pub(super) fn add(&self, who: &Who, point: Point, now: Duration) -> u64 {
        let mut devices = self.devices.lock();
        if devices.len() >= MOST_DEVICES && !devices.contains_key(who) {
            let idle = devices.iter().min_by_key(|(_, device)| device.used).map(|(who, _)| who.clone());
            idle.and_then(|idle| devices.remove(&idle));
        }
        let device = devices.entry(who.clone()).or_insert_with(|| Device {
            count: 0,
            points: VecDeque::new(),
            acknowledged: None,
            saved: now,
            used: now,
        });
        device.count += 1;
        let number = self.boot | (device.count & 0xffff_ffff);
        device.points.push_back((number, Arc::new(point)));
        if device.points.len() > MOST_POINTS {
            device.points.pop_front();
        }
        device.used = now;
        number
    }

    /// Moves a point forward over what its device need not be told.
    pub(super) fn advance(&self, who: &Who, number: u64, point: Point) {
        let mut devices = self.devices.lock();
        let device = devices.get_mut(who);
        let known = device.and_then(|device| device.points.iter_mut().find(|(known, _)| *known == number));
        if let Some((_, known)) = known {
            *known = Arc::new(point);
        }
    }

    /// What a device has surely been told, once in a while.
    pub(super) fn due(&self, who: &Who, now: Duration) -> Option<SavedPoint> {
        let mut devices = self.devices.lock();
        let device = devices.get_mut(who)?;
        if now.saturating_sub(device.saved) < SAVE_EVERY {
            return None;
        }
        device.saved = now;
        device.sure()
    }

    /// Who has been told something.
    #[must_use]
    pub(super) fn users(&self) -> BTreeSet<OwnedUserId> {
        self.devices.lock().keys().map(|(user, _)| user.clone()).collect()
    }

    /// Up to where a token's device has been told a room's events; nothing when it was told none.
    pub(super) fn position(&self, who: &Who, token: SyncToken, room: &ruma::RoomId) -> Option<Position> {
        let devices = self.devices.lock();
        let (_, point) = devices.get(who)?.points.iter().find(|(number, _)| *number == token.number)?;
        point.rooms.get(room).map(|point| point.position).filter(|position| *position != Position::START)
    }

    /// What the devices of `user` have surely been told.
    pub(super) fn of(&self, user: &UserId) -> Vec<(OwnedDeviceId, SavedPoint)> {
        let devices = self.devices.lock();
        let own = devices.iter().filter(|((of, _), _)| of == user);
        own.filter_map(|((_, id), device)| Some((id.clone(), device.sure()?))).collect()
    }

    /// Lets go of what the devices of `user` have been told. Their numbers go on: none is given twice.
    pub(super) fn rest(&self, user: &UserId) {
        let mut devices = self.devices.lock();
        for (_, device) in devices.iter_mut().filter(|((of, _), _)| of == user) {
            device.points.clear();
            device.acknowledged = None;
        }
    }

    /// Lets go of a device that is gone.
    pub(super) fn forget(&self, who: &Who) {
        self.devices.lock().remove(who);
    }
}

impl Device {
    /// The point acknowledged last: its device may ask from it again, or from a later one. Before any was, the first.
    fn sure(&self) -> Option<SavedPoint> {
        let acknowledged =
            self.acknowledged.and_then(|acknowledged| self.points.iter().find(|(n, _)| *n == acknowledged));
        let (number, point) = acknowledged.or_else(|| self.points.iter().min_by_key(|(number, _)| *number))?;
        Some(point.saved(*number))
    }
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};

    use super::*;
    use crate::random::SeededRandom;

    const NOW: Duration = Duration::ZERO;

    fn who() -> Who {
        (user_id!("@a:b").to_owned(), device_id!("D").to_owned())
    }

    fn token(number: u64) -> SyncToken {
        SyncToken { number, to_device: Position(7) }
    }

    #[test]
    fn the_last_few_tokens_are_known_and_the_one_in_use_stays() {
        let points = Points::new(&SeededRandom::new(1));
        let vault = VaultLedger::default();
        let first = points.add(&who(), Point { devices: 1, ..Point::default() }, NOW);
        for _ in 0..50 {
            assert!(points.find(&who(), token(first), &vault, NOW).is_some_and(|point| point.devices == 1));
            points.add(&who(), Point::default(), NOW);
        }
        for _ in 0..MOST_POINTS {
            points.add(&who(), Point::default(), NOW);
        }
        assert!(points.find(&who(), token(first), &vault, NOW).is_none());
    }

    #[test]
    fn a_saved_point_serves_its_token_and_later_ones_of_the_same_process() {
        let points = Points::new(&SeededRandom::new(1));
        let number = points.add(&who(), Point { devices: 5, ..Point::default() }, NOW);
        let later = points.add(&who(), Point { devices: 6, ..Point::default() }, NOW);
        let mut vault = VaultLedger::default();
        points.find(&who(), token(number), &vault, NOW);
        assert_eq!(points.users(), BTreeSet::from([who().0]));
        let (_, saved) = points.of(&who().0).remove(0);
        assert_eq!((saved.token, saved.stamp), (number, 5));
        vault.sync_points.insert(who().1, saved);
        let after = Points::new(&SeededRandom::new(2));
        for known in [number, later] {
            let point = after.find(&who(), token(known), &vault, NOW).unwrap();
            assert!(point.devices == 5 && point.to_device == Position(7));
        }
        assert!(after.find(&who(), token(number - 1), &vault, NOW).is_none());
        assert!(after.find(&who(), token(number ^ (1 << 40)), &vault, NOW).is_none());
    }

    #[test]
    fn who_rests_is_resumed_from_what_was_saved_and_numbers_go_on() {
        let points = Points::new(&SeededRandom::new(1));
        let mut vault = VaultLedger::default();
        let number = points.add(&who(), Point { devices: 5, ..Point::default() }, NOW);
        let (device, saved) = points.of(&who().0).remove(0);
        vault.sync_points.insert(device, saved);
        points.rest(&who().0);
        assert!(points.of(&who().0).is_empty());
        assert!(points.find(&who(), token(number), &vault, NOW).is_some_and(|point| point.devices == 5));
        assert_eq!(points.add(&who(), Point::default(), NOW), number + 1);
    }

    #[test]
    fn points_are_saved_once_in_a_while() {
        let points = Points::new(&SeededRandom::new(1));
        points.add(&who(), Point::default(), NOW);
        assert!(points.due(&who(), NOW).is_none());
        assert!(points.due(&who(), SAVE_EVERY).is_some());
        assert!(points.due(&who(), SAVE_EVERY).is_none());
    }
}

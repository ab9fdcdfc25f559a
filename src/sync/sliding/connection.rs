//! Connections: what each has been told, for the last two answers. In RAM only, and bounded.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use imbl::{OrdMap, OrdSet};
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{Error, required::Rule};
use crate::{
    accounts::vault::Fact, clock::Timestamp, journal::Position, random::Random, rooms::core::StateMap,
    seal::slots::SlotId, sync::parts::People,
};

/// The most connections of a device: Element X has three, and starts a new one under the same name when it starts.
const MOST_OF_DEVICE: usize = 10;
/// The most connections altogether: two for each of the devices of a large server. The one used least recently goes.
const MOST: usize = 8_192;
/// States kept of a connection: what the client is known to have, what it was sent last, and what two requests that
/// overtook each other were sent.
const MOST_STATES: usize = 4;

/// Which connection: an account's life, a device, the client's name for it.
pub(super) type Name = (SlotId, OwnedDeviceId, String);

/// What a connection has been told.
#[derive(Clone, Default)]
pub(super) struct State {
    /// Rooms.
    pub(super) rooms: OrdMap<OwnedRoomId, Sent>,
    /// What extensions told of rooms.
    pub(super) sides: OrdMap<OwnedRoomId, Side>,
    /// The rooms in each list.
    pub(super) counts: BTreeMap<String, usize>,
    /// The count of the vault up to which global account data was told.
    pub(super) data: Option<u64>,
    /// Whose devices the client follows, and the house's stamp at that time.
    pub(super) people: Option<(People, u64)>,
    /// The count of the vault up to which signatures on others' keys were told.
    pub(super) signed: Option<u64>,
    /// The count of the vault up to which thread subscriptions were told.
    pub(super) threads: Option<u64>,
    /// What was told of profiles.
    pub(super) profiles: Option<super::profiles::Told>,
    /// Key counts.
    pub(super) keys: Option<(BTreeMap<String, u64>, Vec<String>)>,
    /// When the answer was made.
    pub(super) at: Option<Timestamp>,
}

/// What has been told of a room.
#[derive(Clone)]
pub(super) struct Sent {
    /// How the account stood to it.
    pub(super) fact: Fact,
    /// The newest event told.
    pub(super) until: Position,
    /// From here to `until` there is no gap in what was told.
    pub(super) from: Position,
    /// How many of the latest events are known to be told.
    pub(super) limit: usize,
    /// The state at that time.
    pub(super) state: Arc<StateMap>,
    /// What was asked for of it.
    pub(super) rules: Vec<Arc<Rule>>,
    /// Members told because the timeline needed them.
    pub(super) members: OrdSet<OwnedUserId>,
    /// Whether it was a direct chat.
    pub(super) is_dm: bool,
    /// Unread notifications and highlights.
    pub(super) unread: (u64, u64),
    /// Joined and invited.
    pub(super) members_count: (u64, u64),
    /// Recency.
    pub(super) stamp: u64,
}

impl Sent {
    /// Whether the client learns of members only as it needs them.
    pub(super) fn is_lazy(&self) -> bool {
        self.rules.iter().any(|rule| rule.lazy)
    }
}

/// What extensions told of a room.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Side {
    /// The count of the vault up to which account data was told.
    pub(super) data: Option<u64>,
    /// `m.fully_read`.
    pub(super) fully: Option<OwnedEventId>,
    /// The count up to which public receipts were told, and from which event on.
    pub(super) receipts: Option<(u64, Position)>,
    /// The count up to which receipts were told that moved nothing.
    pub(super) echoed: u64,
    /// The viewer's private receipts.
    pub(super) private: Vec<(Option<String>, Position)>,
    /// The count of typing.
    pub(super) typing: u64,
    /// Whether somebody was typing.
    pub(super) was_typing: bool,
}

/// Every connection.
#[derive(Default)]
pub(super) struct Connections(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Tells this process's positions from those of others.
    process: Option<u64>,
    all: HashMap<Name, Connection>,
    clock: u64,
}

struct Connection {
    tag: u64,
    next: u64,
    used: u64,
    states: VecDeque<(u64, Arc<State>)>,
}

/// Digits of a tag: the process in the upper half, the connection in the lower.
const TAG_DIGITS: usize = 16;

/// A `pos`.
#[derive(Clone, Copy)]
pub(super) struct Pos {
    tag: u64,
    number: u64,
}

impl Pos {
    fn parse(text: &str) -> Option<Self> {
        let (tag, number) = text.split_once('_').filter(|(tag, _)| tag.len() == TAG_DIGITS)?;
        Some(Self { tag: u64::from_str_radix(tag, 16).ok()?, number: number.parse().ok()? })
    }

    /// Its text.
    #[must_use]
    pub(super) fn text(self) -> String {
        format!("{:016x}_{}", self.tag, self.number)
    }
}

impl Connections {
    /// What the client that sends `pos` has been told, and forgets what it no longer needs; a new connection without.
    pub(super) fn resume(
        &self,
        name: &Name,
        pos: Option<&str>,
        random: &dyn Random,
    ) -> Result<(Pos, Arc<State>), Error> {
        let mut table = self.0.lock();
        table.clock += 1;
        let used = table.clock;
        let mut drawn = [0; 8];
        random.fill(&mut drawn);
        let [drawn, fresh] =
            [&drawn[..4], &drawn[4..]].map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let process = *table.process.get_or_insert(fresh);
        let pos = pos.map(|pos| Pos::parse(pos).ok_or(Error::UnknownPos)).transpose()?;
        // A position of a process that ended, or of an account that has closed since, is not an error: the client is told
        // everything again. An error would make it forget which rooms it wanted to see.
        let rested =
            |pos: &Pos| table.all.get(name).is_some_and(|known| known.tag == pos.tag && known.states.is_empty());
        let Some(pos) = pos.filter(|pos| pos.tag >> 32 == process && !rested(pos)) else {
            let start = Arc::new(State::default());
            let pos = Pos { tag: process << 32 | drawn, number: 0 };
            let states = VecDeque::from([(0, Arc::clone(&start))]);
            table.all.insert(name.clone(), Connection { tag: pos.tag, next: 1, used, states });
            table.shrink(name);
            return Ok((pos, start));
        };
        let connection = table.all.get_mut(name).filter(|connection| connection.tag == pos.tag);
        let connection = connection.ok_or(Error::UnknownPos)?;
        let known = connection.states.iter().find(|(number, _)| *number == pos.number);
        let state = Arc::clone(&known.ok_or(Error::UnknownPos)?.1);
        connection.used = used;
        connection.states.retain(|(number, _)| *number >= pos.number);
        Ok((pos, state))
    }

    /// Lets go of what the devices of an account have been told: it closes.
    pub(super) fn rest(&self, account: SlotId) {
        let mut table = self.0.lock();
        for (_, connection) in table.all.iter_mut().filter(|((slot, ..), _)| *slot == account) {
            connection.states.clear();
        }
    }

    /// Notes what the answer to a request with `base` told; the `pos` of the answer.
    pub(super) fn advance(&self, name: &Name, base: Pos, state: State) -> Result<Pos, Error> {
        let mut table = self.0.lock();
        let connection = table.all.get_mut(name).filter(|connection| connection.tag == base.tag);
        let connection = connection.ok_or(Error::UnknownPos)?;
        let number = connection.next;
        connection.next += 1;
        connection.states.push_back((number, Arc::new(state)));
        if connection.states.len() > MOST_STATES {
            connection.states.remove(1);
        }
        Ok(Pos { tag: base.tag, number })
    }
}

impl Table {
    fn shrink(&mut self, newest: &Name) {
        let siblings = self.all.keys().filter(|(slot, device, _)| (slot, device) == (&newest.0, &newest.1)).count();
        let crowded = siblings > MOST_OF_DEVICE;
        if !crowded && self.all.len() <= MOST {
            return;
        }
        let candidates = self
            .all
            .iter()
            .filter(|(name, _)| *name != newest && (!crowded || (&name.0, &name.1) == (&newest.0, &newest.1)));
        let oldest = candidates.min_by_key(|(_, connection)| connection.used).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            self.all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn name(id: &str) -> Name {
        (SlotId([1; 16]), "DEVICE".into(), id.to_owned())
    }

    fn told(at: u64) -> State {
        State { data: Some(at), ..State::default() }
    }

    #[test]
    fn the_last_two_positions_are_known_and_no_others() {
        let (table, random) = (Connections::default(), SeededRandom::new(1));
        let (start, _) = table.resume(&name("a"), None, &random).unwrap();
        let one = table.advance(&name("a"), start, told(1)).unwrap().text();
        let (base, _) = table.resume(&name("a"), Some(&one), &random).unwrap();
        let two = table.advance(&name("a"), base, told(2)).unwrap().text();
        // A retry finds what the client had.
        let (base, state) = table.resume(&name("a"), Some(&one), &random).unwrap();
        assert_eq!(state.data, Some(1));
        let again = table.advance(&name("a"), base, told(3)).unwrap().text();
        assert_eq!(table.resume(&name("a"), Some(&two), &random).unwrap().1.data, Some(2));
        assert_eq!(table.resume(&name("a"), Some(&again), &random).unwrap().1.data, Some(3));
        for unknown in [one.as_str(), "", "x", "1_1", &format!("{two}0")] {
            assert!(matches!(table.resume(&name("a"), Some(unknown), &random), Err(Error::UnknownPos)), "{unknown}");
        }
        assert!(table.resume(&name("b"), Some(&again), &random).is_err());
        let (fresh, state) = table.resume(&name("a"), None, &random).unwrap();
        assert!(state.data.is_none() && fresh.tag != base.tag);
        assert!(table.resume(&name("a"), Some(&again), &random).is_err());
        assert!(table.advance(&name("a"), base, told(4)).is_err());
    }

    #[test]
    fn a_connection_of_an_account_that_closed_meanwhile_starts_afresh() {
        let (table, random) = (Connections::default(), SeededRandom::new(3));
        let (start, _) = table.resume(&name("a"), None, &random).unwrap();
        let pos = table.advance(&name("a"), start, told(1)).unwrap().text();
        table.rest(SlotId([2; 16]));
        assert_eq!(table.resume(&name("a"), Some(&pos), &random).unwrap().1.data, Some(1));
        table.rest(SlotId([1; 16]));
        let (fresh, state) = table.resume(&name("a"), Some(&pos), &random).unwrap();
        assert!(state.data.is_none() && fresh.tag != start.tag);
        assert!(table.resume(&name("a"), Some(&pos), &random).is_err());
    }

    #[test]
    fn the_connections_of_a_device_and_their_states_are_bounded() {
        let (table, random) = (Connections::default(), SeededRandom::new(2));
        for count in 0..20 {
            table.resume(&name(&count.to_string()), None, &random).unwrap();
        }
        assert_eq!(table.0.lock().all.len(), MOST_OF_DEVICE);
        let (base, _) = table.resume(&name("19"), None, &random).unwrap();
        for count in 0..20 {
            table.advance(&name("19"), base, told(count)).unwrap();
        }
        assert_eq!(table.0.lock().all[&name("19")].states.len(), MOST_STATES);
        assert!(table.resume(&name("19"), Some(&base.text()), &random).is_ok());
    }
}

//! What is due and what is late. Pure: no clock, no disk.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::{Moment, Timestamp},
    metrics::{Lateness, State},
    store::Partition,
};

/// How long after the last of a partition has expired it may take to reach each state.
const OBJECTIVES: [(State, Duration); 4] = [
    (State::Hidden, Duration::from_mins(1)),
    (State::Dereferenced, Duration::from_mins(5)),
    (State::Shredded, Duration::from_mins(15)),
    (State::Gone, Duration::from_hours(24)),
];

/// Which partitions have expired, and how far each has got.
#[derive(Default)]
pub(super) struct Board {
    waiting: BTreeMap<Partition, Waiting>,
}

struct Waiting {
    /// When the last of it expired, as far as is known.
    since: Timestamp,
    /// The last state it has reached.
    reached: Option<State>,
}

impl Board {
    /// Takes in what has expired at `moment` and says whose keys are to be destroyed now. `over` are the living partitions
    /// whose last rows have expired by the time that is shown, with when they did; `dead` have no key any more and lie
    /// somewhere still.
    pub(super) fn due(
        &mut self,
        moment: &Moment,
        over: &[(Partition, Timestamp)],
        dead: &[Partition],
    ) -> Vec<Partition> {
        for (partition, since) in over {
            self.waiting.entry(*partition).or_insert(Waiting { since: *since, reached: None });
        }
        for partition in dead {
            let fresh = Waiting { since: moment.shown, reached: None };
            self.waiting.entry(*partition).or_insert(fresh).reached = Some(State::Shredded);
        }
        // What the clock no longer says, and nothing has been done about.
        self.waiting.retain(|partition, waiting| {
            waiting.reached >= Some(State::Shredded) || over.iter().any(|(over, _)| over == partition)
        });
        let due = over.iter().filter(|(_, since)| moment.trusted && *since <= moment.time);
        due.map(|(partition, _)| *partition).collect()
    }

    /// Notes that everything that had expired has reached `state`, which is not beyond [`State::Dereferenced`].
    pub(super) fn all_reached(&mut self, state: State) {
        for waiting in self.waiting.values_mut() {
            waiting.reached = waiting.reached.max(Some(state));
        }
    }

    /// Notes that the keys of `partitions` are destroyed.
    pub(super) fn shredded(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(waiting) = self.waiting.get_mut(partition) {
                waiting.reached = Some(State::Shredded);
            }
        }
    }

    /// Notes that nothing is left of those that were shredded.
    pub(super) fn all_gone(&mut self) {
        self.waiting.retain(|_, waiting| waiting.reached < Some(State::Shredded));
    }

    /// How many partitions wait for each state, and by how long the worst of them is late.
    pub(super) fn lateness(&self, now: Timestamp) -> Lateness {
        let mut lateness = Lateness::default();
        for waiting in self.waiting.values() {
            for (state, objective) in OBJECTIVES {
                if waiting.reached < Some(state) {
                    lateness.waiting[state as usize] += 1;
                    let late = now.since(waiting.since.after(objective));
                    lateness.overdue = lateness.overdue.max(late);
                }
            }
        }
        lateness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Class;

    const ONE: Partition = Partition { class: Class::Day, serial: 1 };
    const TWO: Partition = Partition { class: Class::Day, serial: 2 };
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn moment(minutes: u64, trusted: bool) -> Moment {
        let time = NOW.after(Duration::from_mins(minutes));
        Moment { time, shown: time, trusted, firm: trusted }
    }

    #[test]
    fn objectives_are_counted_from_when_it_expired() {
        let mut board = Board::default();
        let over = [(ONE, NOW)];
        assert!(board.due(&moment(0, false), &over, &[]).is_empty(), "nobody trusts the clock");
        let lateness = board.lateness(moment(4, false).shown);
        assert_eq!((lateness.waiting, lateness.overdue), ([1, 1, 1, 1], Duration::from_mins(3)));
        board.all_reached(State::Dereferenced);
        let lateness = board.lateness(moment(20, false).shown);
        assert_eq!((lateness.waiting, lateness.overdue), ([0, 0, 1, 1], Duration::from_mins(5)));
        assert_eq!(board.due(&moment(21, true), &over, &[]), [ONE]);
        board.shredded(&[ONE]);
        board.due(&moment(22, true), &[], &[ONE]);
        let lateness = board.lateness(moment(25 * 60, true).shown);
        assert_eq!((lateness.waiting, lateness.overdue), ([0, 0, 0, 1], Duration::from_hours(1)));
        board.all_gone();
        assert_eq!(board.lateness(moment(2, true).shown), Lateness::default());
    }

    #[test]
    fn what_a_wrong_clock_showed_is_forgotten_and_what_a_cut_left_is_not() {
        let mut board = Board::default();
        board.due(&moment(0, false), &[(ONE, NOW)], &[TWO]);
        assert_eq!(board.lateness(NOW).waiting, [1, 1, 1, 2]);
        board.due(&moment(1, true), &[], &[TWO]);
        assert_eq!(board.lateness(NOW).waiting, [0, 0, 0, 1]);
        // What is hidden by a clock that is ahead is not due by the time that is trusted.
        let ahead = Moment { time: NOW, shown: NOW.after(Duration::from_hours(9)), trusted: true, firm: true };
        assert!(board.due(&ahead, &[(ONE, NOW.after(Duration::from_hours(1)))], &[]).is_empty());
    }
}

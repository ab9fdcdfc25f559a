//! What time it is for what is to die: the wall clock as far as it can be believed, the monotonic clock beyond.
//!
//! A wrong clock must not destroy a server. Expiry therefore follows the monotonic clock while the process runs; after a
//! start, or when the wall clock has moved by more than an epoch against it, what would have expired is hidden and
//! nothing is destroyed until somebody is known to keep the clock right, an administrator says that it is, or a day has
//! passed without another step (DESIGN §7). Knows no partition and reads no clock but through [`Clock`].

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{Clock, Timestamp};

/// How far wall and monotonic time may part before the wall clock is doubted: the shortest epoch.
const EPOCH: Duration = Duration::from_hours(1);
/// How far they may part before the kernel is asked whether the clock is kept right.
const DRIFT: Duration = Duration::from_secs(1);
/// How long a clock that nobody is known to keep right has to run without a step until it is believed.
pub const STEADY: Duration = Duration::from_hours(24);

/// What time it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time by which things are filed and destroyed. While it is not trusted: for filing only.
    pub time: Timestamp,
    /// The time by which things are hidden: never earlier than `time`, and not behind the wall clock.
    pub shown: Timestamp,
    /// Whether what has expired at `time` may be destroyed.
    pub trusted: bool,
    /// Whether somebody vouches for `time`, and not a steady day alone.
    pub firm: bool,
}

/// What the clocks show.
struct Reading {
    wall: Timestamp,
    steady: Duration,
}

/// What is believed. Every point of steady time has a wall time that follows from it.
struct Trust {
    steady: Duration,
    /// What the wall clock showed at `steady`.
    wall: Timestamp,
    /// What time it was believed to be at `steady`.
    time: Timestamp,
    /// Since when the wall clock has not been set.
    calm: Duration,
    trusted: bool,
    /// Whether `time` comes from a clock that was trusted once, and the monotonic clock since.
    known: bool,
    firm: bool,
    /// By how much `time` turned out to be behind when somebody vouched for a later one, until that is taken.
    behind: Duration,
}

impl Trust {
    fn new(reading: &Reading) -> Self {
        let Reading { wall, steady } = *reading;
        let (trusted, known, firm) = (false, false, false);
        Self { steady, wall, time: wall, calm: steady, trusted, known, firm, behind: Duration::ZERO }
    }

    /// `floor` is a time that has certainly been; `kept` asks whether somebody keeps the clock right.
    fn look(&mut self, reading: &Reading, floor: impl Fn() -> Timestamp, kept: impl Fn() -> Option<bool>) -> Moment {
        let passed = reading.steady.saturating_sub(self.steady);
        let (expected, believed) = (self.wall.after(passed), self.time.after(passed));
        let apart = expected.apart(reading.wall);
        if (!self.firm || !self.trusted || apart > DRIFT) && kept() == Some(true) {
            self.believe(reading, reading.wall, true);
        } else if apart > EPOCH {
            (self.steady, self.wall, self.time) = (reading.steady, reading.wall, believed);
            self.calm = reading.steady;
            // Who set the clock may have undone that.
            self.trusted = self.known && believed.apart(reading.wall) <= EPOCH;
        } else if !self.trusted && reading.steady.saturating_sub(self.calm) >= STEADY {
            self.believe(reading, reading.wall.max(floor()), false);
        }
        self.moment(reading, floor)
    }

    /// Takes `time` for the time from here on.
    fn believe(&mut self, reading: &Reading, time: Timestamp, firm: bool) {
        let Reading { wall, steady } = *reading;
        let behind = time.since(self.time.after(steady.saturating_sub(self.steady)));
        if firm && self.known && !self.firm && behind > EPOCH {
            self.behind += behind;
        }
        *self = Self { steady, wall, time, calm: self.calm, trusted: true, known: true, firm, behind: self.behind };
    }

    fn moment(&self, reading: &Reading, floor: impl Fn() -> Timestamp) -> Moment {
        let mut time = self.time.after(reading.steady.saturating_sub(self.steady));
        if !self.known {
            time = reading.wall.max(floor());
        }
        Moment { time, shown: time.max(reading.wall), trusted: self.trusted, firm: self.firm }
    }
}

impl Timestamp {
    fn apart(self, other: Self) -> Duration {
        self.since(other).max(other.since(self))
    }
}

/// Says what time it is for what is to die. Clones share what is believed.
#[derive(Clone)]
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    trust: Arc<Mutex<Trust>>,
}

impl Timekeeper {
    /// Nothing is believed yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let trust = Arc::new(Mutex::new(Trust::new(&read(&*clock))));
        Self { clock, trust }
    }

    /// What time it is. `floor` is a time that has certainly been, as what is stored shows.
    #[must_use]
    pub fn look(&self, floor: impl Fn() -> Timestamp) -> Moment {
        let mut trust = self.trust.lock();
        trust.look(&read(&*self.clock), floor, || self.clock.is_synchronised())
    }

    /// Takes the wall clock for right: somebody who can see another one says so.
    pub fn confirm(&self) {
        let reading = read(&*self.clock);
        self.trust.lock().believe(&reading, reading.wall, true);
    }

    /// By how much the time that only a steady day spoke for was behind the one that somebody vouches for now; zero when it
    /// was not, or has been asked for before.
    #[must_use]
    pub fn take_behind(&self) -> Duration {
        std::mem::take(&mut self.trust.lock().behind)
    }

    /// How long until a clock that stays as it is is trusted; zero when it is.
    #[must_use]
    pub fn doubt(&self) -> Duration {
        let trust = self.trust.lock();
        if trust.trusted { Duration::ZERO } else { (trust.calm + STEADY).saturating_sub(self.clock.monotonic()) }
    }
}

fn read(clock: &dyn Clock) -> Reading {
    Reading { wall: clock.now(), steady: clock.monotonic() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        random::{Random, SeededRandom},
    };

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);
    const YEAR: Duration = Duration::from_hours(365 * 24);

    fn keeper(kept: Option<bool>) -> (Arc<ManualClock>, Timekeeper) {
        let clock = Arc::new(ManualClock::at(NOW));
        clock.set_synchronised(kept);
        let keeper = Timekeeper::new(Arc::clone(&clock) as _);
        (clock, keeper)
    }

    fn facts(moment: Moment) -> (Timestamp, Timestamp, bool) {
        (moment.time, moment.shown, moment.trusted)
    }

    fn look(keeper: &Timekeeper) -> Moment {
        keeper.look(Timestamp::default)
    }

    #[test]
    fn a_clock_that_is_kept_right_is_believed_at_once_and_followed() {
        let (clock, keeper) = keeper(Some(true));
        assert!(facts(look(&keeper)) == (NOW, NOW, true));
        for wall in [NOW.after(YEAR), NOW.after(HOUR), NOW] {
            clock.set_wall(wall);
            assert!(facts(look(&keeper)) == (wall, wall, true));
        }
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_believed_after_a_steady_day() {
        for kept in [None, Some(false)] {
            let (clock, keeper) = keeper(kept);
            assert!(!look(&keeper).trusted && keeper.doubt() == STEADY);
            clock.advance(STEADY.saturating_sub(HOUR));
            assert!(!look(&keeper).trusted && keeper.doubt() == HOUR);
            clock.set_wall(clock.now().after(2 * HOUR));
            assert!(!look(&keeper).trusted);
            clock.advance(HOUR);
            assert!(!look(&keeper).trusted, "it was set meanwhile");
            clock.advance(STEADY.saturating_sub(HOUR));
            assert!(facts(look(&keeper)) == (clock.now(), clock.now(), true));
            assert_eq!(keeper.doubt(), Duration::ZERO);
        }
    }

    #[test]
    fn a_step_hides_and_destroys_nothing() {
        let (clock, keeper) = keeper(None);
        keeper.confirm();
        clock.advance(HOUR);
        clock.set_wall(clock.now().after(YEAR));
        let right = NOW.after(HOUR);
        assert!(facts(look(&keeper)) == (right, right.after(YEAR), false));
        // Back again: nothing has happened.
        clock.set_wall(right);
        assert!(facts(look(&keeper)) == (right, right, true));
        // A day back: time goes on as it was.
        clock.set_wall(Timestamp(right.0 - 24 * 3_600_000));
        clock.advance(HOUR);
        let right = right.after(HOUR);
        assert!(facts(look(&keeper)) == (right, right, false));
        keeper.confirm();
        assert!(facts(look(&keeper)) == (clock.now(), clock.now(), true));
    }

    #[test]
    fn small_steps_add_up() {
        let (clock, keeper) = keeper(None);
        keeper.confirm();
        for step in 1..=7 {
            clock.set_wall(clock.now().after(HOUR / 6));
            let moment = look(&keeper);
            assert!((moment.time, moment.trusted) == (NOW, step < 7));
        }
    }

    #[test]
    fn what_a_steady_day_was_believed_for_is_made_good() {
        let (clock, keeper) = keeper(None);
        clock.advance(STEADY);
        assert!(look(&keeper).trusted && !look(&keeper).firm);
        clock.set_wall(clock.now().after(3 * HOUR));
        assert!(!look(&keeper).trusted && keeper.take_behind().is_zero());
        clock.set_synchronised(Some(true));
        assert!(look(&keeper).firm);
        assert_eq!((keeper.take_behind(), keeper.take_behind()), (3 * HOUR, Duration::ZERO));
        // Who was vouched for once is not doubted in hindsight: the machine may have slept.
        clock.set_wall(clock.now().after(3 * HOUR));
        assert!(look(&keeper).trusted && keeper.take_behind().is_zero());
    }

    #[test]
    fn a_dead_clock_starts_where_time_has_been() {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        clock.set_synchronised(Some(false));
        let keeper = Timekeeper::new(Arc::clone(&clock) as _);
        assert!(facts(keeper.look(|| NOW)) == (NOW, NOW, false));
        clock.advance(STEADY);
        assert!(facts(keeper.look(|| NOW)) == (NOW, NOW, true));
        clock.advance(HOUR);
        assert!(keeper.look(|| NOW).time == NOW.after(HOUR), "from there on it runs");
    }

    /// Whatever is done to a wall clock that nobody keeps right, what was trusted once runs on with the monotonic clock.
    #[test]
    fn nobody_moves_time_by_setting_the_clock() {
        for seed in 0..200 {
            let random: &dyn Random = &SeededRandom::new(seed);
            let (clock, keeper) = keeper(None);
            keeper.confirm();
            let (mut passed, mut since_step) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..100 {
                if random.below(3) == 0 {
                    clock.set_wall(Timestamp(random.below(2 * NOW.0)));
                    since_step = Duration::ZERO;
                } else {
                    let by = Duration::from_millis(random.below(5 * 3_600_000));
                    clock.advance(by);
                    passed += by;
                    since_step += by;
                }
                let moment = look(&keeper);
                if since_step >= STEADY {
                    break;
                }
                assert!(moment.time == NOW.after(passed));
                assert!(moment.shown == moment.time.max(clock.now()));
            }
        }
    }
}

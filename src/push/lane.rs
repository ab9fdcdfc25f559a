//! A lane: what waits for one push target, and when the next attempt is due. Pure: no clock, no randomness, no I/O.
//!
//! Targets fail apart from each other. A target that fails is asked again after a growing while; what has waited for too
//! long is dropped, because the device has long found out by itself.

use std::{collections::VecDeque, time::Duration};

/// What waits for one target at most: a phone that was away shows the latest.
pub(super) const MOST_WAITING: usize = 32;
/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long something may wait before it is dropped.
const GIVE_UP: Duration = Duration::from_hours(24);

/// What waits for one target.
pub(super) struct Lane<T> {
    waiting: VecDeque<(Duration, T)>,
    /// Whether the first of them is under way.
    busy: bool,
    failures: u32,
    due: Duration,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), busy: false, failures: 0, due: Duration::ZERO }
    }
}

/// How an attempt went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The gateway took it.
    Taken,
    /// The gateway did not take it and never will.
    Refused,
    /// The gateway was not there or had no time; it may have said when to come back.
    Failed(Option<Duration>),
}

impl<T> Lane<T> {
    /// Adds something; the oldest goes when too much waits. What is under way stays.
    pub(super) fn put(&mut self, thing: T, now: Duration) {
        if self.waiting.len() >= MOST_WAITING {
            let oldest = usize::from(self.busy);
            self.waiting.remove(oldest);
        }
        self.waiting.push_back((now, thing));
    }

    /// Whether something of this kind waits that is not under way.
    pub(super) fn has(&self, alike: impl Fn(&T) -> bool) -> bool {
        self.waiting.iter().skip(usize::from(self.busy)).any(|(_, thing)| alike(thing))
    }

    /// When the next attempt is due; never while one is under way or nothing waits.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.busy && !self.waiting.is_empty()).then_some(self.due)
    }

    /// Takes up the first thing, if an attempt is due.
    pub(super) fn begin(&mut self, now: Duration) -> Option<&T> {
        self.due().filter(|due| *due <= now)?;
        self.waiting.retain(|(since, _)| now.saturating_sub(*since) < GIVE_UP);
        self.busy = !self.waiting.is_empty();
        self.waiting.front().map(|(_, thing)| thing)
    }

    /// Ends the attempt that was begun. `jitter` is a number below 2^32 that spreads the attempts of many lanes.
    pub(super) fn end(&mut self, outcome: Outcome, now: Duration, jitter: u32) {
        self.busy = false;
        if outcome == Outcome::Taken {
            self.waiting.pop_front();
            (self.failures, self.due) = (0, now);
            return;
        }
        if outcome == Outcome::Refused {
            self.waiting.pop_front();
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(20)).min(LONGEST_WAIT);
        // Between half of it and all of it.
        let wait = wait.mul_f64(0.5 + f64::from(jitter) / (2.0 * f64::from(u32::MAX)));
        let asked = if let Outcome::Failed(Some(asked)) = outcome { asked.min(LONGEST_WAIT) } else { Duration::ZERO };
        self.failures = self.failures.saturating_add(1);
        self.due = now + wait.max(asked);
    }

    /// Whether the last attempt failed.
    pub(super) fn fails(&self) -> bool {
        self.failures > 0
    }

    /// Whether nothing is left to remember at `now`.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        self.waiting.is_empty() && !self.busy && self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_fails_is_tried_again_later_and_later() {
        let mut lane = Lane::default();
        let mut now = Duration::ZERO;
        lane.put('a', now);
        let mut waits = Vec::new();
        for _ in 0..14 {
            assert_eq!(lane.begin(now), Some(&'a'));
            assert_eq!(lane.begin(now), None, "one attempt at a time");
            lane.end(Outcome::Failed(None), now, u32::MAX);
            let due = lane.due().unwrap();
            waits.push(due.saturating_sub(now).as_secs());
            assert_eq!(lane.begin(due.saturating_sub(Duration::from_millis(1))), None);
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        lane.begin(now).unwrap();
        lane.end(Outcome::Taken, now, 0);
        assert!(lane.is_idle(now) && lane.due().is_none());
        lane.put('b', now);
        assert_eq!(lane.due(), Some(now), "success forgives");
    }

    #[test]
    fn a_gateway_says_when_to_come_back() {
        let mut lane = Lane::default();
        lane.put('a', SECOND);
        lane.begin(SECOND).unwrap();
        lane.end(Outcome::Failed(Some(Duration::from_mins(5))), SECOND, 0);
        assert_eq!(lane.due(), Some(SECOND + Duration::from_mins(5)));
        lane.begin(Duration::from_mins(6)).unwrap();
        lane.end(Outcome::Failed(Some(Duration::from_hours(9))), SECOND, 0);
        assert_eq!(lane.due(), Some(SECOND + LONGEST_WAIT));
    }

    #[test]
    fn what_is_refused_is_not_tried_again_and_what_is_old_is_dropped() {
        let mut lane = Lane::default();
        lane.put('a', Duration::ZERO);
        lane.put('b', SECOND);
        lane.begin(SECOND).unwrap();
        lane.end(Outcome::Refused, SECOND, 0);
        let due = lane.due().unwrap();
        assert_eq!(lane.begin(due), Some(&'b'));
        lane.end(Outcome::Failed(None), due, 0);
        assert_eq!(lane.begin(SECOND + GIVE_UP), None);
        assert!(lane.is_idle(SECOND + GIVE_UP));
    }

    proptest! {
        #[test]
        fn a_lane_holds_the_latest_and_never_what_is_under_way_twice(steps in prop::collection::vec(0..4_u8, 0..200)) {
            let mut lane = Lane::default();
            let (mut now, mut count, mut under_way) = (Duration::ZERO, 0_u32, None);
            for step in steps {
                now += SECOND;
                match step {
                    0 | 1 => {
                        count += 1;
                        lane.put(count, now);
                    }
                    2 => {
                        if let Some(thing) = lane.begin(now).copied() {
                            prop_assert!(under_way.is_none());
                            under_way = Some(thing);
                        }
                    }
                    _ => {
                        if under_way.take().is_some() {
                            lane.end(if count.is_multiple_of(2) { Outcome::Taken } else { Outcome::Failed(None) }, now, 7);
                        }
                    }
                }
                prop_assert!(lane.waiting.len() <= MOST_WAITING);
                let held: Vec<u32> = lane.waiting.iter().map(|(_, thing)| *thing).collect();
                prop_assert!(held.is_sorted());
                if let Some(thing) = under_way {
                    prop_assert_eq!(held.first(), Some(&thing));
                }
            }
        }
    }
}

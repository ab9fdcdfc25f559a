//! Token buckets for any number of callers in a fixed amount of memory.
//!
//! A caller has four cells, chosen by its name. A cell holds the time until which what was taken through it is paid for;
//! the least of the four counts, and taking raises all four. So a caller can only ever be charged for what others took
//! when they share all four cells with it, which nobody can arrange, as names are keyed hashes; and nobody's count is
//! ever dropped to make room for another's, however many addresses an attacker has.

use std::time::Duration;

use parking_lot::Mutex;

use super::Source;

/// Cells of a row. With 2000 callers at their limit, a newcomer is taken for one of them once in 280.
const COLUMNS: usize = 8192;
/// Rows, each with a choice of its own of a caller's cell.
const ROWS: usize = 4;

/// One kind of bucket, for every caller.
pub struct Bucket {
    /// Microseconds; pages that nobody touches take no memory.
    cells: Mutex<Box<[u64]>>,
    interval: u64,
    burst: u64,
}

impl Bucket {
    /// A bucket that holds `burst` units and gets one back each `interval`.
    #[must_use]
    pub fn new(burst: u32, interval: Duration) -> Self {
        let interval = micros(interval).max(1);
        let burst = interval.saturating_mul(u64::from(burst.max(1)));
        Self { cells: Mutex::new(vec![0; ROWS * COLUMNS].into_boxed_slice()), interval, burst }
    }

    /// Takes `units`, or nothing when there are too few; then says when there will be enough. More than the bucket holds
    /// counts as all it holds. `now` is steady time.
    pub fn take(&self, source: Source, units: u64, now: Duration) -> Result<(), Duration> {
        // What was never touched is zero, and lies in the past.
        let now = micros(now).saturating_add(1);
        let cost = self.interval.saturating_mul(units).min(self.burst);
        let places = places(source);
        let mut cells = self.cells.lock();
        let paid = places.iter().map(|place| cells[*place]).min().unwrap_or(0).max(now);
        let after = paid.saturating_add(cost);
        let over = after.saturating_sub(now.saturating_add(self.burst));
        if over > 0 {
            return Err(Duration::from_micros(over));
        }
        for place in places {
            cells[place] = cells[place].max(after);
        }
        Ok(())
    }
}

fn places(source: Source) -> [usize; ROWS] {
    let mut rows = source.0.chunks_exact(4).enumerate().map(|(row, chunk)| {
        let number = chunk.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        row * COLUMNS + number % COLUMNS
    });
    std::array::from_fn(|_| rows.next().expect("a name has four parts"))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{random::SeededRandom, rate::Sources};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_then_a_rate() {
        let bucket = Bucket::new(3, SECOND);
        let (al, bo) = (Source([1; 16]), Source([2; 16]));
        for _ in 0..3 {
            assert!(bucket.take(al, 1, SECOND).is_ok());
        }
        assert_eq!(bucket.take(al, 1, SECOND), Err(SECOND));
        // A refusal costs nothing, and others do not feel it.
        assert_eq!(bucket.take(al, 1, SECOND), Err(SECOND));
        assert!(bucket.take(bo, 1, SECOND).is_ok());
        assert_eq!(bucket.take(al, 1, SECOND * 3 / 2), Err(SECOND / 2));
        assert!(bucket.take(al, 1, SECOND * 2).is_ok());
        assert!(bucket.take(al, 1, SECOND * 2).is_err());
        // A long rest fills it again and not fuller.
        assert!(bucket.take(al, 3, SECOND * 100).is_ok());
        assert!(bucket.take(al, 1, SECOND * 100).is_err());
    }

    #[test]
    fn more_than_fits_takes_everything() {
        let bucket = Bucket::new(3, SECOND);
        assert!(bucket.take(Source([1; 16]), u64::MAX, SECOND).is_ok());
        assert_eq!(bucket.take(Source([1; 16]), 1, SECOND), Err(SECOND));
    }

    #[test]
    fn a_flood_of_other_names_frees_nobody_and_costs_few() {
        let bucket = Bucket::new(3, SECOND);
        let sources = Sources::new(&SeededRandom::new(1));
        let own = sources.account("attacker");
        assert!(bucket.take(own, 3, SECOND).is_ok());
        for count in 0..100_000 {
            let _ = bucket.take(sources.account(&format!("{count}")), 3, SECOND);
        }
        assert!(bucket.take(own, 1, SECOND).is_err());
        let bucket = Bucket::new(3, SECOND);
        for count in 0..2000 {
            let _ = bucket.take(sources.account(&format!("{count}")), 3, SECOND);
        }
        let refused =
            (0..10_000).filter(|count| bucket.take(sources.account(&format!("new {count}")), 1, SECOND).is_err());
        assert!(refused.count() < 100);
    }

    proptest! {
        /// Whatever others do, a caller never gets more than a burst and what the time gives back.
        #[test]
        fn nobody_gets_more_than_his_share(asks in proptest::collection::vec((0..3_u8, 1..4_u64, 0..3000_u64), 1..200)) {
            let bucket = Bucket::new(5, SECOND);
            let (mut now, mut taken) = (Duration::ZERO, 0);
            for (who, units, wait) in asks {
                now += Duration::from_millis(wait);
                if bucket.take(Source([who; 16]), units, now).is_ok() && who == 0 {
                    taken += units;
                }
            }
            prop_assert!(Duration::from_secs(taken) <= SECOND * 5 + now);
        }
    }
}

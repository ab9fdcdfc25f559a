//! The timestamps this server signs (`DESIGN` §7): floored to a bucket, strictly increasing within a room.

use std::time::Duration;

use crate::clock::Timestamp;

const STEP: Duration = Duration::from_millis(1);

/// The timestamp of the next event built here: `now` floored to `bucket`, or one millisecond after `last_issued`, the last
/// one this server issued in the room.
///
/// Clients choose the newest edit by it, so two events never share one.
#[must_use]
pub fn next_ts(now: Timestamp, bucket: Duration, last_issued: Option<Timestamp>) -> Timestamp {
    let floor = now.floor_to(bucket);
    last_issued.map_or(floor, |last| floor.max(last.after(STEP)))
}

/// The timestamp of a receipt for an event of time `event`: never before the event itself, because clients order a receipt
/// against events by time.
#[must_use]
pub fn receipt_ts(now: Timestamp, bucket: Duration, event: Timestamp) -> Timestamp {
    now.floor_to(bucket).max(event.after(STEP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUCKET: Duration = Duration::from_secs(10);

    #[test]
    fn a_quiet_room_shows_the_start_of_the_bucket() {
        assert!(next_ts(Timestamp(1_234_567), BUCKET, None) == Timestamp(1_230_000));
        assert!(next_ts(Timestamp(1_234_567), BUCKET, Some(Timestamp(1_000_000))) == Timestamp(1_230_000));
    }

    #[test]
    fn events_of_one_bucket_differ_by_a_millisecond() {
        assert!(next_ts(Timestamp(1_234_567), BUCKET, Some(Timestamp(1_230_000))) == Timestamp(1_230_001));
    }

    #[test]
    fn a_receipt_is_later_than_its_event() {
        assert!(receipt_ts(Timestamp(1_234_567), BUCKET, Timestamp(1_230_004)) == Timestamp(1_230_005));
        assert!(receipt_ts(Timestamp(1_249_000), BUCKET, Timestamp(1_230_004)) == Timestamp(1_240_000));
    }

    proptest! {
        #[test]
        fn timestamps_rise_whatever_the_clock_does(clock in prop::collection::vec(0_u64..10_000_000, 1..50)) {
            let mut last = None;
            for now in clock {
                let next = next_ts(Timestamp(now), BUCKET, last);
                prop_assert!(last.is_none_or(|last| next > last));
                last = Some(next);
            }
        }
    }
}

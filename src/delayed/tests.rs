//! The schedule alone; what happens to rooms and vaults is told over HTTP in `tests/it/delayed.rs`.

use std::time::Duration;

use proptest::prelude::*;
use ruma::user_id;

use super::schedule::{Pending, Schedule};
use crate::clock::Timestamp;

fn pending(due: u64) -> Pending {
    Pending { user: user_id!("@al:ex.org").to_owned(), due: Duration::from_secs(due), order: 0, since: Timestamp(0) }
}

proptest! {
    /// Whatever comes and goes, events leave in the order of their times, each once, and none that was taken.
    #[test]
    fn events_leave_in_order_and_once(dues in prop::collection::vec(0..20_u64, 0..40), taken in prop::collection::vec(0..40_usize, 0..10)) {
        let mut schedule = Schedule::default();
        for (index, due) in dues.iter().enumerate() {
            schedule.insert(index.to_string(), pending(*due));
        }
        let taken: std::collections::BTreeSet<_> =
            taken.into_iter().filter(|index| schedule.take(&index.to_string()).is_some()).collect();
        let mut expected: Vec<_> =
            dues.iter().enumerate().filter(|(index, due)| !taken.contains(index) && **due <= 10).map(|(index, due)| (*due, index)).collect();
        expected.sort_unstable();
        let mut left = Vec::new();
        while let Some((id, event)) = schedule.take_due(Duration::from_secs(10)) {
            left.push((event.due.as_secs(), id.parse::<usize>().unwrap()));
        }
        prop_assert_eq!(left, expected);
        prop_assert!(schedule.next().is_none_or(|next| next > Duration::from_secs(10)));
    }
}

#[test]
fn an_event_has_one_time() {
    let mut schedule = Schedule::default();
    schedule.insert("a".to_owned(), pending(1));
    schedule.insert("a".to_owned(), pending(5));
    schedule.insert_new("a", pending(2));
    assert!(schedule.take_due(Duration::from_secs(4)).is_none());
    assert!(schedule.get("a").is_some());
    assert!(schedule.take_due(Duration::from_secs(5)).is_some());
    assert!(schedule.get("a").is_none() && schedule.next().is_none());
}

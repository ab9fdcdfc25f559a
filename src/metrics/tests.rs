//! That nothing which follows activity is told at once, or of too few.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{FEWEST, HOUR, Metrics, Outcome, Task};
use crate::{
    clock::{Clock, ManualClock, Timestamp},
    random::SeededRandom,
};

fn metrics() -> (Metrics, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_012_345)));
    let random = SeededRandom::new(1);
    (Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>, &random, PathBuf::from("/")), clock)
}

fn act(metrics: &Metrics, outcome: Outcome, people: usize, times: usize) {
    for person in 0..people {
        for _ in 0..times {
            metrics.answered(outcome, Some(metrics.somebody(&format!("@{person}:x"))));
        }
    }
}

/// The text without the counts of log lines, which all tests of this process share.
fn told(metrics: &Metrics) -> String {
    let text = metrics.text(true);
    text.split_inclusive('\n').filter(|line| !line.starts_with("lethe_log_lines")).collect()
}

#[test]
fn an_hour_is_told_when_it_is_over() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 12, 3);
    let quiet = told(&metrics);
    assert!(!quiet.contains("lethe_hour"), "{quiet}");
    clock.advance(HOUR.saturating_sub(Duration::from_secs(1)));
    assert_eq!(told(&metrics), quiet);
    clock.advance(Duration::from_secs(1));
    let after = told(&metrics);
    assert!(after.contains("lethe_hour_requests{outcome=\"answered\"} 36\n"), "{after}");
    assert!(after.contains("lethe_hour_active_accounts 12\n"), "{after}");
}

#[test]
fn nothing_moves_while_an_hour_runs() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 12, 1);
    clock.advance(HOUR);
    let before = told(&metrics);
    for _ in 0..10 {
        act(&metrics, Outcome::Answered, 30, 5);
        metrics.answered(Outcome::Failed, None);
        clock.advance(Duration::from_mins(5));
        assert_eq!(told(&metrics), before);
    }
}

#[test]
fn fewer_than_ten_are_nobody() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, FEWEST - 1, 1000);
    for _ in 0..1000 {
        metrics.answered(Outcome::Answered, None);
    }
    let silent = told(&metrics);
    clock.advance(HOUR);
    assert_eq!(told(&metrics), silent);
    assert!(metrics.last_hour().is_none());
}

#[test]
fn an_outcome_needs_ten_of_its_own() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 50, 1);
    act(&metrics, Outcome::Refused, FEWEST - 1, 7);
    act(&metrics, Outcome::Limited, FEWEST, 2);
    clock.advance(HOUR);
    let hour = metrics.last_hour().expect("told");
    assert_eq!(hour.of(Outcome::Answered), Some(50));
    assert_eq!((hour.of(Outcome::Refused), hour.of(Outcome::Failed)), (None, None));
    assert_eq!(hour.of(Outcome::Limited), Some(20));
    assert!(!told(&metrics).contains("refused"));
}

#[test]
fn an_hour_that_nobody_asked_about_is_lost() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 20, 1);
    clock.advance(HOUR * 2);
    assert!(metrics.last_hour().is_none());
    act(&metrics, Outcome::Answered, 20, 1);
    clock.advance(HOUR);
    assert!(metrics.last_hour().is_some());
    clock.advance(HOUR);
    assert!(metrics.last_hour().is_none(), "the hour after it was empty");
}

#[test]
fn a_stepped_clock_makes_no_short_hour() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 20, 1);
    clock.set_wall(Timestamp(1_800_000_000_000 + 7_200_000));
    assert!(metrics.last_hour().is_none());
}

#[test]
fn upkeep_is_told_at_once() {
    let (metrics, _) = metrics();
    metrics.ran(Task::Merge, true);
    metrics.ran(Task::Merge, true);
    metrics.ran(Task::Expiry, false);
    let text = metrics.text(false);
    assert!(text.contains("lethe_task_done_total{task=\"merge\"} 2\n"), "{text}");
    assert!(text.contains("lethe_task_failed_total{task=\"expiry\"} 1\n"), "{text}");
    assert!(text.contains("lethe_ready 0\n"), "{text}");
    assert!(text.contains("lethe_start_time_seconds 1800000000\n"), "{text}");
}

#[test]
fn the_text_is_in_the_format() {
    let (metrics, clock) = metrics();
    act(&metrics, Outcome::Answered, 20, 1);
    clock.advance(HOUR);
    let text = told(&metrics);
    let mut families = BTreeSet::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(family.split(' ').next().expect("a name")), "{family} twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<u64>().is_ok(), "{line}");
        assert!(families.contains(name.split('{').next().expect("a name")), "{line} before its family");
    }
    assert!(text.ends_with('\n'));
}

proptest! {
    /// Whoever reads the text as often as he likes learns nothing more than the totals of whole hours with ten
    /// accounts behind each: two days that agree in these look the same at every moment.
    #[test]
    fn one_person_changes_nothing_before_the_hour_is_over(
        others in 0_usize..15,
        moments in prop::collection::vec((0_u64..3600, 0_usize..4), 0..30),
    ) {
        let watch = |busy: bool| {
            let (metrics, clock) = metrics();
            act(&metrics, Outcome::Answered, others, 1);
            let mut seen = Vec::new();
            let mut moments = moments.clone();
            moments.sort_unstable();
            let mut now = 0;
            for (second, outcome) in moments {
                clock.advance(Duration::from_secs(second - now));
                now = second;
                if busy {
                    metrics.answered(Outcome::ALL[outcome], Some(metrics.somebody("@alone:x")));
                }
                seen.push(told(&metrics));
            }
            clock.advance(Duration::from_secs(3600 - now));
            seen.push(if others + 1 < FEWEST { told(&metrics) } else { String::new() });
            seen
        };
        prop_assert_eq!(watch(true), watch(false));
    }
}

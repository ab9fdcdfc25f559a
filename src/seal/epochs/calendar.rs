//! How long epochs are and when they end, in UTC.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Utc};

use super::Error;
use crate::{clock::Timestamp, store::Class};

const HOUR: u64 = 3_600_000;

/// A stretch of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

impl Stretch {
    /// How long the epochs of `class` are; nothing where none ends.
    #[must_use]
    pub fn of(class: Class) -> Option<Self> {
        match class {
            Class::Hour | Class::Day => Some(Self::Hour),
            Class::Week | Class::Month => Some(Self::Day),
            Class::Quarter => Some(Self::Week),
            Class::Year => Some(Self::Month),
            Class::Forever => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The longest that one takes.
    pub(super) fn longest(self) -> Duration {
        Duration::from_hours(match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 31 * 24,
        })
    }

    /// When the one that covers `now` ends.
    fn end(self, now: Timestamp) -> Option<Timestamp> {
        let day = DateTime::<Utc>::from_timestamp_millis(i64::try_from(now.0).ok()?)?.date_naive();
        let end = match self {
            Self::Hour => return Some(Timestamp((now.0 / HOUR + 1) * HOUR)),
            Self::Day => day.checked_add_signed(TimeDelta::days(1)),
            Self::Week => day.checked_add_signed(TimeDelta::days(7 - i64::from(day.weekday().num_days_from_monday()))),
            Self::Month => day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        };
        let end = end?.and_time(NaiveTime::MIN).and_utc();
        u64::try_from(end.timestamp_millis()).ok().map(Timestamp)
    }
}

/// When the epoch of `class` that covers `now` ends.
pub(super) fn epoch_end(class: Class, now: Timestamp) -> Result<Timestamp, Error> {
    Stretch::of(class).and_then(|stretch| stretch.end(now)).ok_or(Error::Clock)
}

//! How long epochs are and when they end, in UTC.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Utc};

use super::Error;
use crate::{clock::Timestamp, store::Class};

const HOUR: u64 = 3_600_000;

/// When the epoch of `class` that covers `now` ends: hours for lifetimes up to a day, days up to 30, weeks (from Monday)
/// for 90, calendar months for a year.
pub(super) fn epoch_end(class: Class, now: Timestamp) -> Result<Timestamp, Error> {
    let millis = i64::try_from(now.0).map_err(|_| Error::Clock)?;
    let day = DateTime::<Utc>::from_timestamp_millis(millis).ok_or(Error::Clock)?.date_naive();
    let midnight = |day: chrono::NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let end = match class {
        Class::Hour | Class::Day => return Ok(Timestamp((now.0 / HOUR + 1) * HOUR)),
        Class::Week | Class::Month => day.checked_add_signed(TimeDelta::days(1)),
        Class::Quarter => day.checked_add_signed(TimeDelta::days(7 - i64::from(day.weekday().num_days_from_monday()))),
        Class::Year => day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        Class::Forever => None,
    };
    let end = end.map(midnight).ok_or(Error::Clock)?;
    u64::try_from(end.timestamp_millis()).map(Timestamp).map_err(|_| Error::Clock)
}

/// The longest an epoch of `class` takes.
pub(super) fn longest(class: Class) -> Duration {
    let hours = match class {
        Class::Hour | Class::Day => 1,
        Class::Week | Class::Month => 24,
        Class::Quarter => 7 * 24,
        Class::Year | Class::Forever => 31 * 24,
    };
    Duration::from_hours(hours)
}

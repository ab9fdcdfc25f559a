//! How an audit is put into lines.

use std::fmt;

use chrono::DateTime;

use super::{Keys, Known, Rows, Seen, Segments};
use crate::clock::Timestamp;

/// A time, to the minute: ends of epochs lie on hours.
pub(super) fn time(at: Timestamp) -> String {
    format(at, "%Y-%m-%d %H:%M")
}

/// A day.
pub(super) fn day(at: Timestamp) -> String {
    format(at, "%Y-%m-%d")
}

fn format(at: Timestamp, pattern: &str) -> String {
    let time = i64::try_from(at.0).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.format(pattern).to_string())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys {
            Some(keys) => keys.fmt(f)?,
            None => writeln!(f, "Without keys: sizes and counts only.")?,
        }
        self.known.iter().try_for_each(|known| known.fmt(f))?;
        if let Some(names) = &self.configuration {
            names.iter().try_for_each(|(key, name)| writeln!(f, "Configuration: {key} = {name}"))?;
        }
        writeln!(f, "\nRows by lifetime and epoch: how many of 1, 2, 4, 8, 16, 32 and 64 KiB")?;
        self.rows.iter().try_for_each(|rows| rows.fmt(f))?;
        if !self.media.is_empty() {
            writeln!(f, "\nMedia by lifetime and epoch")?;
        }
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, devices, rooms, federated_rooms, .. } = self;
        writeln!(
            f,
            "{accounts} accounts, {devices} tokens of devices, {rooms} rooms, {federated_rooms} of them federated"
        )?;
        writeln!(f, "The server's own signing key is {}", if self.signing_key { "there" } else { "missing" })?;
        match &self.restored_on {
            Some(day) => writeln!(f, "Restored from a backup {} times, last on {day}", self.restored),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self.exists {
            Some(true) => "exists here",
            Some(false) => "does not exist here",
            None => "cannot be told: nothing on the disk is named after it",
        };
        writeln!(f, "{}: {answer}", self.name)
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:>7} {:>6} ", self.database, self.class, self.serial)?;
        self.sizes.iter().try_for_each(|count| write!(f, " {count:>6}"))?;
        if let Some(end) = &self.end {
            write!(f, "  until {end}")?;
        }
        if self.others > 0 {
            write!(f, "  {} of other sizes", self.others)?;
        }
        if self.ordered > 0 {
            write!(f, "  {} in the order they were written in", self.ordered)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, serial, files, bytes } = self;
        writeln!(f, "{class:>16} {serial:>6}  {files} files, {bytes} bytes")
    }
}

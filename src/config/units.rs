//! Values with units as people write them: `"30d"`, `"50MiB"`; and secrets, which are read and never written.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::secret::SecretText;

/// A length of time: a whole number followed by `ms`, `s`, `m`, `h`, `d`, `w` or `y` (365 days).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// A span of whole days.
    #[must_use]
    pub const fn days(count: u64) -> Self {
        Self::seconds(count * 86_400)
    }
}

/// Units of time, the largest first, in milliseconds.
const TIMES: &[(&str, u64)] = &[
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of size, the largest first, in bytes.
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// The span that `text` says, if it says one.
pub(super) fn span_of(text: &str) -> Option<Span> {
    parse(text, TIMES).map(|millis| Span(Duration::from_millis(millis)))
}

/// Reads text and gives what `read` makes of it.
pub(super) fn text_of<'de, D: Deserializer<'de>, T>(from: D, read: impl Fn(&str) -> T) -> Result<T, D::Error> {
    from.deserialize_str(Text(read))
}

/// A number of bytes: a whole number followed by `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Splits a number from its unit and multiplies.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes `value` in the largest unit that divides it; weeks and years are never chosen, days read better.
fn write(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    if value == 0 {
        return format!("0{smallest}");
    }
    let unit = units.iter().find(|(name, factor)| !matches!(*name, "w" | "y") && value.is_multiple_of(*factor));
    unit.map_or_else(String::new, |(name, factor)| format!("{}{name}", value / factor))
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        serializer.serialize_str(&write(millis, TIMES, "s"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = text_of(deserializer, span_of)?;
        parsed.ok_or_else(|| de::Error::custom("expected a length of time such as \"10s\", \"12h\" or \"30d\""))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write(self.0, SIZES, "B"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = deserializer.deserialize_str(Text(|text: &str| parse(text, SIZES)))?;
        parsed.map(Self).ok_or_else(|| de::Error::custom("expected a size such as \"512KiB\" or \"50MiB\""))
    }
}

/// A secret from the configuration. It is never written back, so only an absent one serialises.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub SecretText);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a secret is not written"))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text: &str| Self(SecretText::new(text.to_owned()))))
    }
}

/// Reads text and applies a function to it.
struct Text<F>(F);

impl<T, F: Fn(&str) -> T> de::Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        let cases =
            [("10s", 10_000), ("30d", 2_592_000_000), ("1y", 31_536_000_000), ("250ms", 250), ("2 h", 7_200_000)];
        for (text, millis) in cases {
            assert_eq!(parse(text, TIMES), Some(millis), "{text}");
        }
        for text in ["", "10", "d", "-1s", "1.5h", "10sec", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse(text, TIMES), None, "{text}");
        }
        assert_eq!(parse("50MiB", SIZES), Some(50 << 20));
        assert_eq!(parse("50MB", SIZES), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in [0, 1, 999, 60_000, 5_400_000, 2_592_000_000, 604_800_000] {
            assert_eq!(parse(&write(value, TIMES, "s"), TIMES), Some(value));
            assert_eq!(parse(&write(value, SIZES, "B"), SIZES), Some(value));
        }
        assert_eq!(write(604_800_000, TIMES, "s"), "7d");
    }
}

//! How long something is kept, as people write it: `"30d"`, `"12h"`, `"forever"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::{Span, span_of, text_of};

/// How long something is kept. Longer ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// For so long.
    For(Span),
    /// Until its owner goes.
    Forever,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The lifetimes there are besides "forever", the shortest first: each is a class of the store.
pub const STEPS: [Duration; 6] = [
    Duration::from_secs(HOUR),
    Duration::from_secs(DAY),
    Duration::from_secs(7 * DAY),
    Duration::from_secs(30 * DAY),
    Duration::from_secs(90 * DAY),
    Duration::from_secs(365 * DAY),
];

impl Lifetime {
    /// The shortest there is.
    pub const SHORTEST: Self = Self::For(Span(STEPS[0]));

    /// So many hours.
    #[must_use]
    pub const fn hours(count: u64) -> Self {
        Self::For(Span::seconds(count * HOUR))
    }

    /// So many days.
    #[must_use]
    pub const fn days(count: u64) -> Self {
        Self::For(Span::days(count))
    }

    /// The length of time; nothing for "forever".
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::For(span) => Some(span.0),
            Self::Forever => None,
        }
    }

    /// What it acts as: the longest step within it, at least the shortest there is.
    #[must_use]
    pub fn acts_as(self) -> Self {
        let Some(duration) = self.duration() else { return Self::Forever };
        let within = STEPS.into_iter().rev().find(|step| *step <= duration);
        Self::For(Span(within.unwrap_or(STEPS[0])))
    }

    /// What it acts as where nothing shorter may be: the shortest step that is not below it.
    #[must_use]
    pub fn acts_at_least_as(self) -> Self {
        let Some(duration) = self.duration() else { return Self::Forever };
        let above = STEPS.into_iter().find(|step| *step >= duration);
        above.map_or(Self::Forever, |step| Self::For(Span(step)))
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(span) => span.serialize(serializer),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = text_of(deserializer, |text: &str| match text {
            "forever" => Some(Self::Forever),
            text => span_of(text).map(Self::For),
        })?;
        parsed.ok_or_else(|| de::Error::custom("expected a length of time such as \"12h\" or \"30d\", or \"forever\""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Lifetime, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    #[test]
    fn lifetimes_are_read_and_written() {
        for (text, lifetime) in
            [("30d", Lifetime::days(30)), ("12h", Lifetime::hours(12)), ("forever", Lifetime::Forever)]
        {
            assert!(read(text).unwrap() == lifetime);
            assert_eq!(serde_json::to_value(lifetime).unwrap(), text);
        }
        for text in ["", "never", "30", "Forever", "-1d"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Lifetime::Forever > Lifetime::days(365_000));
    }

    proptest! {
        #[test]
        fn a_lifetime_acts_as_a_step_beside_it(seconds in 0_u64..800 * DAY) {
            let lifetime = Lifetime::For(Span::seconds(seconds));
            let (below, above) = (lifetime.acts_as(), lifetime.acts_at_least_as());
            prop_assert!(below <= lifetime.max(Lifetime::SHORTEST) && lifetime <= above);
            prop_assert!(below.acts_as() == below && above.acts_at_least_as() == above);
        }
    }
}

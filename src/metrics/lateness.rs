//! How far forgetting has got.

use std::time::Duration;

/// What becomes of what has expired, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No answer has it.
    Hidden = 0,
    /// Memory does not refer to it.
    Dereferenced = 1,
    /// Its key is destroyed.
    Shredded = 2,
    /// Its rows and files are gone.
    Gone = 3,
}

impl State {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Hidden, Self::Dereferenced, Self::Shredded, Self::Gone];

    /// Its name among the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Dereferenced => "dereferenced",
            Self::Shredded => "shredded",
            Self::Gone => "gone",
        }
    }
}

/// What has expired and waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// How many partitions wait for each of [`State::ALL`].
    pub waiting: [u64; 4],
    /// By how long the worst of them misses its objective.
    pub overdue: Duration,
    /// Whether the clock is trusted: until it is, nothing is destroyed.
    pub trusted: bool,
}

//! One hour of people's activity, and how much of it may be told.

use std::collections::HashSet;

use super::{Somebody, process::Usage};

/// The fewest accounts behind any figure that follows activity.
pub const FEWEST: usize = 10;
/// Accounts told apart in one hour: about 2 MiB. Beyond it the number of active accounts stands still.
const MOST_ACTIVE: usize = 1 << 17;
/// Figures of memory and disk are rounded down to this: a single message moves neither.
const COARSE: u64 = 16 << 20;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As was asked.
    Answered,
    /// The client asked for what it may not or cannot have.
    Refused,
    /// The client asked too often.
    Limited,
    /// The server could not do it.
    Failed,
}

impl Outcome {
    pub(super) const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::Limited, Self::Failed];

    /// The outcome that an HTTP status means.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Limited,
            400..=499 => Self::Refused,
            500.. => Self::Failed,
            _ => Self::Answered,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Failed => "failed",
        }
    }
}

/// What is being counted.
#[derive(Default)]
pub(super) struct Hour {
    active: HashSet<Somebody>,
    requests: [Cell; Outcome::ALL.len()],
}

/// A count, and enough of those behind it to see that there are enough.
#[derive(Default)]
struct Cell {
    count: u64,
    behind: Vec<Somebody>,
}

/// What may be told of an hour in which at least [`FEWEST`] accounts were active.
#[derive(Clone, PartialEq, Eq)]
pub struct Summary {
    /// Accounts that sent a request with their token.
    pub active: u64,
    /// Requests by outcome, where at least [`FEWEST`] accounts had one of it. Those without a token count too.
    pub requests: [Option<u64>; Outcome::ALL.len()],
    /// Processor time the process took, whole seconds.
    pub cpu_seconds: u64,
    /// Memory the process had at the end, bytes, rounded down.
    pub resident_bytes: u64,
    /// Space that was free for data at the end, bytes, rounded down.
    pub free_bytes: u64,
}

impl Summary {
    /// Requests that ended this way, where enough accounts had one.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> Option<u64> {
        self.requests[outcome as usize]
    }
}

impl Hour {
    pub(super) fn add(&mut self, outcome: Outcome, whose: Option<Somebody>) {
        let cell = &mut self.requests[outcome as usize];
        cell.count += 1;
        let Some(whose) = whose else { return };
        if cell.behind.len() < FEWEST && !cell.behind.contains(&whose) {
            cell.behind.push(whose);
        }
        if self.active.len() < MOST_ACTIVE {
            self.active.insert(whose);
        }
    }

    pub(super) fn close(self, before: Usage, after: Usage) -> Option<Summary> {
        let coarse = |bytes: u64| bytes - bytes % COARSE;
        (self.active.len() >= FEWEST).then(|| Summary {
            active: self.active.len() as u64,
            requests: self.requests.map(|cell| (cell.behind.len() >= FEWEST).then_some(cell.count)),
            cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs(),
            resident_bytes: coarse(after.resident),
            free_bytes: coarse(after.free),
        })
    }
}

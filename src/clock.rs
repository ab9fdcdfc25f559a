//! Time, injected: nothing outside this file reads a clock. What a wrong clock must not destroy stands in [`Timekeeper`].

mod trust;

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rtime_clock::adjtime::{Timex, adjtimex};
use tokio::sync::watch;

pub use self::trust::{Moment, STEADY, Timekeeper};

/// What adjtimex answers when the clock is not kept right.
const TIME_ERROR: i32 = 5;
/// The flag in its status that says the same.
const STA_UNSYNC: i32 = 0x40;

/// A point of wall-clock time, in milliseconds since the Unix epoch.
///
/// Exact values live in RAM only; what is stored or signed is coarsened first (`DESIGN` §7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// Milliseconds of a day.
pub const DAY: u64 = 86_400_000;

impl Timestamp {
    /// The start of the step of length `bucket` that this point lies in; a zero bucket changes nothing.
    #[must_use]
    pub fn floor_to(self, bucket: Duration) -> Self {
        let step = u64::try_from(bucket.as_millis()).unwrap_or(u64::MAX).max(1);
        Self(self.0 - self.0 % step)
    }

    /// This point moved `by` into the future, saturating.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whole days since 1970: the finest time a vault keeps of many things.
    #[must_use]
    pub fn day(self) -> u64 {
        self.0 / DAY
    }

    /// The time from `earlier` to this point, zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The source of all time.
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time now.
    fn now(&self) -> Timestamp;
    /// A clock that never steps, counted from an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// Whether somebody keeps the wall clock right; nothing when that cannot be told.
    fn is_synchronised(&self) -> Option<bool>;
    /// Waits until the monotonic side has moved by `span`.
    fn sleep(&self, span: Duration) -> Sleep;
}

/// A wait on a [`Clock`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The machine's clocks.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_synchronised(&self) -> Option<bool> {
        // Reads alone: no mode is set. The mark is what time daemons set, and goes when the clock is set by hand or nobody
        // has corrected it for hours.
        let mut state = Timex::new();
        let answer = adjtimex(&mut state).ok()?;
        Some(answer != TIME_ERROR && state.0.status & STA_UNSYNC == 0)
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// A clock that moves only when told to, and is kept right unless told otherwise: for tests.
pub struct ManualClock {
    wall: AtomicU64,
    steady: watch::Sender<u64>,
    synchronised: Mutex<Option<bool>>,
}

impl ManualClock {
    /// A clock standing at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self { wall: AtomicU64::new(start.0), steady: watch::Sender::new(0), synchronised: Mutex::new(Some(true)) }
    }

    /// Moves both sides forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.wall.fetch_add(by, Ordering::SeqCst);
        self.steady.send_modify(|steady| *steady += by);
    }

    /// Steps the wall clock alone, as a wrong or corrected RTC does.
    pub fn set_wall(&self, to: Timestamp) {
        self.wall.store(to.0, Ordering::SeqCst);
    }

    /// Says whether somebody keeps the wall clock right.
    pub fn set_synchronised(&self, synchronised: Option<bool>) {
        *self.synchronised.lock() = synchronised;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(*self.steady.borrow())
    }

    fn is_synchronised(&self) -> Option<bool> {
        *self.synchronised.lock()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let mut steady = self.steady.subscribe();
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let end = steady.borrow().saturating_add(span);
        Box::pin(async move { drop(steady.wait_for(|steady| *steady >= end).await) })
    }
}

//! Logging that cannot name anybody: fixed messages, and fields of types that opted in.
//!
//! The only file that uses `tracing`. Lines are written to standard error without a time: whoever collects them
//! (systemd, a container runtime) stamps them. Targets outside this crate are off, because libraries log identifiers.

use std::{
    fmt,
    panic::Location,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[doc(hidden)]
pub(crate) use tracing::{Level, event};
use tracing::{level_filters::LevelFilter, subscriber::set_global_default};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt};

mod sealed {
    /// Keeps [`super::LogSafe`] closed to values that could carry text from outside.
    pub trait Sealed {}
}

/// A value that may appear in a log: it cannot carry an identifier, a secret or foreign text.
pub trait LogSafe: sealed::Sealed {
    /// Writes the value.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! log_safe {
    ($($type:ty),+) => {
        $(
            impl sealed::Sealed for $type {}
            impl LogSafe for $type {
                fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )+
    };
}

log_safe!(bool, u8, u16, u32, u64, usize, i32, i64, &'static str);

/// A line of source code.
impl sealed::Sealed for Location<'_> {}

impl LogSafe for Location<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl sealed::Sealed for Duration {}

impl LogSafe for Duration {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.as_millis())
    }
}

impl<T: LogSafe> sealed::Sealed for Option<T> {}

/// A value that may be unknown, or known to too many or too few.
impl<T: LogSafe> LogSafe for Option<T> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(value) => value.write(f),
            None => f.write_str("-"),
        }
    }
}

static ERRORS: AtomicU64 = AtomicU64::new(0);
static WARNINGS: AtomicU64 = AtomicU64::new(0);

/// How many lines asked for somebody's attention since the start, written or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Lines of the level error.
    pub errors: u64,
    /// Lines of the level warn.
    pub warnings: u64,
}

/// Counts since the start of the process.
#[must_use]
pub fn lines() -> Lines {
    Lines { errors: ERRORS.load(Ordering::Relaxed), warnings: WARNINGS.load(Ordering::Relaxed) }
}

/// Counts a line; called by the macros.
#[doc(hidden)]
pub fn count(level: Level) {
    match level {
        Level::ERROR => ERRORS.fetch_add(1, Ordering::Relaxed),
        Level::WARN => WARNINGS.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
}

/// Prints a [`LogSafe`] value; made by the macros.
pub struct Shown<'a, T: LogSafe + ?Sized>(pub &'a T);

impl<T: LogSafe + ?Sized> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

macro_rules! define {
    ($($(#[doc = $doc:literal])+ $name:ident = $inner:ident: $level:ident;)+) => {
        define!(@each ($) $($(#[doc = $doc])+ $name = $inner: $level;)+);
    };
    (@each ($d:tt) $($(#[doc = $doc:literal])+ $name:ident = $inner:ident: $level:ident;)+) => {
        $(
            $(#[doc = $doc])+
            macro_rules! $inner {
                ($d message:literal $d (, $d field:ident = $d value:expr)* $d(,)?) => {{
                    $crate::log::count($crate::log::Level::$level);
                    $crate::log::event!(
                        $crate::log::Level::$level,
                        $d($d field = %$crate::log::Shown(&$d value),)*
                        $d message
                    )
                }};
            }
            pub(crate) use $inner as $name;
        )+
    };
}

define! {
    /// A fault of this server that somebody must look at.
    error = log_error: ERROR;
    /// Something the operator should change or know, and can.
    warn = log_warn: WARN;
    /// A change of the server's own state: start, stop, maintenance. Never that a request happened.
    info = log_info: INFO;
    /// What helps a developer.
    debug = log_debug: DEBUG;
}

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The least important level that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Faults only.
    Error,
    /// And what the operator should change.
    Warn,
    /// And changes of the server's state.
    Info,
    /// And what helps developers.
    Debug,
}

/// Starts logging to standard error and replaces the panic message by the panic's place. Later calls do nothing.
pub fn init(format: Format, verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Error => LevelFilter::ERROR,
        Verbosity::Warn => LevelFilter::WARN,
        Verbosity::Info => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let ours = Targets::new().with_target("lethe", level);
    let lines = tracing_subscriber::fmt().with_max_level(level).without_time().with_writer(std::io::stderr);
    let started = match format {
        Format::Human => set_global_default(lines.with_target(false).finish().with(ours)),
        Format::Json => set_global_default(lines.json().finish().with(ours)),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| log_panic(panic.location())));
    }
}

/// A panic's payload may quote data, so only its place is written.
fn log_panic(place: Option<&Location<'_>>) {
    if let Some(place) = place {
        error!("panic", place = *place);
    } else {
        error!("panic at an unknown place");
    }
}

//! Percentiles, and the lines that are printed.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

static MET: AtomicUsize = AtomicUsize::new(0);
static MISSED: AtomicUsize = AtomicUsize::new(0);

/// Durations of one kind, in microseconds.
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut micros: Vec<f64>) -> Self {
        micros.sort_by(f64::total_cmp);
        Self(micros)
    }

    /// The value below which the share `quantile` of them lies; NaN when there is none.
    pub(crate) fn at(&self, quantile: f64) -> f64 {
        let index = (self.0.len().saturating_sub(1) as f64 * quantile).round() as usize;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }
    pub(crate) fn count(&self) -> f64 {
        self.0.len() as f64
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// `micros` in the unit that fits.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        value if value.is_nan() => "-".to_owned(),
        value if value < 10.0 => format!("{value:.1} µs"),
        value if value < 1000.0 => format!("{value:.0} µs"),
        value if value < 1e6 => format!("{:.1} ms", value / 1e3),
        value => format!("{:.2} s", value / 1e6),
    }
}

/// Begins a group of lines.
pub(crate) fn section(name: &str) {
    println!("\n{name}");
}

/// A figure without a budget.
pub(crate) fn show(what: &str, value: &str) {
    println!("  {what:<58} {value:>22}");
}

/// A figure beside its budget; `None` when there is nothing to compare with.
pub(crate) fn judge(what: &str, value: &str, budget: &str, met: Option<bool>) {
    let verdict = match met {
        Some(true) => "pass",
        Some(false) => "MISS",
        None => "not judged",
    };
    match met {
        Some(true) => _ = MET.fetch_add(1, Ordering::Relaxed),
        Some(false) => _ = MISSED.fetch_add(1, Ordering::Relaxed),
        None => {}
    }
    println!("  {what:<58} {value:>22}   budget {budget:<34} {verdict}");
}

/// A time, in microseconds, that must not be longer than `most`.
pub(crate) fn at_most(what: &str, value: f64, most: f64) {
    judge(what, &time(value), &format!("≤ {}", time(most)), Some(value <= most));
}

/// A time that must not be longer than `factor` times `base`, which `limit` needed.
pub(crate) fn ratio(what: &str, value: f64, factor: f64, base: Option<f64>) {
    match base {
        Some(base) => {
            let budget = format!("≤ {factor} × limit's {} ({:.1} ×)", time(base), value / base);
            judge(what, &time(value), &budget, Some(value <= factor * base));
        }
        None => judge(what, &time(value), &format!("≤ {factor} × limit: limit not given"), None),
    }
}

/// The last line.
pub(crate) fn sum() {
    let (met, missed) = (MET.load(Ordering::Relaxed), MISSED.load(Ordering::Relaxed));
    println!("\n{met} of {} judged figures are within their budgets.", met + missed);
}

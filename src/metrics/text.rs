//! The text form that Prometheus reads
//! ([format](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format)).

use std::{
    fmt::{self, Write},
    sync::atomic::Ordering,
};

use super::{Metrics, Outcome, State, Task};
use crate::log;

impl Metrics {
    /// The content type of [`Metrics::text`].
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Everything that may be told now; `ready` is whether a write would be taken.
    #[must_use]
    pub fn text(&self, ready: bool) -> String {
        let mut text = Text(String::new());
        self.of_server(&mut text, ready);
        self.of_forgetting(&mut text);
        self.of_people(&mut text);
        text.0
    }

    /// What the server does by itself. The start is told to the minute.
    fn of_server(&self, text: &mut Text, ready: bool) {
        text.family("lethe_build_info", "gauge", "The version of the server.");
        text.sample("lethe_build_info", Some(("version", env!("CARGO_PKG_VERSION"))), 1);
        text.family("lethe_start_time_seconds", "gauge", "When the process started.");
        text.sample("lethe_start_time_seconds", None, self.started.0 / 60_000 * 60);
        text.family("lethe_ready", "gauge", "Whether a write would be taken.");
        text.sample("lethe_ready", None, u64::from(ready));
        text.family("lethe_log_lines_total", "counter", "Lines of the log that ask for somebody's attention.");
        let lines = log::lines();
        text.sample("lethe_log_lines_total", Some(("level", "error")), lines.errors);
        text.sample("lethe_log_lines_total", Some(("level", "warn")), lines.warnings);
        for (result, name, help) in [
            (0, "lethe_task_done_total", "Upkeep that was done, by task."),
            (1, "lethe_task_failed_total", "Upkeep of which something failed, by task."),
        ] {
            text.family(name, "counter", help);
            for task in Task::ALL {
                let count = self.tasks[task as usize][result].load(Ordering::Relaxed);
                text.sample(name, Some(("task", task.name())), count);
            }
        }
    }

    /// How far forgetting has got.
    fn of_forgetting(&self, text: &mut Text) {
        let lateness = self.lateness();
        text.family("lethe_expired_partitions", "gauge", "Partitions that have expired, by the state they wait for.");
        for state in State::ALL {
            let count = lateness.waiting[state as usize];
            text.sample("lethe_expired_partitions", Some(("waiting_for", state.name())), count);
        }
        for (name, help, value) in [
            (
                "lethe_expiry_overdue_seconds",
                "By how long the worst objective of forgetting is missed.",
                lateness.overdue.as_secs(),
            ),
            (
                "lethe_clock_trusted",
                "Whether the clock is known to be right: until it is, nothing is destroyed.",
                u64::from(lateness.trusted),
            ),
        ] {
            text.family(name, "gauge", help);
            text.sample(name, None, value);
        }
    }

    /// What follows people's activity: of the last whole hour, when enough of them were active in it.
    fn of_people(&self, text: &mut Text) {
        let Some(hour) = self.last_hour() else { return };
        text.family("lethe_hour_requests", "gauge", "Requests in the last whole hour, by outcome.");
        for outcome in Outcome::ALL {
            if let Some(count) = hour.of(outcome) {
                text.sample("lethe_hour_requests", Some(("outcome", outcome.name())), count);
            }
        }
        for (name, help, value) in [
            ("lethe_hour_active_accounts", "Accounts active in the last whole hour.", hour.active),
            ("lethe_hour_cpu_seconds", "Processor time taken in the last whole hour.", hour.cpu_seconds),
            ("lethe_hour_resident_bytes", "Memory held at the end of the last whole hour.", hour.resident_bytes),
            ("lethe_hour_free_bytes", "Space free for data at the end of the last whole hour.", hour.free_bytes),
        ] {
            text.family(name, "gauge", help);
            text.sample(name, None, value);
        }
    }
}

/// Lines of the format. Labels and values are the server's own words and numbers, so nothing needs escaping.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &'static str)>, value: u64) {
        match label {
            Some((key, label)) => self.line(format_args!("{name}{{{key}=\"{label}\"}} {value}")),
            None => self.line(format_args!("{name} {value}")),
        }
    }

    fn line(&mut self, content: fmt::Arguments<'_>) {
        writeln!(self.0, "{content}").expect("a string takes every write");
    }
}

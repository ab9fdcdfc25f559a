//! `lethe doctor`: looks at a server the way an experienced administrator would, and says what to change.
//!
//! Owns the findings and their words. Reads and tries; changes nothing that stays.

mod copies;
pub mod external;
mod finding;
mod machine;
mod proxy;
mod settings;
mod storage;
mod tls;

use std::path::PathBuf;

pub use self::finding::{Finding, Report, Severity};
use crate::{
    clock::Clock,
    config::{Config, Error as ConfigError},
    random::Random,
};

/// What the doctor looks at.
pub struct Patient<'a> {
    /// The configuration, or why it cannot be used.
    pub config: &'a Result<Config, ConfigError>,
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// Configurations of the proxy: files or directories; the usual places when empty.
    pub proxy: Vec<PathBuf>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Randomness, for what is written and removed again.
    pub random: &'a dyn Random,
}

/// Looks at everything that can be seen from this machine.
pub async fn examine(patient: &Patient<'_>) -> Report {
    let mut report = Report::default();
    match patient.config {
        Ok(config) => {
            settings::examine(config, patient.file.as_deref(), &mut report);
            storage::examine(config, patient.random, &mut report);
            copies::examine(config, patient.clock.now(), &mut report);
            machine::examine(config, &mut report).await;
            tls::examine(config, patient.clock.now(), &mut report);
        }
        Err(error) => report.add(Finding::error(
            "config.valid",
            error.to_string(),
            "The server does not start with it, and nothing else can be looked at without it.",
            "Correct it; `lethe config example` shows every key with its default.",
        )),
    }
    proxy::examine(&patient.proxy, &mut report);
    report
}

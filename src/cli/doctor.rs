//! `lethe doctor`: what an experienced administrator would find.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, show};
use crate::{
    clock::SystemClock,
    config::{Config, Error as ConfigError},
    doctor::{self, Patient, Report},
    probe::certificate::Roots,
    random::OsRandom,
};

/// What the doctor looks at.
#[derive(Args)]
pub(super) struct Options {
    /// Look at a server from outside instead, as clients see it: https://example.org.
    #[arg(long, value_name = "URL")]
    external: Option<String>,
    /// With --external: further certification authorities to trust (PEM).
    #[arg(long, value_name = "FILE", requires = "external")]
    ca: Option<PathBuf>,
    /// A configuration of the proxy in front: a file or a directory; may be given more than once.
    #[arg(long = "proxy-config", value_name = "FILE")]
    proxy: Vec<PathBuf>,
}

/// Examines and prints; exits with 1 after warnings and 2 after errors.
pub(super) fn run(
    config: &Result<Config, ConfigError>,
    file: Option<&Path>,
    options: &Options,
    json: bool,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = SystemClock::new();
    let report: Report = runtime.block_on(async {
        if let Some(url) = &options.external {
            return doctor::external::examine(url, &Roots::public(options.ca.as_deref()), &clock).await;
        }
        let file = file.map(Path::to_owned);
        let patient = Patient { config, file, proxy: options.proxy.clone(), clock: &clock, random: &OsRandom };
        doctor::examine(&patient).await
    });
    let text = if json { report.json() } else { report.to_string() };
    show(text.trim_end())?;
    match report.exit_code() {
        0 => Ok(()),
        code => Err(Error::Found(code)),
    }
}

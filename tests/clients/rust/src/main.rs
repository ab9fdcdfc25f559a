//! One story told by the engine of Element X, with the server killed in the middle. Every step is run; a failed
//! one is reported and the story goes on. The exit code is 1 when any step failed. With the argument `days` another story
//! is told: that of a room whose messages have all expired.
//!
//! The story never uses `/sync`: each device runs a `SyncService` (room list and encryption connections of simplified
//! sliding sync) and reads through a `Timeline`, as Element X does.

// The SDK's futures nest deeper than the default.
#![recursion_limit = "512"]

mod check;
mod days;
mod device;
mod server;
mod story;
mod verify;

use std::process::ExitCode;

use check::{Report, Result};

#[tokio::main]
async fn main() -> ExitCode {
    logging();
    let mut report = Report::default();
    let told = match std::env::args().nth(1).as_deref() {
        Some("days") => days::tell(&mut report).await,
        _ => tell(&mut report).await,
    };
    match told {
        Ok(()) => {}
        Err(error) => report.broke(error.as_ref()),
    }
    if report.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn tell(report: &mut Report) -> Result<()> {
    let mut cast = story::beginning::gather(report).await?;
    story::talking::tell(report, &cast).await;
    story::trusting::tell(report, &mut cast).await;
    story::showing::tell(report, &cast).await;
    story::surviving::tell(report, &mut cast).await;
    story::parting::tell(report, &mut cast).await;
    Ok(())
}

/// Sends what the SDK logs about its requests to a file beside the other output.
fn logging() {
    let Some(out) = std::env::var_os("CLIENTS_OUT") else { return };
    let Ok(file) = std::fs::File::create(std::path::Path::new(&out).join("rust.log")) else { return };
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,matrix_sdk::http_client=debug".to_owned());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(file).init();
}

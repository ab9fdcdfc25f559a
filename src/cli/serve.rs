//! `lethe serve`: run until told to stop.

use tokio::signal::unix::{SignalKind, signal};

use super::{Error, show};
use crate::{
    config::{self, Config},
    log,
    server::{self, Server},
};

/// Runs the server until SIGTERM or SIGINT.
pub(super) fn run(config: Config) -> Result<(), Error> {
    start_log(&config.log);
    server::disable_core_dumps();
    server::raise_open_files(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let scheme = if config.server.tls_key.is_some() { "https" } else { "http" };
        let server = Server::start(config).await?;
        for address in server.addresses() {
            show(&format!("Listening on {scheme}://{address}"))?;
        }
        if let Some(token) = server.services().registration.bootstrap() {
            show(&format!("Registration token: {}", token.expose()))?;
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        server.stop().await;
        Ok(())
    })
}

fn start_log(config: &config::Log) {
    let format = match config.format {
        config::Format::Human => log::Format::Human,
        config::Format::Json => log::Format::Json,
    };
    let verbosity = match config.level {
        config::Level::Error => log::Verbosity::Error,
        config::Level::Warn => log::Verbosity::Warn,
        config::Level::Info => log::Verbosity::Info,
        config::Level::Debug => log::Verbosity::Debug,
    };
    log::init(format, verbosity);
}

//! `make budgets`: puts load on a real server process and prints every figure beside its budget.
//!
//! Times move by half on a shared machine. What depends on the machine is therefore judged as a ratio to `limit`, a
//! program that does the least a sealed send can cost, measured in the same minute; without it, the figures stand alone.

mod events;
mod figures;
mod http;
mod limit;
mod memory;
mod offline;
mod overhead;
mod phases;
mod server;
mod user;

use std::path::PathBuf;

use clap::Parser;

/// Measures Lethe against its budgets.
#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long)]
    binary: PathBuf,
    /// The binary of `limit`; without it there are no ratios.
    #[arg(long)]
    limit: Option<PathBuf>,
    /// A Python with Synapse installed, to measure beside Lethe.
    #[arg(long)]
    synapse: Option<PathBuf>,
    /// A binary built with `--cfg lethe_unsealed`: counts what sealing costs beside it, and nothing else. Needs valgrind.
    #[arg(long)]
    unsealed: Option<PathBuf>,
    /// Seconds each load lasts.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only these parts, by name: start, send, delivery, sync, memory, login, rows, relaxed, synapse.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }
}

fn main() {
    let arguments = Arguments::parse();
    // One thread, so that the load leaves the other core to the server.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(phases::run(&arguments));
}

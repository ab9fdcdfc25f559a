//! Trials of a real Lethe process. Each subcommand prints what it did and fails loudly.

mod canary;
mod crash;
mod hostile;
mod http;
mod process;
mod trace;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long)]
    binary: PathBuf,
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// Kills the server at random moments with requests in flight; what was acknowledged must be there afterwards.
    Crash {
        /// How often.
        #[arg(long, default_value_t = 100)]
        rounds: u32,
    },
    /// Watches the server's system calls: every answered write follows a completed sync that covers it.
    Trace {
        /// How many writes.
        #[arg(long, default_value_t = 50)]
        writes: u32,
    },
    /// Sends bad input of every kind: each gets its error, takes a bounded amount of memory and changes nothing.
    Hostile {
        /// How many syncs wait at the same time.
        #[arg(long, default_value_t = 10_000)]
        polls: u32,
    },
    /// Puts a marker into every field, then searches the disk and the logs for each.
    Canaries {
        /// The same build with sealing off, in which the markers must be found.
        #[arg(long)]
        unsealed: PathBuf,
    },
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.trial {
        Trial::Crash { rounds } => crash::run(&arguments.binary, rounds),
        Trial::Trace { writes } => trace::run(&arguments.binary, writes),
        Trial::Hostile { polls } => hostile::run(&arguments.binary, polls),
        Trial::Canaries { unsealed } => canary::run(&arguments.binary, &unsealed),
    }
}

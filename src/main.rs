//! The lethe binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    lethe::cli::run()
}

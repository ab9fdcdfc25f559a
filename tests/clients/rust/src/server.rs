//! The homeserver under test: where it is, and how it is killed and started again.

use tokio::process::Command;

use crate::check::Result;

/// The base URL the clients are given.
pub fn url() -> Result<String> {
    need("HOMESERVER_URL")
}

/// The registration token, where the server asks for one.
pub fn registration_token() -> Option<String> {
    std::env::var("HOMESERVER_TOKEN").ok()
}

/// Ends the server as a power cut does: SIGKILL, nothing said.
pub async fn kill() -> Result<()> {
    run(&need("HOMESERVER_KILL")?).await
}

/// Starts it again on the same data and returns when it answers.
pub async fn start() -> Result<()> {
    run(&need("HOMESERVER_START")?).await
}

/// Sets the server's clock so many days ahead of everybody else's; it need not run.
pub async fn set_ahead(days: u32) -> Result<()> {
    run(&format!("{} {days}", need("HOMESERVER_CLOCK")?)).await
}

/// Says that the server's clock is right, as an administrator does, and returns when nothing that has expired is left.
pub async fn confirm_clock() -> Result<()> {
    run(&need("HOMESERVER_CONFIRM")?).await
}

async fn run(command: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", command]).status().await?;
    if status.success() { Ok(()) } else { Err(format!("{command}: {status}").into()) }
}

fn need(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set; run this story through ../run").into())
}

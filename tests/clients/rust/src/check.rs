//! Steps, and waiting for what they expect.

use std::{
    error::Error,
    fmt::Debug,
    time::{Duration, Instant},
};

/// The error of any step: only ever printed.
pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How long a step waits for what it expects.
pub const WAIT: Duration = Duration::from_secs(30);
/// In-room verification waits for up to two long-polls of the encryption connection, 30 s each.
pub const LONG_WAIT: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What has passed and what has failed.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
}

impl Report {
    /// Runs one step and prints how it went.
    pub async fn step(&mut self, name: &str, action: impl Future<Output = Result<()>>) {
        let started = Instant::now();
        let outcome = action.await;
        let took = started.elapsed().as_millis();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({took} ms)");
            }
            Err(error) => {
                println!("FAIL {name} ({took} ms)\n       {error}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Notes that the story could not go on.
    pub fn broke(&mut self, error: &(dyn Error + Send + Sync)) {
        println!("FAIL the story goes on\n       {error}");
        self.failed.push("the story goes on".to_owned());
    }

    /// Prints the totals; true when nothing failed.
    pub fn summary(&self) -> bool {
        println!("\n{} ok, {} failed", self.passed, self.failed.len());
        for name in &self.failed {
            println!("  FAIL {name}");
        }
        self.failed.is_empty()
    }
}

/// The first value `look` gives, within [`WAIT`]; `what` names it in the failure.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    within(WAIT, what, look).await
}

/// [`until`] with another limit.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("not within {} s: {what}", limit.as_secs()).into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fails with `what` unless the two are equal.
pub fn same<T: PartialEq + Debug>(what: &str, actual: T, expected: T) -> Result<()> {
    if actual == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {actual:?}").into()) }
}

/// Fails with `what` unless `value` holds.
pub fn expect(what: &str, value: bool) -> Result<()> {
    if value { Ok(()) } else { Err(format!("expected: {what}").into()) }
}

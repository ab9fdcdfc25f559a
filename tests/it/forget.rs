//! The trial of forgetting. Canaries of every kind are planted and made to die in every way there is; then whoever takes
//! the disk, with every row it ever held and every credential that was ever good, must find none of the dead and all of
//! the living.
//!
//! A few hundred canaries here. `make forget` plants ten thousand, on a file system of their own, whose raw bytes are
//! searched too.

mod acts;
mod album;
pub(crate) mod capture;
mod cut;
mod garden;

use std::time::Duration;

use lethe::{
    clock::{Clock as _, SystemClock},
    engine::Pace,
    seizure::{Credential, rob},
};

use self::{
    acts::Acts,
    capture::{Capture, root_keys},
    garden::{Death, Garden, Report},
};
use crate::server::TestServer;

/// Canaries in an ordinary run of the tests.
const FEW: u32 = 300;
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Prints a figure.
#[expect(clippy::print_stderr, reason = "the trial's figures are read by people")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// One run.
struct Trial {
    server: TestServer,
    garden: Garden,
    /// Everything that was ever good, the revoked among it.
    credentials: Vec<Credential>,
    captures: Vec<Capture>,
    /// The root keys of all captures but the last: none of them may be left anywhere.
    past_roots: Vec<Vec<u8>>,
    pace: Pace,
    /// The longest that a round of upkeep has taken, in real time.
    longest: Duration,
}

impl Trial {
    /// Takes what lies on the disk, as whoever pulls the plug does, and starts again.
    async fn seize(&mut self) {
        let capture = Capture::of(&self.server.directory.path().join("data"));
        let gone = self.captures.last().map(|last| root_keys(&last.sectors)).unwrap_or_default();
        let now = root_keys(&capture.sectors);
        self.past_roots.extend(gone.into_iter().filter(|root| !now.contains(root)));
        self.captures.push(capture);
        self.server.restart().await;
        self.pace = Pace::from(self.server.clock.monotonic());
    }

    /// What the adversary finds who has every row of every capture, and the newest keys.
    fn judge(&self, dead: &[Death]) -> Report {
        let image = Capture::all(&self.captures);
        let revoked = rob(&image, &self.garden.revoked);
        assert_eq!((revoked.accounts, revoked.facts.len()), (0, 0), "revoked credentials open nothing");
        self.garden.judge(&rob(&image, &self.credentials), dead)
    }

    /// Lets time pass, with the upkeep that is due after each step.
    async fn wait(&mut self, total: Duration, step: Duration) {
        let mut waited = Duration::ZERO;
        while waited < total {
            self.server.clock.advance(step.min(total.saturating_sub(waited)));
            waited += step;
            let clock = SystemClock::new();
            self.server.upkeep(&mut self.pace).await;
            self.longest = self.longest.max(clock.monotonic());
            let lateness = self.server.server().services().engine.metrics.lateness();
            assert_eq!((lateness.waiting[2], lateness.overdue), (0, Duration::ZERO), "nothing expired waits");
        }
    }
}

#[tokio::test]
async fn what_has_died_is_found_by_nobody_and_what_lives_by_the_same_program() {
    let canaries = std::env::var("LETHE_FORGET").ok().and_then(|count| count.parse().ok()).unwrap_or(FEW);
    let server = TestServer::open().await;
    let pace = Pace::from(server.clock.monotonic());
    let (mut garden, mut credentials) = (Garden::default(), Vec::new());
    let mut acts = Acts::begin(&server, &mut garden, &mut credentials, canaries).await;
    let mut trial = Trial {
        server,
        garden,
        credentials,
        captures: Vec::new(),
        past_roots: Vec::new(),
        pace,
        longest: Duration::ZERO,
    };

    // The control: before anything has died, all of it is found.
    trial.seize().await;
    trial.judge(&[]).passes("before anything died");

    acts.end(&mut trial.garden, &mut trial.credentials).await;
    trial.seize().await;
    trial.judge(&[Death::AtOnce]).passes("after the answers");
    acts.come_back().await;
    trial.wait(15 * MINUTE, MINUTE).await;
    trial.seize().await;
    trial.judge(&[Death::AtOnce, Death::Redaction]).passes("15 minutes later");
    acts.come_back().await;
    trial.wait(DAY, 15 * MINUTE).await;
    trial.seize().await;
    trial.judge(&[Death::AtOnce, Death::Redaction, Death::Generation]).passes("a day later");
    acts.come_back().await;
    trial.wait(28 * DAY, DAY / 4).await;
    acts.plant_the_young(&mut trial.garden).await;
    trial.seize().await;
    acts.come_back().await;
    // The epoch of the first day has ended by now, and its class's lifetime after that.
    trial.wait(2 * DAY + 15 * MINUTE, 15 * MINUTE).await;
    acts.looks_well().await;
    trial.seize().await;
    trial.judge(&Death::ALL).passes("31 days later");
    trial.gone_from_the_disk();
    say(&format!("the longest round of upkeep took {:?}", trial.longest));
}

impl Trial {
    /// D3: the partitions that died have left no file, and no root key of the past lies on the medium.
    fn gone_from_the_disk(&self) {
        let (first, last) = (&self.captures[0], &self.captures[self.captures.len() - 1]);
        let died: Vec<_> = first.partitions.difference(&last.partitions).collect();
        assert!(!died.is_empty(), "partitions have died");
        // The start after the last capture has replaced its root key as well, and upkeep may do so meanwhile.
        let data = self.server.directory.path().join("data");
        let (there, raw) = loop {
            let before = root_keys(&Capture::of(&data).sectors);
            let raw = match std::env::var_os("LETHE_FORGET_DEVICE") {
                Some(device) => {
                    rustix::fs::sync();
                    vec![std::fs::read(device).expect("the raw bytes of the file system")]
                }
                None => Capture::of(&data).files,
            };
            if before == root_keys(&Capture::of(&data).sectors) {
                break (before, raw);
            }
        };
        assert!(self.past_roots.len() > 2, "{} roots were replaced", self.past_roots.len());
        let replaced = root_keys(&last.sectors).into_iter().filter(|root| !there.contains(root));
        for root in self.past_roots.iter().cloned().chain(replaced) {
            assert!(!raw.iter().any(|bytes| memchr::memmem::find(bytes, &root).is_some()), "an old root key is left");
        }
        let found = raw.iter().any(|bytes| memchr::memmem::find(bytes, &there[0]).is_some());
        assert!(found, "the search finds what is there");
    }
}

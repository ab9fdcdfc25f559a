//! The same for a server that is cut off while it forgets, after every step of its disk: what had died by then is found
//! by nobody, what lives is found, and what another start makes of it resurrects nothing and finishes what was begun.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use lethe::{
    clock::{Clock, Timestamp},
    engine::Pace,
    retention::TICK,
    seizure::{Credential, Loot, rob},
    store::{Class, Partition},
};
use tempfile::TempDir;

use super::{
    DAY, MINUTE,
    acts::Acts,
    album::{Album, Ground, Shot},
    capture::Capture,
    garden::{Death, Garden},
    say,
};
use crate::{
    server::TestServer,
    watch::{Step, Watch},
};

/// Canaries: what is planted at least of each kind.
const FEW: u32 = 30;
const HOUR: Duration = Duration::from_hours(1);

/// A server that is looked at while it forgets.
struct Scene {
    server: TestServer,
    watch: Arc<Watch>,
    album: Album,
    garden: Garden,
    credentials: Vec<Credential>,
    acts: Acts,
    pace: Pace,
    /// What must not be found any more.
    dead: BTreeSet<u32>,
    /// What no answer may have any more.
    hidden: BTreeSet<u32>,
    /// Who is erased.
    erased: BTreeSet<String>,
    /// How often something was started on what was left.
    starts: u64,
}

/// What is expected of an operation.
#[derive(Clone, Copy)]
struct Goal {
    /// Since when what it ends was to go; since its beginning if nothing is said.
    since: Option<Timestamp>,
    /// By when it must have.
    objective: Duration,
    then: Then,
}

impl Goal {
    /// What is dead when it is answered.
    const AT_ONCE: Self = Self { since: None, objective: Duration::ZERO, then: Then::Either };
}

/// What becomes of an operation that was cut.
#[derive(Clone, Copy)]
enum Then {
    /// Nobody has been answered: it may have happened or not.
    Either,
    /// The server carries it out within this time after its next start.
    Within(Duration),
}

impl Scene {
    async fn begin((ground, directory): (Ground, TempDir)) -> Self {
        let watch = Arc::new(Watch::default());
        let server = TestServer::open_watched(directory, Arc::clone(&watch)).await;
        let (mut garden, mut credentials) = (Garden::default(), Vec::new());
        let acts = Acts::begin(&server, &mut garden, &mut credentials, FEW).await;
        let (album, pace) = (Album::of(ground), Pace::from(server.clock.monotonic()));
        let (dead, hidden, erased) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { server, watch, album, garden, credentials, acts, pace, dead, hidden, erased, starts: 1 }
    }

    /// The epoch of the first day, and how long until all of it has outlived its class.
    fn first_to_expire(&self) -> (Partition, Duration) {
        let ends = self.server.server().services().engine.journals.epochs.ends();
        let (first, end) = ends.into_iter().find(|(partition, _)| partition.class == Class::Month).expect("an epoch");
        (first, end.after(first.class.lifetime().expect("a lifetime")).since(self.server.clock.now()))
    }

    /// Looks at the disk now and after each of its steps, until [`Scene::judge`].
    fn look_on(&self) {
        self.album.begin(&self.watch, Arc::clone(&self.server.clock));
    }

    /// The upkeep that is due after `span`.
    async fn wait(&mut self, span: Duration) {
        self.server.clock.advance(span);
        self.server.upkeep(&mut self.pace).await;
    }

    /// Judges everything that the disk was while `doomed` died, which was to be within `objective` after `since`. Returns
    /// what lay there before.
    async fn judge(&mut self, what: &str, doomed: BTreeSet<u32>, goal: Goal) -> Capture {
        let shots = self.album.end(&self.watch);
        self.judge_shots(what, shots, doomed, goal).await
    }

    async fn judge_shots(&mut self, what: &str, shots: Vec<Shot>, doomed: BTreeSet<u32>, goal: Goal) -> Capture {
        let Goal { since, objective, then } = goal;
        let mut living = self.garden.dying(&[None, Some(Death::Epoch)]);
        living.retain(|canary| !doomed.contains(canary) && !self.dead.contains(canary));
        let operation = Operation { doomed, living, then };
        let (mut found, mut first, mut deaths) = (operation.doomed.clone(), None, Vec::new());
        let (count, begin) = (shots.len() - 1, since.unwrap_or(shots[0].at));
        let (mut reached, mut started, mut counts) = ((Duration::ZERO, Duration::ZERO), 0, Vec::new());
        for (number, shot) in shots.into_iter().enumerate() {
            let (step, name) = (shot.step, format!("{what}, after step {number}, {:?}", shot.step));
            let (took, work) = (shot.at.since(begin), shot.work);
            let (ground, directory) = shot.open();
            let capture = Capture::of(&directory.path().join("data"));
            let now = match &first {
                None => self.found(&[&capture], &operation.living, &name),
                Some(first) => self.found(&[first, &capture], &operation.living, &name),
            };
            let now = &now & &operation.doomed;
            assert!(now.is_subset(&found), "{name}: {:?} are dead and found", &now - &found);
            counts.push(now.len());
            if number == 0 {
                assert!(!now.is_empty() || operation.doomed.is_empty(), "{name}: the control finds them");
            } else if now.len() < found.len() {
                assert!(matches!(step, Some(Step::Sector | Step::SectorSynced)), "{name}: died without its key");
                deaths.push(number);
                reached = (took, work);
            }
            found = now;
            let captures: Vec<Capture> = first.take().into_iter().chain([capture]).collect();
            if starts_anew(number, step) {
                started += 1;
                self.start_again(directory, &captures, &operation, &found, &name).await;
            }
            first = captures.into_iter().next();
            drop(ground);
        }
        assert!(found.is_empty(), "{what}: {found:?} are dead and found");
        let dead = counts[0];
        say(&format!(
            "  {what}: cut after each of {count} steps, started anew {started} times; {dead} died with {deaths:?}"
        ));
        if dead > 0 {
            let (took, work) = reached;
            say(&format!("    shredded (D2) after {took:?} of its clock, objective {objective:?}; {work:?} of work"));
            assert!(took <= objective, "{what}: {took:?}");
        }
        self.hidden.extend(&operation.doomed);
        self.dead.extend(operation.doomed);
        first.expect("the first shot")
    }

    /// What is found by whoever has all of `captures`, with the last one's keys.
    fn found(&self, captures: &[&Capture], living: &BTreeSet<u32>, name: &str) -> BTreeSet<u32> {
        let image = Capture::all(captures.iter().copied());
        let Loot { facts, names, .. } = rob(&image, &self.credentials);
        assert!(names.is_disjoint(&self.erased), "{name}: who is erased is named");
        assert!(facts.is_disjoint(&self.dead), "{name}: {:?} were dead before", &facts & &self.dead);
        assert!(facts.is_superset(living), "{name}: {:?} live and are not found", living - &facts);
        facts
    }

    /// Starts a server on what the cut has left.
    async fn start_again(
        &mut self,
        directory: TempDir,
        captures: &[Capture],
        operation: &Operation,
        found: &BTreeSet<u32>,
        name: &str,
    ) {
        self.starts += 1;
        let server = TestServer::open_again(directory, self.server.clock.now(), self.starts).await;
        let (acts, mut pace) = (self.acts.at(&server), Pace::from(server.clock.monotonic()));
        acts.come_back().await;
        assert!(acts.shown().await.is_disjoint(&self.hidden), "{name}: what is hidden is shown");
        if let Then::Within(span) = operation.then {
            server.clock.advance(span);
            server.upkeep(&mut pace).await;
        }
        let shown = acts.shown().await;
        let said = &self.garden.of(&["message", "young message"]) & &operation.living;
        assert!(shown.is_superset(&said), "{name}: {:?} live and are not shown", &said - &shown);
        let left = Capture::of(&server.directory.path().join("data"));
        let captures: Vec<&Capture> = captures.iter().chain([&left]).collect();
        let name = format!("{name}, and a start");
        let facts = &self.found(&captures, &operation.living, &name) & &operation.doomed;
        match operation.then {
            Then::Either => assert!(facts.is_subset(found), "{name}: the dead are back"),
            Then::Within(_) => {
                assert!(facts.is_empty(), "{name}: {facts:?} are dead and found");
                assert!(shown.is_disjoint(&operation.doomed), "{name}: what is dead is shown");
            }
        }
        drop(server.cut());
    }
}

/// Whether a server is started on what a cut after this step has left. In an ordinary run of the tests that is after every
/// step at which something dies or goes, and after some of the others.
fn starts_anew(number: usize, step: Option<Step>) -> bool {
    let deadly = matches!(step, Some(Step::Sector | Step::SectorSynced | Step::Dropped));
    deadly || number.is_multiple_of(7) || std::env::var_os("LETHE_FORGET").is_some()
}

/// What was cut.
struct Operation {
    doomed: BTreeSet<u32>,
    living: BTreeSet<u32>,
    then: Then,
}

async fn forget_and_be_cut(ground: (Ground, TempDir)) {
    let mut scene = Scene::begin(ground).await;
    scene.ends_at_once().await;
    scene.ends_what_was_redacted().await;
    scene.ends_an_epoch().await;
}

impl Scene {
    /// What nobody has to wait for.
    async fn ends_at_once(&mut self) {
        self.look_on();
        self.acts.abandon_room().await;
        let doomed = self.garden.of(&["message of an abandoned room"]);
        self.judge("the last member leaves a room", doomed, Goal::AT_ONCE).await;
        self.look_on();
        self.acts.end_backup().await;
        let doomed = self.garden.of(&["key of a deleted backup"]);
        self.judge("a backup of keys is deleted", doomed, Goal::AT_ONCE).await;
        self.look_on();
        self.acts.end_account(&mut self.garden).await;
        let doomed = self.garden.of(&["data of an account that ends"]);
        self.judge("an account is closed", doomed, Goal::AT_ONCE).await;
    }

    /// What waits for a rewrite or a generation.
    async fn ends_what_was_redacted(&mut self) {
        self.acts.take_back().await;
        self.acts.sign_out(&mut self.garden).await;
        self.acts.change_passwords(&mut self.garden, &mut self.credentials).await;
        let doomed = self.garden.of(&["redacted message", "redacted state"]);
        self.hidden.extend(&doomed);
        let redacted = self.server.clock.now();
        self.look_on();
        for _ in 0..15 {
            self.wait(MINUTE).await;
        }
        let within = 15 * MINUTE;
        let goal = Goal { since: Some(redacted), objective: within, then: Then::Within(within) };
        let before = self.judge("what was redacted is rewritten", doomed, goal).await;

        self.look_on();
        self.acts.end_erased(&mut self.garden).await;
        let doomed = self.garden.of(&["what an erased person said"]);
        self.judge("an account is erased", doomed, Goal::AT_ONCE).await;
        self.erased.clone_from(&self.garden.erased);

        self.look_on();
        for _ in 0..4 {
            self.wait(HOUR / 4).await;
        }
        let doomed = self.garden.dying(&[Some(Death::Generation)]);
        let goal = Goal { since: Some(redacted), objective: DAY, then: Then::Within(HOUR) };
        self.judge("everybody gets a new generation", doomed, goal).await;
        // D3: what was written anew went with the next merge. Another may be under way; this one comes after it.
        self.server.server().services().engine.merge().await;
        let replaced = Capture::of(&self.server.directory.path().join("data")).gone_since(&before);
        let took = self.server.clock.now().since(redacted);
        say(&format!("    {replaced} rows are gone from all files (D3) after {took:?}, objective {DAY:?}"));
        assert!(replaced > 0 && took <= DAY);
    }

    /// What waits for nobody.
    async fn ends_an_epoch(&mut self) {
        self.wait(self.first_to_expire().1.saturating_sub(DAY)).await;
        self.wait(DAY.saturating_sub(MINUTE)).await;
        self.acts.plant_the_young(&mut self.garden).await;
        // At worst the keeper has looked just before.
        let moment = Duration::from_millis(1);
        let (partition, left) = self.first_to_expire();
        self.wait(left.saturating_sub(moment)).await;
        let expired = self.server.clock.now().after(moment);
        self.server.clock.advance(TICK);
        self.look_on();
        self.server.upkeep(&mut self.pace).await;
        let lateness = self.server.server().services().engine.metrics.lateness();
        assert_eq!((lateness.waiting, lateness.overdue), ([0; 4], Duration::ZERO), "D0 to D3 are reached");
        let took = self.server.clock.now().since(expired);
        let doomed = self.garden.dying(&[Some(Death::Epoch)]);
        assert!(self.acts.shown().await.is_disjoint(&doomed), "D0");
        let goal = Goal { since: Some(expired), objective: 15 * MINUTE, then: Then::Within(TICK) };
        let shots = torn(self.album.end(&self.watch), partition);
        let before = self.judge_shots("an epoch ends", shots, doomed, goal).await;
        say(&format!(
            "    hidden (D0), dereferenced (D1) and gone (D3) after {took:?}; objectives {MINUTE:?}, {:?}, {DAY:?}",
            5 * MINUTE
        ));
        assert!(took <= MINUTE);
        let after = Capture::of(&self.server.directory.path().join("data"));
        assert!(!before.partitions.is_subset(&after.partitions), "a partition has died");
    }
}

/// `shots`, and what lies there when a step on files is cut in its middle: RocksDB has dropped a family and not begun
/// another log; segments of media in `partition` are unlinked and their directory is not.
fn torn(shots: Vec<Shot>, partition: Partition) -> Vec<Shot> {
    let mut all: Vec<Shot> = Vec::new();
    let last = shots.iter().rposition(|shot| shot.step == Some(Step::Dropped));
    for (number, shot) in shots.into_iter().enumerate() {
        let before = all.iter().rfind(|before| !before.torn);
        let forgotten = before.and_then(|before| before.without_families_that_lack_in(&shot));
        let unlinked = if Some(number) == last { shot.without_segments_of(partition) } else { None };
        all.extend(forgotten.into_iter().chain([shot]).chain(unlinked));
    }
    all
}

#[tokio::test]
async fn whenever_a_server_is_cut_off_it_loses_nothing_and_resurrects_nothing() {
    forget_and_be_cut(Ground::plain()).await;
}

#[tokio::test]
async fn whenever_the_power_is_cut_as_well() {
    // Mounting a file needs root.
    if let Some(device) = std::env::var_os("LETHE_FORGET_DEVICE") {
        let beside = Path::new(&device).parent().expect("a directory");
        forget_and_be_cut(Ground::device(beside)).await;
    }
}

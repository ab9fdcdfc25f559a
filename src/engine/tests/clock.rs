//! `make clock`: what wrong clocks do to what has been written, one fault after the other, on an engine whose clock is
//! moved by hand. Prints the table.

use std::{fmt::Write, sync::Arc, time::Duration};

use super::say;
use crate::{
    accounts::{NewDevice, Session},
    clock::Timestamp,
    engine::{
        Engine,
        testing::{Machine, NOW, founded, register},
    },
    rooms::Room,
    secret::SecretText,
    store::{Class, Partition},
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(30 * 24);
const YEAR: Duration = Duration::from_hours(365 * 24);
/// Beyond its lifetime a row lives until its epoch has, and the keeper has looked; epochs that were opened under a doubted
/// clock end with the day on which it was believed again.
const SLACK: Duration = Duration::from_hours(50);

/// What the wall clock shows, given the right time.
type Wall = fn(Timestamp) -> Timestamp;

/// One stretch of time.
struct Stretch {
    /// How long it takes.
    long: Duration,
    wall: Wall,
    /// Whether somebody keeps the clock right, as far as the kernel knows.
    kept: Option<bool>,
    /// Whether the process starts anew at its beginning.
    starts: bool,
    /// Whether an administrator says at its beginning that the clock is right.
    confirmed: bool,
}

const RIGHT: Wall = |now| now;

fn stretch(long: Duration, wall: Wall, kept: Option<bool>) -> Stretch {
    Stretch { long, wall, kept, starts: false, confirmed: false }
}

impl Stretch {
    fn started(self) -> Self {
        Self { starts: true, ..self }
    }

    fn confirmed(self) -> Self {
        Self { confirmed: true, ..self }
    }
}

/// What was written, when, and where.
struct Row {
    written: Timestamp,
    partition: Partition,
}

/// A server whose clock goes wrong, and the right time beside it.
struct Trial {
    machine: Machine,
    engine: Arc<Engine>,
    token: String,
    room: Arc<Room>,
    now: Timestamp,
    rows: Vec<Row>,
    outcome: Outcome,
}

#[derive(Default)]
struct Outcome {
    /// Rows whose key was destroyed before they had lived for as long as they may.
    early: usize,
    /// Rows whose key lived on too long while the clock was right and trusted.
    late: usize,
    /// Rows that were filed in an earlier epoch than the one before.
    again: usize,
    /// Events that are not later than the one before.
    backwards: usize,
    /// The longest that destruction has waited for the clock.
    waited: Duration,
}

impl Trial {
    async fn new(seed: u64) -> Self {
        let machine = Machine::new(seed);
        let engine = machine.start().await;
        engine.open_epochs().await.unwrap();
        let al = register(&engine, "al").await;
        let room = founded(&engine, &al.session).await;
        let token = al.access.expose().to_owned();
        let (rows, outcome) = (Vec::new(), Outcome::default());
        Self { machine, engine, token, room, now: NOW, rows, outcome }
    }

    /// A session of who speaks. His device may have ended: a clock that is believed ends devices, too.
    async fn session(&mut self) -> Session {
        if let Ok(session) = self.engine.accounts.session(&self.token).await {
            return session;
        }
        let password = SecretText::new("password of al".to_owned());
        let again = self.engine.accounts.login("al", password, NewDevice::default()).await.unwrap();
        self.token = again.access.expose().to_owned();
        again.session
    }

    /// Lets a stretch pass: every six hours something is said and the keeper looks.
    async fn pass(&mut self, stretch: &Stretch) {
        let clock = Arc::clone(&self.machine.clock);
        clock.set_wall((stretch.wall)(self.now));
        clock.set_synchronised(stretch.kept);
        if stretch.starts {
            self.machine.cut();
            self.engine = self.machine.start().await;
            self.session().await;
            self.room = self.engine.rooms.find(&self.room.id).unwrap();
        }
        self.engine.open_epochs().await.unwrap();
        if stretch.confirmed {
            self.engine.keeper.confirm_clock().await;
        }
        let mut passed = Duration::ZERO;
        let mut doubted = Duration::ZERO;
        while passed < stretch.long {
            self.look(stretch).await;
            let step = (6 * HOUR).min(stretch.long.saturating_sub(passed));
            passed += step;
            self.now = self.now.after(step);
            clock.advance(step);
            clock.set_wall((stretch.wall)(self.now));
            if !self.engine.metrics.lateness().trusted {
                doubted += step;
            }
        }
        self.look(stretch).await;
        self.outcome.waited = self.outcome.waited.max(doubted);
    }

    async fn look(&mut self, stretch: &Stretch) {
        self.engine.open_epochs().await.unwrap();
        self.engine.keeper.tick().await;
        let session = self.session().await;
        let ts = |room: &Room| {
            let view = room.view();
            view.timeline.get(view.timeline.len().saturating_sub(1)).map_or(Timestamp(0), |entry| entry.ts)
        };
        let before = ts(&self.room);
        say(&self.engine, &self.room, &session, "something").await;
        self.outcome.backwards += usize::from(ts(&self.room) <= before);
        let partition = self.engine.journals.epochs.current(Class::Month).await.unwrap();
        self.outcome.again += usize::from(self.rows.last().is_some_and(|row| row.partition.serial > partition.serial));
        self.rows.push(Row { written: self.now, partition });
        let right = (stretch.wall)(self.now) == self.now && self.engine.metrics.lateness().trusted;
        let slots = &self.engine.journals.slots;
        let (mut early, mut late) = (0, 0);
        for row in &self.rows {
            let (age, lives) = (self.now.since(row.written), slots.epoch_key(row.partition).is_some());
            early += usize::from(!lives && age < MONTH);
            late += usize::from(lives && right && age > MONTH + SLACK);
        }
        self.outcome.early = self.outcome.early.max(early);
        self.outcome.late = self.outcome.late.max(late);
    }
}

/// What may come out of a fault.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    /// Nothing dies early.
    Well,
    /// The clock is believed although it is wrong: a day has passed, or the kernel says that somebody keeps it right.
    Believed,
}

fn faults() -> Vec<(&'static str, Vec<Stretch>, Expected)> {
    use Expected::{Believed, Well};
    let year: Wall = |now| now.after(YEAR);
    let back: Wall = |now| Timestamp(now.0 - 86_400_000);
    // It shows 1970 whenever the process starts, and runs on from there.
    let dead: Wall = |now| Timestamp(now.since(NOW).as_millis().try_into().unwrap());
    let synced = |long| stretch(long, RIGHT, Some(true));
    let alone = |long, wall| stretch(long, wall, Some(false));
    vec![
        ("a clock that is kept right", vec![synced(50 * DAY)], Well),
        ("a clock that nobody keeps, and is right", vec![alone(50 * DAY, RIGHT)], Well),
        (
            "a year forward, set right after ten hours",
            vec![synced(DAY), alone(10 * HOUR, year), synced(40 * DAY)],
            Well,
        ),
        (
            "a year forward, confirmed when it is right",
            vec![synced(DAY), alone(10 * HOUR, year), alone(DAY, RIGHT).confirmed(), alone(40 * DAY, RIGHT)],
            Well,
        ),
        (
            "a year forward at boot, set right after ten hours",
            vec![synced(DAY), alone(10 * HOUR, year).started(), synced(40 * DAY)],
            Well,
        ),
        (
            "a year forward at three boots in a row",
            vec![
                synced(DAY),
                alone(5 * HOUR, year).started(),
                alone(5 * HOUR, year).started(),
                alone(5 * HOUR, year).started(),
                synced(40 * DAY),
            ],
            Well,
        ),
        (
            "a year forward, and nobody cares for two days",
            vec![synced(DAY), alone(2 * DAY, year), synced(40 * DAY)],
            Believed,
        ),
        (
            "a day back, set right after ten hours",
            vec![synced(3 * DAY), alone(10 * HOUR, back), synced(40 * DAY)],
            Well,
        ),
        ("a day back, and nobody cares", vec![synced(3 * DAY), alone(40 * DAY, back), synced(10 * DAY)], Well),
        (
            "a day back by a time server",
            vec![synced(3 * DAY), stretch(DAY, back, Some(true)), synced(40 * DAY)],
            Believed,
        ),
        ("a day back at boot", vec![synced(3 * DAY), alone(10 * HOUR, back).started(), synced(40 * DAY)], Well),
        (
            "dead at boot, set right after ten hours",
            vec![synced(DAY), alone(10 * HOUR, dead).started(), synced(40 * DAY)],
            Well,
        ),
        ("dead at boot, and nobody cares", vec![synced(DAY), alone(40 * DAY, dead).started(), synced(10 * DAY)], Well),
        (
            "back and forth every few hours",
            vec![
                synced(DAY),
                alone(7 * HOUR, year),
                alone(7 * HOUR, back),
                alone(7 * HOUR, RIGHT),
                alone(7 * HOUR, dead),
                alone(7 * HOUR, year),
                synced(40 * DAY),
            ],
            Well,
        ),
    ]
}

#[tokio::test]
async fn a_wrong_clock_destroys_nothing_and_keeps_nothing_for_ever() {
    let mut table = format!(
        "{:52} {:>6} {:>6} {:>6} {:>9} {:>7} {:>10}\n",
        "fault", "early", "late", "again", "backwards", "extra", "waited"
    );
    let mut wrong = Vec::new();
    for (seed, (name, stretches, expected)) in (100..).zip(faults()) {
        let mut trial = Trial::new(seed).await;
        for stretch in &stretches {
            trial.pass(stretch).await;
        }
        let days = trial.now.since(NOW).as_secs() / DAY.as_secs();
        let opened = u64::from(trial.engine.journals.slots.last_serial(Class::Month));
        let Outcome { early, late, again, backwards, waited, .. } = trial.outcome;
        let extra = opened.saturating_sub(days + 2);
        writeln!(
            table,
            "{name:52} {early:>6} {late:>6} {again:>6} {backwards:>9} {extra:>7} {:>8} h",
            waited.as_secs() / 3600
        )
        .unwrap();
        let well = early == 0 && late == 0 && again == 0 && backwards == 0 && extra <= 4;
        let believed = early > 0 && again == 0 && backwards == 0;
        if (expected == Expected::Well && !well) || (expected == Expected::Believed && !believed) {
            wrong.push(name);
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong:?}\n{table}");
}

//! Carries forgetting out, one tick after the other.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::board::Board;
use crate::{
    accounts::{self, Accounts},
    clock::{Clock, Moment, Timestamp},
    journal::Journals,
    log,
    media::{self, Media},
    metrics::{Lateness, Metrics, State, Task},
    rooms::{self, Rooms},
    seal::epochs,
    store::{self, Partition},
};

/// How often the keeper looks: twice within the shortest objective.
pub const TICK: Duration = Duration::from_secs(30);
/// How far back time must go for what was hidden to be shown again.
const STEPPED_BACK: Duration = Duration::from_mins(5);

/// Sees to it that what has expired is forgotten, and says how far it has got.
pub struct Keeper {
    journals: Journals,
    accounts: Arc<Accounts>,
    rooms: Arc<Rooms>,
    media: Arc<Media>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// One tick at a time.
    turn: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    board: Board,
    /// By which time things were hidden last.
    shown: Timestamp,
    trusted: Option<bool>,
    late: bool,
}

impl Keeper {
    /// A keeper of what lies in `journals` and beside them.
    #[must_use]
    pub fn new(
        journals: Journals,
        rooms: Arc<Rooms>,
        media: Arc<Media>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let accounts = Arc::clone(rooms.accounts());
        let (turn, known) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { journals, accounts, rooms, media, metrics, clock, turn, known }
    }

    /// Does what is due. What fails is counted, said in the log, and tried again at the next tick.
    pub async fn tick(&self) {
        let _turn = self.turn.lock().await;
        let moment = self.journals.epochs.moment();
        self.note(&moment).await;
        let well = [
            said("hide", self.hide(&moment).await),
            said("shred", self.shred(&moment).await),
            said("drop", self.drop_dead().await),
            said("keep devices", self.keep_devices(&moment).await),
        ];
        self.metrics.ran(Task::Expiry, well.iter().all(|well| *well));
        let lateness = self.known.lock().board.lateness(moment.shown);
        self.metrics.set_lateness(Lateness { trusted: moment.trusted, ..lateness });
        // While the clock is doubted nothing can be destroyed, and the log has said so.
        let late = moment.trusted && !lateness.overdue.is_zero();
        let before = std::mem::replace(&mut self.known.lock().late, late);
        if late && !before {
            log::error!("an objective of forgetting is missed", overdue = lateness.overdue);
        } else if before && !late {
            log::info!("all objectives of forgetting are met again");
        }
    }

    /// Ticks until `stop` says so.
    pub async fn run(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            self.tick().await;
            tokio::select! {
                () = self.clock.sleep(TICK) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes the clock for right because an administrator says so, and does what is due.
    pub async fn confirm_clock(&self) -> Lateness {
        self.journals.epochs.timekeeper().confirm();
        self.tick().await;
        self.metrics.lateness()
    }

    /// Says in the log when the clock is doubted and when it is believed, and takes back what a wrong one has hidden.
    async fn note(&self, moment: &Moment) {
        let (trusted, shown) = {
            let mut known = self.known.lock();
            let trusted = known.trusted.replace(moment.trusted);
            (trusted, std::mem::replace(&mut known.shown, moment.shown))
        };
        match (trusted, moment.trusted) {
            (None | Some(true), false) => {
                let wait = self.journals.epochs.timekeeper().doubt();
                log::warn!("the clock is not known to be right: nothing is destroyed until it is", wait = wait);
            }
            (Some(false), true) => log::info!("the clock is known to be right"),
            _ => {}
        }
        if moment.shown.after(STEPPED_BACK) < shown {
            self.accounts.read_again().await;
        }
    }

    /// D0 and D1: nothing in memory serves what has expired.
    async fn hide(&self, moment: &Moment) -> Result<(), Error> {
        let epochs = &self.journals.epochs;
        epochs.settle().await?;
        self.board(moment).await?;
        // With a clock that is trusted, what must outlive the process is written as well.
        let now = if moment.trusted { moment.time } else { moment.shown };
        self.rooms.forget_expired(now, moment.trusted).await?;
        self.accounts.forget_expired(&epochs.ends(), moment.shown, false).await?;
        self.known.lock().board.all_reached(State::Dereferenced);
        Ok(())
    }

    /// D2, once the clock is trusted: the keys of expired epochs are destroyed, in one commit, and with new generations
    /// the windows of owners that keep things for a shorter time than they did.
    async fn shred(&self, moment: &Moment) -> Result<(), Error> {
        let epochs = &self.journals.epochs;
        let due = self.board(moment).await?;
        if !due.is_empty() {
            epochs.destroy(&due).await?;
            self.known.lock().board.shredded(&due);
            self.journals.packs.clear();
            self.accounts.forget_ended().await?;
        }
        if !moment.trusted {
            return Ok(());
        }
        let ends = epochs.ends();
        let accounts = self.accounts.forget_expired(&ends, moment.time, true).await;
        self.rooms.let_go(&ends, moment.time).await?;
        Ok(accounts?)
    }

    /// D3: rows, logs and files go.
    async fn drop_dead(&self) -> Result<(), Error> {
        self.journals.epochs.drop_dead().await?;
        let unlinked = self.media.drop_dead().await;
        self.metrics.ran(Task::Media, unlinked.is_ok());
        unlinked?;
        // A merge that runs just now has files of its own; what stays for a day shows as late.
        if self.journals.store.leftovers().await? == 0 {
            self.known.lock().board.all_gone();
        }
        Ok(())
    }

    /// Devices that are used outlive the epoch that their tokens lie in.
    async fn keep_devices(&self, moment: &Moment) -> Result<(), Error> {
        if moment.trusted { Ok(self.accounts.keep_devices().await?) } else { Ok(()) }
    }

    /// Takes in what has expired; the partitions whose keys are to be destroyed now.
    async fn board(&self, moment: &Moment) -> Result<Vec<Partition>, Error> {
        let epochs = &self.journals.epochs;
        let (over, dead) = (epochs.over(moment.shown), epochs.dead().await?);
        Ok(self.known.lock().board.due(moment, &over, &dead))
    }
}

/// Why a part of a tick failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    Epochs,
    Store,
    Account,
    Room,
    Media,
}

impl Error {
    fn reason(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Store => "store",
            Self::Account => "account",
            Self::Room => "room",
            Self::Media => "media",
        }
    }
}

macro_rules! becomes {
    ($($from:ty: $name:ident),+) => {
        $(
            impl From<$from> for Error {
                fn from(_: $from) -> Self {
                    Self::$name
                }
            }
        )+
    };
}

becomes!(epochs::Error: Epochs, store::Error: Store, accounts::Error: Account, rooms::Error: Room, media::Error: Media);

/// Says in the log what failed; whether nothing did.
fn said(step: &'static str, result: Result<(), Error>) -> bool {
    if let Err(error) = result {
        log::error!("forgetting failed and is tried again", step = step, reason = error.reason());
    }
    result.is_ok()
}

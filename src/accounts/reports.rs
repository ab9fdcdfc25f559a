//! Reports of events, rooms and users: for the administrators' eyes, in the windows of their vaults, so that they die as
//! messages to devices do. While there is no administrator they are kept in RAM.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{Account, Accounts, Error, Letter, vault::VaultChange};
use crate::{
    journal::{self, Journals, Stream},
    seal::row::Primer,
    store::{Batch, Partition},
};

/// Reports that are kept in RAM while there is no administrator, and of each administrator; the oldest go first.
const MOST_REPORTS: usize = 5_000;
/// Reports of everybody in a day: more of them nobody reads, and they lie in the vault of every administrator.
const MOST_OF_A_DAY: u32 = 2_000;
/// Reports of one account in a day: a person reads each of them.
const MOST_OF_USER: u32 = 50;
/// The longest reason in bytes: a page of text.
pub const LONGEST_REASON: usize = 4096;

/// The text of a report that was destroyed.
pub(super) const DROPPED: &[u8] = b"{}";

/// What somebody reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Tells it from others.
    #[serde(rename = "i")]
    pub id: String,
    /// The day it came, in days since the epoch: no finer time is kept.
    #[serde(rename = "d")]
    pub day: u64,
    /// Who reports.
    #[serde(rename = "b")]
    pub by: OwnedUserId,
    /// The room, where it is about a room or an event.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomId>,
    /// The event, where it is about one.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub event: Option<OwnedEventId>,
    /// The user, where it is about one, or who sent the event.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub user: Option<OwnedUserId>,
    /// What the reporter says.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a report is about.
#[derive(Default)]
pub struct Subject {
    /// A room.
    pub room: Option<OwnedRoomId>,
    /// An event.
    pub event: Option<OwnedEventId>,
    /// A user.
    pub user: Option<OwnedUserId>,
}

/// Reports that administrators may read now.
pub struct Listed {
    /// The reports, oldest first.
    pub reports: Vec<Report>,
    /// Administrators whose accounts are cold: what only they have is not among the reports.
    pub cold: usize,
}

/// What lies in no vault.
#[derive(Default)]
pub(super) struct Reports {
    unclaimed: Mutex<VecDeque<Report>>,
    today: Mutex<Today>,
}

/// Who has reported how often today.
#[derive(Default)]
struct Today {
    day: u64,
    all: u32,
    users: HashMap<OwnedUserId, u32>,
}

impl Accounts {
    /// Keeps a report, durably where there is an administrator.
    ///
    /// # Errors
    /// [`Error::Busy`] when `by`, or everybody together, has reported too much today.
    pub async fn report(&self, by: &UserId, subject: Subject, reason: Option<String>) -> Result<(), Error> {
        let today = self.clock.now().day();
        if !self.reports.admits(by, today) {
            return Err(Error::Busy);
        }
        let id = u64::from_le_bytes(self.journals.random.bytes());
        let Subject { room, event, user } = subject;
        let report = Report { id: format!("{id:016x}"), day: today, by: by.to_owned(), room, event, user, reason };
        let administrators = self.administrators()?;
        if administrators.is_empty() {
            let mut unclaimed = self.reports.unclaimed.lock();
            unclaimed.push_back(report);
            let surplus = unclaimed.len().saturating_sub(MOST_REPORTS);
            unclaimed.drain(..surplus);
            return Ok(());
        }
        for administrator in administrators {
            let partition = self.journals.epochs.current(self.policy.to_device).await?;
            let row = ReportRow { partition, report: report.clone() };
            let letters = async || Ok(vec![Letter::Report(row.clone())]);
            if let Some(account) = self.at_home(&administrator, letters).await? {
                account.keep_report(&self.journals, row, Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// The reports that can be read now. Needs the house awake.
    pub fn reports(&self) -> Result<Listed, Error> {
        let mut reports: Vec<Report> = self.reports.unclaimed.lock().iter().cloned().collect();
        let mut cold = 0;
        for administrator in self.administrators()? {
            match self.open(&administrator) {
                Some(account) => reports.extend(account.living_reports(&self.journals)),
                None => cold += 1,
            }
        }
        reports.sort_by(|one, other| (one.day, &one.id).cmp(&(other.day, &other.id)));
        reports.dedup_by(|one, other| one.id == other.id);
        Ok(Listed { reports, cold })
    }

    /// Destroys what was reported about a room that was destroyed, where it can be reached: with administrators who are
    /// cold it stays until it expires.
    pub async fn drop_reports(&self, room: &RoomId) -> Result<(), Error> {
        self.reports.unclaimed.lock().retain(|report| report.room.as_deref() != Some(room));
        for administrator in self.administrators()? {
            if let Some(account) = self.open(&administrator) {
                account.drop_reports(&self.journals, room).await?;
            }
        }
        Ok(())
    }

    fn administrators(&self) -> Result<Vec<OwnedUserId>, Error> {
        let house = self.house.view()?;
        let living = |slot| self.journals.slots.contains(slot);
        let admins = house.accounts.iter().filter(|(_, entry)| entry.admin && living(&entry.slot));
        admins.map(|(name, _)| self.user_id(name)).collect()
    }
}

impl Reports {
    /// Whether `by` may report once more today.
    fn admits(&self, by: &UserId, day: u64) -> bool {
        let mut today = self.today.lock();
        if today.day != day {
            *today = Today { day, ..Today::default() };
        }
        let own = today.users.get(by).copied().unwrap_or_default();
        if own >= MOST_OF_USER || today.all >= MOST_OF_A_DAY {
            return false;
        }
        today.all += 1;
        today.users.insert(by.to_owned(), own + 1);
        true
    }
}

/// A report as it lies in a window, with the partition it dies with.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReportRow {
    /// The partition.
    #[serde(rename = "p")]
    pub partition: Partition,
    /// The report.
    #[serde(flatten)]
    pub report: Report,
}

impl Account {
    /// Puts a report into the windows and `changes` into the keep, durably and together.
    pub(super) async fn keep_report(
        &self,
        journals: &Journals,
        row: ReportRow,
        changes: Vec<VaultChange>,
    ) -> Result<(), journal::Error> {
        let mut writing = self.vault.write().await;
        let mut batch = Batch::default();
        let plain = serde_json::to_vec(&row).map_err(|_| journal::Error::Malformed)?;
        let partition = row.partition;
        writing.append(journals, Stream::Reports, partition, |_| Primer::default(), &plain, &mut batch)?;
        writing.change(journals, changes, &mut batch)?;
        let done = journals.store.commit(batch).await.map_err(journal::Error::from);
        writing.finish(done)?;
        let mut kept = self.reports.write();
        kept.push(row);
        let surplus = kept.len().saturating_sub(MOST_REPORTS);
        kept.drain(..surplus);
        Ok(())
    }

    /// Destroys the reports about a room: the windows that hold them are rewritten under fresh secrets.
    async fn drop_reports(&self, journals: &Journals, room: &RoomId) -> Result<(), journal::Error> {
        let is_about = |row: &ReportRow| row.report.room.as_deref() == Some(room);
        let mut vault = self.vault.write().await;
        if !self.reports.read().iter().any(is_about) {
            return Ok(());
        }
        let mut rewrite = |stream, _, plain: &[u8]| {
            let row: ReportRow = serde_json::from_slice(plain).ok().filter(|_| stream == Stream::Reports)?;
            is_about(&row).then(|| DROPPED.to_vec())
        };
        let mut batch = Batch::default();
        let prepared = vault.prepare_rewrite(journals, None, &mut rewrite, &mut batch)?;
        vault.commit_generation(journals, prepared, batch).await?;
        self.reports.write().retain(|row| !is_about(row));
        Ok(())
    }

    /// The reports that have not expired.
    fn living_reports(&self, journals: &Journals) -> Vec<Report> {
        let mut kept = self.reports.write();
        kept.retain(|row| journals.slots.epoch_key(row.partition).is_some());
        kept.iter().map(|row| row.report.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_few_enough_to_be_read() {
        let reports = Reports::default();
        let user = |number: u32| UserId::parse(format!("@u{number}:ex.org")).unwrap();
        for _ in 0..MOST_OF_USER {
            assert!(reports.admits(&user(0), 1));
        }
        assert!(!reports.admits(&user(0), 1));
        assert!(reports.admits(&user(0), 2), "the next day");
        let admitted = (1..=MOST_OF_A_DAY).filter(|number| reports.admits(&user(*number), 2)).count();
        assert_eq!(admitted, usize::try_from(MOST_OF_A_DAY).unwrap() - 1);
        assert!(reports.today.lock().users.len() <= admitted + 1);
    }
}

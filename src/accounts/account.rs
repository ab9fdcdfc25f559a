//! An open account: its vault, and in RAM beside it what lies in the vault's windows.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{
    backup::{BackupKey, BackupRow},
    queue::{Queue, Waiting},
    reports::{DROPPED, ReportRow},
    vault::{VaultChange, VaultLedger},
};
use crate::{
    clock::Clock,
    journal::{self, Identity, Journals, Live, Owner, Position, Stream},
    seal::{row::Primer, slots::SlotId},
    store::{Batch, Partition},
};

/// An account whose key is in RAM.
pub struct Account {
    /// Its Matrix id.
    pub user_id: OwnedUserId,
    /// The slot that makes the account exist.
    pub slot: SlotId,
    /// The vault.
    pub vault: Live<VaultLedger>,
    pub(super) queue: RwLock<Queue>,
    pub(super) backup: RwLock<BTreeMap<BackupKey, Position>>,
    /// Where the last deletion of a backed-up key stands.
    pub(super) deleted: Mutex<Position>,
    pub(super) reports: RwLock<Vec<ReportRow>>,
    changed: watch::Sender<u64>,
    coming: watch::Sender<usize>,
    /// When a message between devices last set out for here, of the steady clock.
    came: Mutex<Option<Duration>>,
    /// When its user last asked for something, in milliseconds of the steady clock.
    used: AtomicU64,
}

/// A message between devices on its way to an open account, until this is dropped.
pub struct Coming(Arc<Account>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.send_modify(|count| *count -= 1);
    }
}

/// A to-device message as it lies in the vault's window.
#[derive(Clone, Serialize, Deserialize)]
pub struct ToDevice {
    /// The device it is for.
    #[serde(rename = "d")]
    pub device: OwnedDeviceId,
    /// The message as the client gets it: `type`, `sender`, `content`.
    #[serde(rename = "m")]
    pub message: Arc<RawValue>,
}

impl Account {
    /// Shares a loaded vault, reading its windows.
    pub(super) fn new(
        journals: &Journals,
        user_id: OwnedUserId,
        slot: SlotId,
        mut vault: Owner<VaultLedger>,
    ) -> Result<Self, journal::Error> {
        let mut queue = BTreeMap::new();
        let mut backup = BTreeMap::new();
        let mut deleted = Position::START;
        let mut reports = Vec::new();
        vault.load_windows(journals, &mut |stream, position, plain| {
            match stream {
                Stream::ToDevice => {
                    let row: ToDevice = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
                    queue.insert((row.device, position), row.message);
                }
                Stream::Backup => {
                    let row: BackupRow = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
                    if row.data.is_some() {
                        backup.insert(row.key(), position);
                    } else {
                        backup.remove(&row.key());
                        deleted = deleted.max(position);
                    }
                }
                Stream::Reports if plain == DROPPED => {}
                Stream::Reports => {
                    reports.push(serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?);
                }
                Stream::Timeline => return Err(journal::Error::Malformed),
            }
            Ok(())
        })?;
        queue.retain(|(device, position), _| {
            vault.ledger.devices.get(device).is_some_and(|device| *position > device.acknowledged)
        });
        let kept = &vault.ledger.backups;
        backup.retain(|key: &BackupKey, _| kept.get(&key.version).is_some_and(|version| !version.deleted));
        let account = Self::assemble(user_id, slot, vault, queue, backup);
        *account.reports.write() = reports;
        *account.deleted.lock() = deleted;
        Ok(account)
    }

    /// Shares a vault whose windows are known.
    pub(super) fn assemble(
        user_id: OwnedUserId,
        slot: SlotId,
        vault: Owner<VaultLedger>,
        queue: Waiting,
        backup: BTreeMap<BackupKey, Position>,
    ) -> Self {
        Self {
            user_id,
            slot,
            vault: Live::new(vault),
            queue: RwLock::new(Queue::new(queue)),
            backup: RwLock::new(backup),
            deleted: Mutex::default(),
            reports: RwLock::default(),
            changed: watch::Sender::new(0),
            coming: watch::Sender::new(0),
            came: Mutex::default(),
            used: AtomicU64::new(0),
        }
    }

    /// The last durable value of the vault.
    pub fn view(&self) -> Arc<VaultLedger> {
        self.vault.view()
    }

    /// What its owner logs in with.
    #[must_use]
    pub fn login_name(&self) -> String {
        self.view().login.clone().unwrap_or_else(|| self.user_id.localpart().to_owned())
    }

    /// How the vault is opened.
    pub async fn identity(&self) -> Identity {
        self.vault.write().await.identity().clone()
    }

    /// Notes that its user asks for something, at `now` of the steady clock.
    pub(super) fn touch(&self, now: Duration) {
        self.used.fetch_max(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When its user last asked for something, of the steady clock.
    pub(super) fn used(&self) -> Duration {
        Duration::from_millis(self.used.load(Ordering::Relaxed))
    }

    /// Wakes every sync that waits for this account.
    pub fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A receiver that sees every later [`Account::notify`]: subscribe before the first look.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notes that a message between devices is on its way here, at `now` of the steady clock.
    #[must_use]
    pub fn expect(self: &Arc<Self>, now: Duration) -> Coming {
        *self.came.lock() = Some(now);
        self.coming.send_modify(|count| *count += 1);
        Coming(Arc::clone(self))
    }

    /// When a message between devices last set out for here, of the steady clock, if one has since the account was opened.
    pub fn came(&self) -> Option<Duration> {
        *self.came.lock()
    }

    /// Waits until no message is on its way here, at most for `longest`. Clients send several at once, which have no order
    /// among them, and whose receiver may understand one by another alone: told together they are always understood.
    pub async fn settled(&self, clock: &dyn Clock, longest: Duration) {
        if *self.coming.borrow() == 0 {
            return;
        }
        let end = clock.monotonic().saturating_add(longest);
        let mut coming = self.coming.subscribe();
        while clock.monotonic() < end {
            let none = coming.wait_for(|count| *count == 0);
            if tokio::time::timeout(longest, none).await.is_ok() {
                return;
            }
        }
    }

    /// Waiting to-device messages for `device` behind `after`, oldest first, at most `most`.
    pub fn waiting(&self, device: &OwnedDeviceId, after: Position, most: usize) -> Vec<(Position, Arc<RawValue>)> {
        self.queue.read().of(device, after, most)
    }

    /// Whether messages of `sender` wait for `device`.
    pub fn has_waiting_of(&self, device: &OwnedDeviceId, sender: &UserId) -> bool {
        self.queue.read().has_of(device, sender.as_str())
    }

    /// Drops messages up to and including `to` from the queue in RAM.
    pub(super) fn forget_waiting(&self, device: &OwnedDeviceId, to: Position) {
        self.queue.write().drop_until(device, to);
    }

    /// Puts messages into the windows and `changes` into the keep, durably and together, and wakes waiting syncs.
    /// Messages for a device that has as many waiting as it may are dropped.
    pub async fn deliver(
        &self,
        journals: &Journals,
        partition: Partition,
        messages: Vec<ToDevice>,
        changes: Vec<VaultChange>,
    ) -> Result<(), journal::Error> {
        let mut writing = self.vault.write().await;
        let mut batch = Batch::default();
        let mut placed = Vec::with_capacity(messages.len());
        for message in messages {
            if !self.queue.write().admit(&message.device, &message.message) {
                continue;
            }
            let plain = serde_json::to_vec(&message).map_err(|_| journal::Error::Malformed)?;
            let position =
                writing.append(journals, Stream::ToDevice, partition, |_| Primer::default(), &plain, &mut batch)?;
            placed.push(((message.device, position), message.message));
        }
        writing.change(journals, changes, &mut batch)?;
        let done = journals.store.commit(batch).await.map_err(journal::Error::from);
        writing.finish(done)?;
        // Before the right to write is given up: nobody may see a later message while an earlier one is missing.
        self.queue.write().put(placed);
        drop(writing);
        self.notify();
        Ok(())
    }
}

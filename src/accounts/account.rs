//! An open account: its vault, and in RAM beside it what lies in the vault's windows.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::vault::VaultLedger;
use crate::{
    journal::{self, Identity, Journals, Live, Owner, Position, Stream},
    seal::slots::SlotId,
    store::Batch,
};

/// An account whose key is in RAM.
pub struct Account {
    /// Its Matrix id.
    pub user_id: OwnedUserId,
    /// The slot that makes the account exist.
    pub slot: SlotId,
    /// The vault.
    pub vault: Live<VaultLedger>,
    queue: RwLock<BTreeMap<(OwnedDeviceId, Position), Arc<RawValue>>>,
    backup: RwLock<BTreeMap<BackupKey, Position>>,
    changed: watch::Sender<u64>,
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
    /// The mail it came in, so that a second folding is recognised.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
}

/// Which backed-up key: version, room, session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackupKey {
    /// The backup version.
    #[serde(rename = "v")]
    pub version: u64,
    /// The room.
    #[serde(rename = "r")]
    pub room: OwnedRoomId,
    /// The Megolm session.
    #[serde(rename = "s")]
    pub session: String,
}

/// A backed-up key as it lies in the vault's window; without data it says that the key was deleted.
#[derive(Serialize, Deserialize)]
pub(super) struct BackupRow {
    #[serde(flatten)]
    pub(super) key: BackupKey,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Box<RawValue>>,
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
        vault.load_windows(journals, &mut |stream, position, plain| {
            match stream {
                Stream::ToDevice => {
                    let row: ToDevice = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
                    queue.insert((row.device, position), row.message);
                }
                Stream::Backup => {
                    let row: BackupRow = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
                    match row.data {
                        Some(_) => backup.insert(row.key, position),
                        None => backup.remove(&row.key),
                    };
                }
                Stream::Timeline => return Err(journal::Error::Malformed),
            }
            Ok(())
        })?;
        queue.retain(|(device, position), _| {
            vault.ledger.devices.get(device).is_some_and(|device| *position > device.acknowledged)
        });
        Ok(Self::assemble(user_id, slot, vault, queue, backup))
    }

    /// Shares a vault whose windows are known.
    pub(super) fn assemble(
        user_id: OwnedUserId,
        slot: SlotId,
        vault: Owner<VaultLedger>,
        queue: BTreeMap<(OwnedDeviceId, Position), Arc<RawValue>>,
        backup: BTreeMap<BackupKey, Position>,
    ) -> Self {
        Self {
            user_id,
            slot,
            vault: Live::new(vault),
            queue: RwLock::new(queue),
            backup: RwLock::new(backup),
            changed: watch::Sender::new(0),
        }
    }

    /// The last durable value of the vault.
    pub fn view(&self) -> Arc<VaultLedger> {
        self.vault.view()
    }

    /// How the vault is opened.
    pub async fn identity(&self) -> Identity {
        self.vault.write().await.identity().clone()
    }

    /// Wakes every sync that waits for this account.
    pub fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A receiver that sees every later [`Account::notify`]: subscribe before the first look.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waiting to-device messages for `device` behind `after`, oldest first, at most `most`.
    pub fn waiting(&self, device: &OwnedDeviceId, after: Position, most: usize) -> Vec<(Position, Arc<RawValue>)> {
        let from = (device.clone(), Position(after.0 + 1));
        let to = (device.clone(), Position(u64::MAX));
        self.queue.read().range(from..=to).take(most).map(|((_, at), message)| (*at, Arc::clone(message))).collect()
    }

    /// Drops messages up to and including `to` from the queue in RAM.
    pub(super) fn forget_waiting(&self, device: &OwnedDeviceId, to: Position) {
        self.queue.write().retain(|(of, at), _| of != device || *at > to);
    }

    /// Puts messages into the windows, durably, and wakes waiting syncs.
    pub async fn deliver(
        &self,
        journals: &Journals,
        partition: crate::store::Partition,
        messages: Vec<ToDevice>,
    ) -> Result<(), journal::Error> {
        let mut writing = self.vault.write().await;
        let mut batch = Batch::default();
        let mut placed = Vec::with_capacity(messages.len());
        for message in messages {
            let plain = serde_json::to_vec(&message).map_err(|_| journal::Error::Malformed)?;
            let primer = crate::seal::row::Primer::default;
            let position = writing.append(journals, Stream::ToDevice, partition, primer, &plain, &mut batch)?;
            placed.push(((message.device, position), message.message));
        }
        writing.commit(journals, batch).await?;
        self.queue.write().extend(placed);
        self.notify();
        Ok(())
    }

    /// The index of backed-up keys.
    pub fn backup(&self) -> parking_lot::RwLockReadGuard<'_, BTreeMap<BackupKey, Position>> {
        self.backup.read()
    }

    /// Writes backed-up keys, durably; a key without data is deleted.
    pub async fn back_up(
        &self,
        journals: &Journals,
        partition: crate::store::Partition,
        keys: Vec<(BackupKey, Option<Box<RawValue>>)>,
        changes: Vec<super::vault::VaultChange>,
    ) -> Result<(), journal::Error> {
        let mut writing = self.vault.write().await;
        let mut batch = Batch::default();
        let mut placed = Vec::with_capacity(keys.len());
        for (key, data) in keys {
            let there = data.is_some();
            let row = BackupRow { key, data };
            let plain = serde_json::to_vec(&row).map_err(|_| journal::Error::Malformed)?;
            let primer = crate::seal::row::Primer::default;
            let position = writing.append(journals, Stream::Backup, partition, primer, &plain, &mut batch)?;
            placed.push((row.key, there.then_some(position)));
        }
        writing.change(journals, changes, &mut batch)?;
        writing.commit(journals, batch).await?;
        let mut index = self.backup.write();
        for (key, position) in placed {
            match position {
                Some(position) => index.insert(key, position),
                None => index.remove(&key),
            };
        }
        Ok(())
    }

    /// Reads a backed-up key.
    pub async fn backed_up(
        &self,
        journals: &Journals,
        position: Position,
    ) -> Result<Option<Box<RawValue>>, journal::Error> {
        let plain = self.vault.write().await.fetch(journals, position)?;
        let Some(plain) = plain else { return Ok(None) };
        let row: BackupRow = serde_json::from_slice(&plain).map_err(|_| journal::Error::Malformed)?;
        Ok(row.data)
    }
}

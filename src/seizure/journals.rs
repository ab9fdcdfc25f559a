//! Keeps, windows and packs.

use std::rc::Rc;

use serde_json::Value;

use super::{Entries, Thief};
use crate::{
    journal::WindowRecord,
    seal::{
        derive::{keep_key, pack_key, window_key},
        mail::MailSecret,
        row::{Context, Primer, RowKey, RowKind, open_entry},
        slots::SlotId,
    },
    secret::Key,
    store::{Instance, Partition},
};

/// Absent indices behind which a journal counts as ended.
const PATIENCE: u64 = 80;

impl Thief<'_> {
    pub(super) fn read_keep(&mut self, slot: SlotId, value: &Key, owner: &Key) {
        let keep = keep_key(value, owner);
        if !self.known.read.insert(*keep.expose()) {
            return;
        }
        for entry in self.once(&keep, || self.keep(&keep)).iter() {
            self.loot.opened += 1;
            self.read_text(entry);
            let lines = serde_json::from_slice::<Vec<Value>>(entry).unwrap_or_default();
            for line in &lines {
                self.read_line(slot, line);
            }
        }
    }

    pub(super) fn read_window(&mut self, record: &WindowRecord) {
        for (partition, epoch) in self.image.tables.epochs() {
            let window = window_key(&epoch, &record.secret);
            if partition != record.partition || !self.known.read.insert(*window.expose()) {
                continue;
            }
            for entry in self.once(&window, || self.window(&window, record)).iter() {
                self.loot.opened += 1;
                self.read_text(entry);
            }
        }
    }

    /// What `read` gives for the journal of `key`, read once an image.
    fn once(&self, key: &Key, read: impl FnOnce() -> Entries) -> Rc<Entries> {
        let mut journals = self.image.journals.borrow_mut();
        Rc::clone(journals.entry(*key.expose()).or_insert_with(|| Rc::new(read())))
    }

    fn keep(&self, keep: &Key) -> Entries {
        let rows = RowKey::new(keep);
        let context = |kind| Context { partition: Partition::FOREVER, kind };
        let mut entries = self.journal(&rows, context(RowKind::Checkpoint), &Primer::default(), 0..1);
        let Some(checkpoint) = entries.first() else { return entries };
        let primer = Primer::new(checkpoint.get(..2048).unwrap_or(checkpoint));
        entries.extend(self.journal(&rows, context(RowKind::Entry), &primer, 1..u64::MAX));
        entries
    }

    fn window(&self, window: &Key, record: &WindowRecord) -> Entries {
        let context = |kind| Context { partition: record.partition, kind };
        let rows = RowKey::new(window);
        let mut entries = self.journal(&rows, context(RowKind::Window), &record.primer, 0..u64::MAX);
        let packs = RowKey::new(&pack_key(window));
        entries.extend(self.journal(&packs, context(RowKind::Pack), &record.primer, 0..u64::MAX));
        entries
    }

    fn read_line(&mut self, slot: SlotId, line: &Value) {
        let record = line.get("w").and_then(|record| serde_json::from_value::<WindowRecord>(record.clone()).ok());
        if let Some(record) = record {
            self.known.windows.insert(*record.secret.expose(), record);
        }
        let Some(change) = line.get("c") else { return };
        for key in change.get("h").and_then(Value::as_array).into_iter().flatten() {
            self.known.house.extend(serde_json::from_value::<Key>(key.clone()).map(|key| *key.expose()));
        }
        for key in change.get("m").and_then(Value::as_array).into_iter().flatten() {
            let secret = serde_json::from_value::<MailSecret>(key.clone());
            let name = serde_json::from_value::<Key>(key.clone());
            let account = self.known.accounts.get(&slot).copied();
            if let (Ok(secret), Ok(name), Some(account)) = (secret, name, account) {
                self.known.mail.insert(*name.expose(), (secret, account));
            }
        }
        self.gather(change);
    }

    /// Every entry of a journal in every version the medium has seen.
    fn journal(&self, key: &RowKey, cx: Context, primer: &Primer, indices: std::ops::Range<u64>) -> Entries {
        let mut entries = Vec::new();
        let mut absent = 0;
        for index in indices {
            let count = self.image.versions(Instance::Soup, cx.partition, &key.address(index)).len();
            absent = if count == 0 { absent + 1 } else { 0 };
            if absent > PATIENCE {
                break;
            }
            for version in 0..count {
                let mut fetch = |address: &_| -> Result<Option<Vec<u8>>, ()> {
                    let versions = self.image.versions(Instance::Soup, cx.partition, address);
                    Ok(versions.get(version).or(versions.last()).cloned())
                };
                if let Ok(Some(opened)) = open_entry(key, index, cx, primer, &mut fetch) {
                    entries.push(opened.plain);
                }
            }
        }
        entries
    }
}

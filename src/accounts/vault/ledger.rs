//! How changes make a vault's value, and a value becomes changes again.

use std::collections::BTreeMap;

use ruma::OwnedDeviceId;
use serde_json::Value;

use super::{Counted, VaultChange, VaultLedger, value_size};
use crate::{
    house::set,
    journal::{Error, Ledger},
};

/// What the types of account data start with that say whether a device is silenced; its id follows.
const SILENCED: [&str; 2] = ["m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."];

/// Ids of handed-out one-time keys that are remembered for a device. Clients repeat an upload at once or never, and
/// hold a hundred keys at a time.
const MOST_USED_KEYS: usize = 1000;

impl VaultLedger {
    /// One-time keys left, by algorithm.
    #[must_use]
    pub fn key_counts(&self, device: &OwnedDeviceId) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for key in self.one_time_keys.get(device).into_iter().flatten() {
            let algorithm = key.id.split(':').next().unwrap_or_default();
            *counts.entry(algorithm.to_owned()).or_default() += 1;
        }
        counts
    }

    fn counted<T>(&mut self, value: T) -> Counted<T> {
        self.count += 1;
        Counted { at: self.count, value }
    }

    /// Notes that account data of some bytes gives way to `value`.
    fn weigh(&mut self, before: usize, value: Option<&Value>) {
        self.data_bytes = self.data_bytes.saturating_sub(before) + value.map_or(0, value_size);
    }

    /// Begins another life of the server: no key that may have been handed out is handed out again.
    fn begin(&mut self, number: u32) {
        self.incarnation = number;
        for (device, keys) in std::mem::take(&mut self.one_time_keys) {
            keys.into_iter().for_each(|key| self.note_used(device.clone(), key.id));
        }
        self.sync_points.clear();
        self.count += 1;
    }

    fn note_used(&mut self, device: OwnedDeviceId, id: String) {
        let used = self.used_keys.entry(device).or_default();
        used.push_back(id);
        while used.len() > MOST_USED_KEYS {
            used.pop_front();
        }
    }

    fn drop_device(&mut self, device: &OwnedDeviceId) {
        self.one_time_keys.remove(device);
        self.sync_points.remove(device);
        let own = |pusher: &Value| pusher.get("d").and_then(Value::as_str) == Some(device.as_str());
        self.pushers = self.pushers.iter().filter(|(_, p)| !own(p)).map(|(key, p)| (key.clone(), p.clone())).collect();
        self.used_keys.remove(device);
        // Whether a device is silenced goes with it (MSC3890).
        for prefix in SILENCED {
            let kind = format!("{prefix}{device}");
            if let Some(data) = self.account_data.remove(&kind) {
                self.weigh(value_size(&data.value), None);
                self.count += 1;
            }
        }
    }
}

fn data_size(data: &Counted<Value>) -> usize {
    value_size(&data.value)
}

impl Ledger for VaultLedger {
    type Change = VaultChange;

    fn apply(&mut self, change: VaultChange) -> Result<(), Error> {
        match change {
            VaultChange::Life(slot) => self.life = Some(slot),
            VaultChange::Incarnation(number) => self.begin(number),
            VaultChange::Login(name) => self.login = Some(name),
            VaultChange::HouseKeys(keys) => self.house_keys = keys,
            VaultChange::Mail(secrets) => {
                if secrets.len() == 1 {
                    self.folded.clear();
                }
                self.mail = secrets;
            }
            VaultChange::MailRead(journal, index) => {
                self.mail_read.insert(journal, index);
            }
            VaultChange::Folded(mark) => {
                self.folded.insert(mark, ());
            }
            VaultChange::Room(room, entry) => {
                self.count += 1;
                set(&mut self.rooms, room, entry);
            }
            VaultChange::Device(device, entry) => {
                if entry.is_none() {
                    self.drop_device(&device);
                }
                // Whoever logs in as the dehydrated device makes it one like the others.
                let has_tokens = entry.as_ref().is_none_or(|entry| !entry.tokens.is_empty());
                self.dehydrated = self.dehydrated.take().filter(|kept| !has_tokens || kept.device != device);
                set(&mut self.devices, device, entry);
            }
            VaultChange::AccountData(kind, value) => {
                self.weigh(self.account_data.get(&kind).map_or(0, data_size), value.as_ref());
                let value = value.map(|value| self.counted(value));
                set(&mut self.account_data, kind, value);
            }
            VaultChange::RoomData(room, kind, value) => {
                let place = (room, kind);
                self.weigh(self.room_data.get(&place).map_or(0, data_size), value.as_ref());
                let value = value.map(|value| self.counted(value));
                set(&mut self.room_data, place, value);
            }
            VaultChange::Filter(id, filter) => {
                self.filters.insert(id, filter);
            }
            VaultChange::KeysAdded(device, keys) => {
                self.one_time_keys.entry(device).or_default().extend(keys);
            }
            VaultChange::KeyUsed(device, id) => {
                if let Some(keys) = self.one_time_keys.get_mut(&device) {
                    keys.retain(|key| key.id != id);
                }
                self.note_used(device, id);
            }
            VaultChange::Read(key, mark) => {
                self.count += 1;
                set(&mut self.read, key, mark);
            }
            VaultChange::Signatures(user, key, signatures) => {
                let others = self.signatures.iter().filter(|((of, _), _)| *of != user);
                self.signatures = others.map(|(key, made)| (key.clone(), made.clone())).collect();
                let made = self.counted(signatures);
                self.signatures.insert((user, key), made);
            }
            VaultChange::Backup(version, backup) => {
                self.backups.insert(version, backup);
            }
            VaultChange::SyncPoint(device, point) => {
                self.sync_points.insert(device, point);
            }
            VaultChange::Pusher(app, key, pusher) => set(&mut self.pushers, (app, key), pusher),
            VaultChange::Thread(room, root, thread) => {
                let thread = thread.map(|thread| self.counted(thread));
                set(&mut self.threads, (room, root), thread);
            }
            VaultChange::Delayed(id, event) => set(&mut self.delayed, id, event),
            VaultChange::Dehydrated(device) => self.dehydrated = device,
        }
        Ok(())
    }

    fn checkpoint(&self) -> Vec<VaultChange> {
        let mut changes = Vec::new();
        changes.extend(self.life.map(VaultChange::Life));
        // Before the keys and positions that it would drop.
        changes.extend((self.incarnation > 0).then_some(VaultChange::Incarnation(self.incarnation)));
        changes.extend(self.login.clone().map(VaultChange::Login));
        changes.push(VaultChange::HouseKeys(self.house_keys.clone()));
        changes.push(VaultChange::Mail(self.mail.clone()));
        changes.extend(self.mail_read.iter().map(|(journal, index)| VaultChange::MailRead(*journal, *index)));
        changes.extend(self.folded.keys().cloned().map(VaultChange::Folded));
        changes.extend(self.rooms.iter().map(|(room, e)| VaultChange::Room(room.clone(), Some(e.clone()))));
        changes.extend(self.devices.iter().map(|(id, e)| VaultChange::Device(id.clone(), Some(e.clone()))));
        changes
            .extend(self.account_data.iter().map(|(k, v)| VaultChange::AccountData(k.clone(), Some(v.value.clone()))));
        changes.extend(
            self.room_data
                .iter()
                .map(|((room, k), v)| VaultChange::RoomData(room.clone(), k.clone(), Some(v.value.clone()))),
        );
        changes.extend(self.filters.iter().map(|(id, filter)| VaultChange::Filter(id.clone(), filter.clone())));
        changes.extend(
            self.one_time_keys
                .iter()
                .map(|(device, keys)| VaultChange::KeysAdded(device.clone(), keys.iter().cloned().collect())),
        );
        for (device, used) in &self.used_keys {
            changes.extend(used.iter().map(|id| VaultChange::KeyUsed(device.clone(), id.clone())));
        }
        changes.extend(self.read.iter().map(|(key, mark)| VaultChange::Read(key.clone(), Some(mark.clone()))));
        changes.extend(
            self.signatures
                .iter()
                .map(|((user, key), s)| VaultChange::Signatures(user.clone(), key.clone(), s.value.clone())),
        );
        changes.extend(self.backups.iter().map(|(version, backup)| VaultChange::Backup(*version, backup.clone())));
        changes.extend(
            self.sync_points.iter().map(|(device, point)| VaultChange::SyncPoint(device.clone(), point.clone())),
        );
        changes.extend(self.dehydrated.clone().map(|device| VaultChange::Dehydrated(Some(device))));
        changes.extend(self.delayed.iter().map(|(id, event)| VaultChange::Delayed(id.clone(), Some(event.clone()))));
        changes.extend(
            self.pushers.iter().map(|((app, key), p)| VaultChange::Pusher(app.clone(), key.clone(), Some(p.clone()))),
        );
        changes.extend(
            self.threads
                .iter()
                .map(|((room, root), t)| VaultChange::Thread(room.clone(), root.clone(), Some(t.value.clone()))),
        );
        changes
    }
}

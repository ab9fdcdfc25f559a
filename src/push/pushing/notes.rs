//! Notes: keeping what rooms know of an account's pushers and rules in step with its vault.

use std::sync::Arc;

use ruma::{
    UserId,
    push::{FlattenedJson, PushConditionRoomCtx, Ruleset},
    serde::Raw,
};
use serde_json::{Value, json};

use super::{MOST_TAKEN, Pushing, Settled};
use crate::{
    accounts::{
        Account,
        vault::{Fact, VaultChange},
    },
    push::{
        judge::{Scene, notifies},
        pushers::{remove_pusher, targets},
        threads,
    },
    rooms::{Level, PushNote, Target},
};

impl Pushing {
    /// Takes in an account that has just opened: gives up push keys that are another's now, and threads that are gone.
    pub(super) async fn welcome(&self, account: &Arc<Account>) {
        let vault = account.view();
        for (app, key) in vault.pushers.keys() {
            let owner = self.desk.lock().taken.get(&hash(app, key)).cloned();
            if owner.is_some_and(|owner| owner != account.user_id) {
                self.remove(account, app, key).await;
            }
        }
        if !vault.threads.is_empty() {
            let rooms = vault.rooms.keys().filter_map(|id| self.rooms.find(id));
            let gone: Vec<VaultChange> = rooms.flat_map(|room| threads::gone(&vault, &room)).collect();
            let journals = self.rooms.accounts().journals();
            if !gone.is_empty() && account.vault.change(journals, |_| gone).await.is_err() {
                crate::log::warn!("threads that are gone were not forgotten");
            }
        }
        self.changed(account);
    }

    /// Brings the notes of an account into step with its pushers and rules.
    pub(super) async fn settle(&self, account: &Arc<Account>) {
        let vault = account.view();
        let settled = Settled::of(&vault);
        let targets = if self.policy.enabled { targets(&vault) } else { Vec::new() };
        let rules = self.counters.rules(account, &vault);
        for (id, entry) in &vault.rooms {
            let Some(room) = self.rooms.find(id).filter(|_| entry.fact == Fact::Joined) else { continue };
            let view = room.view();
            if !view.is_joined(&account.user_id) {
                continue;
            }
            let wanted = if targets.is_empty() {
                None
            } else {
                let scene = Scene::of(&room, &view, view.state.joined().count() as u64);
                let context = scene.for_user(&room, &view, &account.user_id, Some(Arc::clone(&vault)));
                let level = reduce(&rules, &context, view.state.encryption().is_some());
                level.map(|level| PushNote { level, targets: targets.clone() })
            };
            if room.push_note(&account.user_id) != wanted
                && let Err(error) = self.rooms.note_push(&room, &account.user_id, wanted).await
            {
                crate::log::warn!("a push note was not kept", reason = error.reason());
                return;
            }
        }
        self.desk.lock().settled.insert(account.user_id.clone(), settled);
    }

    /// Makes a push key the only account's that `account` is (spec: `POST /pushers/set`, `append`).
    pub async fn take_over(&self, account: &Arc<Account>, app: &str, key: &str) {
        {
            let mut desk = self.desk.lock();
            if desk.taken.len() >= MOST_TAKEN {
                desk.taken.clear();
            }
            desk.taken.insert(hash(app, key), account.user_id.clone());
        }
        let place = (app.to_owned(), key.to_owned());
        for other in self.rooms.accounts().all_open() {
            if other.user_id != account.user_id && other.view().pushers.contains_key(&place) {
                self.remove(&other, app, key).await;
            }
        }
        let other = |user: &UserId| user != account.user_id && self.rooms.accounts().open(user).is_none();
        self.erase(&other, |target| target.app == app && target.key == key).await;
    }

    /// Removes what is known of a target that its gateway rejects.
    pub(super) async fn reject(&self, target: &Target) {
        let place = (target.app.clone(), target.key.clone());
        for account in self.rooms.accounts().all_open() {
            if account.view().pushers.contains_key(&place) {
                self.remove(&account, &target.app, &target.key).await;
            }
        }
        let cold = |user: &UserId| self.rooms.accounts().open(user).is_none();
        self.erase(&cold, |known| known.app == target.app && known.key == target.key).await;
        let mut desk = self.desk.lock();
        desk.lanes.remove(target);
        desk.badges.remove(target);
    }

    async fn remove(&self, account: &Arc<Account>, app: &str, key: &str) {
        let journals = self.rooms.accounts().journals();
        if remove_pusher(account, journals, app.to_owned(), key.to_owned()).await.is_err() {
            crate::log::warn!("a pusher was not removed");
        }
        self.changed(account);
    }

    /// Takes targets out of the notes of those members that `whose` names.
    async fn erase(&self, whose: &(dyn Fn(&UserId) -> bool + Sync), gone: impl Fn(&Target) -> bool) {
        for room in self.rooms.all_open() {
            for (user, note) in &room.push_notes() {
                if !whose(user) || !note.targets.iter().any(|target| gone(target)) {
                    continue;
                }
                let targets: Vec<_> = note.targets.iter().filter(|target| !gone(target)).cloned().collect();
                let rest = (!targets.is_empty()).then_some(PushNote { level: note.level, targets });
                if self.rooms.note_push(&room, user, rest).await.is_err() {
                    crate::log::warn!("a push note was not removed");
                }
            }
        }
    }
}

/// What rules come to in one room: whether an ordinary message notifies, or at least a mention.
#[must_use]
pub(super) fn reduce(rules: &Ruleset, context: &PushConditionRoomCtx, encrypted: bool) -> Option<Level> {
    let ask = |kind: &str, content: Value| {
        let event = json!({"type": kind, "sender": "@", "room_id": context.room_id, "content": content});
        let event = serde_json::value::to_raw_value(&event).ok()?;
        notifies(rules, context, &FlattenedJson::from_raw(&Raw::<()>::from_json(event)))
    };
    let ordinary = if encrypted {
        ask("m.room.encrypted", json!({"algorithm": "m.megolm.v1.aes-sha2"}))
    } else {
        ask("m.room.message", json!({"msgtype": "m.text", "body": "", "m.mentions": {}}))
    };
    let mention = json!({"msgtype": "m.text", "body": "", "m.mentions": {"user_ids": [context.user_id]}});
    match ordinary {
        Some(_) => Some(Level::All),
        None => ask("m.room.message", mention).map(|_| Level::Mentions),
    }
}

/// What stands for a push key: the key itself is held nowhere but in its account.
fn hash(app: &str, key: &str) -> [u8; 16] {
    let hash = blake3::hash(format!("{}:{app}{key}", app.len()).as_bytes());
    hash.as_bytes().first_chunk().copied().expect("a hash has 32 bytes")
}

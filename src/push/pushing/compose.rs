//! Composing: what a target is told, decided at the last moment, when some of it may have been read.

use std::sync::Arc;

use ruma::UserId;

use super::{Parcel, Pushing};
use crate::{
    accounts::Account,
    push::{
        Counters,
        gateway::{Details, Told, body, wants_ids_only},
        pushers::targets,
    },
    rooms::Target,
};

/// A request, and the number it tells.
pub(super) struct Composed {
    pub(super) body: Vec<u8>,
    pub(super) unread: Option<u64>,
}

impl Pushing {
    /// What to tell `target`; nothing when there is nothing to tell any more.
    pub(super) fn compose(&self, target: &Target, parcel: &Parcel) -> Option<Composed> {
        match parcel {
            Parcel::Badge { user } => {
                let account = self.open(user, target)?;
                let unread = self.counters.badge(&account, &account.view(), &self.rooms);
                (self.desk.lock().badges.get(target) != Some(&unread))
                    .then(|| Composed { body: body(target, None, Some(unread)), unread: Some(unread) })
            }
            Parcel::Event { user, room, event, actions, urgent } => {
                let found = self.rooms.find(room);
                let view = found.as_ref().map(|room| room.view());
                let entry = view.as_ref().and_then(|view| view.entry(event).cloned());
                if view.is_some() && entry.is_none() {
                    // It has expired.
                    return None;
                }
                let unread = if self.rooms.accounts().open(user).is_some() {
                    let account = self.open(user, target)?;
                    let vault = account.view();
                    if let (Some(room), Some(view), Some(entry)) = (&found, &view, &entry) {
                        let passed = entry.redacted_by().is_some() || Counters::has_read(&vault, room, view, entry);
                        if passed {
                            return None;
                        }
                    }
                    Some(self.counters.badge(&account, &vault, &self.rooms))
                } else {
                    None
                };
                let details = if self.policy.details && !wants_ids_only(target) {
                    let (view, entry) = (view.as_ref()?, entry.as_ref()?);
                    Some(Details::of(entry, view, entry.state_key() == Some(user.as_str())))
                } else {
                    None
                };
                let told = Told { event, room, actions, urgent: *urgent, details };
                Some(Composed { body: body(target, Some(&told), unread), unread })
            }
        }
    }

    /// The account, when it is open and the target still one of its devices.
    fn open(&self, user: &UserId, target: &Target) -> Option<Arc<Account>> {
        let account = self.rooms.accounts().open(user)?;
        targets(&account.view()).iter().any(|known| **known == *target).then_some(account)
    }
}

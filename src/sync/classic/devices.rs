//! Device lists: whose devices a client has to ask about again, and whose no longer matter to it.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{answer::DeviceLists, look::Look, point::Point};
use crate::{
    accounts::vault::Fact,
    rooms::{Entry, View, core::StateMap},
};

/// Who came near and who went, in the rooms of one look.
#[derive(Default)]
pub(super) struct Neighbours {
    came: BTreeSet<OwnedUserId>,
    went: BTreeSet<OwnedUserId>,
}

impl Neighbours {
    /// Who came near.
    pub(super) fn came(&self) -> &BTreeSet<OwnedUserId> {
        &self.came
    }

    /// The user entered a room with this state.
    pub(super) fn entered(&mut self, state: &StateMap) {
        self.came.extend(state.joined().map(ToOwned::to_owned));
    }

    /// The user is out of a room with this state.
    pub(super) fn parted(&mut self, state: &StateMap) {
        self.went.extend(state.joined().map(ToOwned::to_owned));
    }

    /// Others moved in a room the user is in.
    pub(super) fn moved<'a>(&mut self, own: &UserId, entries: impl Iterator<Item = &'a Entry>) {
        for entry in entries {
            let Some(user) = entry.state_key().and_then(|key| UserId::parse(key).ok()) else { continue };
            let (before, after) = (entry.before.membership(&user), entry.membership());
            let (was, is) = (before == MembershipState::Join, after == Some(MembershipState::Join));
            if user == own || was == is {
                continue;
            }
            if is {
                self.came.insert(user);
            } else {
                self.went.insert(user);
            }
        }
    }
}

impl Look<'_> {
    /// Changes of device lists since `before`. A first answer has none: the client asks about whom it needs.
    pub(super) fn device_lists(&self, before: &Point, near: &Neighbours) -> DeviceLists {
        if self.initial() {
            return DeviceLists::default();
        }
        let own = &self.session.account.user_id;
        let mut changed = near.came.clone();
        if self.house.stamp != before.devices {
            let server = own.server_name();
            let touched = self.house.stamps.iter().filter(|(_, stamp)| **stamp > before.devices);
            let users = touched.filter_map(|(name, _)| UserId::parse(format!("@{name}:{server}")).ok());
            changed.extend(users);
        }
        // Signatures on others' keys are seen by the account's own devices alone.
        let signed = self.vault.signatures.iter().filter(|(_, made)| made.at > before.vault);
        changed.extend(signed.map(|((user, _), _)| user.clone()));
        if changed.is_empty() && near.went.is_empty() {
            return DeviceLists::default();
        }
        let rooms = self.shared();
        let shares = |user: &UserId| user == own || rooms.iter().any(|view| view.is_joined(user));
        changed.retain(|user| shares(user));
        let left = near.went.iter().filter(|user| !shares(user)).cloned();
        DeviceLists { left: left.collect(), changed: changed.into_iter().collect() }
    }

    /// Every room the account is joined to.
    fn shared(&self) -> Vec<Arc<View>> {
        let joined = self.vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
        joined.filter_map(|(id, _)| Some(self.rooms.find(id)?.view())).collect()
    }
}

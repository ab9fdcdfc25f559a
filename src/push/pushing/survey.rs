//! Survey: what happened in a room, and whom it concerns.

use std::{cell::OnceCell, sync::Arc};

use ruma::{RoomId, UserId, events::room::member::MembershipState};

use super::{Desk, Parcel, Pushing};
use crate::{
    accounts::{Account, Standing},
    push::{
        count::is_invitation,
        gateway::is_urgent,
        judge::{Scene, highlights, notifies},
        predefined::predefined,
        pushers::targets,
    },
    rooms::{Entry, Level, PushNote, Room, Target, View},
};

/// Events of a room that are judged at once: whoever missed more is told of the latest.
const MOST_JUDGED: usize = 200;

impl Pushing {
    /// Judges what happened in a room since the last time.
    pub(super) fn survey(&self, id: &RoomId) {
        let Some(room) = self.rooms.find(id) else { return };
        let view = room.view();
        let start = room.news(&view).max(view.timeline.len().saturating_sub(MOST_JUDGED));
        if start >= view.timeline.len() {
            return;
        }
        let part = |account: &&Arc<Account>| {
            matches!(view.state.membership(&account.user_id), MembershipState::Join | MembershipState::Invite)
        };
        let mut open: Vec<_> = self.desk.lock().armed.values().filter(part).cloned().collect();
        open.retain(|account| self.hears(account));
        let notes = room.push_notes();
        let cold: Vec<_> = notes.iter().filter(|(user, _)| self.would_hear(user)).collect();
        let scene = OnceCell::new();
        let scene = || scene.get_or_init(|| Scene::of(&room, &view, view.state.joined().count() as u64));
        for entry in view.timeline.iter().skip(start) {
            self.unsettle(&view, entry);
            if entry.redacted_by().is_some() {
                continue;
            }
            for account in &open {
                self.tell_open(account, (&room, &view, scene()), entry);
            }
            for (user, note) in &cold {
                self.tell_cold(user, note, (&room, &view, scene()), entry);
            }
            if let Some((user, note)) = self.invited_cold(entry) {
                self.tell_cold(&user, &note, (&room, &view, scene()), entry);
            }
        }
    }

    /// Whether an account is still the one that is open under its name, and not locked.
    fn hears(&self, account: &Arc<Account>) -> bool {
        let accounts = self.rooms.accounts();
        let same = accounts.open(&account.user_id).is_some_and(|now| Arc::ptr_eq(&now, account));
        same && accounts.standing(account).is_ok_and(|standing| standing != Standing::Locked)
    }

    /// Whether a member is cold, and told of events by what a room knows of him.
    fn would_hear(&self, user: &UserId) -> bool {
        let accounts = self.rooms.accounts();
        accounts.open(user).is_none() && !accounts.is_locked(user)
    }

    fn tell_open(&self, account: &Arc<Account>, at: (&Room, &View, &Scene), entry: &Entry) {
        let vault = account.view();
        let Some(actions) = self.counters.judge(account, &vault, at, entry) else { return };
        self.tell(&account.user_id, &targets(&vault), &actions.into(), at.0, entry);
    }

    /// Judges for a member who cannot be asked: by the predefined rules, as far as his note goes.
    fn tell_cold(&self, user: &UserId, note: &PushNote, (room, view, scene): (&Room, &View, &Scene), entry: &Entry) {
        let invites = is_invitation(user, entry);
        if entry.sender() == user || !invites && entry.before.membership(user) != MembershipState::Join {
            return;
        }
        let rules = predefined(user);
        let context = scene.for_user(room, view, user, None);
        let Some(flat) = self.counters.flattened().of(view, entry) else { return };
        let Some(actions) = notifies(&rules, &context, &flat) else { return };
        if note.level == Level::All || invites || highlights(actions) {
            self.tell(user, &note.targets, &actions.into(), room, entry);
        }
    }

    fn tell(
        &self,
        user: &UserId,
        targets: &[Arc<Target>],
        actions: &Arc<[ruma::push::Action]>,
        room: &Room,
        entry: &Entry,
    ) {
        let now = self.rooms.clock().monotonic();
        let urgent = is_urgent(entry, actions);
        let mut desk = self.desk.lock();
        for target in targets {
            let parcel = Parcel::Event {
                user: user.to_owned(),
                room: room.id.clone(),
                event: entry.id(),
                actions: Arc::clone(actions),
                urgent,
            };
            desk.put(target, parcel, now);
        }
    }

    /// The cold account that an event invites, with the note that another room has of it: this one has none yet.
    fn invited_cold(&self, entry: &Entry) -> Option<(ruma::OwnedUserId, PushNote)> {
        let user = <&UserId>::try_from(entry.state_key()?).ok().filter(|user| is_invitation(user, entry))?;
        let accounts = self.rooms.accounts();
        if user.server_name() != accounts.policy().server_name || !self.would_hear(user) {
            return None;
        }
        let note = self.rooms.all_open().iter().find_map(|room| room.push_note(user))?;
        Some((user.to_owned(), note))
    }

    /// Notes whose notes may have to change: who has come into the room, and everybody in a room that is encrypted now.
    fn unsettle(&self, view: &View, entry: &Entry) {
        let mut desk = self.desk.lock();
        match entry.kind() {
            "m.room.member" if entry.membership() == Some(MembershipState::Join) => {
                let Some(user) = entry.state_key().and_then(|key| <&UserId>::try_from(key).ok()) else { return };
                if let Some(account) = desk.armed.get(user).cloned() {
                    desk.restless.insert(account.user_id.clone(), account);
                }
            }
            "m.room.encryption" => {
                let members: Vec<_> =
                    desk.armed.values().filter(|account| view.is_joined(&account.user_id)).cloned().collect();
                desk.restless.extend(members.into_iter().map(|account| (account.user_id.clone(), account)));
            }
            _ => {}
        }
    }
}

impl Desk {
    pub(super) fn put(&mut self, target: &Arc<Target>, parcel: Parcel, now: std::time::Duration) {
        self.lanes.entry(Arc::clone(target)).or_default().put(parcel, now);
    }
}

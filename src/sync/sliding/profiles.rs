//! Profiles of the people whose rooms a client looks at, and what changes of them later (MSC4262).

use std::collections::BTreeMap;

use imbl::{OrdMap, OrdSet, ordmap::DiffItem};
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{
    connection::Sent,
    extensions::{Covered, Extending},
    request::ProfileScope,
};
use crate::{house::Profile, sync::parts::People};

/// Whole profiles of one answer; further ones come with the next.
const MOST_PROFILES: usize = 500;

/// What a connection has been told of profiles.
#[derive(Clone, Default)]
pub(super) struct Told {
    /// Every profile as it was at the last answer.
    base: OrdMap<String, Profile>,
    /// Whose whole profile was told.
    whole: OrdSet<OwnedUserId>,
    /// Which fields were asked for: all when absent.
    fields: Option<Vec<String>>,
    /// With whom rooms are shared.
    people: People,
}

impl Extending<'_> {
    /// Profiles of who is new, changes of who shares a room, and who shares none any more.
    pub(super) fn profiles(&mut self, asked: &ProfileScope, covered: &[Covered<'_, '_>]) {
        let before = self.state.profiles.take();
        let first = before.is_none();
        let mut told = before.unwrap_or_default();
        told.people = People::of(self.rooms, &self.session.account, self.vault, &told.people);
        if told.fields != asked.fields {
            // Fields that are new are told of everybody again.
            told.whole = OrdSet::new();
            told.fields.clone_from(&asked.fields);
        }
        let shares = |user: &UserId| told.people.contains(user);
        let wanted = |field: &str| told.fields.as_ref().is_none_or(|fields| fields.iter().any(|known| known == field));
        let mut users: BTreeMap<OwnedUserId, Value> = BTreeMap::new();
        if !first {
            let server = &self.rooms.policy().server_name;
            for change in told.base.diff(&self.house.profiles) {
                let (name, old, new) = sides(&change);
                let user = UserId::parse(format!("@{name}:{server}")).ok().filter(|user| shares(user));
                let changed = changes(old, new, &wanted);
                users.extend(user.zip(changed));
            }
        }
        let gone: Vec<_> = told.whole.iter().filter(|user| !shares(user)).cloned().collect();
        for user in gone {
            told.whole.remove(&user);
            users.insert(user, Value::Null);
        }
        let fresh = self.seen(covered).into_iter().filter(|user| !told.whole.contains(user) && shares(user));
        let fresh: Vec<_> = fresh.take(MOST_PROFILES).collect();
        for user in fresh {
            let profile = self.house.profiles.get(user.localpart());
            let whole = profile.and_then(|profile| changes(None, Some(profile), &wanted));
            told.whole.insert(user.clone());
            users.extend(whole.map(|whole| (user, whole)));
        }
        told.base = self.house.profiles.clone();
        self.state.profiles = Some(told);
        if !users.is_empty() {
            self.worth = true;
            self.answer.profiles = Some(json!({ "users": users }));
        }
    }

    /// The members of the rooms that are shown, as far as the client knows of them: all, or those it was told lazily.
    fn seen(&self, covered: &[Covered<'_, '_>]) -> OrdSet<OwnedUserId> {
        let mut seen = OrdSet::unit(self.session.account.user_id.clone());
        for covered in covered.iter().filter(|covered| covered.profiles) {
            let Some((_, view)) = &covered.candidate.room else { continue };
            let sent = self.state.rooms.get(covered.candidate.id);
            if sent.is_some_and(Sent::is_lazy) {
                seen.extend(sent.into_iter().flat_map(|sent| sent.members.iter().cloned()));
            } else {
                seen.extend(view.state.joined().map(ToOwned::to_owned));
            }
        }
        seen
    }
}

fn sides<'a>(change: &DiffItem<'a, 'a, String, Profile>) -> (&'a str, Option<&'a Profile>, Option<&'a Profile>) {
    match *change {
        DiffItem::Add(name, new) => (name, None, Some(new)),
        DiffItem::Update { old: (name, old), new: (_, new) } => (name, Some(old), Some(new)),
        DiffItem::Remove(name, old) => (name, Some(old), None),
    }
}

/// What became of the wanted fields of a profile; nothing when they are the same.
fn changes(old: Option<&Profile>, new: Option<&Profile>, wanted: &dyn Fn(&str) -> bool) -> Option<Value> {
    let fields = |profile: Option<&Profile>| profile.map(|profile| profile.0.clone()).unwrap_or_default();
    let (old, new) = (fields(old), fields(new));
    let updated: BTreeMap<_, _> =
        new.iter().filter(|(field, value)| wanted(field) && old.get(*field) != Some(value)).collect();
    let removed: Vec<_> = old.keys().filter(|field| wanted(field) && !new.contains_key(*field)).collect();
    let mut change = json!({});
    if !updated.is_empty() {
        change["updated"] = json!(updated);
    }
    if !removed.is_empty() {
        change["removed"] = json!(removed);
    }
    change.as_object().is_some_and(|change| !change.is_empty()).then_some(change)
}

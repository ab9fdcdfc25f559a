//! What an account has set for a room goes along to the room that replaces it (spec: client-server API, room upgrades).

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, hall::Rooms, room::Room};
use crate::accounts::{
    Account,
    vault::{Fact, VaultChange, VaultLedger},
};

/// The account data that holds push rules, and the most rules of one kind that still take one more.
const RULES: (&str, usize) = ("m.push_rules", 1000);
/// The account data that names direct chats.
const DIRECT: &str = "m.direct";
/// The account data of a room that holds its tags.
const TAGS: &str = "m.tag";

impl Rooms {
    /// Brings along what `account`, who is in `new`, has set for the room that `new` replaces: only where both say so.
    pub(super) async fn bring_along(&self, new: &Room, account: &Account) {
        if let Err(error) = self.move_settings(new, account).await {
            crate::log::warn!("an account's settings did not follow its room", reason = error.reason());
        }
    }

    /// As [`Rooms::bring_along`], for everybody who is in the room that replaced `old` and open.
    pub(super) async fn bring_all_along(&self, old: &Room) {
        let Some(new) = old.view().state.replacement().and_then(|new| self.find(&new)) else { return };
        for (user, _) in self.local_members(&new.view()) {
            if let Some(account) = self.accounts.open(&user) {
                self.bring_along(&new, &account).await;
            }
        }
    }

    async fn move_settings(&self, new: &Room, account: &Account) -> Result<(), Error> {
        let Some(old) = predecessor(new) else { return Ok(()) };
        let is = |id: &RoomId, facts: &[Fact]| account.view().rooms.get(id).is_some_and(|it| facts.contains(&it.fact));
        if !account.view().rooms.contains_key(&old) || !is(&new.id, &[Fact::Joined]) {
            return Ok(());
        }
        let room = self.reach(&old, account).await?;
        if room.view().state.replacement().as_ref() != Some(&new.id) {
            return Ok(());
        }
        let moves = |vault: &VaultLedger| moves(vault, &old, &new.id);
        account.vault.change(&self.journals, moves).await?;
        account.notify();
        Ok(())
    }
}

/// The room that `new` says it replaces.
fn predecessor(new: &Room) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Create {
        predecessor: Predecessor,
    }
    #[derive(Deserialize)]
    struct Predecessor {
        room_id: OwnedRoomId,
    }
    let create: Create = new.view().state.create()?.content_as()?;
    Some(create.predecessor.room_id)
}

/// The changes of a vault that give the new room what the old one has. What the new one has already stays.
fn moves(vault: &VaultLedger, old: &RoomId, new: &RoomId) -> Vec<VaultChange> {
    let mut changes = Vec::new();
    let data = |kind: &str| Some(vault.account_data.get(kind)?.value.clone());
    if let Some(rules) = data(RULES.0).and_then(|rules| with_rules(rules, old, new)) {
        changes.push(VaultChange::AccountData(RULES.0.to_owned(), Some(rules)));
    }
    if let Some(direct) = data(DIRECT).and_then(|direct| with_direct(direct, old, new)) {
        changes.push(VaultChange::AccountData(DIRECT.to_owned(), Some(direct)));
    }
    let place = |room: &RoomId| (room.to_owned(), TAGS.to_owned());
    if let Some(tags) = vault.room_data.get(&place(old)).filter(|_| !vault.room_data.contains_key(&place(new))) {
        changes.push(VaultChange::RoomData(new.to_owned(), TAGS.to_owned(), Some(tags.value.clone())));
    }
    changes
}

/// The rules with one more for each that is about the old room; nothing when there is none.
fn with_rules(mut rules: Value, old: &RoomId, new: &RoomId) -> Option<Value> {
    let mut moved = false;
    for kind in ["override", "room"] {
        let list = rules.get_mut("global").and_then(|global| global.get_mut(kind)).and_then(Value::as_array_mut);
        let Some(list) = list else { continue };
        let has = |list: &[Value], id: &RoomId| list.iter().position(|rule| rule["rule_id"] == id.as_str());
        let Some(at) = has(list, old).filter(|_| has(list, new).is_none() && list.len() < RULES.1) else { continue };
        let mut rule = list[at].clone();
        rule["rule_id"] = json!(new);
        for condition in rule.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if condition["key"] == "room_id" && condition["pattern"] == old.as_str() {
                condition["pattern"] = json!(new);
            }
        }
        list.insert(at + 1, rule);
        moved = true;
    }
    moved.then_some(rules)
}

/// The direct chats with the new room beside the old one; nothing when the old one is none.
fn with_direct(mut direct: Value, old: &RoomId, new: &RoomId) -> Option<Value> {
    let mut moved = false;
    for rooms in direct.as_object_mut()?.values_mut().filter_map(Value::as_array_mut) {
        if rooms.iter().any(|room| room == old.as_str()) && !rooms.iter().any(|room| room == new.as_str()) {
            rooms.push(json!(new));
            moved = true;
        }
    }
    moved.then_some(direct)
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn rules_about_the_old_room_are_doubled_where_they_stand() {
        let (old, new) = (room_id!("!old:ex.org"), room_id!("!new:ex.org"));
        let mute = |id: &str| json!({"rule_id": id, "actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": id}]});
        let quiet = |id: &str| json!({"rule_id": id, "actions": ["dont_notify"]});
        let rules =
            json!({"global": {"override": [mute("!old:ex.org"), mute("!x:ex.org")], "room": [quiet("!old:ex.org")]}});
        let moved = with_rules(rules, old, new).unwrap();
        let expected = json!({"global": {
            "override": [mute("!old:ex.org"), mute("!new:ex.org"), mute("!x:ex.org")],
            "room": [quiet("!old:ex.org"), quiet("!new:ex.org")],
        }});
        assert_eq!(moved, expected);
        assert_eq!(with_rules(moved, old, new), None, "once is enough");
        assert_eq!(with_rules(json!({"global": {}}), old, new), None);
        assert_eq!(with_rules(json!(5), old, new), None);
    }

    #[test]
    fn direct_chats_follow() {
        let (old, new) = (room_id!("!old:ex.org"), room_id!("!new:ex.org"));
        let moved = with_direct(json!({"@a:b": ["!old:ex.org"], "@c:d": ["!x:ex.org"], "@e:f": 5}), old, new);
        assert_eq!(moved, Some(json!({"@a:b": ["!old:ex.org", "!new:ex.org"], "@c:d": ["!x:ex.org"], "@e:f": 5})));
        assert_eq!(with_direct(json!([]), old, new), None);
    }
}

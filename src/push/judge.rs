//! Judging: what the push rules of one user say of one event.
//!
//! An event is flattened once, whoever is asked about it.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use quick_cache::sync::Cache;
use ruma::{
    Int, OwnedUserId, UInt, UserId,
    power_levels::NotificationPowerLevels,
    push::{Action, AnyPushRuleRef, FlattenedJson, PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset},
    room_version_rules::RoomPowerLevelsRules,
};
use serde::Deserialize;

use super::judged::{judged, name_pattern};
use crate::{
    accounts::vault::VaultLedger,
    event::EventKey,
    rooms::{Entry, Room, View, Whole},
};

/// Flattened events that are kept for the next who is asked about them.
const MOST_KEPT: usize = 256;

/// Events as rules ask about them, the latest kept.
pub struct Flattened(Cache<EventKey, Arc<FlattenedJson>>);

impl Default for Flattened {
    fn default() -> Self {
        Self(Cache::new(MOST_KEPT))
    }
}

impl Flattened {
    /// The event behind an entry, flattened; nothing when it cannot be read any more.
    #[must_use]
    pub fn of(&self, view: &View, entry: &Entry) -> Option<Arc<FlattenedJson>> {
        self.0.get(&entry.key()).or_else(|| Some(self.take_in(entry, &view.whole(entry)?)))
    }

    /// As [`Flattened::of`], of an event that has been read.
    pub(super) fn of_whole(&self, entry: &Entry, whole: &Whole<'_>) -> Arc<FlattenedJson> {
        self.0.get(&entry.key()).unwrap_or_else(|| self.take_in(entry, whole))
    }

    fn take_in(&self, entry: &Entry, whole: &Whole<'_>) -> Arc<FlattenedJson> {
        let flat = Arc::new(FlattenedJson::from_raw(&judged(whole.face())));
        self.0.insert(entry.key(), Arc::clone(&flat));
        flat
    }

    /// Lets go of an event: it was redacted.
    pub fn forget(&self, entry: &Entry) {
        self.0.remove(&entry.key());
    }

    /// Lets go of every event: none is kept for longer than until the next round of upkeep.
    pub fn clear(&self) {
        self.0.clear();
    }
}

/// The rule that decides about an event.
#[must_use]
pub fn matching<'a>(
    rules: &'a Ruleset,
    context: &PushConditionRoomCtx,
    event: &FlattenedJson,
) -> Option<AnyPushRuleRef<'a>> {
    // Rules are asynchronous for clients that look subscriptions up; here everything is at hand.
    let now = &mut Context::from_waker(Waker::noop());
    rules.iter().find(|rule| pin!(rule.applies(event, context)).poll(now) == Poll::Ready(true))
}

/// What is to be done about an event that notifies; nothing when it does not.
#[must_use]
pub fn notifies<'a>(rules: &'a Ruleset, context: &PushConditionRoomCtx, event: &FlattenedJson) -> Option<&'a [Action]> {
    matching(rules, context, event).filter(|rule| rule.triggers_notification()).map(AnyPushRuleRef::actions)
}

/// Whether these actions draw attention to the event itself.
#[must_use]
pub fn highlights(actions: &[Action]) -> bool {
    actions.iter().any(Action::is_highlight)
}

/// What rules may ask about a room, whoever is asked.
pub struct Scene {
    members: UInt,
    power_levels: Option<PushConditionPowerLevelsCtx>,
}

impl Scene {
    /// The room as `view` shows it, in which `members` are joined.
    #[must_use]
    pub fn of(room: &Room, view: &View, members: u64) -> Self {
        #[derive(Deserialize)]
        struct Levels {
            #[serde(default)]
            users: BTreeMap<OwnedUserId, Int>,
            #[serde(default)]
            users_default: Int,
            #[serde(default)]
            notifications: NotificationPowerLevels,
        }
        let levels = view.state.power_levels().and_then(|event| event.content_as::<Levels>());
        let power_levels = levels.map(|levels| {
            let rules = &room.rules.authorization;
            let rules = RoomPowerLevelsRules::new(rules, view.state.creators(rules));
            PushConditionPowerLevelsCtx::new(levels.users, levels.users_default, levels.notifications, rules)
        });
        Self { members: UInt::try_from(members).unwrap_or(UInt::MAX), power_levels }
    }

    /// What the rules of `user` may ask about it. `vault` knows the threads he follows.
    #[must_use]
    pub fn for_user(
        &self,
        room: &Room,
        view: &View,
        user: &UserId,
        vault: Option<Arc<VaultLedger>>,
    ) -> PushConditionRoomCtx {
        let name = view.state.member(user).and_then(|member| member.content_str("displayname"));
        let name = name.map_or_else(|| user.localpart().to_owned(), |name| name_pattern(name, user));
        let mut context = PushConditionRoomCtx::new(room.id.clone(), self.members, user.to_owned(), name);
        context.power_levels.clone_from(&self.power_levels);
        let Some(vault) = vault else { return context };
        let id = room.id.clone();
        context.with_has_thread_subscription_fn(move |root| {
            let follows =
                vault.threads.get(&(id.clone(), root.to_owned())).is_some_and(|thread| thread.value.subscribed);
            Box::pin(std::future::ready(follows))
        })
    }
}

#[cfg(test)]
mod tests {
    use ruma::{push::NewPatternedPushRule, room_id, serde::Raw, user_id};
    use serde_json::{Value, json};

    use super::*;
    use crate::push::predefined::predefined;

    fn flat(content: &Value) -> FlattenedJson {
        let value = json!({"type": "m.room.message", "sender": "@bo:ex.org", "content": content});
        FlattenedJson::from_raw(&Raw::<()>::from_json(serde_json::value::to_raw_value(&value).unwrap()))
    }

    fn context(name: &str) -> PushConditionRoomCtx {
        let (room, user) = (room_id!("!r:ex.org").to_owned(), user_id!("@al:ex.org").to_owned());
        PushConditionRoomCtx::new(room, 3_u32.into(), user, name.to_owned())
    }

    fn rule_for(content: &Value, name: &str) -> Option<String> {
        let rules = predefined(user_id!("@al:ex.org"));
        matching(&rules, &context(name), &flat(content)).map(|rule| rule.rule_id().to_owned())
    }

    #[test]
    fn mentions_are_found_by_intent_and_without_it_by_text() {
        let rule = |content| rule_for(&content, "Alice").expect("a message matches");
        assert_eq!(rule(json!({"body": "hi"})), ".m.rule.message");
        assert_eq!(rule(json!({"body": "hi Alice!"})), ".m.rule.contains_display_name");
        assert_eq!(rule(json!({"body": "hi @al:ex.org"})), ".m.rule.contains_user_name");
        assert_eq!(rule(json!({"body": "hi", "m.mentions": {"user_ids": ["@al:ex.org"]}})), ".m.rule.is_user_mention");
        assert_eq!(rule(json!({"body": "hi Alice, al", "m.mentions": {}})), ".m.rule.message");
        assert_eq!(rule(json!({"body": "hi", "msgtype": "m.notice"})), ".m.rule.suppress_notices");
    }

    #[test]
    fn no_pattern_that_is_taken_breaks_the_matching() {
        for pattern in ["?".repeat(16), "*".repeat(16), "[a".to_owned(), "a\\".to_owned(), "é?*é".to_owned()] {
            let mut rules = predefined(user_id!("@al:ex.org"));
            let rule = NewPatternedPushRule::new("k".to_owned(), pattern, vec![Action::Notify]);
            rules.insert(ruma::push::NewPushRule::Content(rule), None, None).unwrap();
            let body = "ü".repeat(1000);
            assert!(matching(&rules, &context("Alice"), &flat(&json!({ "body": body }))).is_some());
        }
    }
}

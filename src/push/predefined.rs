//! The predefined push rules ([spec](https://spec.matrix.org/latest/client-server-api/#predefined-rules)), and how an
//! account's own rules and changes are laid over them.
//!
//! Beside ruma's list stand the three rules for mentions without `m.mentions`, which the specification had until
//! version 1.16: without them no bridge and no older client could draw anybody's attention. Events with `m.mentions`
//! are not asked by them.

use ruma::{
    UserId,
    power_levels::NotificationPowerLevelsKey,
    push::{
        Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData, HighlightTweakValue,
        PatternedPushRuleInit, PredefinedContentRuleId, PredefinedOverrideRuleId, PredefinedUnderrideRuleId,
        PushCondition, Ruleset, SenderNotificationPermissionConditionData, SoundTweakValue, Tweak,
    },
};

/// The predefined rules of `user`.
#[must_use]
pub(super) fn predefined(user: &UserId) -> Ruleset {
    let mut rules = Ruleset::server_default(user);
    rules.override_ = rules.override_.into_iter().flat_map(beside_mentions).map(polls_by_pattern).collect();
    rules.underride = rules.underride.into_iter().map(polls_by_pattern).collect();
    rules.postcontent = rules.postcontent.into_iter().map(quiet).collect();
    rules.content.insert(names_localpart(user));
    rules
}

/// Lays the predefined rules under `rules`: their conditions are as they are now, what the account changed of them
/// stays, and those that are no longer predefined go.
pub(super) fn lay_under(rules: &mut Ruleset, user: &UserId) {
    let mut predefined = predefined(user);
    // ruma's merging passes this kind over.
    let fresh = std::mem::take(&mut predefined.postcontent);
    let stored = std::mem::take(&mut rules.postcontent);
    let state = |rule: ConditionalPushRule| match stored.get(rule.rule_id.as_str()) {
        Some(known) => {
            let mut rule = rule;
            rule.enabled = known.enabled;
            rule.actions.clone_from(&known.actions);
            rule
        }
        None => rule,
    };
    let fresh: Vec<_> = fresh.into_iter().map(state).collect();
    rules.postcontent = stored.into_iter().filter(|rule| !rule.default).chain(fresh).collect();
    rules.update_with_server_default(predefined);
}

/// `rule`, and behind a rule for mentions by intent the one for mentions by text.
fn beside_mentions(rule: ConditionalPushRule) -> Vec<ConditionalPushRule> {
    let behind = if rule.rule_id == PredefinedOverrideRuleId::IsUserMention.as_str() {
        Some(names_display_name())
    } else if rule.rule_id == PredefinedOverrideRuleId::IsRoomMention.as_str() {
        Some(names_room())
    } else {
        None
    };
    std::iter::once(rule).chain(behind).collect()
}

#[expect(deprecated, reason = "the rule is kept for clients without intentional mentions")]
fn names_display_name() -> ConditionalPushRule {
    let init = ConditionalPushRuleInit {
        actions: vec![Action::Notify, sound(), highlight()],
        default: true,
        enabled: true,
        rule_id: PredefinedOverrideRuleId::ContainsDisplayName.to_string(),
        conditions: vec![PushCondition::ContainsDisplayName],
    };
    init.into()
}

#[expect(deprecated, reason = "the rule is kept for clients without intentional mentions")]
fn names_room() -> ConditionalPushRule {
    let body = EventMatchConditionData::new("content.body".to_owned(), "@room".to_owned());
    let permission = SenderNotificationPermissionConditionData::new(NotificationPowerLevelsKey::Room);
    let init = ConditionalPushRuleInit {
        actions: vec![Action::Notify, highlight()],
        default: true,
        enabled: true,
        rule_id: PredefinedOverrideRuleId::RoomNotif.to_string(),
        conditions: vec![body.into(), permission.into()],
    };
    init.into()
}

#[expect(deprecated, reason = "the rule is kept for clients without intentional mentions")]
fn names_localpart(user: &UserId) -> ruma::push::PatternedPushRule {
    let init = PatternedPushRuleInit {
        actions: vec![Action::Notify, sound(), highlight()],
        default: true,
        enabled: true,
        rule_id: PredefinedContentRuleId::ContainsUserName.to_string(),
        pattern: user.localpart().to_owned(),
    };
    init.into()
}

/// Rules for polls (MSC3930) as clients know them: by a pattern for the type.
fn polls_by_pattern(mut rule: ConditionalPushRule) -> ConditionalPushRule {
    for condition in &mut rule.conditions {
        if let PushCondition::EventPropertyIs(data) = condition
            && data.key == "type"
            && let Some(kind) = data.value.as_str()
        {
            *condition = EventMatchConditionData::new("type".to_owned(), kind.to_owned()).into();
        }
    }
    rule
}

/// The rule that silences threads nobody subscribed to (MSC4306) is off until the account turns it on: no client in
/// use subscribes by itself, and its user would hear nothing of answers in threads.
fn quiet(mut rule: ConditionalPushRule) -> ConditionalPushRule {
    rule.enabled &= rule.rule_id != PredefinedUnderrideRuleId::UnsubscribedThread.as_str();
    rule
}

fn sound() -> Action {
    Action::SetTweak(Tweak::Sound(SoundTweakValue::Default))
}

fn highlight() -> Action {
    Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes))
}

#[cfg(test)]
mod tests {
    use ruma::{push::RuleKind, user_id};
    use serde_json::json;

    use super::*;

    fn ids(rules: &Ruleset, kind: &RuleKind) -> Vec<String> {
        let of_kind = rules.iter().filter(|rule| rules.get(kind.clone(), rule.rule_id()).is_some());
        of_kind.map(|rule| rule.rule_id().to_owned()).collect()
    }

    #[test]
    fn mentions_by_text_stand_behind_mentions_by_intent() {
        let rules = predefined(user_id!("@al:ex.org"));
        let ids = ids(&rules, &RuleKind::Override);
        let place = |id: &str| ids.iter().position(|known| known == id).expect("predefined");
        assert_eq!(place(".m.rule.is_user_mention") + 1, place(".m.rule.contains_display_name"));
        assert_eq!(place(".m.rule.is_room_mention") + 1, place(".m.rule.roomnotif"));
        assert_eq!(place(".m.rule.master"), 0);
        let name = serde_json::to_value(rules.content.get(".m.rule.contains_user_name")).unwrap();
        assert_eq!(name["pattern"], "al");
    }

    #[test]
    fn polls_are_known_by_their_type() {
        let rules = predefined(user_id!("@al:ex.org"));
        let condition = |kind, id: &str| {
            let rule = rules.get(kind, id).expect("predefined").to_owned();
            serde_json::to_value(ruma::api::client::push::PushRule::from(rule)).unwrap()["conditions"].clone()
        };
        let response = condition(RuleKind::Override, ".org.matrix.msc3930.rule.poll_response");
        let pattern = "org.matrix.msc3381.poll.response";
        assert_eq!(response, json!([{"kind": "event_match", "key": "type", "pattern": pattern}]));
        let start = condition(RuleKind::Underride, ".org.matrix.msc3930.rule.poll_start_one_to_one");
        assert_eq!(start[0], json!({"kind": "room_member_count", "is": "2"}));
    }

    #[test]
    fn what_was_changed_of_every_kind_stays_and_what_is_no_longer_predefined_goes() {
        let user = user_id!("@al:ex.org");
        let mut rules = predefined(user);
        let subscribed = ".io.element.msc4306.rule.subscribed_thread";
        rules.set_actions(RuleKind::PostContent, subscribed, Vec::new()).unwrap();
        rules.set_enabled(RuleKind::PostContent, ".io.element.msc4306.rule.unsubscribed_thread", true).unwrap();
        rules.set_enabled(RuleKind::Content, ".m.rule.contains_user_name", false).unwrap();
        let old = |id: &str, default| {
            let (rule_id, conditions) = (id.to_owned(), Vec::new());
            ConditionalPushRuleInit { actions: Vec::new(), default, enabled: true, rule_id, conditions }.into()
        };
        rules.postcontent.insert(old("mine", false));
        rules.postcontent.insert(old(".gone", true));
        rules.override_.insert(old(".gone", true));
        lay_under(&mut rules, user);
        let after = ids(&rules, &RuleKind::PostContent);
        assert_eq!(after, ["mine", ".io.element.msc4306.rule.unsubscribed_thread", subscribed]);
        assert!(rules.postcontent.get(subscribed).unwrap().actions.is_empty());
        assert!(rules.postcontent.iter().all(|rule| rule.enabled));
        assert!(!rules.content.get(".m.rule.contains_user_name").unwrap().enabled);
        assert!(rules.override_.get(".gone").is_none());
    }
}

//! Which events the rules of one user cannot tell apart, so that one of them is judged for all.
//!
//! A first sync asks about every unread event of every room, and most are encrypted: all that rules see of those is who sent
//! them and what they relate to.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    OwnedUserId, UserId,
    push::{AnyPushRuleRef, PushCondition, Ruleset},
};
use serde_json::value::RawValue;

use super::judged::SMALL;

/// What an event takes beside its content, bytes: ids, and the names of fields.
const AROUND: usize = 2 * 1024;
/// Fields of the content that rules ask about by other ways than a path: conditions on mentions and on threads.
const ALWAYS: [&str; 2] = ["m.mentions", "m.relates_to"];

/// What some rules ask of the content of an event.
pub(super) struct Asked {
    fields: BTreeSet<String>,
}

/// That a rule asks about what events which are alike need not have in common.
#[derive(Debug, PartialEq)]
struct Elsewhere;

/// All that they ask of one event that is no state.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) struct Alike {
    sender: OwnedUserId,
    kind: Box<str>,
    fields: Vec<(Box<str>, Box<str>)>,
}

impl Asked {
    /// What `rules` ask; nothing when they ask about more than sender, type, room, state key and content.
    pub(super) fn by(rules: &Ruleset) -> Option<Self> {
        let mut fields: BTreeSet<String> = ALWAYS.iter().map(|field| (*field).to_owned()).collect();
        for rule in rules {
            let (AnyPushRuleRef::Override(rule) | AnyPushRuleRef::PostContent(rule) | AnyPushRuleRef::Underride(rule)) =
                rule
            else {
                continue;
            };
            for condition in &rule.conditions {
                if let Some(path) = path_of(condition).ok()? {
                    fields.extend(field_of(path).ok()?);
                }
            }
        }
        Some(Self { fields })
    }

    /// All that the rules ask of an event that is no state; nothing where events are seldom alike, or are judged by less than
    /// they say because they are large.
    pub(super) fn of(&self, sender: &UserId, kind: &str, content: &str) -> Option<Alike> {
        if content.len() + AROUND > SMALL {
            return None;
        }
        let all: BTreeMap<&str, &RawValue> = serde_json::from_str(content).ok()?;
        if all.contains_key("body") {
            return None;
        }
        let asked = all.iter().filter(|(name, _)| self.fields.contains(**name));
        let fields = asked.map(|(name, value)| ((*name).into(), value.get().into())).collect();
        Some(Alike { sender: sender.to_owned(), kind: kind.into(), fields })
    }
}

/// The path of a field that a condition asks about, if it does.
#[expect(deprecated, reason = "rules about the display name exist as long as clients have them")]
fn path_of(condition: &PushCondition) -> Result<Option<&str>, Elsewhere> {
    Ok(match condition {
        PushCondition::EventMatch(data) => Some(&data.key),
        PushCondition::EventPropertyIs(data) => Some(&data.key),
        PushCondition::EventPropertyContains(data) => Some(&data.key),
        // The text, the room, the sender and what is always asked.
        PushCondition::ContainsDisplayName
        | PushCondition::RoomMemberCount(_)
        | PushCondition::SenderNotificationPermission(_)
        | PushCondition::ThreadSubscription(_) => None,
        _ => return Err(Elsewhere),
    })
}

/// The field of the content that a path leads through; none when it leads to what those that are alike have in common by
/// themselves (spec: client-server API, push rules, dot-separated property paths).
fn field_of(path: &str) -> Result<Option<String>, Elsewhere> {
    let Some(rest) = path.strip_prefix("content.") else {
        let common = matches!(path, "type" | "sender" | "room_id" | "state_key");
        return if common { Ok(None) } else { Err(Elsewhere) };
    };
    let (mut field, mut letters) = (String::new(), rest.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '.' => break,
            '\\' => field.push(letters.next().filter(|next| matches!(next, '.' | '\\')).ok_or(Elsewhere)?),
            other => field.push(other),
        }
    }
    Ok(Some(field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::{
        push::{ConditionalPushRule, FlattenedJson, PushConditionRoomCtx},
        serde::Raw,
        user_id,
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::push::{judge::matching, predefined::predefined};

    fn rule_about(path: &str) -> ConditionalPushRule {
        let rule = json!({
            "rule_id": "r", "default": false, "enabled": true, "actions": ["notify"],
            "conditions": [{"kind": "event_match", "key": path, "pattern": "x"}]
        });
        serde_json::from_value(rule).unwrap()
    }

    fn with(path: &str) -> Option<Vec<String>> {
        let mut rules = Ruleset::new();
        rules.override_.insert(rule_about(path));
        Asked::by(&rules).map(|asked| asked.fields.into_iter().filter(|field| !ALWAYS.contains(&&**field)).collect())
    }

    #[test]
    fn a_rule_asks_about_the_field_its_path_leads_through() {
        assert_eq!(with("content.algorithm"), Some(vec!["algorithm".to_owned()]));
        assert_eq!(with("content.a\\.b.c"), Some(vec!["a.b".to_owned()]));
        assert_eq!(with("content.a\\\\b"), Some(vec!["a\\b".to_owned()]));
        assert_eq!(with("type"), Some(Vec::new()));
        for elsewhere in ["content", "event_id", "origin_server_ts", "redacts", "content.a\\", "content.\\n"] {
            assert_eq!(with(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn by_the_predefined_rules_what_one_sends_encrypted_is_alike() {
        let asked = Asked::by(&predefined(user_id!("@al:ex.org"))).unwrap();
        let of = |sender, content: &Value| asked.of(sender, "m.room.encrypted", &content.to_string());
        let bo = user_id!("@bo:ex.org");
        let first = of(bo, &json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "a", "session_id": "s"}));
        assert!(first.is_some());
        assert_eq!(first, of(bo, &json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "b"})));
        assert_ne!(first, of(user_id!("@cy:ex.org"), &json!({"ciphertext": "a"})));
        assert_ne!(first, of(bo, &json!({"ciphertext": "a", "m.mentions": {}})));
        assert_eq!(of(bo, &json!({"body": "texts are seldom alike"})), None);
        assert_eq!(of(bo, &json!({"ciphertext": "a".repeat(SMALL)})), None);
    }

    #[test]
    fn what_nobody_knows_makes_no_events_alike() {
        let mut rules = predefined(user_id!("@al:ex.org"));
        let rule: Value = json!({
            "rule_id": "r", "default": false, "enabled": true, "actions": ["notify"],
            "conditions": [{"kind": "org.example.moon", "phase": "full"}]
        });
        rules.override_.insert(serde_json::from_value(rule).unwrap());
        assert!(Asked::by(&rules).is_none());
    }

    fn some_content() -> impl Strategy<Value = Value> {
        let field = prop::sample::select(vec!["a", "a.b", "m.mentions", "m.relates_to", "body", "ciphertext"]);
        let value = prop::sample::select(vec![
            json!("x"),
            json!("y"),
            json!({}),
            json!({"b": "x"}),
            json!({"room": true}),
            json!({"user_ids": ["@al:ex.org"]}),
            json!({"rel_type": "m.replace"}),
        ]);
        prop::collection::btree_map(field, value, 0..4).prop_map(|fields| json!(fields))
    }

    proptest! {
        #[test]
        fn what_is_alike_is_judged_alike(
            contents in prop::array::uniform2(some_content()),
            path in prop::sample::select(vec!["content.a", "content.a.b", "content.a\\.b", "content.ciphertext", "type"]),
            senders in prop::array::uniform2(prop::sample::select(vec!["@bo:ex.org", "@cy:ex.org"])),
        ) {
            let me = user_id!("@al:ex.org");
            let mut rules = predefined(me);
            rules.override_.insert(rule_about(path));
            let asked = Asked::by(&rules).expect("all of it is known");
            let context = PushConditionRoomCtx::new(
                ruma::owned_room_id!("!r:ex.org"), 3_u32.into(), me.to_owned(), "Al".to_owned(),
            );
            let judged = [0, 1].map(|one| {
                let (content, sender) = (&contents[one], senders[one]);
                let event = json!({"type": "m.room.encrypted", "sender": sender, "content": content});
                let flat = FlattenedJson::from_raw(&Raw::<()>::from_json(serde_json::value::to_raw_value(&event).unwrap()));
                let rule = matching(&rules, &context, &flat).map(|rule| rule.rule_id().to_owned());
                (asked.of(<&UserId>::try_from(sender).unwrap(), "m.room.encrypted", &content.to_string()), rule)
            });
            let [(one, by), (other, by_other)] = judged;
            if one.is_some() && one == other {
                prop_assert_eq!(by, by_other);
            }
        }

        #[test]
        fn no_path_breaks_it(path in "(content)?[.\\\\a-c]{0,8}") {
            let _ = field_of(&path);
        }
    }
}

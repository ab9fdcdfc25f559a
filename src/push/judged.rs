//! What push rules are held against: an event as clients get it, without what would make judging it costly, and rules
//! that cost little whatever they are held against.
//!
//! ruma copies the path of every field of an event, searches words recursively and compiles a regular expression for every
//! pattern with wildcards. All of that is quick for what people send; what follows bounds it for everything else.

use ruma::{
    UserId,
    push::{AnyPushRuleRef, PushCondition, Ruleset},
    serde::Raw,
};
use serde_json::{Map, Value};

use super::Error;
use crate::event::{Face, Shape, Unsigned, to_client};

/// An event up to this many bytes is judged as it is: its paths take less than a megabyte at worst.
pub(super) const SMALL: usize = 4 * 1024;
/// The paths of the fields of a larger event, bytes; beyond it only the plain fields of its content are judged.
const MOST_PATHS: usize = 256 * 1024;
/// How much of a text is held against patterns, bytes: each word of a body that almost matches takes some of the stack,
/// and there may be one in every three bytes.
const MOST_TEXT: usize = 4 * 1024;
/// The longest pattern, display name and key, bytes.
const LONGEST: usize = 255;
/// The most wildcards of a pattern: each makes the regular expression larger.
const MOST_WILDCARDS: usize = 16;
/// Patterns with wildcards an account may have: each is compiled for each event.
const MOST_GLOBS: usize = 50;
/// Conditions of one rule.
const MOST_CONDITIONS: usize = 20;
/// Conditions and keywords of all rules.
const MOST_OF_ALL: usize = 2000;

/// The event as rules see it.
pub(super) fn judged(event: Face<'_>) -> Raw<()> {
    let text = to_client(event, Shape::Full, &Unsigned::default());
    if text.get().len() <= SMALL {
        return Raw::from_json(text);
    }
    let reduced = serde_json::from_str(text.get()).ok().map(reduced);
    Raw::from_json(reduced.and_then(|value| serde_json::value::to_raw_value(&value).ok()).unwrap_or(text))
}

/// The event without what would make judging it costly.
pub(crate) fn reduced(mut event: Value) -> Value {
    if paths(&event, 0) > MOST_PATHS {
        if let Some(content) = event.get_mut("content").and_then(Value::as_object_mut) {
            content.retain(|key, value| is_plain(key, value));
        }
        // Nothing else of an event may be large; what nobody foresaw goes.
        if paths(&event, 0) > MOST_PATHS {
            event = Value::Object(Map::new());
        }
    }
    if let Some(content) = event.get_mut("content") {
        shorten(content);
    }
    event
}

/// Cuts every text: what a pattern costs grows with what it is held against.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => text.truncate(text.floor_char_boundary(MOST_TEXT)),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// Whether a field of the content is a single value, or who is mentioned.
fn is_plain(key: &str, value: &Value) -> bool {
    let single = !value.is_object() && !value.is_array();
    key.len() <= LONGEST && (single || key == "m.mentions" && paths(value, key.len()) <= MOST_PATHS)
}

/// About how many bytes the paths of all fields under one take, the path to it having `before`.
fn paths(value: &Value, before: usize) -> usize {
    match value {
        Value::Object(fields) => {
            let each = fields.iter().map(|(key, value)| paths(value, before + 1 + 2 * key.len()));
            each.fold(before, usize::saturating_add)
        }
        _ => before,
    }
}

/// A display name as a pattern; nothing when it could not be searched for in the room's messages.
pub(super) fn name_pattern(name: String, user: &UserId) -> String {
    if is_cheap(&name) { name } else { user.localpart().to_owned() }
}

/// Refuses rules that would cost too much.
pub(crate) fn check(rules: &Ruleset) -> Result<(), Error> {
    let (mut globs, mut all) = (0, 0);
    for rule in rules.iter().filter(|rule| !rule.is_server_default()) {
        if rule.rule_id().len() > LONGEST {
            return Err(Error::Invalid);
        }
        match rule {
            AnyPushRuleRef::Content(rule) => {
                all += 1;
                globs += pattern(&rule.pattern)?;
            }
            AnyPushRuleRef::Override(rule) | AnyPushRuleRef::PostContent(rule) | AnyPushRuleRef::Underride(rule) => {
                all += rule.conditions.len();
                if rule.conditions.len() > MOST_CONDITIONS {
                    return Err(Error::Invalid);
                }
                for condition in &rule.conditions {
                    globs += glob_of(condition)?;
                }
            }
            _ => {}
        }
    }
    if globs > MOST_GLOBS || all > MOST_OF_ALL { Err(Error::TooMany) } else { Ok(()) }
}

fn glob_of(condition: &PushCondition) -> Result<usize, Error> {
    let (key, globs) = match condition {
        PushCondition::EventMatch(data) => (&data.key, pattern(&data.pattern)?),
        PushCondition::EventPropertyIs(data) => (&data.key, 0),
        PushCondition::EventPropertyContains(data) => (&data.key, 0),
        _ => return Ok(0),
    };
    if key.len() > LONGEST { Err(Error::Invalid) } else { Ok(globs) }
}

/// Whether a pattern has wildcards, as a number.
fn pattern(pattern: &str) -> Result<usize, Error> {
    if is_cheap(pattern) { Ok(usize::from(pattern.contains(WILDCARDS))) } else { Err(Error::Invalid) }
}

const WILDCARDS: [char; 2] = ['*', '?'];

fn is_cheap(pattern: &str) -> bool {
    pattern.len() <= LONGEST && pattern.matches(WILDCARDS).count() <= MOST_WILDCARDS
}

#[cfg(test)]
mod tests {
    use ruma::{
        push::{NewConditionalPushRule, NewPatternedPushRule, NewPushRule},
        user_id,
    };
    use serde_json::json;

    use super::*;

    fn size(event: &Value) -> usize {
        paths(event, 0)
    }

    #[test]
    fn what_people_send_is_judged_as_it_is() {
        let event =
            json!({"type": "m.room.message", "content": {"body": "x".repeat(3000), "m.mentions": {"user_ids": []}}});
        assert_eq!(reduced(event.clone()), event);
    }

    #[test]
    fn paths_do_not_explode() {
        let leaves: Map<String, Value> = (0..5000).map(|count| (count.to_string(), json!(1))).collect();
        let event = json!({
            "type": "m.room.message",
            "content": {"body": "b", "m.mentions": {"room": true}, "x".repeat(30_000): leaves, "y".repeat(300): 1}
        });
        assert!(size(&event) > 100 << 20);
        let reduced = reduced(event);
        assert_eq!(reduced, json!({"type": "m.room.message", "content": {"body": "b", "m.mentions": {"room": true}}}));
        let deep = (0..60).fold(json!(leaves), |inside, _| json!({"z".repeat(200): inside}));
        assert!(size(&self::reduced(json!({"content": deep}))) <= MOST_PATHS);
    }

    #[test]
    fn words_that_almost_match_do_not_exhaust_the_stack() {
        let event = reduced(
            json!({"type": "m.room.message", "content": {"body": "xa ".repeat(20_000), "p": "p".repeat(9000)}}),
        );
        let mut rules = Ruleset::new();
        let rule = NewPatternedPushRule::new("a".to_owned(), "a".to_owned(), Vec::new());
        rules.insert(NewPushRule::Content(rule), None, None).unwrap();
        let raw: Raw<()> = Raw::from_json(serde_json::value::to_raw_value(&event).unwrap());
        // A thread of the server has 2 MiB, and code that is not optimised takes several times as much of it.
        let small = std::thread::Builder::new().stack_size(3 << 19).spawn(move || {
            let flat = ruma::push::FlattenedJson::from_raw(&raw);
            assert!(flat.get_str("content.body").is_some_and(|body| body.len() <= MOST_TEXT));
            let context = ruma::push::PushConditionRoomCtx::new(
                ruma::owned_room_id!("!a:b"),
                2_u32.into(),
                ruma::owned_user_id!("@a:b"),
                "a".to_owned(),
            );
            let matching = std::pin::pin!(rules.get_match(&raw, &context));
            let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(matching.poll(&mut waker).is_ready());
        });
        small.unwrap().join().unwrap();
    }

    fn with(rules: Vec<NewPushRule>) -> Result<(), Error> {
        let mut set = Ruleset::server_default(user_id!("@a:b"));
        for rule in rules {
            set.insert(rule, None, None).unwrap();
        }
        check(&set)
    }

    fn keyword(number: usize, pattern: &str) -> NewPushRule {
        NewPushRule::Content(NewPatternedPushRule::new(format!("k{number}"), pattern.to_owned(), Vec::new()))
    }

    fn condition(key: &str, pattern: &str) -> PushCondition {
        serde_json::from_value(json!({"kind": "event_match", "key": key, "pattern": pattern})).unwrap()
    }

    #[test]
    fn costly_rules_are_refused() {
        assert_eq!(with((0..200).map(|number| keyword(number, "word")).collect()), Ok(()));
        assert_eq!(with(vec![keyword(0, &"x".repeat(256))]), Err(Error::Invalid));
        assert_eq!(with(vec![keyword(0, &"?".repeat(17))]), Err(Error::Invalid));
        assert_eq!(with((0..51).map(|number| keyword(number, "wo*d")).collect()), Err(Error::TooMany));
        let override_of = |conditions| {
            with(vec![NewPushRule::Override(NewConditionalPushRule::new("o".to_owned(), conditions, Vec::new()))])
        };
        assert_eq!(override_of(vec![condition("content.body", "*a*")]), Ok(()));
        assert_eq!(override_of(vec![condition("type", &"*a".repeat(17))]), Err(Error::Invalid));
        assert_eq!(override_of(vec![condition(&"k".repeat(256), "a")]), Err(Error::Invalid));
        assert_eq!(override_of(vec![condition("type", "a"); 21]), Err(Error::Invalid));
    }

    #[test]
    fn costly_names_are_not_searched_for() {
        let user = user_id!("@al:b");
        assert_eq!(name_pattern("Al *".to_owned(), user), "Al *");
        assert_eq!(name_pattern("?".repeat(20_000), user), "al");
    }
}

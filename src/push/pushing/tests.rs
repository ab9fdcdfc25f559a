//! What rules come to, reduced.

use ruma::{
    push::{
        Action, EventMatchConditionData, NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushConditionRoomCtx,
        RuleKind, Ruleset,
    },
    room_id, user_id,
};

use super::notes::reduce;
use crate::{push::predefined::predefined, rooms::Level};

fn levels(members: u32, edit: impl FnOnce(&mut Ruleset)) -> (Option<Level>, Option<Level>) {
    let user = user_id!("@al:ex.org");
    let mut rules = predefined(user);
    edit(&mut rules);
    let context =
        PushConditionRoomCtx::new(room_id!("!r:ex.org").to_owned(), members.into(), user.to_owned(), "Al".into());
    (reduce(&rules, &context, false), reduce(&rules, &context, true))
}

fn room_rule(actions: Vec<Action>) -> NewPushRule {
    NewPushRule::Room(NewSimplePushRule::new(room_id!("!r:ex.org").to_owned(), actions))
}

#[test]
fn rules_come_to_all_mentions_or_nothing() {
    let all = Some(Level::All);
    let mentions = Some(Level::Mentions);
    assert_eq!(levels(3, |_| {}), (all, all));
    // "Mentions and keywords" is a silent rule for the room; "mute" one that overrides.
    assert_eq!(levels(3, |rules| rules.insert(room_rule(Vec::new()), None, None).unwrap()), (mentions, mentions));
    let mute = |rules: &mut Ruleset| {
        let here = EventMatchConditionData::new("room_id".to_owned(), "!r:ex.org".to_owned());
        let rule = NewConditionalPushRule::new("!r:ex.org".to_owned(), vec![here.into()], Vec::new());
        rules.insert(NewPushRule::Override(rule), None, None).unwrap();
    };
    assert_eq!(levels(3, mute), (None, None));
    let master = |rules: &mut Ruleset| rules.set_enabled(RuleKind::Override, ".m.rule.master", true).unwrap();
    assert_eq!(levels(3, master), (None, None));
    // What is quiet by default and loud in one room.
    let default_quiet = |rules: &mut Ruleset| {
        for id in [".m.rule.message", ".m.rule.encrypted"] {
            rules.set_actions(RuleKind::Underride, id, Vec::new()).unwrap();
        }
    };
    assert_eq!(levels(3, default_quiet), (mentions, mentions));
    assert_eq!(levels(2, default_quiet), (all, all), "a chat of two has rules of its own");
    let loud_here = |rules: &mut Ruleset| {
        default_quiet(rules);
        rules.insert(room_rule(vec![Action::Notify]), None, None).unwrap();
    };
    assert_eq!(levels(3, loud_here), (all, all));
    let no_encrypted = |rules: &mut Ruleset| {
        rules.set_enabled(RuleKind::Underride, ".m.rule.encrypted", false).unwrap();
    };
    assert_eq!(levels(3, no_encrypted), (all, mentions));
}

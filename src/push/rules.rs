//! Push rules ([spec](https://spec.matrix.org/latest/client-server-api/#push-rules)): how they are kept and changed.

use ruma::{
    UserId,
    push::{InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind, Ruleset},
};
use serde_json::json;

use super::{
    judged,
    predefined::{lay_under, predefined},
};
use crate::{
    accounts::{
        Account,
        vault::{VaultChange, VaultLedger},
    },
    journal::{self, Journals},
};

/// The type of the account data that holds push rules: `{"global": ruleset}`, as clients get it.
pub const RULES: &str = "m.push_rules";

/// Rules one account may have: one for each muted room and each keyword, and the predefined ones.
const MOST_RULES: usize = 2000;
/// The largest rules in bytes: every change writes all of them.
const LARGEST_RULES: usize = 256 * 1024;
/// Why rules or pushers do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such rule or pusher.
    #[error("unknown rule")]
    Unknown,
    /// The rule cannot be like this.
    #[error("invalid rule")]
    Invalid,
    /// The rule cannot stand where it was asked to: there is no such neighbour, or it is a predefined one.
    #[error("no place for the rule")]
    NoPlace,
    /// The rule is a predefined one.
    #[error("a predefined rule")]
    Predefined,
    /// The account has as many as it may.
    #[error("too many")]
    TooMany,
    /// The vault failed.
    #[error("the vault failed")]
    Journal(#[from] journal::Error),
}

/// The push rules of `user`: his own and the predefined ones, with his changes to those.
#[must_use]
pub fn ruleset_of(vault: &VaultLedger, user: &UserId) -> Ruleset {
    let stored = vault.account_data.get(RULES).and_then(|data| data.value.get("global").cloned());
    match stored.and_then(|rules| serde_json::from_value::<Ruleset>(rules).ok()) {
        None => predefined(user),
        Some(mut rules) => {
            lay_under(&mut rules, user);
            rules
        }
    }
}

/// Puts a rule of the account's own among the others: behind `after` and in front of `before` where they are given, at
/// the head of its kind when it is new. One that is there already keeps whether it is enabled.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::NoPlace`].
pub fn put_rule(
    rules: &mut Ruleset,
    rule: NewPushRule,
    after: Option<&str>,
    before: Option<&str>,
) -> Result<(), Error> {
    let (kind, id) = (rule.kind(), rule.rule_id().to_owned());
    let known = rules.get(kind.clone(), &id).map(ruma::push::AnyPushRuleRef::enabled);
    // A rule that moves is taken out first: its neighbours' places are then what they will be.
    if known.is_some() && (after.is_some() || before.is_some()) {
        remove_rule(rules, kind.clone(), &id)?;
    }
    rules.insert(rule, after, before).map_err(|error| match error {
        InsertPushRuleError::ServerDefaultRuleId | InsertPushRuleError::InvalidRuleId => Error::Invalid,
        _ => Error::NoPlace,
    })?;
    match known {
        Some(enabled) => rules.set_enabled(kind, id, enabled).map_err(|_| Error::Unknown),
        None => Ok(()),
    }
}

/// Removes a rule of the account's own.
///
/// # Errors
/// [`Error::Unknown`] and [`Error::Predefined`].
pub fn remove_rule(rules: &mut Ruleset, kind: RuleKind, id: &str) -> Result<(), Error> {
    rules.remove(kind, id).map_err(|error| match error {
        RemovePushRuleError::ServerDefault => Error::Predefined,
        _ => Error::Unknown,
    })
}

/// Changes the rules of `account`, durably, and wakes its syncs.
pub async fn change_rules(
    account: &Account,
    journals: &Journals,
    edit: impl FnOnce(&mut Ruleset) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let decide = |vault: &VaultLedger| Ok::<_, Error>(vec![edited(vault, &account.user_id, edit)?]);
    account.vault.try_change(journals, decide).await?;
    account.notify();
    Ok(())
}

fn edited(
    vault: &VaultLedger,
    user: &UserId,
    edit: impl FnOnce(&mut Ruleset) -> Result<(), Error>,
) -> Result<VaultChange, Error> {
    let mut rules = ruleset_of(vault, user);
    edit(&mut rules)?;
    judged::check(&rules)?;
    let value = json!({ "global": rules });
    if rules.iter().count() > MOST_RULES || value.to_string().len() > LARGEST_RULES {
        return Err(Error::TooMany);
    }
    Ok(VaultChange::AccountData(RULES.to_owned(), Some(value)))
}

#[cfg(test)]
mod tests {
    use ruma::{
        push::{NewPatternedPushRule, NewSimplePushRule},
        user_id,
    };

    use super::*;
    use crate::journal::Ledger;

    #[test]
    fn what_is_predefined_is_merged_into_what_is_stored() {
        let user = user_id!("@alice:localhost");
        let mut vault = VaultLedger::default();
        assert!(ruleset_of(&vault, user).get(RuleKind::Override, ".m.rule.master").is_some());
        let mute = |rules: &mut Ruleset| {
            let room = ruma::owned_room_id!("!room:localhost");
            rules
                .insert(NewPushRule::Room(NewSimplePushRule::new(room, Vec::new())), None, None)
                .map_err(|_| Error::Invalid)?;
            rules.set_enabled(RuleKind::Override, ".m.rule.master", true).map_err(|_| Error::Unknown)
        };
        vault.apply(edited(&vault, user, mute).unwrap()).unwrap();
        // A server that knew fewer rules wrote this.
        let mut data = vault.account_data.get(RULES).unwrap().value.clone();
        data["global"]["underride"].as_array_mut().unwrap().clear();
        vault.apply(VaultChange::AccountData(RULES.to_owned(), Some(data))).unwrap();
        let rules = ruleset_of(&vault, user);
        assert!(rules.get(RuleKind::Room, "!room:localhost").is_some());
        assert!(rules.get(RuleKind::Override, ".m.rule.master").unwrap().enabled());
        assert!(rules.get(RuleKind::Underride, ".m.rule.message").is_some());
    }

    #[test]
    fn rules_are_bounded() {
        let user = user_id!("@alice:localhost");
        let flood = |rules: &mut Ruleset| {
            for number in 0..MOST_RULES {
                let room = ruma::RoomId::parse(format!("!{number}:localhost")).unwrap();
                let rule = NewPushRule::Room(NewSimplePushRule::new(room, Vec::new()));
                rules.insert(rule, None, None).map_err(|_| Error::Invalid)?;
            }
            Ok(())
        };
        assert!(matches!(edited(&VaultLedger::default(), user, flood), Err(Error::TooMany)));
    }

    fn content(id: &str, pattern: String) -> NewPushRule {
        NewPushRule::Content(NewPatternedPushRule::new(id.to_owned(), pattern, Vec::new()))
    }

    #[test]
    fn a_rule_stands_where_it_was_asked_to() {
        let mut rules = predefined(user_id!("@alice:localhost"));
        let mut put = |id: &str, after, before| {
            let outcome = put_rule(&mut rules, content(id, id.to_owned()), after, before);
            let own = rules.content.iter().filter(|rule| !rule.default).map(|rule| rule.rule_id.clone());
            (outcome, own.collect::<Vec<_>>().concat())
        };
        assert_eq!(put("a", None, None), (Ok(()), "a".to_owned()));
        assert_eq!(put("b", None, None), (Ok(()), "ba".to_owned()));
        assert_eq!(put("c", Some("b"), None), (Ok(()), "bca".to_owned()));
        assert_eq!(put("d", None, Some("b")), (Ok(()), "dbca".to_owned()));
        // One that is there moves, also to the very end, or stays.
        assert_eq!(put("d", Some("a"), None), (Ok(()), "bcad".to_owned()));
        assert_eq!(put("b", Some("c"), Some("a")), (Ok(()), "cbad".to_owned()));
        assert_eq!(put("a", None, None), (Ok(()), "cbad".to_owned()));
        for (after, before) in [(Some("x"), None), (None, Some("x")), (None, Some(".m.rule.contains_user_name"))] {
            assert_eq!(put("e", after, before).0, Err(Error::NoPlace));
        }
        assert_eq!(put("e", Some("d"), Some("c")).0, Err(Error::NoPlace));
        for id in [".mine", "a/b", "a\\b"] {
            assert_eq!(put(id, None, None).0, Err(Error::Invalid));
        }
    }

    #[test]
    fn a_rule_that_moves_stays_disabled() {
        let mut rules = predefined(user_id!("@alice:localhost"));
        for id in ["a", "b"] {
            put_rule(&mut rules, content(id, id.to_owned()), None, None).unwrap();
        }
        rules.set_enabled(RuleKind::Content, "a", false).unwrap();
        put_rule(&mut rules, content("a", "z".to_owned()), None, Some("b")).unwrap();
        let moved = rules.content.get("a").unwrap();
        assert!(!moved.enabled && moved.pattern == "z");
    }
}

//! What the server itself reads in account data: whom the account does not want to hear from, and what was deleted.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};
use serde_json::Value;

use super::VaultLedger;

/// What becomes of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The account is told.
    Welcome,
    /// It goes out as ever, and the account is not told.
    Hidden,
    /// It is refused.
    Refused,
}

/// The configuration of the specification and its proposal's name (MSC4380).
const CONFIG: [&str; 2] = ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];
/// The finer configuration of a proposal (MSC4155).
const RULES: &str = "org.matrix.msc4155.invite_permission_config";
/// The longest pattern that is tried: longer than every id.
const LONGEST_PATTERN: usize = 512;

impl VaultLedger {
    /// Whom the account ignores (spec: ignoring users).
    #[must_use]
    pub fn ignored(&self) -> BTreeSet<OwnedUserId> {
        let users = self.ignored_list().into_iter().flat_map(|users| users.keys());
        users.filter_map(|user| UserId::parse(user.as_str()).ok()).collect()
    }

    /// Whether the account ignores `user`.
    #[must_use]
    pub fn ignores(&self, user: &UserId) -> bool {
        self.ignored_list().is_some_and(|users| users.contains_key(user.as_str()))
    }

    /// What becomes of an invitation by `inviter` (spec: ignoring users, invite permission; MSC4155).
    ///
    /// A rule for a user counts before a rule for a server, and both before what is meant for everybody; whom the account
    /// ignores is never heard.
    #[must_use]
    pub fn verdict_on(&self, inviter: &UserId) -> Verdict {
        if self.ignores(inviter) {
            return Verdict::Hidden;
        }
        let rules = self.account_data.get(RULES).and_then(|data| data.value.as_object());
        let fits = |list: &str, name: &str| {
            let patterns = rules.and_then(|rules| rules.get(list)).and_then(Value::as_array).into_iter().flatten();
            let mut patterns = patterns.filter_map(Value::as_str).filter(|pattern| pattern.len() <= LONGEST_PATTERN);
            patterns.any(|pattern| matches(pattern, name))
        };
        for (kind, name) in [("users", inviter.as_str()), ("servers", inviter.server_name().as_str())] {
            for (rule, verdict) in
                [("allowed", Verdict::Welcome), ("ignored", Verdict::Hidden), ("blocked", Verdict::Refused)]
            {
                if fits(&format!("{rule}_{kind}"), name) {
                    return verdict;
                }
            }
        }
        let blocks =
            |kind: &str| self.account_data.get(kind).is_some_and(|data| data.value["default_action"] == "block");
        if CONFIG.into_iter().any(blocks) { Verdict::Refused } else { Verdict::Welcome }
    }

    fn ignored_list(&self) -> Option<&serde_json::Map<String, Value>> {
        self.account_data.get("m.ignored_user_list")?.value.get("ignored_users")?.as_object()
    }
}

/// Whether account data was deleted: an empty object stands for that, so that clients learn of it (MSC3391).
#[must_use]
pub fn is_deleted(data: &Value) -> bool {
    data.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Whether `text` fits a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The last star, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, taken)) = &mut star else { return false };
                *taken += 1;
                (at, read) = (*place + 1, *taken);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;
    use crate::{accounts::vault::VaultChange, journal::Ledger};

    fn vault(data: &[(&str, Value)]) -> VaultLedger {
        let mut vault = VaultLedger::default();
        for (kind, value) in data {
            vault.apply(VaultChange::AccountData((*kind).to_owned(), Some(value.clone()))).unwrap();
        }
        vault
    }

    #[test]
    fn patterns_are_globs() {
        for (pattern, text, fits) in [
            ("@al:ex.org", "@al:ex.org", true),
            ("@al:ex.org", "@al:ex.org.uk", false),
            ("*", "", true),
            ("", "", true),
            ("hs*", "hs1", true),
            ("@user-?*", "@user-1:hs1", true),
            ("@user-?*", "@user-", false),
            ("*.org", "ex.org.uk", false),
            ("*a*b*", "xaxxbx", true),
            ("*a*b*", "xbxxax", false),
            ("??", "é", false),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        // A pattern that makes naive matchers take for ever.
        assert!(!matches(&"*a".repeat(250), &"a".repeat(249)));
    }

    #[test]
    fn users_count_before_servers_and_rules_before_the_default() {
        let (bo, evil, cy) = (user_id!("@bo:two.org"), user_id!("@evil:two.org"), user_id!("@cy:one.org"));
        let rules = json!({
            "allowed_users": ["@bo:*"], "ignored_users": null, "blocked_users": ["@evil:two.org", 7],
            "allowed_servers": ["one.*"], "blocked_servers": ["two.org"],
        });
        let block = ("m.invite_permission_config", json!({"default_action": "block"}));
        let both = vault(&[(RULES, rules), block.clone()]);
        let (dee, other) = (user_id!("@dee:two.org"), user_id!("@dee:three.org"));
        let expected = [
            (bo, Verdict::Welcome),
            (evil, Verdict::Refused),
            (cy, Verdict::Welcome),
            (dee, Verdict::Refused),
            (other, Verdict::Refused),
        ];
        for (user, verdict) in expected {
            assert_eq!(both.verdict_on(user), verdict, "{user}");
        }
        assert_eq!(vault(&[]).verdict_on(bo), Verdict::Welcome);
        assert_eq!(vault(&[(block.0, json!({"default_action": "nonsense"}))]).verdict_on(bo), Verdict::Welcome);
        let ignored = ("m.ignored_user_list", json!({"ignored_users": {"@bo:two.org": {}, "nonsense": {}}}));
        let ignoring = vault(&[ignored, block]);
        assert_eq!(ignoring.verdict_on(bo), Verdict::Hidden);
        assert_eq!(ignoring.ignored().len(), 1);
    }
}

//! Push rules ([spec](https://spec.matrix.org/latest/client-server-api/#push-rules)).

use ruma::{UserId, push::Ruleset};
use serde_json::json;

use super::judged;
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
    /// The rule cannot have this id, or cannot stand where it was asked to.
    #[error("invalid rule")]
    Invalid,
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
    let predefined = Ruleset::server_default(user);
    let stored = vault.account_data.get(RULES).and_then(|data| data.value.get("global").cloned());
    let Some(mut rules) = stored.and_then(|rules| serde_json::from_value::<Ruleset>(rules).ok()) else {
        return predefined;
    };
    rules.update_with_server_default(predefined);
    rules
}

/// Changes the rules of `account`, durably, and wakes its syncs.
pub async fn change_rules(
    account: &Account,
    journals: &Journals,
    edit: impl FnOnce(&mut Ruleset) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let mut outcome = Ok(());
    let decide = |vault: &VaultLedger| match edited(vault, &account.user_id, edit) {
        Ok(change) => vec![change],
        Err(error) => {
            outcome = Err(error);
            Vec::new()
        }
    };
    account.vault.change(journals, decide).await?;
    outcome?;
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
        push::{NewPushRule, NewSimplePushRule, RuleKind},
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
}

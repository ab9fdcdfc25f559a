//! Push: which rules decide what notifies an account.
//!
//! Owns the stored form of push rules. The rules lie in the vault as account data of type [`RULES`]; what the
//! specification predefines is merged in whenever they are read, so that rules added to it later reach every account.

pub mod count;

use ruma::{UserId, push::Ruleset};

pub use self::count::{Counters, Counts, Tally};

use crate::accounts::vault::VaultLedger;

/// The type of the account data that holds push rules: `{"global": ruleset}`, as clients get it.
pub const RULES: &str = "m.push_rules";

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

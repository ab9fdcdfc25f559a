//! Push: which rules decide what notifies an account, and where notifications would go.
//!
//! Owns the stored form of push rules and pushers. The rules lie in the vault as account data of type [`RULES`]; what
//! the specification predefines is merged in whenever they are read, so that rules added to it later reach every
//! account. Sends nothing.

pub mod count;
pub(crate) mod judged;
mod pushers;
mod rules;

pub use self::{
    count::{Counters, Counts, Tally},
    pushers::{list_pushers, remove_pusher, set_pusher},
    rules::{Error, RULES, change_rules, ruleset_of},
};

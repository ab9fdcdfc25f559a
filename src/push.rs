//! Push: which rules decide what notifies an account, and where notifications would go.
//!
//! Owns the stored form of push rules and pushers. The rules lie in the vault as account data of type [`RULES`]; what
//! the specification predefines is merged in whenever they are read, so that rules added to it later reach every
//! account. Sends nothing.

mod alike;
pub mod count;
mod gateway;
pub mod history;
pub mod judge;
pub(crate) mod judged;
mod lane;
mod predefined;
mod pushers;
pub mod pushing;
mod rules;
pub mod threads;

#[cfg(any(test, fuzzing))]
pub(crate) use self::gateway::rejected;
pub use self::{
    count::{Counters, Counts, Tally},
    gateway::check_address,
    pushers::{list_pushers, remove_pusher, set_pusher},
    rules::{Error, RULES, change_rules, put_rule, remove_rule, ruleset_of},
};

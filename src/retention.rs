//! Forgetting: what has expired is hidden, then let go of, then shredded, then gone (DESIGN §8).
//!
//! The [`Policy`] says what lives for how long. The [`Keeper`] carries it out by its own clock, and knows of time alone
//! what the epochs say. Opens nothing: what dies dies by its epoch, whoever it belongs to.

mod board;
mod keeper;
pub mod policy;

pub use self::{
    keeper::{Keeper, TICK},
    policy::{Policy, Shown},
};

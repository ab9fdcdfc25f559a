//! Rooms: what an event does to a room, and who may see it.
//!
//! `core`, `create`, `visibility`, `relations` and `summary` are pure: no I/O, no clock, no tokio.

pub mod core;
pub mod create;
mod error;
mod found;
mod hall;
pub mod ledger;
mod membership;
mod read;
pub mod relations;
mod room;
mod rotate;
mod row;
mod send;
pub mod show;
pub mod summary;
mod token;
mod typing;
mod upkeep;
mod view;
pub mod visibility;

pub use self::{
    error::Error,
    hall::{Policy, Rooms},
    membership::Change,
    room::Room,
    token::PageToken,
    view::{Entry, Receipt, Transaction, View},
};

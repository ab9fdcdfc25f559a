//! Rooms: what an event does to a room, and who may see it.
//!
//! `core`, `create`, `lifetime`, `visibility`, `relations` and `summary` are pure: no I/O, no clock, no tokio.

mod admit;
mod behind;
mod blobs;
mod bodies;
mod change_state;
pub mod core;
pub mod create;
pub mod directory;
mod enter;
mod entry;
mod erase;
mod error;
mod farewell;
mod forget;
mod found;
mod gone;
mod hall;
pub mod history;
mod idle;
pub mod ledger;
pub mod lifetime;
mod make;
mod membership;
mod moved;
mod notes;
mod notices;
mod profile;
mod read;
mod reading;
pub mod relations;
mod replace;
mod rewrite;
mod room;
mod roots;
mod rotate;
mod row;
mod rules;
mod send;
pub mod show;
pub mod spaces;
pub mod summary;
mod term;
mod timeline;
mod token;
mod typing;
mod upgrade;
mod upkeep;
mod view;
pub mod visibility;

#[cfg(any(test, fuzzing))]
pub(crate) use self::row::fuzzing::read as read_row;
pub use self::{
    blobs::{Kept, Turnover},
    bodies::Whole,
    entry::Entry,
    error::Error,
    farewell::{farewell, is_farewell},
    hall::{Policy, Rooms, Watches},
    lifetime::Lifetimes,
    make::Wish,
    membership::Change,
    notes::{Level, PushNote, Target},
    notices::{Notice, Notices},
    read::{is_of_main, thread_of},
    reading::Reading,
    room::Room,
    roots::Root,
    timeline::Timeline,
    token::{PageToken, TreeToken},
    view::{Receipt, Transaction, View},
};

//! Rooms: what an event does to a room, and who may see it.
//!
//! `core`, `create`, `visibility`, `relations` and `summary` are pure: no I/O, no clock, no tokio.

pub mod core;
pub mod create;
pub mod relations;
pub mod summary;
pub mod visibility;

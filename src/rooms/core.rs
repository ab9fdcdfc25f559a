//! The pure core of rooms: state, authorisation, what an event changes, resolution of forks.
//!
//! Event authorisation and state resolution are ruma's; what differs between room versions comes in as
//! [`RoomVersionRules`](ruma::room_version_rules::RoomVersionRules). Nothing here does I/O or reads a clock.

mod apply;
mod auth;
#[cfg(test)]
mod properties;
mod resolve;
mod state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use apply::{Applied, Effect, apply};
pub use auth::{Rejection, auth_events_for, authorise, authorise_with, may_redact};
pub use resolve::{ResolveError, resolve};
pub use state::{Access, StateMap};

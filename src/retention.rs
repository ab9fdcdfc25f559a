//! Forgetting: what is kept for how long.

pub mod policy;

pub use self::policy::{Policy, Shown};

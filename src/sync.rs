//! Sync: what a client is told of everything that changed since it last asked.
//!
//! Owns connections, tokens and the form of their answers. Changes nothing but what a client acknowledges.

pub mod classic;
pub mod parts;
pub mod presence;
pub mod sliding;

//! Lethe, a Matrix homeserver that forgets.
//!
//! The layers, top to bottom; a module uses only what stands below it (`tests/it/layers.rs` enforces it):
//!
//! `api` → `sync`, `push`, `e2ee`, `media`, `retention` → `rooms`, `accounts`, `house` → `event`, `pseudonym` →
//! `journal` → `seal` → `store`, `outbound` → `clock`, `random`, `secret`, `log`, `config`.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod admin;
pub mod api;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delayed;
pub mod doctor;
pub mod e2ee;
pub mod engine;
pub mod error;
pub mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ground;
pub mod house;
pub mod journal;
pub mod log;
pub mod media;
pub mod metrics;
pub mod outbound;
pub mod probe;
pub mod pseudonym;
pub mod push;
pub mod random;
pub mod rate;
pub mod retention;
pub mod rooms;
pub mod seal;
pub mod search;
pub mod secret;
#[cfg(any(test, feature = "seizure"))]
pub mod seizure;
pub mod server;
pub mod store;
pub mod sync;

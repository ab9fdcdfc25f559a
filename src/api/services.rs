//! What handlers can call: the bag of shared services. Holds no logic.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    api::{Gate, Nonces, OpenIds, session::Authenticate, uiaa},
    clock::Clock,
    config::Config,
    engine::{Engine, registration::Registration},
    random::Random,
    sync::sliding::Sliding,
};

/// Everything a handler may need; cloned as one `Arc`.
pub struct Services {
    /// The configuration, fixed for the life of the process.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Bounds of requests.
    pub gate: Gate,
    /// Access token → session.
    pub sessions: Arc<dyn Authenticate>,
    /// Accounts, rooms and what they stand on.
    pub engine: Arc<Engine>,
    /// Registration tokens.
    pub registration: Registration,
    /// What clients have proven in user-interactive authentication.
    pub interactive: uiaa::Sessions,
    /// Sliding sync and its connections.
    pub sliding: Arc<Sliding>,
    /// Nonces of shared-secret registration.
    pub nonces: Nonces,
    /// Tokens by which users prove to others who they are.
    pub openids: OpenIds,
    /// Turns true when the server stops: long polls answer then.
    pub stopping: watch::Receiver<bool>,
}

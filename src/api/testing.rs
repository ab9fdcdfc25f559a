//! Services in memory, for tests and fuzz targets.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Doorkeeper, Gate, Nonces, Services, uiaa};
use crate::{
    clock::{ManualClock, Timestamp},
    config::Config,
    engine::{Engine, registration::Registration},
    random::SeededRandom,
    sync::sliding::Sliding,
};

/// The services of a server on `engine`, which is about to stop: nothing waits.
pub(crate) async fn services(config: Config, engine: Arc<Engine>) -> Services {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let random = Arc::new(SeededRandom::new(1));
    let (_, stopping) = watch::channel(true);
    Services {
        registration: Registration::load(&config.registration, &engine).await.expect("tokens"),
        sliding: Arc::new(Sliding::new(
            Arc::clone(&engine.rooms),
            Arc::clone(&engine.counters),
            Arc::clone(&random) as _,
        )),
        interactive: uiaa::Sessions::default(),
        nonces: Nonces::default(),
        openids: super::OpenIds::default(),
        gate: Gate::new(&config.limits, Arc::clone(&clock) as _, random.as_ref()),
        config: Arc::new(config),
        clock,
        random,
        sessions: Arc::new(Doorkeeper(Arc::clone(&engine.accounts))),
        engine,
        stopping,
    }
}

//! The running server: wires the layers together, listens, and stops in order.
//!
//! Owns the listeners and their connections; knows nothing about what is answered.

mod connection;
mod listener;
mod monitor;
mod pace;
mod peer;
mod tls;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use self::listener::Listener;
#[cfg(any(test, fuzzing))]
pub(crate) use self::peer::client;
use crate::{
    admin,
    api::{self, Doorkeeper, Gate, Services, uiaa},
    clock::{Clock, SystemClock},
    config::Config,
    engine::{self, Engine, registration::Registration},
    ground::{self, Overwriting},
    log,
    random::{OsRandom, Random},
    sync::sliding::Sliding,
};

/// How long open requests may take to finish once the server stops. Long polls answer at once.
const DRAIN: Duration = Duration::from_secs(10);

/// Files open beside connections: the store's and those of media.
const OTHER_FILES: u64 = 1024;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on: in use, or not allowed.
    #[error("cannot listen on a configured address: is it in use, or below port 1024?")]
    Listen,
    /// A Unix socket cannot be made at its path.
    #[error("cannot make a Unix socket at the configured path")]
    Socket,
    /// The certificate or its key cannot be used.
    #[error("the TLS certificate or key cannot be read, or they do not belong together")]
    Tls,
    /// What lies in the data directory cannot be opened.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The data directory cannot be made or entered.
    #[error("the data directory cannot be made or entered")]
    Directory,
}

/// A server that listens; dropping it without [`Server::stop`] cuts its connections.
pub struct Server {
    addresses: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
    services: Arc<Services>,
}

impl Server {
    /// Starts on the machine's clock and entropy.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::start_with(config, Arc::new(SystemClock::new()), Arc::new(OsRandom)).await
    }

    /// Starts on a given clock and entropy.
    pub async fn start_with(config: Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Error> {
        prepare_directory(&config)?;
        let engine = Engine::open(&config, clock, random).await?;
        warn_of_ground(&config);
        Self::serve(config, engine).await
    }

    /// Starts on an engine, which `config` is of, with its clock and entropy.
    pub async fn serve(config: Config, engine: Engine) -> Result<Self, Error> {
        let (stopping, stop) = watch::channel(false);
        let config = Arc::new(config);
        let (clock, random) = (Arc::clone(&engine.clock), Arc::clone(&engine.journals.random));
        let engine = Arc::new(engine);
        engine.open_epochs().await?;
        let sliding = Sliding::new(Arc::clone(&engine.rooms), Arc::clone(&engine.counters), Arc::clone(&random));
        let sliding = Arc::new(sliding);
        engine.accounts.on_wake(&(Arc::clone(&sliding) as _));
        let services = Arc::new(Services {
            registration: Registration::load(&config.registration, &engine).await?,
            sliding,
            gate: Gate::new(&config.limits, Arc::clone(&clock), random.as_ref()),
            interactive: uiaa::Sessions::default(),
            nonces: api::Nonces::default(),
            openids: api::OpenIds::default(),
            config: Arc::clone(&config),
            clock,
            random,
            sessions: Arc::new(Doorkeeper(Arc::clone(&engine.accounts))),
            engine: Arc::clone(&engine),
            stopping: stop.clone(),
        });

        let listeners = Listener::bind_all(&config.server).await?;
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        let slots = connection::Slots::new(config.limits.connections);
        let peers = peer::Peers::new(Arc::clone(&services));
        let router = api::router(Arc::clone(&services));
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(connection::accept(listener, router.clone(), peers.clone(), slots.clone(), stop.clone()));
        }
        let listening = tasks.len();
        let metrics = monitor::start(&config.metrics, &engine, &mut tasks, &stop).await?;
        tasks.spawn({
            let (engine, stop) = (Arc::clone(&engine), stop.clone());
            async move { engine.keep_up(stop).await }
        });
        tasks.spawn({
            let (keeper, stop) = (Arc::clone(&engine.keeper), stop.clone());
            async move { keeper.run(stop).await }
        });
        tasks.spawn({
            let (delayed, stop) = (Arc::clone(&engine.delayed), stop.clone());
            async move { delayed.run(stop).await }
        });
        tasks.spawn(Arc::clone(&engine.pushing).run(stop.clone()));
        tasks.spawn(Arc::clone(&engine.presence).run(stop.clone()));
        let socket = admin::Socket::bind(&config).map_err(|_| Error::Socket)?;
        tasks.spawn(socket.serve(Arc::new(admin::Administrator(engine)), stop));
        log::info!("listening", listeners = listening);
        Ok(Self { addresses, metrics, stopping, tasks, services })
    }

    /// The TCP addresses listened on, with the ports the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address monitoring asks, if it may.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// The services behind the API.
    #[must_use]
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Stops accepting, lets long polls answer, waits for open requests at most [`DRAIN`].
    pub async fn stop(mut self) {
        log::info!("stopping");
        self.stopping.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            log::warn!("open requests were cut off");
        }
        self.services.engine.close().await;
        log::info!("stopped");
    }
}

/// Makes the data directory, readable by the server's user alone.
fn prepare_directory(config: &Config) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&config.storage.data).map_err(|_| Error::Directory)
}

/// Lets the process have as many files open as the system allows it: each connection is one.
pub fn raise_open_files(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, maximum: allowed.maximum }).is_ok();
    let have = if raised { allowed.maximum } else { allowed.current };
    let need = u64::from(config.limits.connections) + OTHER_FILES;
    if have.is_some_and(|have| have < need) {
        log::warn!(
            "fewer files can be open than limits.connections asks for: raise the limit of open files",
            need = need
        );
    }
}

/// Whether the server could speak TLS with the certificate chain and key at these paths.
#[must_use]
pub fn tls_is_usable(certificate: &Path, key: &Path) -> bool {
    tls::acceptor(certificate, key).is_ok()
}

/// Keeps the process's memory out of core files, and from programs that the kernel hands dumps to: these are not bound
/// by the limit. Processes of the same user cannot read it either.
pub fn disable_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if limited.is_err() || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        log::warn!("core dumps could not be turned off");
    }
}

/// Warns where overwriting the keys would not erase them.
fn warn_of_ground(config: &Config) {
    let place = ground::place(&config.storage.keys_directory());
    match place.map(|place| place.overwriting) {
        Some(Overwriting::KeepsOld(reason)) => {
            log::warn!("keys that are overwritten stay readable here: run `lethe doctor`", reason = reason);
        }
        Some(Overwriting::Unknown(reason)) => {
            log::warn!(
                "whether keys that are overwritten are gone is not known here: run `lethe doctor`",
                reason = reason
            );
        }
        Some(Overwriting::Memory) => {
            log::warn!("the keys lie in memory: with the power, everything is gone");
        }
        Some(Overwriting::InPlace) | None => {}
    }
}

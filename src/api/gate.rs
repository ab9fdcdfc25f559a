//! The gate every request passes: whom it counts for, whether it may come now, and how much of it is held in memory.
//!
//! Which endpoints are limited follows from ruma's metadata of the specification, which bucket they draw from in
//! [`kind`]; sizes and rates stand in `crate::rate` and in the configuration, and all of them in `doc/limits.md`.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, Request};
use ruma::api::{Metadata, path_builder::PathBuilder};

use super::Session;
use crate::{
    clock::Clock,
    config,
    error::Error,
    random::Random,
    rate::{Crowd, Kind, Pool, Rates, Seat, Source, Sources, VOLUME_UNIT},
};

/// Memory of all request bodies together, KiB, beyond what each may hold unasked (16 KiB): sixteen of
/// the largest. A parsed body takes up to some twenty times its size for a moment.
const BODIES_KIB: u32 = 16 << 10;
/// What one caller may hold of it, KiB: four of the largest, so that four callers are needed to keep others waiting.
const BODIES_SHARE_KIB: u32 = 4 << 10;
/// Uploads of one account at the same time, of those the server takes in all: clients send one after the other.
const MOST_UPLOADS: u32 = 8;
/// When a caller who has too much at once may come back.
const SOON: Duration = Duration::from_secs(1);

/// The bounds of requests.
pub struct Gate {
    clock: Arc<dyn Clock>,
    rates: Rates,
    sources: Sources,
    present: Crowd,
    uploads: Crowd,
    /// Memory of request bodies.
    pub bodies: Pool,
}

impl Gate {
    /// A gate with the bounds of `limits`.
    #[must_use]
    pub fn new(limits: &config::Limits, clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        Self {
            clock,
            rates: Rates::new(limits),
            sources: Sources::new(random),
            present: Crowd::new(limits.requests_per_account),
            uploads: Crowd::new(MOST_UPLOADS),
            bodies: Pool::new(BODIES_KIB, BODIES_SHARE_KIB),
        }
    }

    /// Names for callers.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// One more request at the same time for `caller`.
    pub fn enter(&self, caller: Source) -> Result<Seat, Error> {
        self.present.enter(caller).ok_or_else(|| Error::limit_exceeded(SOON))
    }

    /// One more upload at the same time for an account.
    pub fn upload(&self, session: &Session) -> Result<Seat, Error> {
        let caller = self.sources.account(session.user_id.as_str());
        self.uploads.enter(caller).ok_or_else(|| Error::limit_exceeded(SOON))
    }

    /// One more request of a kind.
    pub fn pass(&self, kind: Kind, caller: Source) -> Result<(), Error> {
        self.take(kind, caller, 1)
    }

    /// A caller makes the server write some `bytes`.
    pub fn write(&self, caller: Source, bytes: usize) -> Result<(), Error> {
        self.take(Kind::Volume, caller, 1 + bytes as u64 / VOLUME_UNIT)
    }

    /// One more attempt at the password of the account of this name, whether it exists or not. Counts before the password
    /// is looked at: attempts at the same time would be free otherwise.
    pub fn try_password(&self, address: Source, name: &str) -> Result<(), Error> {
        self.pass(Kind::Login, address)?;
        self.pass(Kind::Password, self.sources.account(name))
    }

    fn take(&self, kind: Kind, caller: Source, units: u64) -> Result<(), Error> {
        self.rates.take(kind, caller, units, self.clock.monotonic()).map_err(Error::limit_exceeded)
    }
}

/// The bucket that an endpoint draws from, when the specification limits it.
pub(super) fn kind<R: Metadata<PathBuilder: PathBuilder>>() -> Option<Kind> {
    let is_media = R::PATH_BUILDER.all_paths().any(|path| path.contains("/media/"));
    match R::METHOD {
        _ if !R::RATE_LIMITED => None,
        Method::GET if is_media => Some(Kind::Download),
        _ if is_media => Some(Kind::Upload),
        _ => Some(Kind::General),
    }
}

/// The address a request came from, as the listener names it.
pub(super) fn address<B>(request: &Request<B>) -> Source {
    request.extensions().get::<Source>().copied().unwrap_or_default()
}

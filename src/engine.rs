//! The engine: everything below the API put together, and its upkeep.
//!
//! Owns the order in which the layers come up and go down. Answers no request itself.

pub mod administer;
mod ending;
#[cfg(test)]
mod idle_tests;
mod pictures;
#[cfg(test)]
mod proof;
mod record;
#[cfg(test)]
mod redaction_tests;
pub mod registration;
#[cfg(test)]
mod search_tests;
pub mod signing_key;
#[cfg(test)]
mod sync_tests;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "tests use the rest"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::upkeep::Pace;
use ruma::{OwnedServerName, ServerName, UserId, signatures::Ed25519KeyPair};
use serde_json::Value;

use crate::{
    accounts::{self, Accounts},
    backup::{self, Backups},
    clock::{Clock, Timestamp},
    config::{self, Config},
    delayed::Delayed,
    e2ee::E2ee,
    house::House,
    journal::Journals,
    media::{self, Media},
    metrics::Metrics,
    outbound,
    push::{
        Counters,
        pushing::{self, Pushing},
    },
    random::Random,
    retention::{self, Keeper},
    rooms::{self, Rooms},
    seal::{
        self,
        epochs::Epochs,
        slots::{FileMedium, Medium, Slots},
    },
    search::Search,
    store::{Durability, RocksBackend, Store},
    sync::{classic::Syncs, presence::Presence},
};

/// The layers below the API.
pub struct Engine {
    /// Store, slots, epochs.
    pub journals: Journals,
    /// The house.
    pub house: Arc<House>,
    /// Accounts.
    pub accounts: Arc<Accounts>,
    /// Rooms.
    pub rooms: Arc<Rooms>,
    /// Devices' keys, messages and backups.
    pub e2ee: E2ee,
    /// Media.
    pub media: Arc<Media>,
    /// What sees to it that things are forgotten.
    pub keeper: Arc<Keeper>,
    /// Unread counts.
    pub counters: Arc<Counters>,
    /// Events that are sent later.
    pub delayed: Arc<Delayed>,
    /// Searches.
    pub search: Search,
    /// Classic syncs.
    pub syncs: Arc<Syncs>,
    /// Who is online.
    pub presence: Arc<Presence>,
    /// What is told to push gateways.
    pub pushing: Arc<Pushing>,
    /// What is kept for how long.
    pub retention: retention::Policy,
    /// What monitoring may know.
    pub metrics: Arc<Metrics>,
    /// Backups.
    pub backups: Backups,
    /// Whom to trust when other machines are contacted.
    pub tls: outbound::Tls,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the server signs with.
    signer: Arc<Ed25519KeyPair>,
    /// Which pictures were looked at.
    seen: tokio::sync::Mutex<pictures::Seen>,
}

/// What of the configuration the layers depend on.
#[derive(Clone)]
pub struct Settings {
    /// For accounts.
    pub accounts: accounts::Policy,
    /// For rooms.
    pub rooms: rooms::Policy,
    /// For media.
    pub media: media::Policy,
    /// Whether anybody is told who is online.
    pub presence: bool,
    /// For push.
    pub push: pushing::Policy,
    /// What is kept for how long.
    pub retention: retention::Policy,
    /// For requests to other machines.
    pub tls: outbound::Tls,
    /// The directory of data, whose free space is watched.
    pub data: PathBuf,
    /// The directory of keys.
    pub keys: PathBuf,
}

/// How long a server that stops packs what its rooms wrote since they were packed last: whoever stops it waits some ten
/// seconds.
const PACKS_AT_STOP: Duration = Duration::from_secs(2);

/// Why the engine does not come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error("the store in the data directory cannot be opened")]
    Store(#[from] crate::store::Error),
    /// The keys cannot be opened.
    #[error("the keys cannot be opened: {0}")]
    Slots(#[from] seal::slots::Error),
    /// A restore into the data directory was cut off.
    #[error("a restore into the data directory was not finished: run it again")]
    Restoring,
    /// What a backup has left in the data directory cannot be removed.
    #[error("what a backup has left in the data directory cannot be removed")]
    Staged,
    /// The server's own records cannot be read.
    #[error("the server's own records cannot be read")]
    Records,
    /// The file with registration tokens cannot be read.
    #[error("registration.tokens_file cannot be read")]
    Tokens,
    /// The file with certification authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] outbound::Unreadable),
    /// The server name in the configuration is not one.
    #[error("server.name is not a server name")]
    Name,
    /// The name that notices are to be sent under is not one.
    #[error("server_notices.localpart is not the first part of a Matrix id")]
    NoticesName,
}

impl Engine {
    /// Opens the engine on the directories of `config`.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Error> {
        let durability = match config.storage.durability {
            config::Durability::Synced => Durability::Synced,
            config::Durability::Relaxed => Durability::Relaxed,
        };
        if data(config).join(backup::UNFINISHED).exists() {
            return Err(Error::Restoring);
        }
        let medium = FileMedium::open(&config.storage.keys_directory())?;
        Backups::clear(data(config)).map_err(|_| Error::Staged)?;
        let store = Store::threaded(Arc::new(RocksBackend::open(data(config))?), durability);
        let settings = Settings::of(config)?;
        Self::assemble(store, Arc::new(medium), clock, random, settings).await
    }

    /// Puts the layers together on a store and a medium.
    pub async fn assemble(
        store: Store,
        medium: Arc<dyn Medium>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Result<Self, Error> {
        let slots = Slots::open(medium, store.clone(), Arc::clone(&random)).await?;
        let epochs = Epochs::new(slots.clone(), store.clone(), Arc::clone(&clock), Arc::clone(&random));
        let journals = Journals { store, slots, epochs, random, packs: crate::journal::Packs::default() };
        let signer = Arc::new(signing_key::load(&journals).await?);
        let backups = Backups::new(settings.data.clone(), settings.keys);
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock), journals.random.as_ref(), settings.data));
        let media = Arc::new(Media::new(journals.clone(), Arc::clone(&clock), settings.media));
        let house = Arc::new(House::new(journals.clone()));
        let accounts =
            Arc::new(Accounts::new(journals.clone(), Arc::clone(&clock), Arc::clone(&house), settings.accounts));
        let rooms =
            Arc::new(Rooms::new(Arc::clone(&accounts), Arc::clone(&clock), Arc::clone(&signer), settings.rooms));
        accounts.on_wake(&(Arc::clone(&rooms) as _));
        media.look_in(Arc::clone(&rooms));
        let delayed = Arc::new(Delayed::new(Arc::clone(&rooms)));
        accounts.on_wake(&(Arc::clone(&delayed) as _));
        let e2ee = E2ee::new(Arc::clone(&rooms));
        let search = Search::new(Arc::clone(&rooms));
        let counters = Arc::new(Counters::default());
        let presence = Arc::new(Presence::new(Arc::clone(&rooms), settings.presence));
        let syncs = Arc::new(Syncs::new(Arc::clone(&rooms), Arc::clone(&counters), Arc::clone(&presence)));
        accounts.on_wake(&(Arc::clone(&syncs) as _));
        let random = Arc::clone(&journals.random);
        let pushing = Pushing::new(Arc::clone(&rooms), Arc::clone(&counters), random, settings.push);
        let pushing = Arc::new(pushing);
        rooms.on_move(&(Arc::clone(&pushing) as _));
        accounts.on_wake(&(Arc::clone(&pushing) as _));
        let tls = settings.tls;
        let keeper = Keeper::new(
            journals.clone(),
            Arc::clone(&rooms),
            Arc::clone(&media),
            Arc::clone(&metrics),
            Arc::clone(&clock),
        );
        Ok(Self {
            keeper: Arc::new(keeper),
            journals,
            house,
            accounts,
            rooms,
            e2ee,
            media,
            counters,
            delayed,
            search,
            syncs,
            presence,
            pushing,
            retention: settings.retention,
            metrics,
            backups,
            tls,
            clock,
            signer,
            seen: tokio::sync::Mutex::default(),
        })
    }
}

impl Engine {
    /// The keys that `server`, this one, signs with, good until `until`, as other servers ask for them; nothing when they
    /// cannot be signed.
    #[must_use]
    pub fn published_keys(&self, server: &ServerName, until: Timestamp) -> Option<Value> {
        signing_key::published(&self.signer, server, until)
    }

    /// Whether a write would be taken now. After a failure of the medium none is until the next start.
    pub async fn check(&self) -> Result<(), Error> {
        self.journals.store.check().await?;
        Ok(self.journals.slots.check().await?)
    }

    /// Makes everything durable and lets go of the store.
    pub async fn close(&self) {
        self.syncs.save_all().await;
        // What was taken back or replaced is not to lie on the disk of a server that is off.
        self.rewrite_redacted().await;
        self.renew_open().await;
        // Rooms that were closed in packs open in half the time.
        self.pack_until(Some(self.clock.monotonic().saturating_add(PACKS_AT_STOP))).await;
        self.merge().await;
        self.journals.store.shutdown().await;
    }
}

impl Settings {
    /// The settings that `config` asks for.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let server_name: OwnedServerName = config.server.name.as_str().try_into().map_err(|_| Error::Name)?;
        let retention = retention::Policy::of(config);
        let tls = outbound::Tls::trusting(config.outbound.ca_certificates.as_deref())?;
        Ok(Self {
            accounts: accounts::Policy {
                server_name: server_name.clone(),
                kdf_memory_kib: u32::try_from(config.accounts.argon2_memory.0 >> 10).unwrap_or(u32::MAX),
                kdf_passes: config.accounts.argon2_passes,
                kdf_permits: std::thread::available_parallelism().map_or(1, usize::from),
                most_devices: usize::try_from(config.limits.devices_per_account).unwrap_or(usize::MAX),
                most_rooms: usize::try_from(config.limits.rooms_per_account).unwrap_or(usize::MAX),
                inactivity: retention.inactivity,
                to_device: retention.to_device,
                parted: retention.parted,
                idle: config.accounts.idle.duration(),
                access_lifetime: config.accounts.access_token_lifetime.0,
                least_guesses: 10_f64.powi(i32::from(config.accounts.password_guesses_log10)),
                random_localpart: config.accounts.localpart == config::Localpart::Random,
                reserved: config.server_notices.localpart.clone(),
            },
            rooms: rooms::Policy {
                server_name: server_name.clone(),
                bucket: config.time.bucket.0,
                lifetimes: Arc::clone(&retention.rooms),
                default_version: config.rooms.default_version.clone(),
                versions: config.rooms.versions.clone(),
                notices: notices(&config.server_notices, &server_name)?,
            },
            media: media::Policy {
                directory: data(config).join("media"),
                class: retention.media,
                remote: retention.remote_media,
                max_upload: config.media.max_upload.0,
                quota: config.media.quota.0,
                thumbnail_cache: config.media.thumbnail_cache.0,
                server_name,
                previews: previews(&config.url_previews, &tls),
            },
            presence: config.presence.enabled,
            push: pushing::Policy {
                enabled: config.push.enabled,
                details: config.push.details && config.profile != config::Profile::Strict,
                client: outbound::Client::new(tls.clone(), config.push.allow.iter().map(|network| network.0)),
            },
            retention,
            tls,
            data: data(config).to_owned(),
            keys: config.storage.keys_directory(),
        })
    }
}

fn notices(config: &config::ServerNotices, server_name: &ServerName) -> Result<Option<rooms::Notices>, Error> {
    let Some(localpart) = &config.localpart else { return Ok(None) };
    let sender = UserId::parse_with_server_name(localpart.as_str(), server_name);
    let sender = sender.ok().filter(|sender| !localpart.is_empty() && sender.localpart() == localpart);
    Ok(Some(rooms::Notices {
        sender: sender.ok_or(Error::NoticesName)?,
        display_name: config.display_name.clone(),
        room_name: config.room_name.clone(),
    }))
}

fn previews(config: &config::UrlPreviews, tls: &outbound::Tls) -> Option<media::PreviewPolicy> {
    let bytes = |size: config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    config.enabled.then(|| media::PreviewPolicy {
        client: outbound::Client::new(tls.clone(), config.allow.iter().map(|network| network.0)),
        languages: config.languages.clone(),
        max_page: bytes(config.max_page),
        max_image: bytes(config.max_image),
        timeout: config.timeout.0,
        lifetime: config.lifetime.0,
        cache: config.cache.0,
    })
}

fn data(config: &Config) -> &Path {
    &config.storage.data
}

//! An engine in memory, for tests.

use std::{sync::Arc, time::Duration};

use ruma::{CanonicalJsonObject, RoomVersionId, owned_server_name};

use super::{Engine, Settings};
#[cfg(test)]
use crate::seizure::Image;
use crate::{
    accounts::{self, LoggedIn, NewDevice, Session},
    clock::{Clock, ManualClock, Timestamp},
    config::Config,
    media, outbound,
    push::pushing,
    random::{Random, SeededRandom},
    retention,
    rooms::{self, Lifetimes, Room, create},
    seal::slots::MemoryMedium,
    secret::SecretText,
    store::{Class, MemoryBackend, Store},
};

/// When tests take place.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Settings with cheap passwords.
pub(crate) fn settings() -> Settings {
    let server_name = owned_server_name!("localhost");
    let tls = outbound::Tls::trusting(None).expect("Mozilla's list is usable");
    Settings {
        accounts: accounts::Policy {
            server_name: server_name.clone(),
            kdf_memory_kib: 8,
            kdf_passes: 1,
            kdf_permits: 2,
            most_devices: 100,
            most_rooms: 5000,
            inactivity: Class::Quarter,
            to_device: Class::Month,
            idle: None,
            parted: Some(Duration::from_hours(24 * 30)),
            access_lifetime: Duration::from_hours(1),
            least_guesses: 0.0,
            random_localpart: false,
            reserved: None,
        },
        rooms: rooms::Policy {
            server_name: server_name.clone(),
            bucket: Duration::from_secs(10),
            lifetimes: Arc::new(Lifetimes::of(Class::Month)),
            default_version: RoomVersionId::V12,
            versions: crate::event::SUPPORTED.to_vec(),
            notices: None,
        },
        media: media::Policy {
            directory: std::env::temp_dir().join("lethe-no-media"),
            class: Class::Month,
            remote: Class::Day,
            max_upload: 0,
            quota: 0,
            thumbnail_cache: 0,
            server_name,
            previews: None,
        },
        presence: false,
        push: pushing::Policy { enabled: true, details: false, client: outbound::Client::new(tls.clone(), []) },
        tls,
        retention: retention::Policy::of(&Config::default()),
        data: std::env::temp_dir(),
        keys: std::env::temp_dir(),
    }
}

/// What outlives a process: the disk and the clock.
pub(crate) struct Machine {
    /// The store's disk.
    pub(crate) backend: Arc<MemoryBackend>,
    /// The disk of the keys.
    pub(crate) medium: Arc<MemoryMedium>,
    /// The clock.
    pub(crate) clock: Arc<ManualClock>,
    /// The source of randomness.
    pub(crate) random: Arc<dyn Random>,
}

impl Machine {
    /// A fresh machine, whose randomness is a function of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let medium = Arc::new(MemoryMedium::with_fuse(backend.fuse()));
        let clock = Arc::new(ManualClock::at(NOW));
        Self { backend, medium, clock, random: Arc::new(SeededRandom::new(seed)) }
    }

    /// A machine with the same disk and clock, which go their own ways from here.
    pub(crate) fn copy(&self, seed: u64) -> Self {
        let backend = Arc::new(self.backend.copy());
        let medium = Arc::new(self.medium.copy(backend.fuse()));
        let clock = Arc::new(ManualClock::at(self.clock.now()));
        Self { backend, medium, clock, random: Arc::new(SeededRandom::new(seed)) }
    }

    /// What whoever takes the disks of this machine, which is off, has: everything they ever held.
    #[cfg(test)]
    pub(crate) fn image(&self) -> Image {
        Image::new(&self.backend.ever(), &self.medium.sectors(), &self.medium.ever())
    }

    /// Power off and on again: whatever was in flight gets a random fate.
    pub(crate) fn cut(&self) {
        self.backend.crash(self.random.as_ref());
        self.medium.crash(self.random.as_ref());
    }

    /// What is left of this machine when its power goes; it runs on.
    #[cfg(test)]
    pub(crate) fn off(&self) -> Self {
        let machine = self.copy(1);
        machine.cut();
        machine
    }

    /// Starts an engine on what lies on the disk.
    pub(crate) async fn start(&self) -> Arc<Engine> {
        self.start_with(settings()).await
    }

    /// As [`Machine::start`], with these settings.
    pub(crate) async fn start_with(&self, settings: Settings) -> Arc<Engine> {
        let store = Store::inline(Arc::clone(&self.backend) as _);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let engine = Engine::assemble(store, Arc::clone(&self.medium) as _, clock, Arc::clone(&self.random), settings);
        Arc::new(engine.await.expect("an engine starts"))
    }
}

/// Registers an account with a device.
pub(crate) async fn register(engine: &Engine, name: &str) -> LoggedIn {
    let password = SecretText::new(format!("password of {name}"));
    let registered =
        engine.accounts.register(name, password, Some(NewDevice::default()), false, |_, _| Ok(Vec::new())).await;
    registered.expect("a free name").1.expect("a device")
}

/// Founds a private room.
pub(crate) async fn founded(engine: &Engine, by: &Session) -> Arc<Room> {
    let request = create::CreateRoom {
        creator: create::Person { user: by.account.user_id.clone(), profile: CanonicalJsonObject::new() },
        version: RoomVersionId::V12,
        preset: Some(create::Preset::Private),
        published: false,
        name: None,
        topic: None,
        alias: None,
        retention: None,
        initial_state: Vec::new(),
        creation_content: CanonicalJsonObject::new(),
        power_level_content_override: CanonicalJsonObject::new(),
        invite: Vec::new(),
        is_direct: false,
    };
    let drafts = create::plan(&request).expect("a plain room").drafts;
    engine.rooms.found(Some(&by.account), RoomVersionId::V12, None, drafts).await.expect("a room")
}

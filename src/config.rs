//! The configuration: a TOML file, then environment variables `LETHE_SECTION__KEY`, over the profile's defaults.
//!
//! Owns every key, its documentation and its default. Unknown keys and bad values stop the start with the key's path
//! and what is expected there; a value is never repeated, because it may be a secret.

mod accounts;
mod admin;
mod example;
mod federation;
mod lifetime;
mod limits;
mod load;
mod log;
mod media;
mod metrics;
mod network;
mod outbound;
mod presence;
mod push;
mod registration;
mod retention;
mod rooms;
pub(crate) mod section;
mod server;
mod server_notices;
mod storage;
mod time;
mod turn;
mod units;
mod url_previews;
mod well_known;

use serde::{Deserialize, Serialize};

pub use self::{
    accounts::{Accounts, Localpart},
    admin::Admin,
    federation::Federation,
    lifetime::{Lifetime, STEPS},
    limits::Limits,
    load::Error,
    log::{Format, Level, Log},
    media::Media,
    metrics::Metrics,
    network::Network,
    outbound::Outbound,
    presence::Presence,
    push::Push,
    registration::{Mode as RegistrationMode, Registration},
    retention::Retention,
    rooms::Rooms,
    server::Server,
    server_notices::ServerNotices,
    storage::{Durability, Storage},
    time::Time,
    turn::Turn,
    units::{Secret, Size, Span},
    url_previews::UrlPreviews,
    well_known::WellKnown,
};

/// Which defaults apply.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Forgets after 30 days.
    #[default]
    Standard,
    /// Forgets after 7 days and prefers privacy over convenience elsewhere too.
    Strict,
}

/// Defines the whole configuration from its sections.
macro_rules! sections {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty;)+) => {
        /// The whole configuration.
        #[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            /// Which defaults apply.
            pub profile: Profile,
            $( $(#[doc = $doc])+ pub $name: $type, )+
        }

        /// The sections and their documentation, in the order of the example file.
        const SECTIONS: &[(&str, section::SectionDoc)] = &[$( (stringify!($name), <$type>::DOC), )+];
    };
}

sections! {
    /// The server's name and where it listens.
    server: Server;
    /// Where data and keys lie.
    storage: Storage;
    /// Who may make an account.
    registration: Registration;
    /// Passwords, tokens and devices.
    accounts: Accounts;
    /// How exact times are.
    time: Time;
    /// When things are forgotten.
    retention: Retention;
    /// New rooms.
    rooms: Rooms;
    /// Bounds on what clients can make the server hold.
    limits: Limits;
    /// Uploads.
    media: Media;
    /// Previews of pages.
    url_previews: UrlPreviews;
    /// A TURN server for calls.
    turn: Turn;
    /// Answers under `/.well-known/matrix/`.
    well_known: WellKnown;
    /// Requests to other machines.
    outbound: Outbound;
    /// Push gateways.
    push: Push;
    /// Other servers.
    federation: Federation;
    /// Who is online.
    presence: Presence;
    /// Notices from the operator to users.
    server_notices: ServerNotices;
    /// What is logged.
    log: Log;
    /// Figures for monitoring.
    metrics: Metrics;
    /// The administrator's socket.
    admin: Admin;
}

impl Config {
    /// The defaults of `profile`.
    #[must_use]
    pub fn of_profile(profile: Profile) -> Self {
        let mut config = Self { profile, ..Self::default() };
        if profile == Profile::Strict {
            let week = Lifetime::days(7);
            config.retention = Retention { default: week, media: week, to_device: week, ..config.retention };
            config.accounts.idle = Lifetime::hours(1);
        }
        config
    }
}

//! How often each kind of request may come.

use std::time::Duration;

use super::{Bucket, Source};
use crate::config;

/// A kind of request that is counted on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What the specification marks as rate-limited and nothing below counts: by account, or by address without one.
    General,
    /// Logins and other attempts at a password: by address.
    Login,
    /// Attempts at one account's password: by the name that is tried, whether it exists or not.
    Password,
    /// Attempts at a registration: by address.
    Registration,
    /// Uploads: by account.
    Upload,
    /// Downloads and thumbnails: by account.
    Download,
    /// What a caller makes the server write, in units of [`VOLUME_UNIT`] bytes: by account, or by address without one.
    Volume,
}

/// Bytes of a unit of [`Kind::Volume`].
pub const VOLUME_UNIT: u64 = 256;

/// Attempts at one account's password in a burst, then one each half minute: a strong password falls to nobody at that
/// pace, and who attacks one account keeps its owner from logging in anew for half a minute at a time, not from using
/// the devices he has.
const PASSWORD: (u32, Duration) = (20, Duration::from_secs(30));
/// Registrations from one address in a burst, then one each quarter minute: a team that comes together registers behind
/// one address; who guesses registration tokens needs more.
const REGISTRATION: (u32, Duration) = (20, Duration::from_secs(15));
/// Uploads of one account in a burst, then one a second: an album is sent picture by picture.
const UPLOAD: (u32, Duration) = (50, Duration::from_secs(1));
/// Downloads of one account in a burst, then 50 a second: a client that shows a large room asks for every avatar.
const DOWNLOAD: (u32, Duration) = (1000, Duration::from_millis(20));
/// 64 MiB in a burst, then 64 KiB a second: the largest honest writer backs up the keys of years, and a bot that sends a
/// hundred messages a second stays below. Who writes for a day writes six gigabytes.
const VOLUME: (u32, Duration) = (262_144, Duration::from_micros(3906));

/// The buckets of every kind.
pub struct Rates {
    enabled: bool,
    general: Bucket,
    login: Bucket,
    password: Bucket,
    registration: Bucket,
    upload: Bucket,
    download: Bucket,
    volume: Bucket,
}

impl Rates {
    /// Full buckets of the sizes that `limits` says, or that stand above.
    #[must_use]
    pub fn new(limits: &config::Limits) -> Self {
        let each = |(burst, interval)| Bucket::new(burst, interval);
        let per_second = Duration::from_secs(1) / limits.per_second.max(1);
        Self {
            enabled: limits.rates,
            general: Bucket::new(limits.burst, per_second),
            login: Bucket::new(limits.logins, limits.login_interval.0),
            password: each(PASSWORD),
            registration: each(REGISTRATION),
            upload: each(UPLOAD),
            download: each(DOWNLOAD),
            volume: each(VOLUME),
        }
    }

    /// Takes `units` from a caller's bucket of a kind, or says when there will be enough. `now` is steady time.
    pub fn take(&self, kind: Kind, source: Source, units: u64, now: Duration) -> Result<(), Duration> {
        if !self.enabled {
            return Ok(());
        }
        let bucket = match kind {
            Kind::General => &self.general,
            Kind::Login => &self.login,
            Kind::Password => &self.password,
            Kind::Registration => &self.registration,
            Kind::Upload => &self.upload,
            Kind::Download => &self.download,
            Kind::Volume => &self.volume,
        };
        bucket.take(source, units, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart() {
        let rates = Rates::new(&config::Limits { burst: 2, ..config::Limits::default() });
        let (al, now) = (Source([1; 16]), Duration::ZERO);
        assert!(rates.take(Kind::General, al, 2, now).is_ok());
        assert!(rates.take(Kind::General, al, 1, now).is_err());
        assert!(rates.take(Kind::Login, al, 1, now).is_ok());
        let off = Rates::new(&config::Limits { burst: 1, rates: false, ..config::Limits::default() });
        assert!((0..1000).all(|_| off.take(Kind::General, al, 1, now).is_ok()));
    }
}

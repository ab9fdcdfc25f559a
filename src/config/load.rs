//! Reading: profile defaults, then the file, then the environment; then secrets from their files; then what must fit
//! together.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    error::Kind,
    providers::{Format, Serialized, Toml},
};
use ruma::room_version_rules::RoomVersionDisposition;

use super::{Config, Lifetime, Profile, SECTIONS, Secret, Span};
use crate::secret::SecretText;

/// Why the configuration cannot be used. Texts name keys and what is expected, never a value.
#[derive(thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file cannot be read")]
    Unreadable,
    /// The file is not TOML; the place is a line number from 1.
    #[error("the configuration file is not valid TOML at line {0}")]
    Syntax(usize),
    /// A key has a wrong value, or does not exist.
    #[error("configuration key `{key}`: {problem}")]
    Key {
        /// The key's path, or that of its section.
        key: String,
        /// What is wrong with it or expected there.
        problem: String,
    },
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Config {
    /// Reads `file`, if any, and the process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let text = match file {
            Some(path) => fs::read_to_string(path).map_err(|_| Error::Unreadable)?,
            None => String::new(),
        };
        Self::from_parts(
            &text,
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Reads `text` as the file and `environment` as the environment.
    pub fn from_parts(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        text.parse::<toml::Table>().map_err(|error| syntax(text, &error))?;
        let mut figment = Figment::from(Toml::string(text));
        for (key, value) in environment {
            if let Some(path) = environment_path(&key) {
                figment = figment.merge(Serialized::default(&path, environment_value(&path, value)));
            }
        }
        let profile = match figment.find_value("profile") {
            Ok(_) => figment.extract_inner::<Profile>("profile").map_err(|error| describe(&error))?,
            Err(_) => Profile::default(),
        };
        let defaults = Figment::from(Serialized::defaults(Self::of_profile(profile)));
        let mut config: Self = defaults.merge(figment).extract().map_err(|error| describe(&error))?;
        config.read_secrets()?;
        config.check()?;
        Ok(config)
    }

    fn read_secrets(&mut self) -> Result<(), Error> {
        let registration = &mut self.registration;
        read_secret(
            "registration.shared_secret",
            &mut registration.shared_secret,
            registration.shared_secret_file.as_ref(),
        )?;
        read_secret("turn.secret", &mut self.turn.secret, self.turn.secret_file.as_ref())
    }

    /// What single values cannot say.
    fn check(&self) -> Result<(), Error> {
        let longest = Duration::from_mins(5);
        let rules: [(bool, &str, &str); 9] = [
            (
                self.server.listen.is_empty() && self.server.listen_tls.is_empty() && self.server.unix_socket.is_none(),
                "server.listen",
                "expected at least one address, or `server.unix_socket`",
            ),
            (
                !self.server.listen_tls.is_empty() && self.server.tls_certificate.is_none(),
                "server.listen_tls",
                "expected together with `server.tls_certificate`",
            ),
            (
                self.server.tls_certificate.is_some() != self.server.tls_key.is_some(),
                "server.tls_certificate",
                "expected together with `server.tls_key`",
            ),
            (self.time.bucket.0.is_zero() || self.time.bucket.0 > longest, "time.bucket", "expected 1ms to 5m"),
            (
                !self.rooms.versions.contains(&self.rooms.default_version),
                "rooms.default_version",
                "expected one of `rooms.versions`",
            ),
            (!self.rooms.versions.iter().all(is_supported), "rooms.versions", "expected versions \"6\" to \"12\""),
            (
                !self.turn.uris.is_empty() && self.turn.secret.is_none(),
                "turn.secret",
                "expected when `turn.uris` is set",
            ),
            (self.accounts.idle < Lifetime::For(LEAST_IDLE), "accounts.idle", "expected at least 5m, or \"forever\""),
            (self.federation.enabled, "federation.enabled", "expected false: this version does not federate"),
        ];
        let broken = rules.into_iter().find(|(broken, ..)| *broken).map(|(_, key, problem)| (key, problem));
        match broken.or_else(|| self.retention.contradiction(self.accounts.device_inactivity)) {
            Some((key, problem)) => Err(key_error(key, problem)),
            None => Ok(()),
        }
    }
}

/// The least time after which accounts may close: clients that only wait ask every half a minute.
const LEAST_IDLE: Span = Span::seconds(300);

/// Stable versions with state resolution 2 and strict canonical JSON.
fn is_supported(version: &ruma::RoomVersionId) -> bool {
    version.rules().is_some_and(|rules| {
        rules.disposition == RoomVersionDisposition::Stable
            && rules.state_res.v2_rules().is_some()
            && rules.authorization.strict_canonical_json
    })
}

fn read_secret(key: &str, value: &mut Option<Secret>, file: Option<&PathBuf>) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    if value.is_some() {
        return Err(key_error(key, "expected either the value or the file, not both"));
    }
    let text = fs::read_to_string(path).map_err(|_| key_error(&format!("{key}_file"), "expected a readable file"))?;
    let text = SecretText::new(text);
    *value = Some(Secret(SecretText::new(text.expose().trim_end().to_owned())));
    Ok(())
}

/// `LETHE_SERVER__NAME` → `server.name`. Variables without a section mean something else, except the profile.
fn environment_path(key: &str) -> Option<String> {
    let key = key.strip_prefix("LETHE_")?.to_ascii_lowercase();
    if key == "profile" { Some(key) } else { key.split_once("__").map(|(section, key)| format!("{section}.{key}")) }
}

/// A variable is text, except where the default is a number, a truth value, a list or a table.
fn environment_value(path: &str, value: String) -> figment::value::Value {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let is_text = !matches!(
        defaults.find_value(path),
        Ok(figment::value::Value::Bool(..)
            | figment::value::Value::Num(..)
            | figment::value::Value::Array(..)
            | figment::value::Value::Dict(..))
    );
    let parsed = if is_text { None } else { value.parse().ok() };
    parsed.unwrap_or_else(|| figment::value::Value::from(value))
}

fn key_error(key: &str, problem: &str) -> Error {
    Error::Key { key: key.to_owned(), problem: problem.to_owned() }
}

fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let end = error.span().map_or(0, |span| span.start);
    Error::Syntax(text.bytes().take(end).filter(|byte| *byte == b'\n').count() + 1)
}

/// Figment's errors quote the value found; only the path and what was expected are taken over.
fn describe(error: &figment::Error) -> Error {
    // What stands deeper is no key of the configuration but something an administrator named: a room.
    let path = &error.path[..error.path.len().min(2)];
    let mut key = path.join(".");
    let problem = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            format!("expected {expected}")
        }
        Kind::UnknownVariant(_, expected) => format!("expected one of {}", list(expected)),
        Kind::UnknownField(field, expected) => {
            if error.path.last() != Some(field) {
                let separator = if key.is_empty() { "" } else { "." };
                let _ = write!(key, "{separator}{field}");
            }
            format!("no such key; expected one of {}", list(expected))
        }
        Kind::MissingField(_) => "expected a value".to_owned(),
        Kind::Message(text) if text.starts_with("expected ") => text.clone(),
        _ => documented(&error.path),
    };
    Error::Key { key, problem }
}

/// What the example file says about the key at `path`, for want of better words.
fn documented(path: &[String]) -> String {
    let found = SECTIONS.iter().find(|(name, _)| path.first().is_some_and(|first| first == name));
    let found =
        found.and_then(|(_, section)| section.keys.iter().find(|key| path.get(1).is_some_and(|name| name == key.key)));
    match found {
        Some(key) => format!("expected another value.{}", key.lines.concat()),
        None => "expected another value; see `lethe config example`".to_owned(),
    }
}

fn list(expected: &[&str]) -> String {
    let quoted: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Lifetime;

    fn load(text: &str) -> Result<Config, Error> {
        Config::from_parts(text, [])
    }

    fn problem(text: &str) -> String {
        load(text).err().expect("refused").to_string()
    }

    #[test]
    fn nothing_is_the_default() {
        assert!(load("").expect("valid") == Config::default());
    }

    #[test]
    fn the_profile_changes_defaults_and_keys_win() {
        let strict = load("profile = \"strict\"").expect("valid");
        assert!(strict.retention.default == Lifetime::days(7) && strict.accounts.idle == Lifetime::hours(1));
        assert!(load("").expect("valid").accounts.idle == Lifetime::Forever);
        assert!(load("accounts.idle = \"4m\"").is_err() && load("accounts.idle = \"5m\"").is_ok());
        let mixed = load("profile = \"strict\"\n[retention]\ndefault = \"30d\"\nto_device = \"30d\"").expect("valid");
        assert!(mixed.retention.default == Lifetime::days(30));
        assert!(mixed.retention.media == Lifetime::days(7));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = [
            ("LETHE_SERVER__NAME", "env.example"),
            ("LETHE_ACCOUNTS__ARGON2_PASSES", "5"),
            ("LETHE_REGISTRATION__SHARED_SECRET", "0012"),
            ("LETHE_ROOMS__DEFAULT_VERSION", "11"),
            ("LETHE_CACHE", "ignored"),
            ("HOME", "ignored"),
            ("LETHE_RETENTION__MAX", "forever"),
            ("LETHE_RETENTION__ROOMS", "{\"#news:localhost\" = \"7d\"}"),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = Config::from_parts("[server]\nname = \"file.example\"", environment).expect("valid");
        assert_eq!(config.server.name, "env.example");
        assert_eq!(config.accounts.argon2_passes, 5);
        assert_eq!(config.rooms.default_version, ruma::RoomVersionId::V11);
        assert!(config.retention.max == Lifetime::Forever);
        assert!(config.retention.rooms.values().eq(&[Lifetime::days(7)]));
        assert_eq!(config.registration.shared_secret.expect("set").0.expose(), "0012");
    }

    #[test]
    fn problems_name_the_key_and_never_the_value() {
        let cases = [
            ("[server]\nname = \"spaces in s3cret\"", "server.name`: expected another value. The name after the colon"),
            ("[server]\nnam = \"s3cret\"", "server.nam`"),
            ("sever = \"s3cret\"", "sever"),
            ("[retention]\ndefault = \"s3cret\"", "retention.default"),
            ("[retention.rooms]\n\"#s3cret:localhost\" = \"long\"", "retention.rooms`"),
            ("[retention.rooms]\n\"#s3cret:localhost\" = \"forever\"", "retention.rooms`"),
            ("[retention.rooms]\n\"s3cret\" = \"1d\"", "retention.rooms`"),
            ("[registration]\nmode = \"s3cret\"", "registration.mode"),
            ("[registration]\nshared_secret = [\"s3cret\"]", "registration.shared_secret"),
            ("[accounts]\nargon2_passes = \"s3cret\"", "accounts.argon2_passes"),
            ("[storage]\ndurability = \"s3cret\"", "storage.durability"),
            ("[server]\nlisten = [\"s3cret\"]", "server.listen"),
            ("profile = \"s3cret\"", "profile"),
        ];
        for (text, key) in cases {
            let problem = problem(text);
            assert!(problem.contains(&format!("`{key}")), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
            assert!(problem.contains("expected"), "{problem}");
        }
        assert_eq!(problem("[server]\nname = s3cret"), "the configuration file is not valid TOML at line 2");
    }

    #[test]
    fn values_must_fit_together() {
        for (text, key) in [
            ("[retention]\nmin = \"40d\"", "retention.default"),
            ("[retention]\nto_device = \"1d\"", "retention.to_device"),
            ("[rooms]\nversions = [\"5\"]\ndefault_version = \"5\"", "rooms.versions"),
            ("[rooms]\nversions = [\"org.example.13\", \"12\"]", "rooms.versions"),
            ("[server]\nlisten = []", "server.listen"),
            ("[server]\nlisten_tls = [\"127.0.0.1:1\"]", "server.listen_tls"),
            ("[time]\nbucket = \"6m\"", "time.bucket"),
            ("[turn]\nuris = [\"turn:a\"]", "turn.secret"),
            ("[federation]\nenabled = true", "federation.enabled"),
        ] {
            assert!(problem(text).contains(key), "{}", problem(text));
        }
    }
}

//! `lethe audit`: what whoever takes a stopped server's files learns from them. That is all there is to learn: what is not
//! printed here and can be read from the files is a bug.
//!
//! Reads the formats that `doc/storage.md` describes, opens no owner, and changes nothing.

mod shown;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    config::Config,
    engine::signing_key,
    media::MediaId,
    seal::{
        derive::{Usage, address},
        slots::{self, FileMedium, Frozen, SlotKind},
    },
    store::{self, Address, Class, Instance, Partition, SIZES, Survey},
};

/// Why there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The directory is not there, or is none.
    #[error("there is no data directory")]
    NoData,
    /// The data cannot be read.
    #[error("the data cannot be read")]
    Data,
    /// The keys cannot be read.
    #[error("the keys cannot be read")]
    Keys,
    /// A server uses the keys.
    #[error("the server runs: stop it first")]
    Running,
    /// A name was asked for, and only keys tell.
    #[error("names can only be looked for with --keys: without, nothing tells")]
    NamesNeedKeys,
}

impl From<store::Error> for Error {
    fn from(_: store::Error) -> Self {
        Self::Data
    }
}

impl From<io::Error> for Error {
    fn from(_: io::Error) -> Self {
        Self::Data
    }
}

impl From<slots::Error> for Error {
    fn from(error: slots::Error) -> Self {
        if error == slots::Error::InUse { Self::Running } else { Self::Keys }
    }
}

/// Everything that is learnt.
#[derive(Serialize)]
pub struct Seen {
    /// What the keys tell; absent without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Names that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Known>,
    /// Rows by partition.
    pub rows: Vec<Rows>,
    /// Media by partition.
    pub media: Vec<Segments>,
    /// Names that the administrator wrote into the configuration; absent when there is none to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Vec<(&'static str, String)>>,
}

/// What the keys tell.
#[derive(Serialize)]
pub struct Keys {
    /// Accounts.
    pub accounts: usize,
    /// Token rows.
    pub devices: usize,
    /// Rooms.
    pub rooms: usize,
    /// Rooms that other servers are in: this version has none.
    pub federated_rooms: usize,
    /// Whether the key is there that the server signs with.
    pub signing_key: bool,
    /// How often the server was restored from a backup.
    pub restored: u32,
    /// The day of the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_on: Option<String>,
}

/// Whether a name exists here.
#[derive(Serialize)]
pub struct Known {
    /// The name.
    pub name: String,
    /// Whether it exists; absent where nothing on the disk is named after such a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// The rows of one partition of one of the three databases.
#[derive(Serialize)]
pub struct Rows {
    /// The database.
    pub database: &'static str,
    /// The lifetime of its rows.
    pub class: &'static str,
    /// The number of its epoch.
    pub serial: u32,
    /// When nothing was or is filed there any more; only keys tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Rows of 1, 2, 4, 8, 16, 32 and 64 KiB.
    pub sizes: [u64; SIZES],
    /// Rows of another size, which Lethe does not write.
    #[serde(skip_serializing_if = "is_none")]
    pub others: u64,
    /// Those written since the last merge: their order shows.
    pub ordered: u64,
}

/// The segments of media of one partition.
#[derive(Serialize)]
pub struct Segments {
    /// The lifetime of its blobs.
    pub class: &'static str,
    /// The number of its epoch.
    pub serial: u32,
    /// Segments.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Looks at the data of a stopped server, with its keys and its configuration where they are given.
///
/// # Errors
/// [`Error::Running`] while a server uses the keys.
pub fn look(data: &Path, keys: Option<&Path>, known: &[String], config: Option<&Config>) -> Result<Seen, Error> {
    if !data.is_dir() {
        return Err(Error::NoData);
    }
    let table = keys.map(|keys| Ok::<_, Error>(Frozen::peek(&FileMedium::read_only(keys)?)?)).transpose()?;
    let survey = Survey::open(data)?;
    let known = match (&table, known) {
        (_, []) => Vec::new(),
        (None, _) => return Err(Error::NamesNeedKeys),
        (Some(table), names) => names.iter().map(|name| find(&survey, table, name)).collect::<Result<_, _>>()?,
    };
    let ends: BTreeMap<Partition, String> =
        table.iter().flat_map(Frozen::epochs).map(|(p, end)| (p, shown::time(end))).collect();
    let rows = survey.tally()?.into_iter().map(|tally| Rows {
        database: tally.instance.name(),
        class: class(tally.partition.class),
        serial: tally.partition.serial,
        end: ends.get(&tally.partition).cloned(),
        sizes: tally.rows,
        others: tally.others,
        ordered: tally.unmerged,
    });
    let rows = rows.collect();
    let keys = table.map(|table| counts(&survey, &table)).transpose()?;
    Ok(Seen { keys, known, rows, media: media(&data.join("media"))?, configuration: config.map(names) })
}

fn counts(survey: &Survey, table: &Frozen) -> Result<Keys, Error> {
    let signing = address(&table.server_key(), Usage::RecordAddress, signing_key::NAME);
    let life = table.incarnation();
    Ok(Keys {
        accounts: table.count(SlotKind::Account),
        devices: table.count(SlotKind::Token),
        rooms: table.count(SlotKind::Room),
        federated_rooms: 0,
        signing_key: survey.has(Instance::Records, Partition::FOREVER, &signing)?,
        restored: life.number,
        restored_on: (life.number > 0).then(|| shown::day(life.since)),
    })
}

/// Looks for a name as whoever guesses it would.
fn find(survey: &Survey, table: &Frozen, name: &str) -> Result<Known, Error> {
    let server = table.server_key();
    let exists = if let Some(uri) = name.strip_prefix("mxc://") {
        let id = uri.rsplit('/').next().and_then(MediaId::parse);
        let place = id.map(|id| address(&server, Usage::MediaAddress, id.bytes()));
        Some(place.is_some_and(|place| in_any(survey, table, &place)))
    } else if name.starts_with(['!', '#', '$']) {
        None
    } else {
        let local = name.strip_prefix('@').unwrap_or(name).split(':').next().unwrap_or_default().to_ascii_lowercase();
        let place = address(&server, Usage::LoginAddress, local.as_bytes());
        Some(survey.has(Instance::Records, Partition::FOREVER, &place)?)
    };
    Ok(Known { name: name.to_owned(), exists })
}

fn in_any(survey: &Survey, table: &Frozen, place: &Address) -> bool {
    let partitions = table.epochs().into_iter().map(|(partition, _)| partition).chain([Partition::FOREVER]);
    partitions.into_iter().any(|partition| survey.has(Instance::Soup, partition, place).unwrap_or(false))
}

fn media(directory: &Path) -> Result<Vec<Segments>, Error> {
    let mut seen = Vec::new();
    for path in entries(directory)? {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
        let parsed =
            name.and_then(|(code, serial)| Some((Class::from_code(code.parse().ok()?)?, serial.parse().ok()?)));
        let Some((found, serial)) = parsed else { continue };
        let mut segments = Segments { class: class(found), serial, files: 0, bytes: 0 };
        for segment in entries(&path)? {
            segments.files += 1;
            segments.bytes += fs::metadata(segment)?.len();
        }
        seen.push(segments);
    }
    Ok(seen)
}

/// What lies in a directory, in order; nothing when it is not there.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
    };
    found.sort_unstable();
    Ok(found)
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Hour => "1 hour",
        Class::Day => "1 day",
        Class::Week => "7 days",
        Class::Month => "30 days",
        Class::Quarter => "90 days",
        Class::Year => "1 year",
        Class::Forever => "forever",
    }
}

/// Names in the configuration that say something about people or places.
fn names(config: &Config) -> Vec<(&'static str, String)> {
    let text = |key, value: &Option<String>| value.clone().map(|value| (key, value));
    let found = [
        Some(("server.name", config.server.name.to_string())),
        text("server.base_url", &config.server.base_url),
        text("well_known.client", &config.well_known.client),
        text("well_known.server", &config.well_known.server),
        text("well_known.support_page", &config.well_known.support_page),
        text("well_known.support_email", &config.well_known.support_email),
        text("server_notices.localpart", &config.server_notices.localpart),
    ];
    found.into_iter().flatten().collect()
}

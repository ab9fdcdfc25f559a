//! Pseudonyms: stored events name members by random ids that mean nothing outside their room.
//!
//! Owns the map between member ids and MXIDs, and the codec that replaces every MXID of a room in an event's text. Nothing
//! else turns a member id into an MXID. It never decides who is a member and never stores anything.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use equivalent::Comparable;
use imbl::OrdMap;
use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::random::Random;

mod conceal;
mod reveal;
mod scan;
mod structure;
#[cfg(test)]
mod tests;

pub use conceal::{Concealed, conceal};
pub use reveal::reveal;

/// The most MXIDs one event can add to a roster: a full member list in `m.room.power_levels` fits, a flood of mentions does
/// not. What is beyond it stays in the text as it is.
pub const MAX_ENROLLED: usize = 512;

/// The most MXIDs of a roster, members aside: whoever is only named, and would be the next, stays in the text as he is. Who
/// sends an event, or is the member it is about, is always enrolled; accounts are bounded otherwise.
pub const MAX_ROSTER: usize = 20_000;

/// Why a stored text cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text holds a broken member token.
    #[error("broken member token")]
    Corrupt,
}

/// One member of one room; the same person has unrelated ids in two rooms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub [u8; 16]);

/// The length of a [`MemberId`] in text, unpadded base64url.
const ID_CHARS: usize = 22;

impl MemberId {
    /// A new member id.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        Self(random.bytes())
    }

    /// Reads the form that `Display` writes: 22 characters of unpadded base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_CHARS {
            return None;
        }
        let mut bytes = [0; 16];
        // A buffer longer than the result needs is what the decoder asks for; the length is known to fit.
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (decoded == bytes.len()).then_some(Self(bytes))
    }

    fn push_to(self, out: &mut String) {
        URL_SAFE_NO_PAD.encode_string(self.0, out);
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a member id"))
    }
}

/// A room's map between member ids and MXIDs.
///
/// A clone is cheap and shares everything.
///
/// It serialises as the map alone, `{"<member id>": "<MXID>"}`; [`Roster::load`] reads it back.
#[derive(Clone)]
pub struct Roster {
    server: OwnedServerName,
    by_id: OrdMap<MemberId, OwnedUserId>,
    by_name: OrdMap<OwnedUserId, MemberId>,
}

/// A name to look up, which need not be an MXID.
struct Name<'a>(&'a str);

impl equivalent::Equivalent<OwnedUserId> for Name<'_> {
    fn equivalent(&self, key: &OwnedUserId) -> bool {
        self.0 == key.as_str()
    }
}

impl Comparable<OwnedUserId> for Name<'_> {
    fn compare(&self, key: &OwnedUserId) -> std::cmp::Ordering {
        self.0.cmp(key.as_str())
    }
}

impl Roster {
    /// An empty roster. `server` is this server's name: erased members are shown as users of it.
    #[must_use]
    pub fn new(server: OwnedServerName) -> Self {
        Self { server, by_id: OrdMap::new(), by_name: OrdMap::new() }
    }

    /// A roster of these entries.
    pub fn load(server: OwnedServerName, entries: impl IntoIterator<Item = (MemberId, OwnedUserId)>) -> Self {
        let mut roster = Self::new(server);
        for (id, name) in entries {
            roster.insert(id, name);
        }
        roster
    }

    /// Adds a member; an MXID keeps the id it already has, and an id its MXID: the entry is refused then.
    pub fn insert(&mut self, id: MemberId, name: OwnedUserId) -> bool {
        if self.by_id.contains_key(&id) || self.by_name.contains_key(&name) {
            return false;
        }
        self.by_name.insert(name.clone(), id);
        self.by_id.insert(id, name);
        true
    }

    /// Forgets a member: from now on nothing tells who the id was.
    pub fn remove(&mut self, id: MemberId) -> Option<OwnedUserId> {
        let name = self.by_id.remove(&id)?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// The member id of an MXID.
    #[must_use]
    pub fn id(&self, name: &UserId) -> Option<MemberId> {
        self.id_of(name.as_str())
    }

    fn id_of(&self, name: &str) -> Option<MemberId> {
        self.by_name.get(&Name(name)).copied()
    }

    /// The MXID of a member id.
    #[must_use]
    pub fn name(&self, id: MemberId) -> Option<&UserId> {
        self.by_id.get(&id).map(|name| &**name)
    }

    /// The roster's own copy of an MXID, to be shared.
    #[must_use]
    pub fn shared(&self, name: &UserId) -> Option<&OwnedUserId> {
        self.by_id.get(&self.id(name)?)
    }

    /// What a member is called: his MXID, or the placeholder of an erased one.
    #[must_use]
    pub fn shown(&self, id: MemberId) -> OwnedUserId {
        self.name(id).map_or_else(|| erased(id, &self.server), ToOwned::to_owned)
    }

    /// Every entry, by member id.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, &UserId)> {
        self.by_id.iter().map(|(id, name)| (*id, &**name))
    }

    /// How many members it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl Serialize for Roster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.by_id)
    }
}

/// What an erased member is shown as: `@erased-<16 hex>:<server>`.
#[must_use]
pub fn erased(id: MemberId, server: &ruma::ServerName) -> OwnedUserId {
    let half = u64::from_be_bytes(id.0.first_chunk().copied().expect("an id has sixteen bytes"));
    UserId::parse(format!("@erased-{half:016x}:{server}")).expect("hexadecimal digits make a localpart")
}

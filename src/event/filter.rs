//! Which events a client asks for (spec: client-server API, filtering), read once and bounded, because every event of
//! an answer is held against it.

use std::collections::BTreeSet;

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::filter::{Filter, RoomEventFilter, UrlFilter},
};

use super::MAX_FIELD_BYTES;

/// Patterns of types that one filter may have: real filters have a dozen.
const MOST_PATTERNS: usize = 200;
/// Rooms and senders that one filter may list; they are looked up, not searched.
const MOST_NAMES: usize = 10_000;
/// Events of one room when the filter names no number.
const USUAL_LIMIT: usize = 10;
/// Events of one room at most.
const MOST_EVENTS: usize = 100;

/// The filter is larger than one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// A filter of events, ready for use.
#[derive(Default)]
pub struct EventFilter {
    /// Events at most.
    pub limit: usize,
    rooms: Rooms,
    types: Option<Vec<String>>,
    not_types: Vec<String>,
    senders: Option<BTreeSet<OwnedUserId>>,
    not_senders: BTreeSet<OwnedUserId>,
    url: Option<UrlFilter>,
}

/// Which rooms are asked for.
#[derive(Default)]
pub struct Rooms {
    only: Option<BTreeSet<OwnedRoomId>>,
    not: BTreeSet<OwnedRoomId>,
}

impl EventFilter {
    /// A filter of the events of rooms.
    pub fn of_room(filter: RoomEventFilter) -> Result<Self, TooLarge> {
        let limit = filter.limit.map_or(USUAL_LIMIT, |limit| usize::try_from(limit).unwrap_or(MOST_EVENTS));
        Ok(Self {
            limit: limit.min(MOST_EVENTS),
            rooms: Rooms::new(filter.rooms, filter.not_rooms)?,
            url: filter.url_filter,
            ..Self::new(filter.types, filter.not_types, filter.senders, filter.not_senders)?
        })
    }

    /// A filter of what belongs to no room.
    pub fn of_account(filter: Filter) -> Result<Self, TooLarge> {
        Self::new(filter.types, filter.not_types, filter.senders, filter.not_senders)
    }

    fn new(
        types: Option<Vec<String>>,
        not_types: Vec<String>,
        senders: Option<Vec<OwnedUserId>>,
        not_senders: Vec<OwnedUserId>,
    ) -> Result<Self, TooLarge> {
        let patterns = types.as_ref().map_or(0, Vec::len) + not_types.len();
        let names = senders.as_ref().map_or(0, Vec::len) + not_senders.len();
        if patterns > MOST_PATTERNS || names > MOST_NAMES {
            return Err(TooLarge);
        }
        // What is longer than any type matches none; only stars could make it shorter.
        let tidy = |patterns: Vec<String>| -> Vec<String> {
            let tidied = patterns.into_iter().map(|pattern| without_repeated_stars(&pattern));
            tidied.filter(|pattern| pattern.len() <= 2 * MAX_FIELD_BYTES + 1).collect()
        };
        Ok(Self {
            types: types.map(tidy),
            not_types: tidy(not_types),
            senders: senders.map(|senders| senders.into_iter().collect()),
            not_senders: not_senders.into_iter().collect(),
            ..Self::default()
        })
    }

    /// Whether anything of a room is asked for.
    #[must_use]
    pub fn wants(&self, room: &RoomId) -> bool {
        self.rooms.allow(room)
    }

    /// Whether what has this type is asked for.
    #[must_use]
    pub fn wants_type(&self, kind: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, kind));
        !listed(&self.not_types) && self.types.as_deref().is_none_or(listed)
    }

    fn wants_sender(&self, sender: &UserId) -> bool {
        !self.not_senders.contains(sender) && self.senders.as_ref().is_none_or(|senders| senders.contains(sender))
    }

    /// Whether an event is asked for, its room aside; `url` tells whether its content has one.
    #[must_use]
    pub fn wants_event(&self, kind: &str, sender: &UserId, url: impl Fn() -> bool) -> bool {
        self.wants_type(kind)
            && self.wants_sender(sender)
            && match self.url {
                None => true,
                Some(UrlFilter::EventsWithUrl) => url(),
                Some(UrlFilter::EventsWithoutUrl) => !url(),
            }
    }
}

impl Rooms {
    /// All rooms, or those of `only`, without those of `not`.
    pub fn new(only: Option<Vec<OwnedRoomId>>, not: Vec<OwnedRoomId>) -> Result<Self, TooLarge> {
        if only.as_ref().map_or(0, Vec::len) + not.len() > MOST_NAMES {
            return Err(TooLarge);
        }
        Ok(Self { only: only.map(|rooms| rooms.into_iter().collect()), not: not.into_iter().collect() })
    }

    /// Whether a room is asked for.
    #[must_use]
    pub fn allow(&self, room: &RoomId) -> bool {
        !self.not.contains(room) && self.only.as_ref().is_none_or(|rooms| rooms.contains(room))
    }
}

/// The same pattern with one star where several stand together.
fn without_repeated_stars(pattern: &str) -> String {
    let mut last = ' ';
    let fresh = |c: &char| std::mem::replace(&mut last, *c) != '*' || *c != '*';
    pattern.chars().filter(fresh).collect()
}

/// Whether `text` matches a pattern in which `*` stands for anything. Each part is searched for once, from where the one
/// before it ended: no pattern makes that exponential.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.split_at(at + part.len()).1,
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filter(value: serde_json::Value) -> Result<EventFilter, TooLarge> {
        EventFilter::of_room(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, matches) in [
            ("m.room.*", "m.room.member", true),
            ("m.room.*", "m.roomy", false),
            ("*", "", true),
            ("*.message", "m.room.message", true),
            ("m.*.*r", "m.room.member", true),
            ("m.room.member", "m.room.member", true),
            ("m.room.member", "m.room.members", false),
            ("m.*.name", "m.room.topic", false),
            ("m*room*name", "m.room.name", true),
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_filter_is_bounded() {
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert!(filter(json!({"types": many(MOST_PATTERNS)})).is_ok());
        assert!(filter(json!({"types": many(MOST_PATTERNS / 2), "not_types": many(MOST_PATTERNS / 2 + 1)})).is_err());
        let senders: Vec<String> = (0..=MOST_NAMES).map(|n| format!("@{n}:b")).collect();
        assert!(filter(json!({"not_senders": senders})).is_err());
        let filter = filter(json!({"limit": 5000, "not_types": ["m.*", "x".repeat(9000), "*".repeat(9000) + ".z"]}));
        let filter = filter.unwrap();
        assert_eq!((filter.limit, filter.not_types.len()), (MOST_EVENTS, 2));
        assert!(!filter.wants_type("m.room.name") && !filter.wants_type("y.z") && filter.wants_type("org.x"));
    }

    /// The same by trying every way.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            ([one, rest @ ..], [first, after @ ..]) => one == first && slow(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_is_the_right_way(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(glob(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
            prop_assert_eq!(glob(&without_repeated_stars(&pattern), &text), glob(&pattern, &text));
        }
    }
}

//! Filters: which rooms and events a client asked for (spec: client-server API, filtering).

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::filter::{
        EventFormat, Filter as Plain, FilterDefinition, LazyLoadOptions, RoomEventFilter, UrlFilter,
    },
};
use serde_json::{Value, value::RawValue};

use super::Error;
use crate::event::Event;

/// Entries that the lists of one filter may have together: real filters have a dozen, and every event is held against them.
const MOST_TERMS: usize = 1000;
/// Events of one room's timeline when the filter names no number.
const USUAL_LIMIT: usize = 10;
/// Events of one room's timeline at most.
const MOST_EVENTS: usize = 100;

/// A filter ready for use.
pub struct Filter {
    rooms: Rooms,
    /// Whether rooms that were left are part of a first answer.
    pub include_leave: bool,
    /// The timeline of each room.
    pub timeline: EventFilter,
    /// The state of each room.
    pub state: EventFilter,
    /// Receipts and typing.
    pub ephemeral: EventFilter,
    /// Account data of rooms.
    pub room_data: EventFilter,
    /// Global account data.
    pub account_data: EventFilter,
    lazy: LazyLoadOptions,
    /// Whether threads are counted on their own.
    pub threads: bool,
    /// How events are written.
    pub format: Format,
}

/// How events are written.
#[derive(Default)]
pub struct Format {
    federation: bool,
    fields: Option<Vec<Vec<String>>>,
}

/// One part of a filter.
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

#[derive(Default)]
struct Rooms {
    only: Option<BTreeSet<OwnedRoomId>>,
    not: BTreeSet<OwnedRoomId>,
}

impl Filter {
    /// Makes a filter ready for use.
    pub fn new(definition: FilterDefinition) -> Result<Self, Error> {
        if terms(&definition) > MOST_TERMS {
            return Err(Error::Filter);
        }
        let room = definition.room;
        let lazy = [room.state.lazy_load_options, room.timeline.lazy_load_options];
        let lazy = lazy.into_iter().find(|option| !option.is_disabled()).unwrap_or_default();
        let fields = definition.event_fields.map(|fields| fields.iter().map(|field| path(field)).collect());
        Ok(Self {
            rooms: Rooms::new(room.rooms, room.not_rooms),
            include_leave: room.include_leave,
            lazy,
            threads: room.timeline.unread_thread_notifications,
            timeline: EventFilter::of_room(room.timeline),
            state: EventFilter::of_room(room.state),
            ephemeral: EventFilter::of_room(room.ephemeral),
            room_data: EventFilter::of_room(room.account_data),
            account_data: EventFilter::of_account(definition.account_data),
            format: Format { federation: definition.event_format == EventFormat::Federation, fields },
        })
    }

    /// Reads a filter as it lies in a vault.
    pub fn stored(value: &Value) -> Result<Self, Error> {
        let definition = <FilterDefinition as serde::Deserialize>::deserialize(value).map_err(|_| Error::Filter)?;
        Self::new(definition)
    }

    /// Whether members are sent only once somebody speaks.
    #[must_use]
    pub fn lazy(&self) -> bool {
        !self.lazy.is_disabled()
    }

    /// Whether members who were sent are sent again each time they speak.
    #[must_use]
    pub fn redundant(&self) -> bool {
        self.lazy == LazyLoadOptions::Enabled { include_redundant_members: true }
    }

    /// Whether a room is asked for at all.
    #[must_use]
    pub fn wants(&self, room: &RoomId) -> bool {
        self.rooms.allow(room)
    }
}

impl EventFilter {
    fn of_room(filter: RoomEventFilter) -> Self {
        let limit = filter.limit.map_or(USUAL_LIMIT, |limit| usize::try_from(limit).unwrap_or(MOST_EVENTS));
        Self {
            limit: limit.min(MOST_EVENTS),
            rooms: Rooms::new(filter.rooms, filter.not_rooms),
            types: filter.types,
            not_types: filter.not_types,
            senders: filter.senders.map(|senders| senders.into_iter().collect()),
            not_senders: filter.not_senders.into_iter().collect(),
            url: filter.url_filter,
        }
    }

    fn of_account(filter: Plain) -> Self {
        Self {
            types: filter.types,
            not_types: filter.not_types,
            senders: filter.senders.map(|senders| senders.into_iter().collect()),
            not_senders: filter.not_senders.into_iter().collect(),
            ..Self::default()
        }
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

    /// Whether an event is asked for; `url` tells whether its content has one.
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
    fn new(only: Option<Vec<OwnedRoomId>>, not: Vec<OwnedRoomId>) -> Self {
        Self { only: only.map(|rooms| rooms.into_iter().collect()), not: not.into_iter().collect() }
    }

    fn allow(&self, room: &RoomId) -> bool {
        !self.not.contains(room) && self.only.as_ref().is_none_or(|rooms| rooms.contains(room))
    }
}

impl Format {
    /// The event in the form asked for, `shown` being its usual one.
    #[must_use]
    pub fn write(&self, event: impl FnOnce() -> Option<Arc<Event>>, shown: Box<RawValue>) -> Box<RawValue> {
        if self.federation {
            let whole = event().and_then(|event| RawValue::from_string(event.json().to_owned()).ok());
            return whole.unwrap_or(shown);
        }
        let Some(fields) = &self.fields else { return shown };
        let Ok(whole) = serde_json::from_str::<Value>(shown.get()) else { return shown };
        let mut picked = Value::Object(serde_json::Map::new());
        for path in fields {
            copy(&whole, &mut picked, path);
        }
        serde_json::value::to_raw_value(&picked).unwrap_or(shown)
    }
}

/// Copies what lies at `path`, with the objects around it.
fn copy(from: &Value, to: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let (Some(value), Some(to)) = (from.get(first), to.as_object_mut()) else { return };
    if rest.is_empty() {
        to.insert(first.clone(), value.clone());
    } else if value.is_object() {
        copy(value, to.entry(first.clone()).or_insert_with(|| Value::Object(serde_json::Map::new())), rest);
    }
}

/// The keys of a dotted path; a backslash takes the meaning from a dot or backslash.
fn path(text: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let key = keys.last_mut().expect("there is always one");
        match character {
            '\\' => key.extend(characters.next()),
            '.' => keys.push(String::new()),
            other => key.push(other),
        }
    }
    keys
}

/// Whether `text` matches a pattern in which `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
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

fn terms(definition: &FilterDefinition) -> usize {
    let some = |list: Option<usize>| list.unwrap_or(0);
    let of_room = |filter: &RoomEventFilter| {
        filter.not_types.len()
            + filter.not_rooms.len()
            + filter.not_senders.len()
            + some(filter.types.as_ref().map(Vec::len))
            + some(filter.rooms.as_ref().map(Vec::len))
            + some(filter.senders.as_ref().map(Vec::len))
    };
    let room = &definition.room;
    let data = &definition.account_data;
    [&room.account_data, &room.timeline, &room.ephemeral, &room.state].into_iter().map(of_room).sum::<usize>()
        + room.not_rooms.len()
        + some(room.rooms.as_ref().map(Vec::len))
        + data.not_types.len()
        + some(data.types.as_ref().map(Vec::len))
        + some(definition.event_fields.as_ref().map(Vec::len))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn fields_are_picked_with_what_is_around_them() {
        let format =
            Format { federation: false, fields: Some(vec![path("content.body"), path("type"), path("a\\.b")]) };
        let whole = json!({"type": "t", "content": {"body": "b", "x": 1}, "a.b": 2, "sender": "s"});
        let mut picked = json!({});
        for path in format.fields.iter().flatten() {
            copy(&whole, &mut picked, path);
        }
        assert_eq!(picked, json!({"type": "t", "content": {"body": "b"}, "a.b": 2}));
    }

    #[test]
    fn a_filter_has_a_bounded_number_of_terms() {
        let many: Vec<String> = (0..=MOST_TERMS).map(|n| n.to_string()).collect();
        assert!(Filter::stored(&json!({"room": {"timeline": {"types": many}}})).is_err());
        let filter = Filter::stored(&json!({"room": {"timeline": {"limit": 5000, "not_types": ["m.*"]}}})).unwrap();
        assert_eq!(filter.timeline.limit, MOST_EVENTS);
        assert!(!filter.timeline.wants_type("m.room.name") && filter.timeline.wants_type("org.x"));
    }
}

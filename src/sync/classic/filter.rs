//! Filters: which rooms and events a client asked for (spec: client-server API, filtering).

use std::sync::Arc;

use ruma::{
    RoomId,
    api::client::filter::{EventFormat, FilterDefinition, LazyLoadOptions},
};
use serde_json::{Value, value::RawValue};

use super::Error;
use crate::event::{
    Event,
    filter::{EventFilter, Rooms, TooLarge},
};

/// Fields that a filter may pick out of events: each is copied out of every event.
const MOST_FIELDS: usize = 100;
/// The bytes of one field's path.
const LONGEST_FIELD: usize = 1024;

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
    /// Presence.
    pub presence: EventFilter,
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

impl Filter {
    /// Makes a filter ready for use.
    pub fn new(definition: FilterDefinition) -> Result<Self, Error> {
        let room = definition.room;
        let lazy = [room.state.lazy_load_options, room.timeline.lazy_load_options];
        let lazy = lazy.into_iter().find(|option| !option.is_disabled()).unwrap_or_default();
        let fields = definition.event_fields.map(|fields| picked(&fields)).transpose()?;
        Ok(Self {
            rooms: Rooms::new(room.rooms, room.not_rooms)?,
            include_leave: room.include_leave,
            lazy,
            threads: room.timeline.unread_thread_notifications,
            timeline: EventFilter::of_room(room.timeline)?,
            state: EventFilter::of_room(room.state)?,
            ephemeral: EventFilter::of_room(room.ephemeral)?,
            room_data: EventFilter::of_room(room.account_data)?,
            account_data: EventFilter::of_account(definition.account_data)?,
            presence: EventFilter::of_account(definition.presence)?,
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

impl From<TooLarge> for Error {
    fn from(_: TooLarge) -> Self {
        Self::Filter
    }
}

impl Format {
    /// The event in the form asked for, `shown` being its usual one.
    #[must_use]
    pub fn write(&self, event: impl FnOnce() -> Option<Arc<Event>>, shown: Box<RawValue>) -> Box<RawValue> {
        if self.federation {
            let whole = event().and_then(|event| RawValue::from_string(event.json()).ok());
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

/// The paths of fields, none of which lies within another.
fn picked(fields: &[String]) -> Result<Vec<Vec<String>>, Error> {
    if fields.len() > MOST_FIELDS || fields.iter().any(|field| field.len() > LONGEST_FIELD) {
        return Err(Error::Filter);
    }
    let mut paths: Vec<_> = fields.iter().map(|field| path(field)).collect();
    paths.sort_unstable();
    // What lies within a path follows it in order.
    paths.dedup_by(|next, before| next.starts_with(before));
    Ok(paths)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
    fn a_filter_is_bounded() {
        let many: Vec<String> = (0..=1000).map(|n| n.to_string()).collect();
        assert!(Filter::stored(&json!({"room": {"timeline": {"types": many}}})).is_err());
        assert!(Filter::stored(&json!({"account_data": {"not_types": many}})).is_err());
        assert!(Filter::stored(&json!({"event_fields": many})).is_err());
        assert!(Filter::stored(&json!({"event_fields": ["a".repeat(10_000)]})).is_err());
        let fields = Filter::stored(&json!({"event_fields": ["content.a", "content", "content", "type", "content.b"]}));
        let fields = fields.unwrap().format.fields.unwrap();
        assert_eq!(fields, [vec!["content".to_owned()], vec!["type".to_owned()]]);
    }
}

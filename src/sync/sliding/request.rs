//! What a client asks for, read from either form of the body: the one clients send to the unstable path, and the one
//! MSC4186 ended with (`range`, `required_state` as an object, `pos` and `timeout` in the body).
//!
//! What is not known is ignored, never refused: extensions come and go.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Deserializer};

use super::{
    Error,
    required::{Pattern, Rule, distinct},
};

/// The most lists of a request (MSC4186).
const MOST_LISTS: usize = 100;
/// The most rooms subscribed to: a client subscribes to what is on its screen.
const MOST_SUBSCRIPTIONS: usize = 1_000;
/// The most patterns of one `required_state`; Element X has about thirty.
const MOST_PATTERNS: usize = 256;
/// The most ranges of a list.
const MOST_RANGES: usize = 32;
/// The most events of a room's timeline in one answer.
pub(super) const MOST_EVENTS: usize = 100;
/// The longest `conn_id` and name of a list, in bytes; clients use words, and a connection keeps them.
const LONGEST_ID: usize = 64;
/// The longest `txn_id`, in bytes.
const LONGEST_TRANSACTION: usize = 255;
/// The most bytes of all different `required_state` of a request: a connection keeps them.
const MOST_RULE_BYTES: usize = 64 * 1024;
/// The longest word of a pattern, in bytes: no type or state key is longer.
const LONGEST_WORD: usize = 255;
/// The most words of one list's filters, each of which every room is held against.
const MOST_WORDS: usize = 100;
/// The longest word of a filter, in bytes.
const LONGEST_FILTER: usize = 255;
/// The most names in the scope of an extension.
const MOST_NAMES: usize = MOST_SUBSCRIPTIONS;

/// A request.
#[derive(Default)]
pub(super) struct Request {
    /// The connection, among those of the device.
    pub(super) connection: String,
    /// Where the client stands; nothing for a new connection.
    pub(super) pos: Option<String>,
    /// How long to wait, in milliseconds.
    pub(super) timeout: u64,
    /// Echoed.
    pub(super) txn_id: Option<String>,
    /// Lists by name.
    pub(super) lists: BTreeMap<String, List>,
    /// Rooms asked for by id.
    pub(super) subscriptions: BTreeMap<OwnedRoomId, Wanted>,
    /// Extensions.
    pub(super) extensions: Extensions,
    /// Whether the body has the final form of MSC4186, so that the answer has it too.
    pub(super) is_final: bool,
}

/// A list.
#[derive(Default)]
pub(super) struct List {
    /// The places wanted, both ends included; everything when there are none.
    pub(super) ranges: Option<Vec<(u64, u64)>>,
    /// What is wanted of each room.
    pub(super) wanted: Wanted,
    /// Which rooms are in it.
    pub(super) filters: Filters,
}

/// What is wanted of a room.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The most timeline events.
    pub(super) limit: usize,
    /// State: whatever one of these asks for. Shared, because every room that is told of keeps them.
    pub(super) rules: Vec<Arc<Rule>>,
}

impl Wanted {
    /// Widens to what `other` wants too.
    pub(super) fn join(&mut self, other: &Self) {
        self.limit = self.limit.max(other.limit);
        let new = other.rules.iter().filter(|rule| !self.rules.contains(rule));
        let new: Vec<_> = new.cloned().collect();
        self.rules.extend(new);
    }
}

/// Which rooms are in a list; what is absent does not matter.
#[derive(Deserialize, Default)]
pub(super) struct Filters {
    /// Direct chats.
    pub(super) is_dm: Option<bool>,
    /// Encrypted rooms.
    pub(super) is_encrypted: Option<bool>,
    /// Invitations.
    #[serde(alias = "is_invited")]
    pub(super) is_invite: Option<bool>,
    /// Rooms of these types.
    pub(super) room_types: Option<Vec<Option<String>>>,
    /// No rooms of these types.
    pub(super) not_room_types: Option<Vec<Option<String>>>,
    /// Rooms with this in their name.
    pub(super) room_name_like: Option<String>,
    /// Rooms with one of these tags.
    pub(super) tags: Option<Vec<String>>,
    /// Rooms with none of these tags.
    pub(super) not_tags: Option<Vec<String>>,
    /// Rooms of these spaces.
    pub(super) spaces: Option<Vec<String>>,
}

impl Filters {
    /// Whether there is no more of them than one may ask for.
    fn is_bounded(&self) -> bool {
        let kinds = [&self.room_types, &self.not_room_types].into_iter().flatten().flatten();
        let words = [&self.tags, &self.not_tags, &self.spaces].into_iter().flatten().flatten();
        let words = kinds.map(Option::as_deref).chain(words.map(|word| Some(word.as_str())));
        let (mut count, mut longest) = (0, self.room_name_like.as_ref().map_or(0, String::len));
        for word in words {
            count += 1;
            longest = longest.max(word.map_or(0, str::len));
        }
        count <= MOST_WORDS && longest <= LONGEST_FILTER
    }

    /// Whether a room of which nothing is known could be in the list.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        self.is_invite != Some(true)
            && self.is_dm != Some(true)
            && self.is_encrypted.is_none()
            && self.room_types.is_none()
            && self.room_name_like.is_none()
            && self.tags.is_none()
            && self.spaces.is_none()
    }
}

/// Extensions that are known.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Extensions {
    /// To-device messages (MSC3885).
    pub(super) to_device: ToDevice,
    /// Device lists and key counts (MSC3884).
    pub e2ee: Switch,
    /// Account data (MSC3959).
    pub(super) account_data: Scope,
    /// Receipts (MSC3960).
    pub(super) receipts: Scope,
    /// Typing (MSC3961).
    pub(super) typing: Scope,
    /// Threads that are followed (MSC4308).
    #[serde(rename = "io.element.msc4308.thread_subscriptions")]
    pub(super) threads: Threads,
    /// Profiles (MSC4262).
    #[serde(rename = "org.matrix.msc4262.profiles")]
    pub(super) profiles: ProfileScope,
}

/// The thread subscriptions extension.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Threads {
    /// Whether it is on.
    #[serde(deserialize_with = "or_default")]
    pub(super) enabled: bool,
    /// The most changes.
    pub(super) limit: Option<u64>,
}

/// The profiles extension.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ProfileScope {
    /// For which rooms.
    #[serde(flatten)]
    pub(super) scope: Scope,
    /// Which fields: all when absent.
    pub(super) fields: Option<Vec<String>>,
}

/// The to-device extension.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ToDevice {
    /// Whether it is on.
    #[serde(deserialize_with = "or_default")]
    pub(super) enabled: bool,
    /// The most messages.
    pub(super) limit: Option<u64>,
    /// What the client has already.
    pub(super) since: Option<String>,
}

/// An extension without parameters.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Switch {
    /// Whether it is on.
    #[serde(deserialize_with = "or_default")]
    pub(super) enabled: bool,
}

/// An extension that speaks of rooms.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Scope {
    /// Whether it is on.
    #[serde(deserialize_with = "or_default")]
    pub(super) enabled: bool,
    /// The lists whose rooms it is for: all when absent.
    pub(super) lists: Option<Vec<String>>,
    /// The subscribed rooms it is for: all when absent or `*`.
    pub(super) rooms: Option<Vec<String>>,
}

impl Extensions {
    fn is_bounded(&self) -> bool {
        let scopes = [&self.account_data, &self.receipts, &self.typing, &self.profiles.scope];
        let names = scopes.into_iter().flat_map(|scope| [&scope.lists, &scope.rooms]);
        names.chain([&self.profiles.fields]).flatten().all(|names| names.len() <= MOST_NAMES)
    }
}

impl Scope {
    /// Whether it is for a room that is wanted by these lists, or by a subscription.
    #[must_use]
    pub(super) fn covers(&self, room: &RoomId, lists: &[&str], subscribed: bool) -> bool {
        let any = |name: &String| name == "*";
        let listed = |all: &Vec<String>| all.iter().any(|name| any(name) || lists.contains(&name.as_str()));
        let named = |all: &Vec<String>| all.iter().any(|name| any(name) || name == room.as_str());
        self.enabled
            && (self.lists.as_ref().map_or(!lists.is_empty(), listed)
                || subscribed && self.rooms.as_ref().is_none_or(named)
                || self.rooms.as_ref().is_some_and(|all| all.iter().any(|name| name == room.as_str())))
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    conn_id: Option<String>,
    #[serde(default)]
    txn_id: Option<String>,
    #[serde(default)]
    pos: Option<String>,
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    lists: BTreeMap<String, RawList>,
    #[serde(default, deserialize_with = "or_default")]
    room_subscriptions: BTreeMap<String, RawWanted>,
    #[serde(default, deserialize_with = "or_default")]
    extensions: Extensions,
}

#[derive(Deserialize)]
struct RawList {
    ranges: Option<Vec<(u64, u64)>>,
    range: Option<(u64, u64)>,
    #[serde(flatten)]
    wanted: RawWanted,
    #[serde(default, deserialize_with = "or_default")]
    filters: Filters,
}

#[derive(Deserialize)]
struct RawWanted {
    #[serde(default)]
    timeline_limit: u64,
    #[serde(default)]
    required_state: Required,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Required {
    Pairs(Vec<(String, String)>),
    Object {
        #[serde(default)]
        include: Vec<Element>,
        #[serde(default)]
        exclude: Vec<Element>,
        #[serde(default)]
        lazy_members: bool,
    },
}

impl Default for Required {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    kind: Option<String>,
    state_key: Option<String>,
}

impl Request {
    /// Reads a body and what the query says beside it.
    pub(super) fn read(body: &[u8], pos: Option<String>, timeout: Option<u64>) -> Result<Self, Error> {
        let body: &[u8] = if body.is_empty() { b"{}" } else { body };
        let body: Body = serde_json::from_slice(body).map_err(|_| Error::Malformed)?;
        let connection = body.conn_id.unwrap_or_default();
        let too_much = body.lists.len() > MOST_LISTS
            || body.lists.keys().any(|name| name.len() > LONGEST_ID)
            || body.room_subscriptions.len() > MOST_SUBSCRIPTIONS
            || body.txn_id.as_ref().is_some_and(|id| id.len() > LONGEST_TRANSACTION)
            || connection.len() > LONGEST_ID;
        if too_much || !body.extensions.is_bounded() {
            return Err(Error::TooMuch);
        }
        let mut rules = Rules::default();
        let mut lists = BTreeMap::new();
        for (name, list) in body.lists {
            rules.is_final |= list.range.is_some();
            let ranges = list.ranges.or_else(|| list.range.map(|range| vec![range]));
            if ranges.as_ref().is_some_and(|ranges| ranges.len() > MOST_RANGES) || !list.filters.is_bounded() {
                return Err(Error::TooMuch);
            }
            let wanted = list.wanted.read(&mut rules)?;
            lists.insert(name, List { ranges, wanted, filters: list.filters });
        }
        let mut subscriptions = BTreeMap::new();
        for (room, wanted) in body.room_subscriptions {
            let wanted = wanted.read(&mut rules)?;
            // What is no room id names no room.
            if let Ok(room) = RoomId::parse(room) {
                subscriptions.insert(room, wanted);
            }
        }
        Ok(Self {
            connection,
            pos: pos.or(body.pos),
            timeout: timeout.or(body.timeout).unwrap_or(0),
            txn_id: body.txn_id,
            lists,
            subscriptions,
            extensions: body.extensions,
            is_final: rules.is_final,
        })
    }
}

/// The different rules of a request.
#[derive(Default)]
struct Rules {
    known: Vec<Arc<Rule>>,
    bytes: usize,
    is_final: bool,
}

impl Rules {
    /// The rule, shared with who asks for the same.
    fn share(&mut self, rule: Rule) -> Result<Arc<Rule>, Error> {
        if let Some(known) = self.known.iter().find(|known| ***known == rule) {
            return Ok(Arc::clone(known));
        }
        self.bytes += rule.size();
        if self.bytes > MOST_RULE_BYTES {
            return Err(Error::TooMuch);
        }
        self.known.push(Arc::new(rule));
        self.known.last().cloned().ok_or(Error::TooMuch)
    }
}

impl RawWanted {
    fn read(self, rules: &mut Rules) -> Result<Wanted, Error> {
        let rule = match self.required_state {
            Required::Pairs(pairs) if pairs.len() > MOST_PATTERNS => return Err(Error::TooMuch),
            Required::Pairs(pairs) => Rule::of_pairs(pairs),
            Required::Object { include, exclude, lazy_members } => {
                rules.is_final = true;
                if include.len() + exclude.len() > MOST_PATTERNS {
                    return Err(Error::TooMuch);
                }
                let patterns = |all: Vec<Element>| {
                    distinct(all.into_iter().map(|one| Pattern::new(one.kind, one.state_key)).collect())
                };
                Rule { include: patterns(include), exclude: patterns(exclude), lazy: lazy_members }
            }
        };
        if !rule.is_bounded(LONGEST_WORD) {
            return Err(Error::TooMuch);
        }
        let limit = usize::try_from(self.timeline_limit).unwrap_or(MOST_EVENTS).min(MOST_EVENTS);
        Ok(Wanted { limit, rules: vec![rules.share(rule)?] })
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    fn read(body: &serde_json::Value) -> Result<Request, Error> {
        Request::read(body.to_string().as_bytes(), Some("p".to_owned()), None)
    }

    #[test]
    fn both_forms_are_read_and_the_unknown_is_ignored() {
        let old = read(&json!({
            "conn_id": "room-list", "txn_id": "t",
            "lists": {"all": {"ranges": [[0, 19]], "timeline_limit": 1, "filters": {},
                "required_state": [["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["m.room.name", ""]]}},
            "room_subscriptions": {"!a:b": {"timeline_limit": 20}, "nonsense": {"timeline_limit": 20}},
            "extensions": {"org.matrix.msc4354.sticky_events": {"enabled": true}, "e2ee": {"enabled": true}, "typing": {}},
        }));
        let old = old.unwrap();
        assert!(!old.is_final && old.lists["all"].wanted.rules[0].lazy && old.lists["all"].wanted.limit == 1);
        assert!(old.subscriptions.len() == 1 && old.extensions.e2ee.enabled && !old.extensions.typing.enabled);
        let new = read(&json!({"timeout": 5, "lists": {"all": {"range": [0, 9], "timeline_limit": 9999,
            "required_state": {"include": [{}], "lazy_members": true}, "filters": {"is_invited": true}}}}));
        let new = new.unwrap();
        let list = &new.lists["all"];
        assert!(new.is_final && new.timeout == 5 && list.ranges == Some(vec![(0, 9)]) && list.wanted.rules[0].lazy);
        assert!(list.wanted.limit == MOST_EVENTS && list.filters.is_invite == Some(true));
    }

    #[test]
    fn what_is_unbounded_or_no_request_is_refused() {
        assert!(matches!(read(&json!("x")), Err(Error::Malformed)));
        assert!(matches!(read(&json!({"lists": {"a": {"ranges": "x"}}})), Err(Error::Malformed)));
        assert!(matches!(read(&json!({"conn_id": "x".repeat(65)})), Err(Error::TooMuch)));
        let lists: BTreeMap<_, _> = (0..101).map(|count| (count.to_string(), json!({"ranges": []}))).collect();
        assert!(matches!(read(&json!({"lists": lists})), Err(Error::TooMuch)));
        let long = "x".repeat(256);
        let words: Vec<_> = (0..200).map(|word| (format!("{word:0>255}"), "y".repeat(255))).collect();
        let many: Vec<_> = (0..1001).map(|count| count.to_string()).collect();
        for body in [
            json!({"lists": {&long: {"ranges": []}}}),
            json!({"lists": {"a": {"ranges": vec![(0, 1); 33]}}}),
            json!({"lists": {"a": {"filters": {"room_types": vec!["x"; 101]}}}}),
            json!({"lists": {"a": {"filters": {"tags": ["u.x", long]}}}}),
            json!({"lists": {"a": {"filters": {"room_name_like": long}}}}),
            json!({"lists": {"a": {"required_state": [[long, ""]]}}}),
            json!({"lists": {"a": {"required_state": {"exclude": [{"state_key": long}]}}}}),
            json!({"room_subscriptions": {"!a:b": {"required_state": vec![("a", "b"); 257]}}}),
            json!({"extensions": {"typing": {"rooms": many}}}),
            json!({"txn_id": long}),
            json!({"lists": {"a": {"required_state": words}}}),
        ] {
            assert!(matches!(read(&body), Err(Error::TooMuch)), "{:.80}", body.to_string());
        }
    }

    #[test]
    fn an_extension_is_for_the_rooms_it_names() {
        let room = room_id!("!a:b");
        let on = |lists: Option<Vec<&str>>, rooms: Option<Vec<&str>>| Scope {
            enabled: true,
            lists: lists.map(|all| all.into_iter().map(ToOwned::to_owned).collect()),
            rooms: rooms.map(|all| all.into_iter().map(ToOwned::to_owned).collect()),
        };
        assert!(on(None, None).covers(room, &["x"], false) && on(None, None).covers(room, &[], true));
        assert!(!on(Some(vec![]), Some(vec![])).covers(room, &["x"], true));
        assert!(on(Some(vec!["x"]), None).covers(room, &["x"], false));
        assert!(!on(Some(vec!["y"]), None).covers(room, &["x"], false));
        assert!(on(Some(vec![]), Some(vec!["*"])).covers(room, &[], true));
        assert!(on(Some(vec![]), Some(vec!["!a:b"])).covers(room, &["x"], false));
        assert!(!Scope::default().covers(room, &["x"], true));
    }
}

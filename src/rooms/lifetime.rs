//! How long a room's messages live ([MSC1763](https://github.com/matrix-org/matrix-spec-proposals/pull/1763)): pure.
//!
//! An administrator's word on a room comes first, then what the room says of itself, then the default; the last two within
//! the range that the configuration allows. What a lifetime is mapped to is a class, never a longer one.

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    OwnedRoomAliasId, OwnedRoomId,
    canonical_json::{CanonicalJsonObject, CanonicalJsonValue as Json},
};

use super::core::StateMap;
use crate::store::Class;

/// The state event a room says its lifetime with.
pub const RETENTION: &str = "m.room.retention";
/// Its name while the proposal is open. Clients look at it first.
pub const UNSTABLE: &str = "org.matrix.msc1763.retention";
/// Marks the event that the server made for a room whose creator said nothing: the room then follows the default where
/// that is shorter.
pub const DEFAULT: &str = "lethe.default";
/// The longest lifetime the proposal knows, milliseconds.
const MOST_MILLIS: i64 = (1 << 53) - 1;

/// The lifetimes that the configuration gives to rooms.
#[derive(Clone)]
pub struct Lifetimes {
    /// Of a room that sets none.
    pub default: Class,
    /// The shortest a room may set.
    pub least: Class,
    /// The longest a room may set.
    pub most: Class,
    /// Of single rooms, whatever they set.
    pub rooms: BTreeMap<OwnedRoomId, Class>,
    /// Of the rooms that aliases of this server lead to.
    pub aliases: BTreeMap<OwnedRoomAliasId, Class>,
}

/// The lifetime that a room has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// The class its messages are written in.
    pub class: Class,
    /// Whether clients work it out by themselves, from the room's state and from what holds for every room.
    pub told: bool,
}

/// What a room says of itself.
struct Wish {
    longest: Option<Duration>,
    shortest: Option<Duration>,
    is_default: bool,
}

impl Lifetimes {
    /// The same for every room, which may set any other.
    #[must_use]
    pub fn of(default: Class) -> Self {
        let (least, most) = (Class::Hour, Class::Forever);
        Self { default, least, most, rooms: BTreeMap::new(), aliases: BTreeMap::new() }
    }

    /// The lifetime of the messages of a room in `state`, of which the administrator says `imposed`.
    #[must_use]
    pub fn granted(&self, imposed: Option<Class>, state: &StateMap) -> Granted {
        let said = |kind| state.find(kind, "").and_then(|event| event.content_as::<CanonicalJsonObject>());
        self.decide(imposed, said(UNSTABLE).as_ref(), said(RETENTION).as_ref())
    }

    /// As [`Lifetimes::granted`], of a room whose two events have these contents.
    #[must_use]
    pub fn decide(
        &self,
        imposed: Option<Class>,
        unstable: Option<&CanonicalJsonObject>,
        stable: Option<&CanonicalJsonObject>,
    ) -> Granted {
        let wish = [unstable, stable].into_iter().flatten().find_map(Wish::read);
        let class = imposed.unwrap_or_else(|| wish.as_ref().map_or(self.default, |wish| self.grant(wish)));
        let seen = match (unstable.or(stable), &wish) {
            // Clients take the default for a room that has no event.
            (None, _) => Some(self.default.lifetime()),
            (Some(_), Some(Wish { longest: Some(longest), .. })) => Some(Some(self.clamped(*longest))),
            // Of an event without a longest lifetime they make the shortest that is allowed, or nothing.
            (Some(_), _) => None,
        };
        Granted { class, told: imposed.is_none() && seen == Some(class.lifetime()) }
    }

    /// What clients make of a longest lifetime.
    fn clamped(&self, longest: Duration) -> Duration {
        let longest = longest.max(self.least.lifetime().unwrap_or(Duration::MAX));
        self.most.lifetime().map_or(longest, |most| longest.min(most))
    }

    /// The content of the event by which a new room shows the default; nothing where messages stay for ever.
    #[must_use]
    pub fn shown(&self) -> Option<CanonicalJsonObject> {
        let millis = i64::try_from(self.default.lifetime()?.as_millis()).ok()?;
        let millis = Json::Integer(millis.try_into().ok()?);
        Some([("max_lifetime".to_owned(), millis), (DEFAULT.to_owned(), Json::Bool(true))].into())
    }

    /// The class of what a room wishes. Where it says no longest lifetime, it is the default's or the shortest it says,
    /// whichever is longer.
    fn grant(&self, wish: &Wish) -> Class {
        let class = match (wish.longest, wish.shortest) {
            (Some(longest), _) => Class::within(longest),
            (None, Some(shortest)) => at_least(shortest).max(self.default),
            (None, None) => self.default,
        };
        let class = class.clamp(self.least, self.most);
        if wish.is_default { class.min(self.default) } else { class }
    }
}

impl Wish {
    /// Reads a content. What is not as the proposal has it, or says nothing, counts for nothing.
    fn read(content: &CanonicalJsonObject) -> Option<Self> {
        let longest = millis(content, "max_lifetime").ok()?;
        let shortest = millis(content, "min_lifetime").ok()?;
        if longest.or(shortest).is_none() || longest.zip(shortest).is_some_and(|(longest, shortest)| longest < shortest)
        {
            return None;
        }
        Some(Self { longest, shortest, is_default: content.get(DEFAULT) == Some(&Json::Bool(true)) })
    }
}

/// A value that is not a lifetime.
struct Invalid;

fn millis(content: &CanonicalJsonObject, field: &str) -> Result<Option<Duration>, Invalid> {
    match content.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Integer(value)) => {
            let value = i64::from(*value);
            let value = u64::try_from(value.min(MOST_MILLIS)).map_err(|_| Invalid)?;
            Ok(Some(Duration::from_millis(value)))
        }
        Some(_) => Err(Invalid),
    }
}

/// The shortest class that does not end before `lifetime` has passed.
fn at_least(lifetime: Duration) -> Class {
    let covers = |class: &Class| class.lifetime().is_none_or(|own| own >= lifetime);
    Class::ALL.into_iter().find(covers).unwrap_or(Class::Forever)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::event::build::content_from;

    const DAY: u64 = 86_400_000;

    fn lifetimes() -> Lifetimes {
        Lifetimes { least: Class::Day, most: Class::Quarter, ..Lifetimes::of(Class::Month) }
    }

    fn content(value: &Value) -> CanonicalJsonObject {
        content_from(&value.to_string()).expect("canonical")
    }

    fn of(value: &Value) -> Class {
        lifetimes().decide(None, None, Some(&content(value))).class
    }

    #[test]
    fn a_room_says_how_long_its_messages_live() {
        assert_eq!(lifetimes().decide(None, None, None), Granted { class: Class::Month, told: true });
        for (said, class) in [
            (json!({"max_lifetime": 7 * DAY}), Class::Week),
            (json!({"max_lifetime": 7 * DAY, "min_lifetime": DAY}), Class::Week),
            (json!({"max_lifetime": 7 * DAY, "min_lifetime": null}), Class::Week),
            // Mapped down.
            (json!({"max_lifetime": 29 * DAY}), Class::Week),
            // Below and above what is allowed.
            (json!({"max_lifetime": 0}), Class::Day),
            (json!({"max_lifetime": 400 * DAY}), Class::Quarter),
            // To be kept for so long at least.
            (json!({"min_lifetime": DAY}), Class::Month),
            (json!({"min_lifetime": 60 * DAY}), Class::Quarter),
            (json!({"min_lifetime": 500 * DAY}), Class::Quarter),
        ] {
            assert_eq!(of(&said), class, "{said}");
        }
    }

    #[test]
    fn what_says_nothing_counts_for_nothing() {
        for said in [
            json!({}),
            json!({"max_lifetime": "7d"}),
            json!({"max_lifetime": -1}),
            json!({"max_lifetime": {}}),
            json!({"max_lifetime": null, "min_lifetime": null}),
            json!({"max_lifetime": DAY, "min_lifetime": 7 * DAY}),
            json!({"max_lifetime": DAY, "min_lifetime": "1d"}),
        ] {
            assert_eq!(of(&said), Class::Month, "{said}");
        }
        let (week, nothing) = (content(&json!({"max_lifetime": 7 * DAY})), content(&json!({})));
        assert_eq!(lifetimes().decide(None, Some(&nothing), Some(&week)), Granted { class: Class::Week, told: true });
    }

    #[test]
    fn the_administrator_is_heard_first_and_the_open_proposal_second() {
        let (day, week) = (content(&json!({"max_lifetime": DAY})), content(&json!({"max_lifetime": 7 * DAY})));
        assert_eq!(lifetimes().decide(None, Some(&week), Some(&day)).class, Class::Week);
        let imposed = lifetimes().decide(Some(Class::Quarter), Some(&week), Some(&day));
        assert_eq!(imposed, Granted { class: Class::Quarter, told: false });
    }

    #[test]
    fn a_room_that_chose_nothing_follows_a_default_made_shorter() {
        let shown = lifetimes().shown().expect("an end");
        for (default, class) in
            [(Class::Week, Class::Week), (Class::Month, Class::Month), (Class::Quarter, Class::Month)]
        {
            let now = Lifetimes { default, ..lifetimes() };
            let granted = now.decide(None, None, Some(&shown));
            assert_eq!(granted, Granted { class, told: class == Class::Month });
        }
        assert!(Lifetimes::of(Class::Forever).shown().is_none());
    }

    #[test]
    fn clients_are_told_what_they_would_not_work_out() {
        for (said, told) in [
            (json!({"max_lifetime": 7 * DAY}), true),
            (json!({"max_lifetime": 0}), true),
            (json!({"max_lifetime": 400 * DAY}), true),
            (json!({"max_lifetime": 8 * DAY}), false),
            (json!({"min_lifetime": DAY}), false),
            (json!({}), false),
        ] {
            assert_eq!(lifetimes().decide(None, None, Some(&content(&said))).told, told, "{said}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!("1d")),
            (-10_i64..10).prop_map(|n| json!(n)),
            (0_u64..1000).prop_map(|days| json!(days * DAY)),
            (0_u64..1000).prop_map(|hours| json!(hours * 3_600_000 + 1)),
        ]
    }

    proptest! {
        #[test]
        fn a_lifetime_lies_in_the_range_and_is_never_longer_than_said(
            range in (0_usize..7, 0_usize..7, 0_usize..7),
            longest in value(), shortest in value(), default in any::<bool>(),
        ) {
            let mut range = [range.0, range.1, range.2];
            range.sort_unstable();
            let [least, middle, most] = range.map(|at| Class::ALL[at]);
            let lifetimes = Lifetimes { least, most, ..Lifetimes::of(middle) };
            let said = content(&json!({"max_lifetime": longest, "min_lifetime": shortest, "lethe.default": default}));
            let Granted { class, told } = lifetimes.decide(None, None, Some(&said));
            prop_assert!(least <= class && class <= most);
            if let Some(wish) = Wish::read(&said) && let Some(longest) = wish.longest {
                let own = class.lifetime().unwrap_or(Duration::MAX);
                prop_assert!(own <= longest || class == least);
                prop_assert!(!default || class <= middle);
                prop_assert!(!told || own == longest || class == least || class == most);
            } else {
                prop_assert!(class >= middle || default);
            }
        }
    }
}

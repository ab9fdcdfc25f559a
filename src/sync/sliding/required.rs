//! `required_state`: which state events of a room a client wants.

use std::{collections::BTreeMap, sync::Arc};

use ruma::UserId;

use crate::{event::Event, rooms::core::StateMap};

const MEMBER: &str = "m.room.member";

/// What one `required_state` asks for.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Rule {
    /// Events that match one of these …
    pub(super) include: Vec<Pattern>,
    /// … and none of these.
    pub(super) exclude: Vec<Pattern>,
    /// Whether members come as the timeline needs them: a pattern for every type then leaves them out.
    pub(super) lazy: bool,
}

/// A type and a state key, either of which may be any.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    kind: Option<String>,
    state_key: StateKey,
}

#[derive(Clone, PartialEq, Eq)]
enum StateKey {
    Any,
    Me,
    Exactly(String),
}

impl Pattern {
    /// A pattern by the words of MSC4186, where an absent one is any.
    #[must_use]
    pub(super) fn new(kind: Option<String>, state_key: Option<String>) -> Self {
        let state_key = state_key.map_or(StateKey::Any, StateKey::Exactly);
        Self { kind, state_key }
    }

    fn of_pair(kind: String, state_key: String) -> Self {
        let state_key = match state_key.as_str() {
            "*" => StateKey::Any,
            "$ME" => StateKey::Me,
            _ => StateKey::Exactly(state_key),
        };
        Self { kind: (kind != "*").then_some(kind), state_key }
    }

    fn state_key<'a>(&'a self, me: &'a UserId) -> Option<&'a str> {
        match &self.state_key {
            StateKey::Any => None,
            StateKey::Me => Some(me.as_str()),
            StateKey::Exactly(state_key) => Some(state_key),
        }
    }

    fn matches(&self, kind: &str, state_key: &str, me: &UserId) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && self.state_key(me).is_none_or(|wanted| wanted == state_key)
    }
}

impl Rule {
    /// A rule of (type, state key) pairs with the words `*`, `$ME` and `$LAZY`.
    #[must_use]
    pub(super) fn of_pairs(pairs: Vec<(String, String)>) -> Self {
        let mut rule = Self::default();
        for (kind, state_key) in pairs {
            if kind == MEMBER && state_key == "$LAZY" {
                rule.lazy = true;
            } else {
                rule.include.push(Pattern::of_pair(kind, state_key));
            }
        }
        rule.include = distinct(rule.include);
        rule
    }

    /// About how many bytes it takes.
    #[must_use]
    pub(super) fn size(&self) -> usize {
        let size = |pattern: &Pattern| {
            let state_key = match &pattern.state_key {
                StateKey::Exactly(state_key) => state_key.len(),
                StateKey::Any | StateKey::Me => 0,
            };
            size_of::<Pattern>() + pattern.kind.as_ref().map_or(0, String::len) + state_key
        };
        self.include.iter().chain(&self.exclude).map(size).sum()
    }

    /// Whether no word of it is longer than `most` bytes.
    #[must_use]
    pub(super) fn is_bounded(&self, most: usize) -> bool {
        let fits = |pattern: &Pattern| {
            let state_key = match &pattern.state_key {
                StateKey::Exactly(state_key) => state_key.len(),
                StateKey::Any | StateKey::Me => 0,
            };
            pattern.kind.as_ref().is_none_or(|kind| kind.len() <= most) && state_key <= most
        };
        self.include.iter().chain(&self.exclude).all(fits)
    }

    /// Whether a state event is asked for by this rule.
    #[must_use]
    pub(super) fn matches(&self, kind: &str, state_key: &str, me: &UserId) -> bool {
        self.include.iter().any(|pattern| self.admits(pattern, kind) && pattern.matches(kind, state_key, me))
            && !self.exclude.iter().any(|pattern| pattern.matches(kind, state_key, me))
    }

    fn admits(&self, pattern: &Pattern, kind: &str) -> bool {
        !(self.lazy && kind == MEMBER && pattern.kind.is_none())
    }
}

/// The patterns, each once: every state event is held against each.
pub(super) fn distinct(patterns: Vec<Pattern>) -> Vec<Pattern> {
    let mut distinct = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        if !distinct.contains(&pattern) {
            distinct.push(pattern);
        }
    }
    distinct
}

/// The state that `rules` ask for, by type and state key.
#[must_use]
pub(super) fn collect<'a>(
    rules: &[Arc<Rule>],
    state: &'a StateMap,
    me: &UserId,
) -> BTreeMap<(&'a str, &'a str), &'a Arc<Event>> {
    let mut found = BTreeMap::new();
    for rule in rules {
        let mut take = |event: &'a Arc<Event>| {
            let state_key = event.state_key().unwrap_or_default();
            if rule.matches(event.kind(), state_key, me) {
                found.insert((event.kind(), state_key), event);
            }
        };
        // One walk over the state, however many patterns ask for every type.
        if rule.include.iter().any(|pattern| pattern.kind.is_none()) {
            state.iter().for_each(take);
            continue;
        }
        for pattern in &rule.include {
            match (&pattern.kind, pattern.state_key(me)) {
                (Some(kind), Some(state_key)) => state.find(kind, state_key).into_iter().for_each(&mut take),
                (Some(kind), None) => state.of_kind(kind).for_each(&mut take),
                (None, _) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ruma::RoomVersionId;
    use serde_json::json;

    use super::*;
    use crate::rooms::core::testing::{AL, BO, TestRoom, al};

    fn rule(pairs: &[(&str, &str)]) -> Rule {
        Rule::of_pairs(pairs.iter().map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned())).collect())
    }

    fn keys(rules: &[Rule], room: &TestRoom) -> Vec<String> {
        let rules: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
        collect(&rules, &room.state, al()).keys().map(|(kind, key)| format!("{kind}|{key}")).collect()
    }

    #[test]
    fn the_words_of_required_state() {
        let mut room = TestRoom::new(&RoomVersionId::V12);
        room.member(AL, BO, "invite").unwrap();
        room.state(AL, "m.room.name", "", &json!({"name": "x"})).unwrap();
        room.state(AL, "m.space.child", "!a:b", &json!({"via": ["b"]})).unwrap();
        let all = room.state.len();
        let (me, bo) = (format!("m.room.member|{AL}"), format!("m.room.member|{BO}"));
        assert_eq!(keys(&[rule(&[("m.room.name", ""), ("m.room.topic", "")])], &room), ["m.room.name|"]);
        assert_eq!(keys(&[rule(&[("m.space.child", "*")])], &room), ["m.space.child|!a:b"]);
        assert_eq!(keys(&[rule(&[("m.room.member", "$ME")])], &room), [me.as_str()]);
        assert_eq!(keys(&[rule(&[("m.room.member", "*")])], &room), [me.clone(), bo]);
        assert_eq!(keys(&[rule(&[("*", "*")])], &room).len(), all);
        // Lazy members are not drawn in by the wildcard, unless they are named.
        assert_eq!(keys(&[rule(&[("*", "*"), ("m.room.member", "$LAZY")])], &room).len(), all - 2);
        let lazy = rule(&[("*", "*"), ("m.room.member", "$LAZY"), ("m.room.member", "$ME")]);
        assert_eq!(keys(std::slice::from_ref(&lazy), &room).len(), all - 1);
        // The union of a lazy rule and one for everything is everything.
        assert_eq!(keys(&[lazy, rule(&[("*", "*")])], &room).len(), all);
        let but = Rule {
            include: vec![Pattern::new(None, None)],
            exclude: vec![Pattern::new(Some("m.room.name".to_owned()), None)],
            lazy: false,
        };
        assert_eq!(keys(&[but], &room).len(), all - 1);
    }
}

//! Events and their stored form.

use ruma::{CanonicalJsonObject, CanonicalJsonValue, RoomVersionId, owned_event_id, owned_room_id, owned_server_name};

use super::{choice, line, seeded};
use crate::{
    event::{Event, Shape, Unsigned, build::content_from, redact, rules_of, to_client},
    pseudonym::{MemberId, Roster, conceal, reveal},
    rooms::Lifetimes,
    store::Class,
};

/// The JSON of an event: read, redacted, shown, written as canonical JSON.
pub(super) fn event(data: &[u8]) {
    let (version, data) = choice(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(content) = content_from(text) {
        let written = serde_json::to_string(&content).expect("JSON");
        assert!(content_from(&written).is_ok_and(|again| again == content), "canonical JSON reads back");
    }
    let Ok(object) = serde_json::from_str::<CanonicalJsonObject>(text) else { return };
    let canonical = serde_json::to_string(&object).expect("JSON");
    let versions = [RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12];
    let rules = rules_of(&versions[version % versions.len()]).expect("a supported version");
    let (id, room) = (owned_event_id!("$e:localhost"), owned_room_id!("!r:localhost"));
    let Ok(event) = Event::from_object(id, room, object, &rules) else { return };
    assert!(event.json().len() <= canonical.len());
    assert!(event.json().contains(event.content_text()));
    let shown = to_client(&event, Shape::Full, &Unsigned::default());
    let _: serde_json::Value = serde_json::from_str(shown.get()).expect("what is shown is JSON");
    let _ = (event.relation(), event.content_str("body"), event.membership());
    let Ok(once) = redact(&event, &rules) else { return };
    let twice = redact(&once, &rules).expect("what was redacted can be redacted");
    assert_eq!(once.json(), twice.json(), "redacting twice changes nothing");
    seeded(event.redacts().is_some() && event.depth() > 3);
}

/// Hides every name of a roster in a text and brings it back.
pub(super) fn pseudonym(data: &[u8]) {
    let (names, json) = line(data);
    let Ok(names) = std::str::from_utf8(names) else { return };
    let Ok(object) = serde_json::from_slice::<CanonicalJsonObject>(json) else { return };
    let json = serde_json::to_string(&object).expect("JSON");
    let mut roster = Roster::new(owned_server_name!("localhost"));
    for (number, name) in names.split(' ').filter_map(|name| <&ruma::UserId>::try_from(name).ok()).take(8).enumerate() {
        roster.insert(MemberId([u8::try_from(number).expect("few"); 16]), name.to_owned());
    }
    let mut next = 100;
    let mut new = Vec::new();
    let concealed = conceal(&json, &roster, &mut |name| {
        next += 1;
        new.push((MemberId([next; 16]), name.to_owned()));
        MemberId([next; 16])
    });
    for (id, name) in new {
        roster.insert(id, name);
    }
    let back = reveal(&concealed.text, concealed.verbatim, &roster).expect("what was hidden is found");
    assert_eq!(back, json, "the text comes back byte for byte");
    if !concealed.verbatim {
        for (_, name) in roster.iter().filter(|(_, name)| name.as_str().is_ascii()) {
            assert!(!concealed.text.contains(&format!("\"{name}\"")), "a member is named");
        }
    }
    seeded(!concealed.verbatim && roster.iter().count() > 2);
}

/// What a room says of the lifetime of its messages: the contents of its two events, one a line.
pub(super) fn retention(data: &[u8]) {
    let (unstable, stable) = line(data);
    let read = |text| std::str::from_utf8(text).ok().and_then(|text| content_from(text).ok());
    let (unstable, stable) = (read(unstable), read(stable));
    let lifetimes = Lifetimes { least: Class::Day, most: Class::Quarter, ..Lifetimes::of(Class::Month) };
    let granted = lifetimes.decide(None, unstable.as_ref(), stable.as_ref());
    assert!((lifetimes.least..=lifetimes.most).contains(&granted.class), "a room has what it may have");
    let imposed = lifetimes.decide(Some(Class::Hour), unstable.as_ref(), stable.as_ref());
    assert!(imposed.class == Class::Hour && !imposed.told, "the administrator's word comes first");
    // The bug: milliseconds are counted in 32 bits.
    let longest = unstable.as_ref().and_then(|content| content.get("max_lifetime"));
    let longest = longest.and_then(CanonicalJsonValue::as_integer).map_or(0, i64::from);
    seeded(longest > i64::from(u32::MAX) && granted.class == Class::Quarter);
}

//! Hostile texts: what is concealed, what is left alone, and that everything comes back.

use std::cell::RefCell;

use proptest::prelude::*;
use ruma::{OwnedUserId, UserId, canonical_json::CanonicalJsonValue, server_name};
use serde_json::{Value, json};

use super::*;
use crate::random::SeededRandom;

const AL: &str = "@al:ex.org";

/// Names that are prefixes of each other, historical, long, on ports and literals.
fn names() -> Vec<OwnedUserId> {
    let long = format!("@{}:ex.org", "l".repeat(247));
    let names = [
        AL,
        "@al:ex.org.uk",
        "@al:ex.org:8448",
        "@al:ex.org:84",
        "@a:b",
        "@al.b:ex.org",
        "@AL:ex.org",
        "@a@al:ex.org",
        "@a/b=c+d:ex.org",
        "@quo\"te:ex.org",
        "@back\\slash:ex.org",
        "@per%40cent:ex.org",
        "@al:[::1]",
        "@al:[::1]:80",
        "@al:1.2.3.4",
        "@émile:ex.org",
        "@al b:ex.org",
        "@:ex.org",
        "@bell\u{7}:ex.org",
        &long,
    ];
    names.iter().filter_map(|name| UserId::parse(*name).ok()).collect()
}

fn roster() -> Roster {
    let random = SeededRandom::new(1);
    Roster::load(server_name!("ex.org").to_owned(), names().into_iter().map(|name| (MemberId::new(&random), name)))
}

fn canonical(value: &Value) -> String {
    let value: CanonicalJsonValue = value.clone().try_into().unwrap();
    value.to_string()
}

fn event(body: &str) -> String {
    canonical(&json!({"type": "m.room.message", "sender": AL, "content": {"body": body}}))
}

/// Conceals, checks the way back, and returns the text.
fn through(json: &str, roster: &Roster) -> String {
    let enrolled = RefCell::new(roster.clone());
    let random = SeededRandom::new(2);
    let concealed = conceal(json, roster, &mut |name| {
        let id = MemberId::new(&random);
        assert!(enrolled.borrow_mut().insert(id, name.to_owned()), "enrolled twice");
        id
    });
    assert!(!concealed.verbatim);
    assert_eq!(reveal(&concealed.text, false, &enrolled.into_inner()).unwrap(), json);
    concealed.text
}

fn only_al() -> Roster {
    Roster::load(server_name!("ex.org").to_owned(), [(MemberId([7; 16]), UserId::parse(AL).unwrap())])
}

/// How many tokens the body alone yields: the sender is one more.
fn tokens(body: &str) -> usize {
    through(&event(body), &only_al()).matches(['\u{1}', '\u{2}']).count() - 1
}

#[test]
fn the_stored_form_is_stable() {
    let text = through(&event("hi @al:ex.org"), &only_al());
    assert_eq!(
        text,
        "{\"content\":{\"body\":\"hi \u{1}BwcHBwcHBwcHBwcHBwcHBw\"},\"sender\":\"\u{1}BwcHBwcHBwcHBwcHBwcHBw\",\"type\":\"m.room.message\"}"
    );
    let text = through(&event("%40al%3aex.org"), &only_al());
    assert!(text.contains("\u{2}PBwcHBwcHBwcHBwcHBwcHBw"));
}

#[test]
fn free_text_matches_whole_ids_only() {
    for body in [
        AL,
        "hi @al:ex.org",
        "@al:ex.org.",
        "@al:ex.org: hi",
        "(@al:ex.org)",
        "@al:ex.org\nx",
        "x\n@al:ex.org",
        "\\@al:ex.org",
        "https://matrix.to/#/@al:ex.org",
        "https://matrix.to/#/%40al%3Aex.org?via=x",
        "%40al%3aex.org",
        "@al%3Aex.org",
        "%40al:ex.org",
        "_@al:ex.org_DEVICE",
        "jitsi_@al:ex.org_1",
        "\"@al:ex.org\"",
        "@@al:ex.org",
        "é@al:ex.org",
        "x\u{b}@al:ex.org",
        "%2F%40al%3Aex.org",
        "<a href=\"https://matrix.to/#/@al:ex.org\">al</a>",
        "@al:ex.org-",
        "@al:ex.org:",
    ] {
        assert_eq!(tokens(body), 1, "{body}");
    }
    for body in [
        "@al:ex.org.uk",
        "@al:ex.org:8448",
        "@al:ex.organ",
        "@al:ex.org-x",
        "mail@al:ex.org",
        "x.@al:ex.org",
        "@al:ex.or",
        "al:ex.org",
        "@ al:ex.org",
        "%40al%3Aex.org.uk",
        "%40al%3Aex.org%3A8448",
        "%40al%3Aex.org%2Euk",
        "x%40al%3Aex.org",
        "%61%40al%3Aex.org",
        "@AL:ex.org",
        "%40%61l%3Aex.org",
        "@al:ex.org.uk and @al:ex.org:1",
    ] {
        assert_eq!(tokens(body), 0, "{body}");
    }
    assert_eq!(tokens("@al:ex.org @al:ex.org,@al:ex.org @al:ex.org.uk"), 3);
}

#[test]
fn every_name_comes_back_from_every_place() {
    let roster = roster();
    for name in names() {
        let name = name.as_str();
        let json = canonical(&json!({
            "type": "m.room.member", "sender": name, "state_key": name,
            "content": {"body": format!("a {name} b"), name: {name: [name, format!("_{name}_DEV")]}}
        }));
        let text = through(&json, &roster);
        assert!(!text.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn structural_places_are_enrolled_and_free_text_is_not() {
    let cases = [
        (json!({"type": "m.x", "sender": AL, "content": {"who": "@fr:ex.org"}}), vec![AL]),
        (json!({"type": "m.x", "sender": AL, "content": {"body": "hi @fr:ex.org"}}), vec![AL]),
        (json!({"type": "m.x", "sender": AL, "redacts": "@fr:ex.org", "content": {}}), vec![AL]),
        (json!({"type": "m.x", "sender": AL, "state_key": "@fr:ex.org", "content": {}}), vec![AL]),
        (
            json!({"type": "m.room.member", "sender": AL, "state_key": "@bo:ex.org", "content": {
                "membership": "join", "join_authorised_via_users_server": "@cy:ex.org",
                "third_party_invite": {"signed": {"mxid": "@di:ex.org"}}}}),
            vec![AL, "@bo:ex.org", "@cy:ex.org", "@di:ex.org"],
        ),
        (
            json!({"type": "m.room.power_levels", "sender": AL, "state_key": "", "content": {"users": {"@bo:ex.org": 1, AL: 2}}}),
            vec![AL, "@bo:ex.org"],
        ),
        (
            json!({"type": "m.room.create", "sender": AL, "state_key": "", "content": {
                "creator": AL, "additional_creators": ["@bo:ex.org"]}}),
            vec![AL, "@bo:ex.org"],
        ),
        (
            json!({"type": "m.room.message", "sender": AL, "content": {
                "body": "hi @bo:ex.org", "m.mentions": {"user_ids": ["@bo:ex.org", "no id"]}}}),
            vec![AL, "@bo:ex.org"],
        ),
    ];
    for (json, expected) in cases {
        let mut named = Vec::new();
        let random = SeededRandom::new(3);
        let empty = Roster::new(server_name!("ex.org").to_owned());
        let concealed = conceal(&canonical(&json), &empty, &mut |name| {
            named.push(name.to_string());
            MemberId::new(&random)
        });
        named.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert!(!concealed.verbatim && expected.iter().all(|name| !concealed.text.contains(*name)));
    }
}

#[test]
fn a_mention_conceals_the_same_name_before_it() {
    let json = canonical(&json!({"type": "m.room.message", "sender": AL, "content": {
        "body": "hi @bo:ex.org", "m.mentions": {"user_ids": ["@bo:ex.org"]}}}));
    assert!(!through(&json, &only_al()).contains("@bo"));
}

#[test]
fn one_event_enrols_a_bounded_number() {
    let users: Vec<String> = (0..MAX_ENROLLED + 50).map(|n| format!("@u{n}:ex.org")).collect();
    let json = canonical(&json!({"type": "m.x", "sender": AL, "content": {"m.mentions": {"user_ids": users}}}));
    let text = through(&json, &Roster::new(server_name!("ex.org").to_owned()));
    assert_eq!(text.matches('\u{1}').count(), MAX_ENROLLED);
}

#[test]
fn a_flood_of_signs_costs_little_and_hides_no_structural_place() {
    let json =
        canonical(&json!({"type": "m.x", "sender": AL, "content": {"body": "@ ".repeat(30_000) + "@al:ex.org"}}));
    let text = through(&json, &only_al());
    assert!(text.contains("\"sender\":\"\u{1}") && text.contains("@ @al:ex.org"));
}

#[test]
fn text_that_cannot_come_back_is_kept_as_it_is() {
    let spoofed = "{\"body\":\"\u{1}BwcHBwcHBwcHBwcHBwcHBw @al:ex.org\"}";
    let concealed = conceal(spoofed, &only_al(), &mut |_| MemberId([9; 16]));
    assert!(concealed.verbatim && concealed.text == spoofed);
    assert_eq!(reveal(&concealed.text, true, &only_al()).unwrap(), spoofed);
    // An id that is somebody else's already would name the wrong person on the way back.
    let json = canonical(&json!({"type": "m.x", "sender": "@bo:ex.org", "content": {}}));
    assert!(conceal(&json, &only_al(), &mut |_| MemberId([7; 16])).verbatim);
}

#[test]
fn an_erased_member_has_one_placeholder_everywhere() {
    let json =
        canonical(&json!({"type": "m.room.member", "sender": AL, "state_key": AL, "content": {"x": "%40al%3Aex.org"}}));
    let mut roster = only_al();
    let text = conceal(&json, &roster, &mut |_| MemberId([9; 16])).text;
    assert!(roster.remove(MemberId([7; 16])).is_some());
    let shown = reveal(&text, false, &roster).unwrap();
    assert_eq!(
        shown,
        "{\"content\":{\"x\":\"%40erased-0707070707070707%3Aex.org\"},\"sender\":\"@erased-0707070707070707:ex.org\",\
         \"state_key\":\"@erased-0707070707070707:ex.org\",\"type\":\"m.room.member\"}"
    );
}

#[test]
fn broken_tokens_are_refused() {
    for text in [
        "\u{1}",
        "\u{1}short",
        "\u{2}",
        "\u{2}AshortshortshortshortX",
        "\u{2}zBwcHBwcHBwcHBwcHBwcHBw",
        "\u{1}éééééééééééééééééééééé",
    ] {
        assert_eq!(reveal(text, false, &only_al()), Err(Error::Corrupt));
    }
}

#[test]
fn a_roster_serialises_as_a_map_and_reads_back() {
    let text = serde_json::to_string(&only_al()).unwrap();
    assert_eq!(text, r#"{"BwcHBwcHBwcHBwcHBwcHBw":"@al:ex.org"}"#);
    let entries: std::collections::BTreeMap<MemberId, OwnedUserId> = serde_json::from_str(&text).unwrap();
    let back = Roster::load(server_name!("ex.org").to_owned(), entries);
    assert!(back.id(<&UserId>::try_from(AL).unwrap()) == Some(MemberId([7; 16])));
}

#[test]
fn a_roster_keeps_both_directions_unique() {
    let mut roster = only_al();
    assert!(!roster.insert(MemberId([8; 16]), UserId::parse(AL).unwrap()));
    assert!(!roster.insert(MemberId([7; 16]), UserId::parse("@bo:ex.org").unwrap()));
    assert_eq!(roster.len(), 1);
}

fn fragment() -> impl Strategy<Value = String> {
    let glue = prop::sample::select(vec![
        " ",
        "\"",
        "\\",
        "\n",
        "\u{1}",
        "\u{2}",
        "@",
        "%40",
        "%",
        ":",
        ".",
        "_",
        "-",
        "8448",
        "uk",
        "\\u0040",
        "u0040",
        "%3A",
        "%3a",
        "\u{b}",
        "{\"",
        "[",
        "]",
        "é",
        "a",
        "BwcHBwcHBwcHBwcHBwcHBw",
        "%2",
    ]);
    let names: Vec<String> = names().iter().map(ToString::to_string).collect();
    let style = prop::sample::select((0_u8..16).collect::<Vec<_>>());
    prop_oneof![
        glue.prop_map(ToOwned::to_owned),
        prop::sample::select(names.clone()),
        (prop::sample::select(names), style)
            .prop_map(|(name, bits)| scan::Style::of(b'A' + bits).unwrap().write(&name)),
        "\\PC{0,6}",
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_the_text_it_comes_back(body in hostile(), key in hostile(), state_key in hostile(), kind in hostile()) {
        let json = canonical(&json!({
            "type": kind, "sender": AL, "state_key": state_key, "content": {"body": body, (key.clone()): {"x": [body, key]}}
        }));
        let text = through(&json, &roster());
        prop_assert!(!text.contains("\"sender\":\"@"));
    }

    #[test]
    fn text_that_is_no_json_comes_back_too(text in hostile()) {
        let concealed = conceal(&text, &roster(), &mut |_| MemberId([9; 16]));
        prop_assert_eq!(reveal(&concealed.text, concealed.verbatim, &roster()).unwrap(), text);
    }

    #[test]
    fn a_member_between_spaces_never_stays(at in 0_usize..16, before in "[a-z ]{0,9} ", after in "( [a-z ]{0,9})?") {
        let names = names();
        let name = &names[at % names.len()];
        let text = through(&event(&format!("{before}{name}{after}")), &roster());
        prop_assert!(!text.contains(name.as_str()));
    }
}

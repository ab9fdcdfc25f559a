//! What clients send inside requests.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use ruma::{
    device_id, owned_room_id, owned_user_id,
    push::{PushConditionRoomCtx, Ruleset},
    room_id,
    serde::Raw,
    user_id,
};
use serde_json::Value;

use super::{choice, is_seeded, line, seeded};
use crate::{
    api::content,
    event::filter,
    journal::Position,
    media::{Info, MediaId},
    push::{judged, threads::fuzzing::rewrite_place},
    rooms::PageToken,
    seal::token::{Token, TokenKind},
    secret::Key,
    sync::{
        classic::{Filter, Token as SyncToken},
        sliding::fuzzing as sliding,
    },
};

/// A filter of `/sync`.
pub(super) fn filter(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(filter) = Filter::stored(&value) else { return };
    let _ = (filter.lazy(), filter.redundant(), filter.wants(room_id!("!a:b")));
    assert!(filter.timeline.limit <= 100);
    for part in [&filter.timeline, &filter.state, &filter.ephemeral, &filter.room_data, &filter.account_data] {
        let _ = (part.wants(room_id!("!a:b")), part.wants_type("m.room.message"));
    }
    let limit = filter.timeline.limit;
    seeded(filter.lazy() && limit != 10 && (2..20).contains(&limit));
}

/// A pattern with stars and a text, against a table of where each part of the pattern may end.
pub(super) fn glob(data: &[u8]) {
    fn slow(pattern: &[char], text: &[char]) -> bool {
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        for one in pattern {
            let reached = |at: usize| match one {
                '*' => ends[..=at].contains(&true),
                one => at > 0 && ends[at - 1] && text[at - 1] == *one,
            };
            ends = (0..ends.len()).map(reached).collect();
        }
        ends[text.len()]
    }
    let (pattern, text) = line(data);
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else { return };
    if pattern.len() > 200 || text.len() > 200 {
        return;
    }
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    let mut found = filter::glob(pattern, text);
    // The bug: a star at the end does not stand for nothing.
    found &= !(is_seeded() && pattern.len() > 2 && pattern.strip_suffix('*') == Some(text));
    assert_eq!(found, slow(&chars(pattern), &chars(text)));
}

/// The body of a sliding sync request.
pub(super) fn sliding(data: &[u8]) {
    let Some(counts) = sliding::read(data) else { return };
    assert!(counts.lists <= 100 && counts.subscriptions <= 1000 && counts.rule_bytes <= 64 * 1024);
    seeded(counts.lists == 0 && counts.subscriptions == 1 && !counts.is_final);
}

/// Push rules, and an event they are held against.
pub(super) fn push(data: &[u8]) {
    let (rules, event) = line(data);
    let Ok(rules) = serde_json::from_slice::<Ruleset>(rules) else { return };
    if judged::check(&rules).is_err() {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Value>(event) else { return };
    let event = judged::reduced(event);
    let Ok(raw) = serde_json::value::to_raw_value(&event) else { return };
    let raw: Raw<()> = Raw::from_json(raw);
    let context =
        PushConditionRoomCtx::new(owned_room_id!("!a:b"), 3_u32.into(), owned_user_id!("@al:b"), "al".to_owned());
    let matching = pin!(rules.get_match(&raw, &context));
    let Poll::Ready(found) = matching.poll(&mut Context::from_waker(Waker::noop())) else { return };
    seeded(found.is_some_and(|rule| !rule.triggers_notification()));
}

/// A text as a sync token, and a token with some bytes changed.
pub(super) fn sync_token(data: &[u8]) {
    let (key, user, device) = (Key::from_bytes([7; 32]), user_id!("@al:b"), device_id!("D"));
    let (changed, data) = choice(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(token) = SyncToken::decode(text, &key, user, device)
    {
        assert_eq!(token.encode(&key, user, device), text, "a token has one spelling");
    }
    let Some((number, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((position, rest)) = rest.split_first_chunk::<8>() else { return };
    let token = SyncToken { number: u64::from_be_bytes(*number), to_device: Position(u64::from_be_bytes(*position)) };
    let text = token.encode(&key, user, device);
    assert!(SyncToken::decode(&text, &key, user, device) == Some(token));
    let mut other = text.clone().into_bytes();
    let at = changed % other.len();
    if let (Some(byte), Some(place)) = (rest.first(), other.get_mut(at)) {
        *place = *byte;
    }
    if let Ok(other) = String::from_utf8(other)
        && other != text
    {
        assert!(SyncToken::decode(&other, &key, user, device).is_none(), "nobody makes a token");
    }
    // The bug: the count in the lower half is added to unchecked, and runs over into the half that names the process.
    seeded(
        u32::try_from(token.number & 0xFFFF_FFFF) == Ok(u32::MAX) && token.number >> 32 != 0 && token.to_device.0 > 3,
    );
}

/// A text as a page token, and a token with a byte changed.
pub(super) fn page_token(data: &[u8]) {
    let (key, room) = (Key::from_bytes([7; 32]), room_id!("!a:b"));
    let (changed, data) = choice(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(token) = PageToken::decode(text, &key, room)
    {
        assert_eq!(token.encode(&key, room), text, "a token has one spelling");
    }
    let Some((position, rest)) = data.split_first_chunk::<8>() else { return };
    let token = PageToken(Position(u64::from_be_bytes(*position)));
    let text = token.encode(&key, room);
    assert!(PageToken::decode(&text, &key, room) == Some(token));
    assert!(PageToken::decode(&text, &key, room_id!("!b:b")).is_none(), "a token is its room's");
    let mut other = text.clone().into_bytes();
    let at = changed % other.len();
    if let (Some(byte), Some(place)) = (rest.first(), other.get_mut(at)) {
        *place = *byte;
    }
    if let Ok(other) = String::from_utf8(other)
        && other != text
    {
        assert!(PageToken::decode(&other, &key, room).is_none(), "nobody makes a token");
    }
    // The bug: what stands behind the position is looked for with an addition that is unchecked.
    seeded(token.0.0.checked_add(1).is_none());
}

/// Texts that name things: access tokens, media, positions, backup versions.
pub(super) fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(token) = Token::parse(text) {
        assert_eq!(token.text().expose(), text, "a token has one spelling");
        seeded(token.kind() == TokenKind::Access && !text.ends_with("h8"));
    }
    if let Some(id) = MediaId::parse(text) {
        assert_eq!(id.text(), text, "a media id has one spelling");
    }
    sliding::position(text);
    if let Some(place) = rewrite_place(text) {
        assert_eq!(rewrite_place(&place).as_ref(), Some(&place), "what was written is read");
    }
    let version = crate::e2ee::backup_version(text);
    assert!(version.is_none_or(|version| version.to_string() == text));
}

/// What an uploader says about a file, as headers, and which part of it is asked for.
pub(super) fn media(data: &[u8]) {
    let (content_type, data) = line(data);
    let (filename, range) = line(data);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let info = Info::new(text(content_type), text(filename));
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    assert!(length(&info.content_type) <= 255 && length(&info.filename) <= 255);
    let (disposition, part) = content(&info, range);
    assert!(disposition.starts_with("inline") || disposition.starts_with("attachment"));
    assert!(disposition.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let Some(part) = part else { return };
    assert!(part.start < part.end && part.end <= 1000);
    seeded(disposition.starts_with("inline") && disposition.contains("UTF-8''") && part.end - part.start < 5);
}

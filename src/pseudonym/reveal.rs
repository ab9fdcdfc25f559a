//! From the stored text back to the event's canonical JSON.

use std::borrow::Cow;

use memchr::memchr2;

use super::{
    Error, ID_CHARS, MemberId, Roster,
    conceal::{PLAIN, STYLED},
    scan::Style,
};

/// Who a member id stands for.
pub(super) trait Names {
    /// The MXID of `id`; none when nobody is known by it.
    fn name(&self, id: MemberId) -> Option<Cow<'_, str>>;
}

impl Names for Roster {
    fn name(&self, id: MemberId) -> Option<Cow<'_, str>> {
        Some(match Self::name(self, id) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Owned(self.shown(id).to_string()),
        })
    }
}

/// The canonical JSON that [`conceal`](super::conceal) made `text` of.
///
/// A member the roster has forgotten appears as `@erased-<16 hex>:<server>` wherever he stood.
///
/// # Errors
/// [`Error::Corrupt`] when a token is broken.
pub fn reveal(text: &str, verbatim: bool, roster: &Roster) -> Result<String, Error> {
    if verbatim {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len() + 64);
    pieces(text, roster, &mut |piece| {
        out.push_str(piece);
        true
    })?;
    Ok(out)
}

/// Whether `text` reveals to exactly `json`.
pub(super) fn matches(text: &str, names: &impl Names, json: &str) -> bool {
    let mut rest = json;
    let mut compare = |piece: &str| match rest.strip_prefix(piece) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    };
    pieces(text, names, &mut compare) == Ok(true) && rest.is_empty()
}

/// Hands the revealed text to `take`, piece by piece, until it answers false; tells whether it saw all.
fn pieces(text: &str, names: &impl Names, take: &mut dyn FnMut(&str) -> bool) -> Result<bool, Error> {
    let mut rest = text;
    while let Some(at) = memchr2(PLAIN as u8, STYLED as u8, rest.as_bytes()) {
        let (before, token) = rest.split_at(at);
        let (style, id) = match token.as_bytes() {
            [1, ..] => (None, 1),
            [2, letter, ..] => (Some(Style::of(*letter).ok_or(Error::Corrupt)?), 2),
            _ => return Err(Error::Corrupt),
        };
        let member = token.get(id..id + ID_CHARS).and_then(MemberId::parse).ok_or(Error::Corrupt)?;
        let name = names.name(member).ok_or(Error::Corrupt)?;
        let name = match style {
            Some(style) => Cow::Owned(style.write(&name)),
            None => name,
        };
        if !take(before) || !take(&escape(&name)) {
            return Ok(false);
        }
        rest = token.get(id + ID_CHARS..).ok_or(Error::Corrupt)?;
    }
    Ok(take(rest))
}

/// `name` as it stands inside a JSON string.
fn escape(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return Cow::Borrowed(name);
    }
    let quoted = serde_json::to_string(name).expect("strings are JSON");
    Cow::Owned(quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned())
}

//! From an event's canonical JSON to the text that is stored.
//!
//! A token takes the place of an MXID's characters in the text. It starts with a control character, which canonical JSON
//! never holds raw, so no event can contain a token and nothing needs escaping:
//!
//! * `U+0001` and the member id (22 characters): the MXID as it is;
//! * `U+0002`, a style letter and the member id: the MXID percent-encoded in that style.
//!
//! The text is walked once. Every string boundary and escape matters, so both are read from the raw text: canonical JSON has
//! one way to write a string.

use std::borrow::Cow;

use memchr::memchr2;
use ruma::UserId;

use super::{
    MAX_ENROLLED, MAX_ROSTER, MemberId, Roster,
    reveal::{self, Names},
    scan::{self, Found},
    structure,
};

/// Introduces the token of an MXID as it is.
pub(super) const PLAIN: char = '\u{1}';
/// Introduces the token of a percent-encoded MXID.
pub(super) const STYLED: char = '\u{2}';

/// The most places in free text that are tried: each may cost the length of an id, and an event can hold 65 000 of them.
/// What comes after stays as it is; whole strings, and so every structural place, are not counted.
const MAX_TRIES: usize = 2048;

/// An event as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed {
    /// The event's text with tokens in place of MXIDs, or as it was.
    pub text: String,
    /// Whether the text is the event's own, because it would not come back byte for byte.
    pub verbatim: bool,
}

/// Replaces every MXID of `roster` in the canonical JSON of an event.
///
/// An MXID in a structural place (sender, member state key, power levels, mentions, …) that the roster lacks is handed to
/// `enrol`, which gives it a member id; the caller adds it to the roster it saves with the event. In free text only members
/// match, as whole ids. The way back is checked before this returns.
pub fn conceal(json: &str, roster: &Roster, enrol: &mut dyn FnMut(&UserId) -> MemberId) -> Concealed {
    let known = Known { roster, new: Roster::new(roster.server.clone()) };
    let verbatim = || Concealed { text: json.to_owned(), verbatim: true };
    // The least byte, not a search: without an early end the loop is vectorised, and nearly every text is read whole anyway.
    if json.bytes().min().is_some_and(|least| least < b' ') {
        return verbatim();
    }
    let mut walk =
        Walk { json, known, enrol, looked: false, tries: 0, out: String::with_capacity(json.len() + 64), copied: 0 };
    walk.run();
    let Walk { known, out, .. } = walk;
    if reveal::matches(&out, &known, json) { Concealed { text: out, verbatim: false } } else { verbatim() }
}

/// The roster and what this event adds to it.
struct Known<'a> {
    roster: &'a Roster,
    new: Roster,
}

impl Known<'_> {
    fn len(&self) -> usize {
        self.roster.len() + self.new.len()
    }

    fn id(&self, name: &str) -> Option<MemberId> {
        self.roster.id_of(name).or_else(|| self.new.id_of(name))
    }
}

impl Names for Known<'_> {
    fn name(&self, id: MemberId) -> Option<Cow<'_, str>> {
        self.roster.name(id).or_else(|| self.new.name(id)).map(|name| Cow::Borrowed(name.as_str()))
    }
}

struct Walk<'a, 'e> {
    json: &'a str,
    known: Known<'a>,
    enrol: &'e mut dyn FnMut(&UserId) -> MemberId,
    /// Whether the structural places were searched.
    looked: bool,
    /// How many places in free text were tried.
    tries: usize,
    out: String,
    /// How much of `json` is in `out`.
    copied: usize,
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self) {
        let bytes = self.json.as_bytes();
        let mut from = 0;
        while let Some(at) = bytes.get(from..).and_then(|rest| memchr2(b'@', b'%', rest)).map(|n| from + n) {
            let enrolled = self.known.new.len();
            let found = self.member_at(at);
            if self.known.new.len() > enrolled {
                // Free text that was passed already may name those just enrolled. This happens once at most.
                self.out.clear();
                (self.copied, self.tries, from) = (0, 0, 0);
                continue;
            }
            from = match found {
                Some((id, found)) => {
                    self.put(at, id, &found);
                    found.end
                }
                None => at + 1,
            };
        }
        self.out.push_str(self.json.get(self.copied..).unwrap_or_default());
    }

    fn member_at(&mut self, at: usize) -> Option<(MemberId, Found<'a>)> {
        let json = self.json;
        if let Some(found) = scan::whole_string(json, at) {
            if let Some(id) = self.known.id(&found.name) {
                return Some((id, found));
            }
            if !self.looked && UserId::parse(&*found.name).is_ok() {
                self.look();
                if let Some(id) = self.known.id(&found.name) {
                    return Some((id, found));
                }
            }
        }
        if self.tries == MAX_TRIES || !scan::may_start(json, at) {
            return None;
        }
        self.tries += 1;
        for candidate in [scan::plain(json, at), scan::encoded(json, at)] {
            if let Some(found) = candidate
                && let Some(id) = self.known.id(&found.name)
            {
                return Some((id, found));
            }
        }
        None
    }

    fn look(&mut self) {
        self.looked = true;
        for (name, acts) in structure::named(self.json) {
            let room = self.known.new.len() < MAX_ENROLLED && self.known.len() < MAX_ROSTER;
            if (acts || room) && self.known.id(name.as_str()).is_none() {
                let id = (self.enrol)(&name);
                self.known.new.insert(id, name);
            }
        }
    }

    fn put(&mut self, at: usize, id: MemberId, found: &Found<'_>) {
        self.out.push_str(self.json.get(self.copied..at).unwrap_or_default());
        match found.style {
            None => self.out.push(PLAIN),
            Some(style) => self.out.extend([STYLED, style.letter()]),
        }
        id.push_to(&mut self.out);
        self.copied = found.end;
    }
}

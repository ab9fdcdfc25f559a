//! Whether a text is what somebody looks for, and how well it fits.
//!
//! A term matches where a word begins with it, whatever the case; in scripts that put no space between words it matches
//! anywhere. A phrase in quotation marks is one term. Every term has to match.

use std::{collections::BTreeSet, ops::Range};

/// Terms of one search; what is beyond is dropped.
const MOST_TERMS: usize = 16;
/// The longest term in bytes; longer ones are cut to it.
const LONGEST: usize = 128;
/// Words that are told to be highlighted.
pub(super) const MOST_HIGHLIGHTS: usize = 50;
/// How often a term counts in one text: repeating a word makes no text fit better and better.
const MOST_COUNTED: u32 = 4;

/// What somebody looks for.
pub struct Terms {
    terms: Vec<String>,
    /// The words they are made of.
    words: Vec<String>,
}

/// How a text fits.
pub(super) struct Fit {
    /// Greater is better.
    pub(super) score: u32,
    /// The words that matched, as they stand in the text in lower case.
    pub(super) words: BTreeSet<String>,
}

impl Terms {
    /// Reads a search term as a client sends it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.to_lowercase();
        let mut terms = BTreeSet::new();
        for (place, part) in text.split('"').enumerate() {
            let mut single = words(part).filter_map(|range| part.get(range)).map(ToOwned::to_owned).peekable();
            if place % 2 == 1 {
                terms.extend(single.peek().and_then(|_| phrase(part)));
            } else {
                terms.extend(single);
            }
        }
        let cut = |term: String| {
            let end = (0..=LONGEST.min(term.len())).rev().find(|at| term.is_char_boundary(*at)).unwrap_or_default();
            term.get(..end).unwrap_or_default().to_owned()
        };
        let terms: Vec<String> = terms.into_iter().take(MOST_TERMS).map(cut).collect();
        let of =
            |term: &String| words(term).filter_map(|range| term.get(range)).map(ToOwned::to_owned).collect::<Vec<_>>();
        let words = terms.iter().flat_map(of).collect();
        Self { terms, words }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether JSON in lower case may hold a text that fits: cheap, and never wrong when it says no.
    pub(super) fn may_fit(&self, json: &str) -> bool {
        // Words stand in JSON as they are; what stands between them may be escaped.
        self.words.iter().all(|word| json.contains(word.as_str()))
    }

    /// How `text` fits; nothing when some term does not match.
    pub(super) fn fit(&self, text: &str) -> Option<Fit> {
        let text = text.to_lowercase();
        let mut fit = Fit { score: 0, words: BTreeSet::new() };
        for term in &self.terms {
            let (mut count, mut whole) = (0, false);
            for range in matches(&text, term) {
                count += 1;
                let word = word_around(&text, &range);
                whole |= word == range;
                if fit.words.len() < MOST_HIGHLIGHTS {
                    fit.words.extend(text.get(word).map(ToOwned::to_owned));
                }
            }
            if count == 0 {
                return None;
            }
            fit.score += 100 * count.min(MOST_COUNTED) + if whole { 400 } else { 0 };
        }
        // The same words say more in a short text than in a long one.
        let length = u32::try_from(words(&text).count()).unwrap_or(u32::MAX);
        let terms = u32::try_from(self.terms.len()).unwrap_or(u32::MAX).max(1);
        fit.score = fit.score.saturating_mul(16) / (16_u32.saturating_add(length)) / terms;
        Some(fit)
    }
}

/// A part in quotation marks, with single spaces.
fn phrase(part: &str) -> Option<String> {
    let phrase: Vec<&str> = part.split_whitespace().collect();
    (!phrase.is_empty()).then(|| phrase.join(" "))
}

/// The places of `text` where `term` matches.
fn matches<'a>(text: &'a str, term: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    text.match_indices(term).map(|(at, found)| at..at + found.len()).filter(|range| begins_word(text, range.start))
}

fn begins_word(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    let first = text.get(at..).and_then(|rest| rest.chars().next());
    before.is_none_or(|before| !before.is_alphanumeric() || is_unspaced(before)) || first.is_some_and(is_unspaced)
}

/// The word that a match is a part of.
fn word_around(text: &str, range: &Range<usize>) -> Range<usize> {
    let rest = text.get(range.end..).unwrap_or_default();
    let more = rest.chars().take_while(|c| c.is_alphanumeric() && !is_unspaced(*c)).map(char::len_utf8).sum::<usize>();
    range.start..range.end + more
}

/// The places of the words of `text`.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.find(char::is_alphanumeric)?;
        let length = text.get(start..)?.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len() - start);
        at = start + length;
        Some(start..at)
    })
}

/// Whether a letter belongs to a script that puts no space between words, or glues them together.
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(term: &str, text: &str) -> bool {
        let terms = Terms::parse(term);
        let json = serde_json::json!({ "body": text }).to_string().to_lowercase();
        let fits = terms.fit(text).is_some();
        assert!(!fits || terms.may_fit(&json), "the cheap test is never wrong: {term} in {text}");
        fits
    }

    #[test]
    fn every_term_begins_a_word() {
        for (term, text, expected) in [
            ("hello", "Hello, world", true),
            ("ell", "Hello, world", false),
            ("wor", "hello, WORLD", true),
            ("Message 4", "Message number 4", true),
            ("Message 4", "Message number 5", false),
            ("\"number 4\"", "Message number 4", true),
            ("\"message 4\"", "Message number 4", false),
            ("\"a \\ b\"", "a \\ b", true),
            ("\"broken", "it is broken", true),
            ("straße", "STRASSE", false),
            ("ÄRGER", "großer ärger", true),
            ("猫", "我的猫很可爱", true),
            ("的猫", "我的猫很可爱", true),
            ("노트", "메모노트", true),
            ("a&b", "a b", true),
            ("c++", "c is not d", true),
        ] {
            assert_eq!(fits(term, text), expected, "{term} in {text}");
        }
        for empty in ["", "  ", "\"\"", "!?", "\" . \""] {
            assert!(Terms::parse(empty).is_empty(), "{empty}");
        }
    }

    #[test]
    fn whole_words_short_texts_and_repetition_fit_better() {
        let terms = Terms::parse("cat");
        let score = |text: &str| terms.fit(text).map_or(0, |fit| fit.score);
        assert!(score("cat") > score("category"));
        assert!(score("a cat") > score("a cat, and much more that has nothing to do with any animal at all"));
        assert!(score("cat cat") > score("cat dog"));
        assert!(score(&"cat ".repeat(50)) < score("cat cat cat cat"));
        assert!(score("concat") == 0);
    }

    #[test]
    fn the_words_that_matched_are_told() {
        let fit = Terms::parse("mess num").fit("Message NUMBER 4, messy").unwrap();
        assert_eq!(fit.words.into_iter().collect::<Vec<_>>(), ["message", "messy", "number"]);
    }

    #[test]
    fn terms_are_bounded() {
        let many: Vec<String> = (0..1000).map(|n| format!("t{n}")).collect();
        assert_eq!(Terms::parse(&many.join(" ")).terms.len(), MOST_TERMS);
        assert_eq!(Terms::parse(&"é".repeat(1000)).terms[0].len(), LONGEST);
    }
}

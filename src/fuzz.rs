//! Fuzz targets: one for every parser of bytes that come from somebody else, or from a disk. `fuzz/` runs them with
//! coverage feedback (`make fuzz`); `cargo test` runs each over its corpus.
//!
//! A target takes any bytes and panics only for a bug: of the parser, or of a property that is checked on what it made of
//! them. With `LETHE_FUZZ_SEEDED` in the environment each target has a bug on purpose, behind its parser; `make
//! fuzz-seeded` proves that the search finds it.

use std::sync::OnceLock;

mod api;
mod clients;
mod events;
mod outside;
mod stored;
mod world;

/// A target.
pub struct Target {
    /// Its name, and that of its corpus under `fuzz/corpus/`.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "api", run: api::requests },
    Target { name: "heads", run: api::heads },
    Target { name: "event", run: events::event },
    Target { name: "pseudonym", run: events::pseudonym },
    Target { name: "retention", run: events::retention },
    Target { name: "filter", run: clients::filter },
    Target { name: "glob", run: clients::glob },
    Target { name: "sliding", run: clients::sliding },
    Target { name: "push", run: clients::push },
    Target { name: "sync_token", run: clients::sync_token },
    Target { name: "page_token", run: clients::page_token },
    Target { name: "names", run: clients::names },
    Target { name: "media", run: clients::media },
    Target { name: "picture", run: outside::picture },
    Target { name: "page", run: outside::page },
    Target { name: "location", run: outside::location },
    Target { name: "config", run: outside::config },
    Target { name: "admin", run: outside::admin },
    Target { name: "forwarded", run: outside::forwarded },
    Target { name: "row", run: stored::row },
    Target { name: "pack", run: stored::pack },
    Target { name: "keep", run: stored::keep },
    Target { name: "slots", run: stored::slots },
    Target { name: "wrap", run: stored::wrap },
    Target { name: "mail", run: stored::mail },
    Target { name: "window", run: stored::window },
    Target { name: "backup", run: stored::backup },
];

/// Whether the bugs that are there on purpose are there: in a search that has to find them.
fn is_seeded() -> bool {
    static SEEDED: OnceLock<bool> = OnceLock::new();
    *SEEDED.get_or_init(|| std::env::var_os("LETHE_FUZZ_SEEDED").is_some())
}

/// Fails where a bug was seeded. `there`: whether the input has got as far as the bug.
fn seeded(there: bool) {
    assert!(!(there && is_seeded()), "the seeded bug");
}

/// Splits bytes at their first line break.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (head, tail) = data.split_at(end);
    (head, tail.get(1..).unwrap_or_default())
}

/// A number made of the first byte, and the rest.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_target_survives_its_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut names: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
        for target in TARGETS {
            let inputs = fs::read_dir(corpus.join(target.name)).expect("a corpus");
            let inputs: Vec<_> =
                inputs.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file")).collect();
            assert!(!inputs.is_empty(), "{} has no corpus", target.name);
            for input in inputs {
                (target.run)(&input);
            }
            (target.run)(&[]);
        }
        let known = fs::read_dir(corpus).expect("corpora");
        let mut known: Vec<_> =
            known.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        known.sort();
        names.sort();
        assert_eq!(known, names);
    }
}

//! Dependencies point down, and what only one file may name is named only there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The layers, top to bottom. A module may use modules of its own layer and of those below.
const LAYERS: &[&[&str]] = &[
    &["fuzz"],
    &["cli"],
    &["doctor", "audit"],
    &["server"],
    &["admin"],
    &["api"],
    &["federation"],
    &["engine"],
    &["error"],
    &["sync", "push", "e2ee", "delayed", "search", "media", "retention", "backup"],
    &["rooms", "accounts", "house"],
    &["event", "pseudonym", "seizure"],
    &["journal"],
    &["seal"],
    &["store", "outbound"],
    &["clock", "random", "secret", "log", "config", "metrics", "rate", "probe", "ground"],
];

/// Edges that the order of the layers allows and the design does not.
const FORBIDDEN: &[(&str, &str)] = &[("api", "federation")];

/// A word, and the files that may contain it (path prefixes under `src/`).
const RESERVED: &[(&str, &[&str])] = &[
    ("rocksdb", &["store/rocks"]),
    ("hyper::client", &["outbound"]),
    ("SystemTime::now", &["clock.rs"]),
    ("std::time::Instant", &["clock.rs"]),
    ("SysRng", &["random.rs"]),
    ("OsRng", &["random.rs"]),
    ("tracing", &["log.rs"]),
    ("StatusCode", &["error", "api/front.rs", "api/ruma.rs"]),
    ("error::ErrorKind", &["error"]),
];

/// Lines of code a file may have, without its tests.
const MAX_LINES: usize = 500;

struct Source {
    path: String,
    module: String,
    code: String,
}

#[test]
fn dependencies_point_down() {
    let mut broken = Vec::new();
    for source in sources() {
        let from = layer(&source.module).unwrap_or_else(|| panic!("{} is in no layer", source.module));
        for target in references(&source.code) {
            let Some(to) = layer(&target) else { continue };
            let forbidden = FORBIDDEN.contains(&(source.module.as_str(), target.as_str()));
            if to < from || forbidden {
                broken.push(format!("{} uses crate::{target}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn reserved_words_stay_in_their_files() {
    let mut broken = Vec::new();
    for source in sources() {
        if source.path.ends_with("tests.rs") {
            continue;
        }
        let code = source.code.split("#[cfg(test)]").next().expect("a first part");
        for (word, homes) in RESERVED {
            if code.contains(word) && !homes.iter().any(|home| source.path.starts_with(home)) {
                broken.push(format!("{} names {word}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn files_stay_small() {
    let long = |source: &Source| source.code.lines().take_while(|line| *line != "#[cfg(test)]").count() > MAX_LINES;
    let broken: Vec<String> = sources().into_iter().filter(long).map(|source| source.path).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn references_are_found() {
    let code = "use crate::{api::{self, x}, clock, error::Error};\nfn f() { crate::log::info!(\"\") }";
    let found: Vec<String> = references(code).into_iter().collect();
    assert_eq!(found, ["api", "clock", "error", "log"]);
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The top-level modules that `code` names.
fn references(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(first_names(group));
        } else {
            found.insert(name(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The first name of each item of a `use` group, whose opening brace is already gone.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut expecting, mut names) = (0, true, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            _ if character.is_whitespace() => {}
            _ if expecting => {
                names.push(name(group.split_at(at).1));
                expecting = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// Every library source without its comments.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let sources = files.into_iter().map(|file| {
        let path = file.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        let module = path.split('/').next().expect("a first part").trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        Source { path, module, code }
    });
    sources.filter(|source| !matches!(source.module.as_str(), "lib" | "main")).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

//! `doc/limits.md` lists the bounds that are constants, with the reason that stands beside each. What it says is checked;
//! `LETHE_WRITE=1` writes it anew, with what has come since.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const INTRODUCTION: &str = "\
# Limits

Every bound on what a client, a peer or a file can make the server hold, compute or write. The numbers an administrator
may want to change are keys of the configuration: `[limits]` and `[media]` in `config.example.toml`. The others stand
here, each with its reason. A test writes this page from the sources, `LETHE_WRITE=1 cargo test --test it limits_table`, and
fails when a bound has another value or reason than it says. `make hostile` tries them on a real server.

## Who is counted, and how

A request counts for the account of its token, or for the address it comes from when it has none; an IPv6 address counts
by its /64. Addresses are known under a keyed hash whose key ends with the process; they are never stored and never logged.
`X-Forwarded-For` is believed from `server.trusted_proxies` and from the Unix socket alone: the nearest hop that is no
proxy of ours is the client, and what stands before it is the client's own claim.

What the specification marks as rate-limited draws from a bucket of `limits.burst` requests that gets `limits.per_second`
back; media, logins, attempts at a password, registrations and the volume of what is written have buckets of their own
(`src/rate/kind.rs`). Who has taken too much gets `429 M_LIMIT_EXCEEDED` with `retry_after_ms` and `Retry-After`. The counts
take a fixed amount of memory, and nobody's count is dropped to make room for another's (`src/rate/bucket.rs`).
";

/// How the names of bounds begin.
const NAMES: [&str; 12] = [
    "MOST",
    "MAX",
    "LONGEST",
    "LARGEST",
    "LEAST",
    "SLOWEST",
    "UPLOAD",
    "DOWNLOAD",
    "VOLUME",
    "PASSWORD",
    "REGISTRATION",
    "SMALL",
];
/// Bounds whose names say what happens.
const OTHERS: [&str; 32] = [
    "BODIES_KIB",
    "BODIES_SHARE_KIB",
    "BODY_TIMEOUT",
    "BURST",
    "CONNECTION_WINDOW",
    "DRAIN",
    "HANDSHAKE",
    "HEAD_TIMEOUT",
    "IDLE",
    "LIFETIME",
    "LINGER",
    "MEMORY_KIB",
    "OTHER_FILES",
    "PATIENCE",
    "PIECE",
    "PING",
    "PIXELS_AT_ONCE",
    "PROBE",
    "RESETS",
    "SENDER_LIFETIME",
    "SEND_BUFFER",
    "SHARE",
    "STREAM_WINDOW",
    "UNASKED",
    "UNDECLARED",
    "USUAL_LIMIT",
    "WINDOW",
    "ROWS",
    "COLUMNS",
    "CODE_LIFETIME",
    "TIMEOUT",
    "CAPACITY",
];

#[test]
fn the_table_of_limits_is_current() {
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files);
    files.sort();
    let mut modules: BTreeMap<String, Vec<(String, String, String)>> = BTreeMap::new();
    let mut bare = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests").next().expect("a first part");
        let module =
            file.with_extension("").strip_prefix("src").expect("below").display().to_string().replace('/', "::");
        for (name, value, reason) in bounds(code) {
            if reason.is_empty() {
                bare.push(format!("{module}::{name}"));
            }
            modules.entry(module.clone()).or_default().push((name, value, reason));
        }
    }
    assert!(bare.is_empty(), "bounds without a reason: {bare:#?}");
    let mut page = INTRODUCTION.to_owned();
    for (module, bounds) in modules {
        write!(page, "\n## `{module}`\n\n").expect("a string takes every write");
        for (name, value, reason) in bounds {
            writeln!(page, "* `{name}` = `{value}`: {reason}").expect("a string takes every write");
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/limits.md");
    if std::env::var_os("LETHE_WRITE").is_some() {
        fs::write(&file, &page).expect("written");
    }
    let committed = fs::read_to_string(&file).expect("the page");
    let current: BTreeSet<_> = sections(&page).collect();
    let stale: Vec<_> = sections(&committed).filter(|line| !current.contains(line)).collect();
    assert!(stale.is_empty(), "run `LETHE_WRITE=1 cargo test --test it limits_table`: {stale:#?}");
    assert!(sections(&committed).count() > 150);
}

/// The bounds that a page lists, each with the module it stands under.
fn sections(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut module = "";
    page.lines().filter_map(move |line| {
        if line.starts_with("## `") {
            module = line;
        }
        line.starts_with("* `").then_some((module, line))
    })
}

/// The bounds of a source: name, value, and what its documentation says.
fn bounds(code: &str) -> Vec<(String, String, String)> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let line =
            ["pub(super) ", "pub(crate) ", "pub "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
        let Some((name, rest)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(": ")) else { continue };
        let is_bound = OTHERS.contains(&name) || NAMES.iter().any(|start| name.split('_').next() == Some(*start));
        let Some((_, value)) = rest.split_once(" = ").filter(|_| is_bound) else { continue };
        let before = lines.get(..at).unwrap_or_default();
        let start = before.iter().rposition(|line| !line.starts_with("///")).map_or(0, |at| at + 1);
        let reason: Vec<_> = before[start..].iter().map(|line| line.trim_start_matches("///").trim()).collect();
        let reason = reason.join(" ").replace("[`", "`").replace("`]", "`");
        found.push((name.to_owned(), value.trim_end_matches(';').to_owned(), reason));
    }
    found
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() && name != "fuzz" {
            collect(&path, files);
        } else if is_source && !name.contains("test") && name != "fuzz" {
            files.push(path);
        }
    }
}

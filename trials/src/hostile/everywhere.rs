//! Nonsense at every operation that there is: none of it may be more than refused.

use std::{collections::BTreeMap, path::Path};

use super::{
    memory::Memory,
    world::{Ask, World},
};
use crate::http::escape;

/// Every operation, as the documentation lists it.
const OPERATIONS: &str = include_str!("../../../doc/api.md");
/// What does what it says whatever the body is.
const WITHOUT_BODY: [&str; 2] = ["/logout", "/logout/all"];
/// What all of it together may add to the memory, KiB.
const BOUND: u64 = 64 << 10;

pub(super) fn run(binary: &Path) -> u32 {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut world = World::new(binary, directory.path());
    let before = world.digest();
    let memory = Memory::of(world.process_id());
    let start = memory.start_peak();
    let mut answers: BTreeMap<u16, u32> = BTreeMap::new();
    let mut faults = Vec::new();
    for (method, path) in operations() {
        for (segment, query, body) in nonsense() {
            let path = filled(&path, &segment);
            let ask = Ask::new(method, format!("{path}{query}"), body);
            let (status, code) = world.ask(&ask);
            *answers.entry(status).or_default() += 1;
            if matches!(status, 0 | 500 | 503) {
                faults.push(format!("{method} {path}{query}: {status} {code}"));
            }
        }
    }
    let peak = memory.peak();
    let unchanged = world.digest() == before;
    world.stop();
    for fault in &faults {
        println!("FAULT {}", fault.chars().take(300).collect::<String>());
    }
    let count: u32 = answers.values().sum();
    println!("everywhere: {count} requests to {} operations; answers by status: {answers:?}", operations().count());
    println!(
        "everywhere: {start} KiB before, {peak} KiB at the peak; state {}",
        if unchanged { "unchanged" } else { "CHANGED" }
    );
    let faults = u32::try_from(faults.len()).unwrap_or(u32::MAX);
    faults + u32::from(!unchanged) + u32::from(peak > start + BOUND)
}

/// Methods and paths.
fn operations() -> impl Iterator<Item = (&'static str, String)> {
    let lines = OPERATIONS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (method, path) = (cells.next()?, cells.next()?.trim_matches('`'));
        path.starts_with('/').then(|| (method, path.to_owned()))
    });
    lines.filter(|(_, path)| !WITHOUT_BODY.iter().any(|end| path.ends_with(end)))
}

/// A path's parameters, a query and a body.
fn nonsense() -> Vec<(String, String, Vec<u8>)> {
    let long = "x".repeat(2000);
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    let all: [(&str, &str, &[u8]); 8] = [
        ("x", "", b"{\"a\":"),
        ("\0", "?limit=-1&from=%00&dir=%ff", b"\xff\xfe"),
        ("!x:localhost", "?limit=99999999999999999999&since=s&at=p&version=-1", b"[]"),
        ("@x:localhost", "?timeout=-1&filter=%7B&ts=-1", b"\"x\""),
        ("$x", "?=&&&%&a=b=c", b"1e999"),
        ("..", "?width=-1&height=x&method=y", b"null"),
        (&long, "", deep.as_bytes()),
        ("#x:localhost", "?user_id=%40&room_id=x", b"true"),
    ];
    all.iter().map(|(segment, query, body)| ((*segment).to_owned(), (*query).to_owned(), body.to_vec())).collect()
}

fn filled(path: &str, segment: &str) -> String {
    let segments = path.split('/').map(|part| if part.starts_with('{') { escape(segment) } else { part.to_owned() });
    segments.collect::<Vec<_>>().join("/")
}

//! Bad input to a real server: each case has the answer it must get, a bound on the memory it may take, and changes
//! nothing that anybody can see.

mod cases;
mod connections;
mod everywhere;
mod memory;
mod world;

use std::path::Path;

use self::{
    cases::{Case, cases},
    memory::Memory,
    world::World,
};

/// What one case may add to the server's memory while it is answered, unless it says otherwise, KiB.
const USUAL: u64 = 12 << 10;

/// A line of the table.
struct Row {
    name: String,
    expected: String,
    got: String,
    memory: (u64, u64),
    bound: u64,
    unchanged: bool,
}

impl Row {
    fn holds(&self) -> bool {
        self.expected == self.got && self.memory.1 <= self.memory.0 + self.bound && self.unchanged
    }
}

pub(crate) fn run(binary: &Path, polls: u32) {
    let mut failed = 0;
    failed += table(binary);
    failed += everywhere::run(binary);
    failed += connections::run(binary, polls);
    println!("hostile: {failed} failures");
    assert_eq!(failed, 0, "hostile input was not answered as it must be");
}

fn table(binary: &Path) -> u32 {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut world = World::new(binary, directory.path());
    println!("{:<58} {:<28} {:<28} {:>9} {:>9}  state", "input", "expected", "got", "before", "peak KiB");
    let mut failed = 0;
    for case in cases(&world) {
        let row = try_case(&mut world, case);
        let state = if row.unchanged { "unchanged" } else { "CHANGED" };
        let verdict = if row.holds() { "" } else { "  FAILED" };
        println!(
            "{:<58} {:<28} {:<28} {:>9} {:>9}  {state}{verdict}",
            row.name, row.expected, row.got, row.memory.0, row.memory.1
        );
        failed += u32::from(!row.holds());
    }
    world.stop();
    failed
}

fn try_case(world: &mut World, case: Case) -> Row {
    for preparation in &case.before {
        let answer = world.ask(preparation);
        assert_eq!(answer.0, 200, "{}: {}", case.name, answer.1);
    }
    let before = world.digest();
    let memory = Memory::of(world.process_id());
    let start = memory.start_peak();
    let (status, code) = world.ask(&case.request);
    let peak = memory.peak();
    let after = world.digest();
    Row {
        name: case.name,
        expected: case.expected,
        got: format!("{status} {code}").trim_end().to_owned(),
        memory: (start, peak),
        bound: case.memory.unwrap_or(USUAL),
        unchanged: before == after,
    }
}

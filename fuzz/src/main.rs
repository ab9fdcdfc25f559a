//! Runs the target that `LETHE_FUZZ` names on what libFuzzer makes.
#![no_main]

use std::sync::OnceLock;

use lethe::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| (target().run)(data));

/// The target, found once.
fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        // libFuzzer's own hook ends the process; what a server catches is no crash, and what it does not catch still is.
        std::panic::set_hook(Box::new(|panic| {
            let expected = panic.location().is_some_and(|place| place.file().contains("/ruma-"));
            if !expected {
                eprintln!("{panic}");
            }
        }));
        let name = std::env::var("LETHE_FUZZ").expect("LETHE_FUZZ names a target");
        TARGETS.iter().find(|target| target.name == name).expect("LETHE_FUZZ names a target that there is")
    })
}
